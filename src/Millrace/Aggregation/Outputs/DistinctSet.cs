using Millrace.Memory;

namespace Millrace.Aggregation.Outputs;

/// <summary>
/// How many different hashes came: exactly up to <see cref="ExactCount"/>; beyond, only the smallest so many are kept,
/// and the largest of them tells how densely they lie. A set of the smallest depends neither on order nor on split.
/// </summary>
internal sealed class DistinctSet : IOutputState<DistinctSet>
{
    /// <summary>Beyond, the standard error is one over the root of this: 0.8 %.</summary>
    public const int ExactCount = 16384;

    private const int FirstSize = 8;
    private const ulong None = 0;

    private ulong[] _table = []; // open addressing, at most three quarters full
    private int _count;

    /// <summary>Hashes above are known not to be among the smallest.</summary>
    private ulong _limit = ulong.MaxValue;

    public bool IsLarge => _table.Length > 1024;

    public void Add(ulong hash)
    {
        hash = hash == None ? 1 : hash;
        if (hash > _limit || Contains(hash, out var at))
        {
            return;
        }
        if ((_count + 1) * 4 > _table.Length * 3)
        {
            Grow();
            Contains(hash, out at);
        }
        _table[at] = hash;
        if (++_count == 2 * ExactCount)
        {
            KeepSmallest();
        }
    }

    public long Estimate()
    {
        KeepSmallest();
        return _limit == ulong.MaxValue
            ? _count
            : (long)Math.Round((ExactCount - 1) * (Math.ScaleB(1, 64) / (_limit + 1.0)));
    }

    public void Clear()
    {
        _table.AsSpan().Clear();
        _count = 0;
        _limit = ulong.MaxValue;
    }

    public void Merge(DistinctSet other)
    {
        _limit = Math.Min(_limit, other._limit);
        foreach (var hash in other._table)
        {
            if (hash != None)
            {
                Add(hash);
            }
        }
    }

    public void Write(SnapshotWriter writer)
    {
        KeepSmallest();
        writer.Write(_limit);
        writer.WriteSpan<ulong>(Sorted());
    }

    public void Read(SnapshotReader reader)
    {
        var limit = reader.Read<ulong>();
        foreach (var hash in reader.ReadSpan<ulong>())
        {
            Add(hash);
        }
        _limit = limit;
    }

    /// <summary>Forgets what is not among the smallest: when there are twice as many, and before any look.</summary>
    private void KeepSmallest()
    {
        if (_count <= ExactCount && _limit == ulong.MaxValue)
        {
            return;
        }
        var sorted = Sorted();
        Clear();
        foreach (var hash in sorted.AsSpan(0, ExactCount))
        {
            Add(hash);
        }
        _limit = sorted[ExactCount - 1];
    }

    private ulong[] Sorted()
    {
        var sorted = new ulong[_count];
        var count = 0;
        foreach (var hash in _table)
        {
            if (hash != None)
            {
                sorted[count++] = hash;
            }
        }
        Array.Sort(sorted);
        return sorted;
    }

    private bool Contains(ulong hash, out int at)
    {
        at = -1;
        if (_table.Length == 0)
        {
            return false;
        }
        var mask = _table.Length - 1;
        for (at = (int)hash & mask; _table[at] != None; at = (at + 1) & mask)
        {
            if (_table[at] == hash)
            {
                return true;
            }
        }
        return false;
    }

    private void Grow()
    {
        var before = _table;
        _table = new ulong[Math.Max(FirstSize, before.Length * 2)];
        foreach (var hash in before)
        {
            if (hash != None)
            {
                Contains(hash, out var at);
                _table[at] = hash;
            }
        }
    }
}

/// <summary>
/// <c>unique_samples</c>: the number of different values in the group. As with <c>min</c>, every value that came is
/// one, also of several at one time.
/// </summary>
internal sealed class UniqueSamples : OutputObjects<DistinctSet>
{
    public override void AddSamples(
        ReadOnlySpan<int> groups, ReadOnlySpan<double> values, ReadOnlySpan<long> timesMs)
    {
        for (var i = 0; i < groups.Length; i++)
        {
            Lose(groups[i], values[i]);
        }
    }

    public override void Replace(int group, double oldValue, double newValue, long timeMs) => Lose(group, newValue);

    public override void Lose(int group, double value) =>
        this[group].Add(Mix(BitConverter.DoubleToUInt64Bits(value + 0.0))); // -0 is 0

    public override bool TryGetValue(int group, out double value)
    {
        value = Find(group)?.Estimate() ?? 0;
        return value > 0;
    }

    /// <summary>
    /// The finisher of MurmurHash3, of 64 bits: different values have different hashes, and similar ones lie apart.
    /// </summary>
    private static ulong Mix(ulong bits)
    {
        bits ^= 0x9E3779B97F4A7C15;
        bits = (bits ^ (bits >> 33)) * 0xFF51AFD7ED558CCD;
        bits = (bits ^ (bits >> 33)) * 0xC4CEB9FE1A85EC53;
        return bits ^ (bits >> 33);
    }
}
