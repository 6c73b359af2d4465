namespace Millrace.Memory;

/// <summary>
/// Bytes that stay until all of them go: strings of labels of known series. One writer at a time; a reader may read
/// what was handed to it. Addresses are offsets into chunks, so nothing moves when the arena grows.
/// </summary>
internal sealed class ByteArena
{
    private const int ChunkBits = 20;
    private const int ChunkSize = 1 << ChunkBits;

    private byte[][] _chunks = [];
    private int _chunkCount;
    private int _usedInLast = ChunkSize;

    public long SizeBytes { get; private set; }

    public ReadOnlySpan<byte> this[long address, int length] =>
        _chunks[(int)(address >> ChunkBits)].AsSpan((int)(address & (ChunkSize - 1)), length);

    /// <summary>Keeps a copy; more than a chunk gets a chunk of its own.</summary>
    public long Add(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length > ChunkSize - _usedInLast)
        {
            if (_chunkCount == _chunks.Length)
            {
                Array.Resize(ref _chunks, Math.Max(4, _chunkCount * 2));
            }
            _chunks[_chunkCount++] = new byte[Math.Max(ChunkSize, bytes.Length)];
            SizeBytes += Math.Max(ChunkSize, bytes.Length);
            _usedInLast = 0;
        }
        var address = ((long)(_chunkCount - 1) << ChunkBits) + _usedInLast;
        bytes.CopyTo(_chunks[_chunkCount - 1].AsSpan(_usedInLast));
        _usedInLast = Math.Min(ChunkSize, _usedInLast + bytes.Length);
        return address;
    }
}
