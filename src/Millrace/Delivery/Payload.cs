using System.Buffers;
using System.Buffers.Binary;
using System.Text;

namespace Millrace.Delivery;

/// <summary>Writes a record's payload into a pooled buffer, little-endian. Not thread-safe.</summary>
internal sealed class PayloadWriter(int initialBytes) : IDisposable
{
    private byte[] _buffer = ArrayPool<byte>.Shared.Rent(initialBytes);

    public int Length { get; private set; }

    /// <summary>Valid until the next write.</summary>
    public ReadOnlyMemory<byte> Written => _buffer.AsMemory(0, Length);

    public void Clear() => Length = 0;

    public void Byte(byte value) => Reserve(1)[0] = value;

    public void UInt16(ushort value) => BinaryPrimitives.WriteUInt16LittleEndian(Reserve(2), value);

    public void Int32(int value) => BinaryPrimitives.WriteInt32LittleEndian(Reserve(4), value);

    public void Int64(long value) => BinaryPrimitives.WriteInt64LittleEndian(Reserve(8), value);

    /// <summary>At most 65535 bytes of UTF-8, behind a length of 2 bytes.</summary>
    public void Text(string text)
    {
        var sizeBytes = Encoding.UTF8.GetByteCount(text);
        UInt16(checked((ushort)sizeBytes));
        Encoding.UTF8.GetBytes(text, Reserve(sizeBytes));
    }

    /// <summary>Behind a length of 4 bytes.</summary>
    public void Bytes(ReadOnlySpan<byte> bytes)
    {
        Int32(bytes.Length);
        bytes.CopyTo(Reserve(bytes.Length));
    }

    public void PatchInt32(int at, int value) => BinaryPrimitives.WriteInt32LittleEndian(_buffer.AsSpan(at, 4), value);

    public void Dispose()
    {
        ArrayPool<byte>.Shared.Return(_buffer);
        _buffer = [];
    }

    private Span<byte> Reserve(int sizeBytes)
    {
        if (_buffer.Length - Length < sizeBytes)
        {
            var wanted = Math.Max((long)Length + sizeBytes, Math.Min(_buffer.Length * 2L, Array.MaxLength));
            var larger = ArrayPool<byte>.Shared.Rent(checked((int)wanted));
            _buffer.AsSpan(0, Length).CopyTo(larger);
            ArrayPool<byte>.Shared.Return(_buffer);
            _buffer = larger;
        }
        var reserved = _buffer.AsSpan(Length, sizeBytes);
        Length += sizeBytes;
        return reserved;
    }
}

/// <summary>
/// Reads a payload from front to back; past its end everything is zero and <see cref="Failed"/> is set.
/// </summary>
internal ref struct PayloadReader(ReadOnlyMemory<byte> payload)
{
    private ReadOnlyMemory<byte> _rest = payload;

    public bool Failed { get; private set; }

    public readonly int RemainingBytes => _rest.Length;

    public byte Byte() => TryTake(1, out var bytes) ? bytes.Span[0] : (byte)0;

    public ushort UInt16() =>
        TryTake(2, out var bytes) ? BinaryPrimitives.ReadUInt16LittleEndian(bytes.Span) : (ushort)0;

    public int Int32() => TryTake(4, out var bytes) ? BinaryPrimitives.ReadInt32LittleEndian(bytes.Span) : 0;

    public long Int64() => TryTake(8, out var bytes) ? BinaryPrimitives.ReadInt64LittleEndian(bytes.Span) : 0;

    public string Text() => TryTake(UInt16(), out var bytes) ? Encoding.UTF8.GetString(bytes.Span) : "";

    public ReadOnlyMemory<byte> Bytes() => TryTake(Int32(), out var bytes) ? bytes : default;

    /// <summary>Everything that is left.</summary>
    public ReadOnlyMemory<byte> Rest() => TryTake(_rest.Length, out var bytes) ? bytes : default;

    private bool TryTake(int sizeBytes, out ReadOnlyMemory<byte> bytes)
    {
        if (Failed || sizeBytes < 0 || sizeBytes > _rest.Length)
        {
            Failed = true;
            bytes = default;
            return false;
        }
        bytes = _rest[..sizeBytes];
        _rest = _rest[sizeBytes..];
        return true;
    }
}
