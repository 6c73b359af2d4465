using Millrace.Memory;

namespace Millrace.Protocols;

/// <summary>
/// Label blocks of known series, kept small: series share most of their labels, so a block is kept as the numbers of
/// its labels, and a label, as it is encoded, once: some thirty bytes for a series where the block takes three hundred.
/// What comes out is what was put in, byte for byte, whatever it is.
///
/// <code>
/// block:  size in bytes, then its labels' numbers             all varints
/// label:  size in bytes, bytes                                of a field of the block; or what is left of it
/// </code>
///
/// One writer at a time; another thread may read what was handed to it.
/// </summary>
internal sealed class LabelStore
{
    /// <summary>Addresses have 32 bits; whoever keeps the store begins a new one long before.</summary>
    public const long MaxBytes = 3L << 30;

    private const int MaxVarintBytes = 5;

    private readonly KeyedHash _hash;
    private readonly ByteArena _bytes;
    private readonly Column<uint> _labels = new(); // addresses, by number
    private readonly HashIndex _index = new();
    private byte[] _scratch = new byte[64];
    private int _labelCount;

    /// <param name="hash">Labels come from senders.</param>
    /// <param name="chunkBytes">What the store grows by.</param>
    public LabelStore(KeyedHash hash, int chunkBytes = ByteArena.DefaultChunkBytes)
    {
        _hash = hash;
        _bytes = new ByteArena(chunkBytes);
    }

    public long SizeBytes => _bytes.SizeBytes;

    /// <summary>Different labels.</summary>
    public int LabelCount => _labelCount;

    /// <summary>Keeps a block and returns where it is found.</summary>
    public uint Add(ReadOnlySpan<byte> block)
    {
        var length = WriteVarint(0, (uint)block.Length);
        for (var at = 0; at < block.Length;)
        {
            var size = FieldSize(block[at..]);
            length = WriteVarint(length, (uint)NumberOf(block.Slice(at, size)));
            at += size;
        }
        return checked((uint)_bytes.Add(_scratch.AsSpan(0, length)));
    }

    /// <summary>Writes a block where the caller has room for it, which grows if it must.</summary>
    public ReadOnlySpan<byte> Get(uint address, ref byte[] buffer)
    {
        var numbers = _bytes.From(address);
        var size = (int)ReadVarint(ref numbers);
        if (buffer.Length < size)
        {
            buffer = new byte[Math.Max(size, 512)];
        }
        for (var at = 0; at < size;)
        {
            var label = LabelOf((int)ReadVarint(ref numbers));
            label.CopyTo(buffer.AsSpan(at));
            at += label.Length;
        }
        return buffer.AsSpan(0, size);
    }

    private ReadOnlySpan<byte> LabelOf(int number)
    {
        var bytes = _bytes.From(_labels[number]);
        var size = (int)ReadVarint(ref bytes);
        return bytes[..size];
    }

    private int NumberOf(ReadOnlySpan<byte> label)
    {
        var hash = (ulong)_hash.Hash(label);
        var candidates = _index.Of(hash);
        while (candidates.Next(out var known))
        {
            if (LabelOf(known).SequenceEqual(label))
            {
                return known;
            }
        }
        var number = _labelCount++;
        _labels.EnsureCapacity(_labelCount);
        _labels[number] = checked((uint)_bytes.AddCounted(label));
        _index.Add(hash, number, new Hashes(this));
        return number;
    }

    /// <summary>Of the first label; of what is no label everything.</summary>
    private static int FieldSize(ReadOnlySpan<byte> block)
    {
        if (block[0] != LabelBlockWriter.LabelTag)
        {
            return block.Length;
        }
        ulong size = 0;
        for (var at = 1; at < Math.Min(block.Length, 1 + MaxVarintBytes); at++)
        {
            size |= (ulong)(block[at] & 0x7F) << (7 * (at - 1));
            if (block[at] < 0x80)
            {
                return (int)Math.Min((ulong)block.Length, (ulong)at + 1 + size);
            }
        }
        return block.Length;
    }

    private int WriteVarint(int at, uint value)
    {
        if (_scratch.Length < at + MaxVarintBytes)
        {
            Array.Resize(ref _scratch, _scratch.Length * 2);
        }
        return at + ByteArena.WriteVarint(_scratch.AsSpan(at), value);
    }

    private static uint ReadVarint(ref ReadOnlySpan<byte> bytes) => ByteArena.ReadVarint(ref bytes);

    private readonly struct Hashes(LabelStore store) : IHashes
    {
        public ulong HashOf(int number) => (ulong)store._hash.Hash(store.LabelOf(number));
    }
}
