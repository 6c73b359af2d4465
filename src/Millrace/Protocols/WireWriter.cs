using System.Buffers.Binary;

namespace Millrace.Protocols;

/// <summary>Writes protobuf fields into a span that the caller made large enough.</summary>
internal ref struct WireWriter(Span<byte> target)
{
    private readonly Span<byte> _target = target;

    public int Position { get; private set; }

    public static int VarintSize(ulong value) => 1 + (63 - (int)ulong.LeadingZeroCount(value | 1)) / 7;

    /// <summary>The size of a field of bytes with a tag of one byte.</summary>
    public static int FieldSize(int length) => 1 + VarintSize((uint)length) + length;

    public void WriteVarint(ulong value)
    {
        while (value >= 0x80)
        {
            _target[Position++] = (byte)(value | 0x80);
            value >>= 7;
        }
        _target[Position++] = (byte)value;
    }

    public void WriteVarint(uint tag, ulong value)
    {
        WriteVarint(tag);
        WriteVarint(value);
    }

    public void WriteDouble(uint tag, double value)
    {
        WriteVarint(tag);
        BinaryPrimitives.WriteDoubleLittleEndian(_target[Position..], value);
        Position += sizeof(double);
    }

    /// <summary>The tag and the length; the caller writes that many bytes next.</summary>
    public void WriteHead(uint tag, int length)
    {
        WriteVarint(tag);
        WriteVarint((uint)length);
    }

    public void WriteBytes(uint tag, ReadOnlySpan<byte> value)
    {
        WriteHead(tag, value.Length);
        WriteRaw(value);
    }

    public void WriteRaw(ReadOnlySpan<byte> value)
    {
        value.CopyTo(_target[Position..]);
        Position += value.Length;
    }

    /// <summary>What is not written yet; who writes there calls <see cref="Advance"/>.</summary>
    public readonly Span<byte> Rest => _target[Position..];

    public void Advance(int sizeBytes) => Position += sizeBytes;
}
