using Millrace.Memory;

namespace Millrace.Aggregation.Outputs;

/// <summary>
/// Counts by a key, in the order of the keys: buckets of which a few of many are used. A key stays once it was there,
/// with whatever count.
/// </summary>
internal sealed class SortedCounts
{
    private const int FirstSize = 8;

    private long[] _keys = [];
    private long[] _counts = [];
    private int _latest; // the key of the last sample: often that of the next one

    public int Length { get; private set; }

    public ReadOnlySpan<long> Keys => _keys.AsSpan(0, Length);

    public ReadOnlySpan<long> Counts => _counts.AsSpan(0, Length);

    public void Add(long key, long count)
    {
        if (_latest < Length && _keys[_latest] == key)
        {
            _counts[_latest] += count;
            return;
        }
        var at = Keys.BinarySearch(key);
        if (at < 0)
        {
            at = ~at;
            Insert(at, key);
        }
        _counts[at] += count;
        _latest = at;
    }

    /// <summary>Drops the low bits of all keys; keys that become equal become one.</summary>
    public void ShiftKeys(int bits)
    {
        var length = 0;
        for (var i = 0; i < Length; i++)
        {
            var key = _keys[i] >> bits;
            if (length > 0 && _keys[length - 1] == key)
            {
                _counts[length - 1] += _counts[i];
            }
            else
            {
                (_keys[length], _counts[length]) = (key, _counts[i]);
                length++;
            }
        }
        Length = length;
        _latest = 0;
    }

    public void Clear() => (Length, _latest) = (0, 0);

    public void Write(SnapshotWriter writer)
    {
        writer.WriteSpan(Keys);
        writer.WriteSpan(Counts);
    }

    public void Read(SnapshotReader reader)
    {
        _keys = reader.ReadSpan<long>();
        _counts = reader.ReadSpan<long>();
        (Length, _latest) = (_keys.Length, 0);
    }

    private void Insert(int at, long key)
    {
        if (Length == _keys.Length)
        {
            var size = Math.Max(FirstSize, Length * 2);
            Array.Resize(ref _keys, size);
            Array.Resize(ref _counts, size);
        }
        _keys.AsSpan(at, Length - at).CopyTo(_keys.AsSpan(at + 1));
        _counts.AsSpan(at, Length - at).CopyTo(_counts.AsSpan(at + 1));
        (_keys[at], _counts[at]) = (key, 0);
        Length++;
    }
}
