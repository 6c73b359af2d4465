using System.Buffers.Binary;
using System.Security.Cryptography;
using Millrace.Model;
using Millrace.Protocols.Compression;

namespace Millrace.Protocols.RemoteWrite;

/// <summary>
/// Numbers for byte strings, in the order in which they first came: symbols, and label sets of a block. The hash is
/// keyed by the process, because senders choose the strings; the numbers do not depend on it.
/// </summary>
internal sealed class ByteStringTable
{
    private static readonly ulong Seed = BinaryPrimitives.ReadUInt64LittleEndian(RandomNumberGenerator.GetBytes(8));

    /// <summary>A number plus one, 0 where there is none. At most half full.</summary>
    private int[] _slots = new int[1024];
    private ulong[] _hashes = new ulong[512];

    /// <summary>String n lies from the n-th to the next offset.</summary>
    private int[] _offsets = new int[513];
    private byte[] _bytes = [];

    public int Count { get; private set; }

    public ReadOnlySpan<byte> this[int number] => _bytes.AsSpan(_offsets[number].._offsets[number + 1]);

    public void Clear()
    {
        Array.Clear(_slots);
        Count = 0;
    }

    public int NumberOf(ReadOnlySpan<byte> text)
    {
        var hash = StableHash.Hash64(text, Seed);
        var at = (int)hash & (_slots.Length - 1);
        for (; _slots[at] != 0; at = (at + 1) & (_slots.Length - 1))
        {
            var number = _slots[at] - 1;
            if (_hashes[number] == hash && this[number].SequenceEqual(text))
            {
                return number;
            }
        }
        if (Count == _hashes.Length)
        {
            Grow();
            return NumberOf(text);
        }
        var start = _offsets[Count];
        OutputBuffer.Reserve(ref _bytes, start, text.Length);
        text.CopyTo(_bytes.AsSpan(start));
        _hashes[Count] = hash;
        _slots[at] = ++Count;
        _offsets[Count] = start + text.Length;
        return Count - 1;
    }

    private void Grow()
    {
        Array.Resize(ref _hashes, _hashes.Length * 2);
        Array.Resize(ref _offsets, _hashes.Length + 1);
        _slots = new int[_slots.Length * 2];
        for (var number = 0; number < Count; number++)
        {
            var at = (int)_hashes[number] & (_slots.Length - 1);
            while (_slots[at] != 0)
            {
                at = (at + 1) & (_slots.Length - 1);
            }
            _slots[at] = number + 1;
        }
    }
}
