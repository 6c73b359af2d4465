namespace Millrace.Memory;

/// <summary>
/// Bytes that stay until all of them go: strings of labels of known series. One writer at a time; a reader may read
/// what was handed to it. Addresses are offsets into chunks, so nothing moves when the arena grows.
/// </summary>
internal sealed class ByteArena
{
    public const int DefaultChunkBytes = 1 << 20;

    private const int MaxVarintBytes = 5;

    private readonly int _chunkBits;
    private readonly int _chunkSize;
    private byte[][] _chunks = [];
    private int _chunkCount;
    private int _usedInLast;

    /// <param name="chunkBytes">A power of two.</param>
    public ByteArena(int chunkBytes = DefaultChunkBytes)
    {
        _chunkBits = int.Log2(chunkBytes);
        _chunkSize = 1 << _chunkBits;
        _usedInLast = _chunkSize;
    }

    public long SizeBytes { get; private set; }

    public ReadOnlySpan<byte> this[long address, int length] => From(address)[..length];

    /// <summary>All that stands there and behind it, for those whose bytes tell where they end.</summary>
    public ReadOnlySpan<byte> From(long address) =>
        _chunks[(int)(address >> _chunkBits)].AsSpan((int)(address & (_chunkSize - 1)));

    /// <summary>Keeps a copy; more than a chunk gets a chunk of its own.</summary>
    public long Add(ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(Reserve(bytes.Length, out var address));
        return address;
    }

    /// <summary>Keeps a copy with its length, a varint, in front.</summary>
    public long AddCounted(ReadOnlySpan<byte> bytes)
    {
        Span<byte> head = stackalloc byte[MaxVarintBytes];
        var headBytes = WriteVarint(head, (uint)bytes.Length);
        var target = Reserve(headBytes + bytes.Length, out var address);
        head[..headBytes].CopyTo(target);
        bytes.CopyTo(target[headBytes..]);
        return address;
    }

    public static int WriteVarint(Span<byte> target, uint value)
    {
        var at = 0;
        for (; value >= 0x80; value >>= 7)
        {
            target[at++] = (byte)(value | 0x80);
        }
        target[at++] = (byte)value;
        return at;
    }

    /// <summary>Reads what <see cref="WriteVarint"/> wrote, and goes on behind it.</summary>
    public static uint ReadVarint(ref ReadOnlySpan<byte> bytes)
    {
        var value = 0u;
        var at = 0;
        for (; bytes[at] >= 0x80; at++)
        {
            value |= (uint)(bytes[at] & 0x7F) << (7 * at);
        }
        value |= (uint)bytes[at] << (7 * at);
        bytes = bytes[(at + 1)..];
        return value;
    }

    private Span<byte> Reserve(int length, out long address)
    {
        if (length > _chunkSize - _usedInLast)
        {
            if (_chunkCount == _chunks.Length)
            {
                Array.Resize(ref _chunks, Math.Max(4, _chunkCount * 2));
            }
            _chunks[_chunkCount++] = new byte[Math.Max(_chunkSize, length)];
            SizeBytes += Math.Max(_chunkSize, length);
            _usedInLast = 0;
        }
        address = ((long)(_chunkCount - 1) << _chunkBits) + _usedInLast;
        var target = _chunks[_chunkCount - 1].AsSpan(_usedInLast, length);
        _usedInLast = Math.Min(_chunkSize, _usedInLast + length);
        return target;
    }
}
