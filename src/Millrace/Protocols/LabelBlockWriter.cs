using System.Buffers;
using System.Numerics;

namespace Millrace.Protocols;

/// <summary>
/// Builds label blocks (<see cref="IWriteSink.BeginSeries"/>) in one pooled buffer that is used again for every
/// series of a body. A mutable struct: pass it by reference, dispose it once.
/// </summary>
internal struct LabelBlockWriter : IDisposable
{
    public const byte LabelTag = 0x0A; // TimeSeries.labels
    public const byte NameTag = 0x0A;
    public const byte ValueTag = 0x12;

    private const int FirstBufferBytes = 4096;

    private readonly int _maxBytes;
    private byte[]? _buffer;
    private int _length;

    public LabelBlockWriter(int maxBytes) => _maxBytes = maxBytes;

    public readonly ReadOnlySpan<byte> Written => _buffer.AsSpan(0, _length);

    public void Clear() => _length = 0;

    /// <summary>
    /// Appends a label as Go's encoder writes it: an empty name or value is left out. False, with nothing written,
    /// when the block would become larger than allowed.
    /// </summary>
    public bool TryAppend(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value)
    {
        if (TryAppendShort(name, value))
        {
            return true;
        }
        var labelBytes = (long)FieldBytes(name.Length) + FieldBytes(value.Length);
        var neededBytes = _length + 1 + VarintBytes((ulong)labelBytes) + labelBytes;
        if (neededBytes > _maxBytes)
        {
            return false;
        }
        if (_buffer is null || neededBytes > _buffer.Length)
        {
            Grow((int)neededBytes);
        }
        _buffer![_length++] = LabelTag;
        WriteVarint((uint)labelBytes);
        WriteField(NameTag, name);
        WriteField(ValueTag, value);
        return true;
    }

    /// <summary>The usual label: nothing is empty, every length takes one byte, there is room.</summary>
    private bool TryAppendShort(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value)
    {
        var labelBytes = 4 + name.Length + value.Length;
        var end = _length + 2 + labelBytes;
        if (labelBytes >= 0x80 || name.IsEmpty || value.IsEmpty || _buffer is null || end > _buffer.Length
            || end > _maxBytes)
        {
            return false;
        }
        var target = _buffer.AsSpan(_length, 2 + labelBytes);
        target[0] = LabelTag;
        target[1] = (byte)labelBytes;
        target[2] = NameTag;
        target[3] = (byte)name.Length;
        name.CopyTo(target[4..]);
        target = target[(4 + name.Length)..];
        target[0] = ValueTag;
        target[1] = (byte)value.Length;
        value.CopyTo(target[2..]);
        _length = end;
        return true;
    }

    public void Dispose()
    {
        if (_buffer is not null)
        {
            ArrayPool<byte>.Shared.Return(_buffer);
            _buffer = null;
        }
        _length = 0;
    }

    /// <summary>Bytes of a string field with its tag; none when it is empty.</summary>
    public static int FieldBytes(int length) => length == 0 ? 0 : 1 + VarintBytes((ulong)length) + length;

    public static int VarintBytes(ulong value) => (BitOperations.Log2(value | 1) / 7) + 1;

    private void WriteField(byte tag, ReadOnlySpan<byte> text)
    {
        if (text.IsEmpty)
        {
            return;
        }
        _buffer![_length++] = tag;
        WriteVarint((uint)text.Length);
        text.CopyTo(_buffer.AsSpan(_length));
        _length += text.Length;
    }

    private void WriteVarint(uint value)
    {
        while (value >= 0x80)
        {
            _buffer![_length++] = (byte)(value | 0x80);
            value >>= 7;
        }
        _buffer![_length++] = (byte)value;
    }

    private void Grow(int neededBytes)
    {
        var larger = ArrayPool<byte>.Shared.Rent(Math.Max(neededBytes, FirstBufferBytes));
        Written.CopyTo(larger);
        if (_buffer is not null)
        {
            ArrayPool<byte>.Shared.Return(_buffer);
        }
        _buffer = larger;
    }
}
