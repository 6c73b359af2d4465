using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Millrace.Memory;

namespace Millrace.Aggregation.Outputs;

/// <summary>
/// Counts by a key, in the order of the keys: buckets of which a few of many are used. A key stays once it was there,
/// with whatever count.
/// </summary>
/// <remarks>
/// Every group has one per window, so it is kept small: one array holds first the keys, then the counts. Either take 32
/// bits as long as all of them fit, else 64. The array stays when all is cleared, whatever the widths are next.
/// </remarks>
internal sealed class SortedCounts
{
    private const int FirstRoom = 8;
    private const int MaxOnStack = 256;

    private uint[] _words = [];
    private int _room;           // keys, and counts, for which there are words
    private int _keyWords = 1;   // 2: some key needs 64 bits
    private int _countWords = 1; // 2: some count does
    private int _latest;         // the key of the last sample: often that of the next one

    public int Length { get; private set; }

    public long KeyAt(int index) => _keyWords == 1 ? Keys<int>()[index] : Keys<long>()[index];

    public long CountAt(int index) => _countWords == 1 ? Counts<int>()[index] : Counts<long>()[index];

    /// <summary>Where the sample with this rank is, if all were in order; behind them all, the last key.</summary>
    public int IndexOfRank(long rank) =>
        _countWords == 1 ? IndexOfRank<int>(Counts<int>(), rank) : IndexOfRank<long>(Counts<long>(), rank);

    public bool Contains(long key) => _keyWords == 2 ? Contains<long>(key) : key == (int)key && Contains((int)key);

    public void Add(long key, long count)
    {
        if (_keyWords == 1 && key != (int)key)
        {
            Change(2, _countWords, Math.Max(FirstRoom, Length));
        }
        if (_keyWords == 1)
        {
            AddKey((int)key, count);
        }
        else
        {
            AddKey(key, count);
        }
    }

    /// <summary>Drops the low bits of all keys; keys that become equal become one.</summary>
    public void ShiftKeys(int bits)
    {
        var length = 0;
        var (lowest, highest) = (0L, 0L);
        for (var i = 0; i < Length; i++)
        {
            var key = KeyAt(i) >> bits;
            if (length > 0 && KeyAt(length - 1) == key)
            {
                AddCount(length - 1, CountAt(i));
                continue;
            }
            var count = CountAt(i);
            SetKey(length, key);
            SetCount(length++, count);
            (lowest, highest) = (Math.Min(lowest, key), Math.Max(highest, key));
        }
        Length = length;
        _latest = 0;
        if (_keyWords == 2 && lowest == (int)lowest && highest == (int)highest)
        {
            Change(1, _countWords, Length);
        }
    }

    public void Clear()
    {
        (Length, _latest) = (0, 0);
        Change(1, 1, 0);
    }

    /// <summary>Equal counts are written alike, however wide they are kept.</summary>
    public void Write(SnapshotWriter writer)
    {
        var longs = new long[Length];
        for (var i = 0; i < Length; i++)
        {
            longs[i] = KeyAt(i);
        }
        writer.WriteSpan<long>(longs);
        for (var i = 0; i < Length; i++)
        {
            longs[i] = CountAt(i);
        }
        writer.WriteSpan<long>(longs);
    }

    public void Read(SnapshotReader reader)
    {
        Clear();
        var keys = reader.ReadSpan<long>();
        var counts = reader.ReadSpan<long>();
        for (var i = 0; i < keys.Length; i++)
        {
            Add(keys[i], counts[i]);
        }
    }

    private static int IndexOfRank<TCount>(ReadOnlySpan<TCount> counts, long rank)
        where TCount : unmanaged, IBinaryInteger<TCount>
    {
        var at = 0;
        for (; at < counts.Length - 1 && rank >= long.CreateTruncating(counts[at]); at++)
        {
            rank -= long.CreateTruncating(counts[at]);
        }
        return at;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Span<TKey> Keys<TKey>() where TKey : unmanaged =>
        MemoryMarshal.Cast<uint, TKey>(_words.AsSpan(0, _room * _keyWords))[..Length];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Span<TCount> Counts<TCount>() where TCount : unmanaged =>
        MemoryMarshal.Cast<uint, TCount>(_words.AsSpan(_room * _keyWords, _room * _countWords))[..Length];

    private bool Contains<TKey>(TKey key) where TKey : unmanaged, IBinaryInteger<TKey>
    {
        var keys = Keys<TKey>();
        var at = PlaceOf(keys, key);
        return at < keys.Length && keys[at] == key;
    }

    private void AddKey<TKey>(TKey key, long count) where TKey : unmanaged, IBinaryInteger<TKey>
    {
        var keys = Keys<TKey>();
        var at = _latest;
        if (at >= keys.Length || keys[at] != key)
        {
            at = PlaceOf(keys, key);
            if (at == keys.Length || keys[at] != key)
            {
                MakeRoom(at);
                Keys<TKey>()[at] = key;
            }
            _latest = at;
        }
        AddCount(at, count);
    }

    /// <summary>
    /// Where the key is, or belongs: the number of smaller ones. Without a branch that depends on a key, which the
    /// processor could only guess.
    /// </summary>
    private static int PlaceOf<TKey>(ReadOnlySpan<TKey> keys, TKey key) where TKey : unmanaged, IBinaryInteger<TKey>
    {
        ref var first = ref MemoryMarshal.GetReference(keys);
        var at = 0;
        var left = keys.Length;
        while (left > 0)
        {
            var half = (left + 1) >> 1;
            at += Unsafe.Add(ref first, at + half - 1) < key ? half : 0;
            left -= half;
        }
        return at;
    }

    private void AddCount(int at, long count)
    {
        if (_countWords == 1)
        {
            ref var narrow = ref Counts<int>()[at];
            var sum = narrow + count;
            if (sum == (int)sum)
            {
                narrow = (int)sum;
                return;
            }
            Change(_keyWords, 2, Length);
        }
        Counts<long>()[at] += count;
    }

    private void SetKey(int at, long key)
    {
        if (_keyWords == 1)
        {
            Keys<int>()[at] = (int)key;
        }
        else
        {
            Keys<long>()[at] = key;
        }
    }

    /// <summary>One that was there before.</summary>
    private void SetCount(int at, long count)
    {
        if (_countWords == 1)
        {
            Counts<int>()[at] = (int)count;
        }
        else
        {
            Counts<long>()[at] = count;
        }
    }

    /// <summary>A place for a key, with a count of 0.</summary>
    private void MakeRoom(int at)
    {
        if (Length == _room)
        {
            Change(_keyWords, _countWords, Math.Max(FirstRoom, Length + Length / 2));
        }
        var behind = Length++ - at;
        Move(0, _keyWords, at, behind);
        Move(_room * _keyWords, _countWords, at, behind);
        SetCount(at, 0);
    }

    private void Move(int start, int width, int at, int count) =>
        _words.AsSpan(start + at * width, count * width).CopyTo(_words.AsSpan(start + (at + 1) * width));

    /// <summary>Other widths, or more room, in the same array if it is large enough.</summary>
    private void Change(int keyWords, int countWords, int room)
    {
        var length = Length;
        var keys = length <= MaxOnStack ? stackalloc long[length] : new long[length];
        var counts = length <= MaxOnStack ? stackalloc long[length] : new long[length];
        for (var i = 0; i < length; i++)
        {
            (keys[i], counts[i]) = (KeyAt(i), CountAt(i));
        }
        var words = room * (keyWords + countWords);
        _words = words <= _words.Length ? _words : new uint[words];
        (_keyWords, _countWords, _room) = (keyWords, countWords, _words.Length / (keyWords + countWords));
        for (var i = 0; i < length; i++)
        {
            SetKey(i, keys[i]);
            SetCount(i, counts[i]);
        }
    }
}
