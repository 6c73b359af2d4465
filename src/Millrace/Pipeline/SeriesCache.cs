using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Millrace.Aggregation;
using Millrace.Delivery;
using Millrace.Memory;
using Millrace.Model;

namespace Millrace.Pipeline;

/// <summary>Why all samples of a series are dropped; <see cref="None"/> for those that go on.</summary>
internal enum SeriesFate : byte
{
    None,
    InvalidLabels,
    Relabeled,
    NoRoute,

    /// <summary>
    /// No rule took the series and no destination wants it (<c>drop_input</c>, or none is configured).
    /// </summary>
    Unused,
}

/// <summary>What was decided for a series, once.</summary>
internal struct SeriesEntry
{
    public int FirstAggregate;
    public int FirstForward;
    public ushort AggregateCount;
    public ushort ForwardCount;
    public ushort Route;

    /// <summary>Of the first aggregate and the first forward, mostly the only ones.</summary>
    public ushort FirstTask;
    public ushort FirstLane;
    public SeriesFate Fate;
}

/// <summary>One rule that takes the series.</summary>
internal struct AggregateTarget
{
    public UInt128 SeriesKey;
    public ushort Task;
    public ushort Rule;
    public int Group;

    /// <summary>See <see cref="RuleSeries"/>.</summary>
    public uint Target;

    /// <summary>
    /// The slot in the shard, as it was last time. Written by the task's worker alone, always checked.
    /// </summary>
    public int SlotHint;
}

/// <summary>One lane of one destination that carries the series.</summary>
internal struct ForwardTarget
{
    /// <summary>Destination · lanes + lane.</summary>
    public int Lane;

    /// <summary>The series' number in the lane's block builder; written by the lane's worker alone.</summary>
    public int BuilderSeries;

    /// <summary>In which of the lane's rounds the number was given; numbers of earlier rounds mean nothing.</summary>
    public int BuilderRound;

    public int LabelsLength;
    public long LabelsAddress;
}

/// <summary>
/// The group of a rule that a target feeds: shared by all series of the group that have the same input labels.
/// </summary>
internal sealed record GroupIdentity(UInt128 Key, LabelSet Labels, string[]? InputLabels);

/// <summary>
/// From the raw label bytes of a series to all that was decided for it. Ids are handed out in the order of arrival;
/// since senders repeat their order, the id after the last one is tried first and mostly right, without a look at the
/// table. The cache owns no state: dropping it changes speed, never a value.
///
/// Any number of threads look up; adding takes the lock. What a reader finds through the table was written before.
/// </summary>
internal sealed class SeriesCache(KeyedHash hash, int maxSeries, bool hasRetiring = false) : ISeriesLabels
{
    private const int NotFound = -1;

    private struct Identity
    {
        public UInt128 Hash;
        public int Next;
    }

    private readonly Lock _lock = new(); // covers adding
    private readonly Column<Identity> _identities = new();
    private readonly Column<SeriesEntry> _entries = new();
    private readonly Column<AggregateTarget> _aggregates = new();
    private readonly Column<ForwardTarget> _forwards = new();
    private readonly ByteArena _labels = new();
    private readonly List<GroupIdentity> _groups = [];
    private readonly Dictionary<(int Rule, UInt128 Group), int> _groupNumbers = [];
    private int[] _table = new int[1024]; // id + 1; replaced when it grows
    private int _aggregateCount;
    private int _forwardCount;
    private int _count;

    public int Count => Volatile.Read(ref _count);

    /// <summary>The bound is reached: the owner starts a new, empty cache.</summary>
    public bool IsFull => Count >= maxSeries;

    /// <summary>What rules of configurations before still take; null when none did as the cache began.</summary>
    public RetiringTargets? Retiring { get; } = hasRetiring ? new RetiringTargets() : null;

    public long LabelBytes => _labels.SizeBytes;

    public ref SeriesEntry Entry(int id) => ref _entries[id];

    public ref AggregateTarget Aggregate(int index) => ref _aggregates[index];

    public ref ForwardTarget Forward(int index) => ref _forwards[index];

    public GroupIdentity Group(int index) => _groups[index];

    /// <summary>The labels that a forward target sends, as a label block.</summary>
    public ReadOnlySpan<byte> LabelsOf(int seriesId)
    {
        ref var target = ref _forwards[seriesId];
        return _labels[target.LabelsAddress, target.LabelsLength];
    }

    public UInt128 HashOf(ReadOnlySpan<byte> labels) => hash.Hash(labels);

    /// <summary>
    /// The id of known label bytes, or -1. <paramref name="previous"/>: the series before it in the body.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Find(UInt128 labelsHash, int previous)
    {
        if (previous >= 0)
        {
            var next = _identities[previous].Next;
            if (next >= 0 && _identities[next].Hash == labelsHash)
            {
                return next;
            }
        }
        return FindInTable(labelsHash, previous);
    }

    /// <summary>
    /// Adds a series that is not there, or answers with the id under which another thread just added it.
    /// </summary>
    public int Add(UInt128 labelsHash, int previous, in ResolvedSeries resolved)
    {
        lock (_lock)
        {
            var known = FindInTable(labelsHash, previous);
            if (known != NotFound)
            {
                return known;
            }
            var id = _count;
            AddTargets(id, resolved);
            _identities.EnsureCapacity(id + 1);
            _identities[id] = new Identity { Hash = labelsHash, Next = NotFound };
            Insert(id);
            if (previous >= 0)
            {
                _identities[previous].Next = id;
            }
            return id;
        }
    }

    private int FindInTable(UInt128 labelsHash, int previous)
    {
        var table = Volatile.Read(ref _table);
        var mask = table.Length - 1;
        for (var i = (int)(ulong)labelsHash & mask; ; i = (i + 1) & mask)
        {
            var entry = Volatile.Read(ref table[i]);
            if (entry == 0)
            {
                return NotFound;
            }
            if (_identities[entry - 1].Hash == labelsHash)
            {
                if (previous >= 0)
                {
                    _identities[previous].Next = entry - 1;
                }
                return entry - 1;
            }
        }
    }

    private void AddTargets(int id, in ResolvedSeries resolved)
    {
        _entries.EnsureCapacity(id + 1);
        _entries[id] = new SeriesEntry
        {
            FirstAggregate = _aggregateCount,
            FirstForward = _forwardCount,
            AggregateCount = (ushort)resolved.Aggregates.Count,
            ForwardCount = (ushort)resolved.Forwards.Count,
            Route = (ushort)resolved.Route,
            FirstTask = resolved.Aggregates.Count > 0 ? checked((ushort)resolved.Aggregates[0].Task) : (ushort)0,
            FirstLane = resolved.Forwards.Count > 0 ? checked((ushort)resolved.Forwards[0].Lane) : (ushort)0,
            Fate = resolved.Fate,
        };
        _aggregates.EnsureCapacity(_aggregateCount + resolved.Aggregates.Count);
        foreach (var (rule, task, series) in resolved.Aggregates)
        {
            AddAggregate(rule, task, series);
        }
        if (Retiring is not null)
        {
            AddRetiring(id, resolved.Retiring ?? []);
        }
        _forwards.EnsureCapacity(_forwardCount + resolved.Forwards.Count);
        byte[]? lastLabels = null;
        var address = 0L;
        foreach (var (lane, labels) in resolved.Forwards)
        {
            if (!ReferenceEquals(labels, lastLabels))
            {
                address = _labels.Add(labels);
                lastLabels = labels;
            }
            _forwards[_forwardCount++] = new ForwardTarget
            {
                Lane = lane,
                LabelsAddress = address,
                LabelsLength = labels.Length,
            };
        }
    }

    private void AddRetiring(int id, IReadOnlyList<RetiringSeries> retiring)
    {
        Retiring!.Add(id, _aggregateCount, retiring);
        _aggregates.EnsureCapacity(_aggregateCount + retiring.Count);
        foreach (var (rule, task, series, _) in retiring)
        {
            AddAggregate(rule, task, series);
        }
    }

    /// <summary>
    /// Alike for all rules: a retiring one may be in force again tomorrow, with the series it took meanwhile.
    /// </summary>
    private void AddAggregate(int rule, int task, in RuleSeries series) =>
        _aggregates[_aggregateCount++] = new AggregateTarget
        {
            SeriesKey = series.Key,
            Task = checked((ushort)task),
            Rule = checked((ushort)rule),
            Target = series.Target,
            Group = GroupNumber(rule, series),
            SlotHint = NotFound,
        };

    private int GroupNumber(int rule, in RuleSeries series)
    {
        var key = series.GroupKey;
        foreach (var value in series.Labels ?? [])
        {
            key = key * 31 + StableHash.Hash128(MemoryMarshal.AsBytes(value.AsSpan()));
        }
        if (!_groupNumbers.TryGetValue((rule, key), out var number))
        {
            number = _groups.Count;
            _groups.Add(new GroupIdentity(series.GroupKey, series.Group, series.Labels));
            _groupNumbers.Add((rule, key), number);
        }
        return number;
    }

    private void Insert(int id)
    {
        if ((id + 1) * 2 > _table.Length)
        {
            var larger = new int[_table.Length * 2];
            for (var old = 0; old < id; old++)
            {
                Put(larger, old);
            }
            Put(larger, id);
            Volatile.Write(ref _table, larger);
        }
        else
        {
            Put(_table, id);
        }
        Volatile.Write(ref _count, id + 1);
    }

    private void Put(int[] table, int id)
    {
        var mask = table.Length - 1;
        var i = (int)(ulong)_identities[id].Hash & mask;
        while (table[i] != 0)
        {
            i = (i + 1) & mask;
        }
        Volatile.Write(ref table[i], id + 1);
    }
}
