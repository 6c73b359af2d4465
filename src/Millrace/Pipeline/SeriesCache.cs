using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Millrace.Aggregation;
using Millrace.Memory;
using Millrace.Model;
using Millrace.Protocols;

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

/// <summary>
/// What was decided for a series, but for its own targets: alike for most series, so that each is kept once.
/// </summary>
internal readonly record struct SeriesShape
{
    public SeriesFate Fate { get; init; }

    public ushort Route { get; init; }

    public ushort AggregateCount { get; init; }

    public ushort ForwardCount { get; init; }

    /// <summary>Forwards behind those, of histograms and exemplars only.</summary>
    public ushort ExtraForwardCount { get; init; }

    /// <summary>Of the first aggregate and the first forward, mostly the only ones.</summary>
    public ushort FirstTask { get; init; }

    public ushort FirstLane { get; init; }
}

/// <summary>One rule that takes the series: 20 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 4)]
internal struct AggregateTarget
{
    public SeriesKey SeriesKey;

    /// <summary>The group; of a deduplicator's series, its rule and task alone.</summary>
    public int Group;

    /// <summary>
    /// The slot in the shard, as it was last time. Written by the task's worker alone, always checked.
    /// </summary>
    public int SlotHint;
}

/// <summary>Where a group is aggregated.</summary>
internal struct GroupPlace
{
    public ushort Rule;
    public ushort Task;
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

    /// <summary>In the label store.</summary>
    public uint Labels;
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
/// The label bytes are not kept: 96 bits of their keyed hash stand for them. Of ten million series two have the same
/// ones with a chance of one in 10^15, and no sender can aim at that. A series costs 24 bytes and 5 of the index, each
/// rule that takes it 20 bytes, each lane that carries it 16 bytes and the labels that it sends.
///
/// Any number of threads look up; adding takes the lock. All of a series is written before its id can be found, through
/// the table or behind another series: those two places are written and read as volatile.
/// </summary>
internal sealed class SeriesCache(KeyedHash hash, int maxSeries, bool hasRetiring = false, bool hasReplicas = false)
{
    private const int NotFound = -1;
    private const int IndexPartBits = 8;
    private const int LabelChunkBytes = 64 << 10;

    /// <summary>16 bytes, so that none lies in two lines of the processor's cache.</summary>
    private struct Identity
    {
        public ulong HashLow;
        public uint HashHigh;
        public int Next;

        public readonly bool Is(UInt128 hash) => HashLow == (ulong)hash && HashHigh == (uint)(hash >> 64);
    }

    private struct Decision
    {
        public int Shape;

        /// <summary>The first aggregate; where there is none, the first forward.</summary>
        public int First;
    }

    private readonly struct Hashes(SeriesCache cache) : IHashes
    {
        public ulong HashOf(int number) => cache._identities[number].HashLow;
    }

    private readonly Lock _lock = new(); // covers adding

    // These three are written while others are added: what follows a series, and what workers know of its targets.
    private readonly Column<Identity> _identities = new(staysPut: true);
    private readonly Column<AggregateTarget> _aggregates = new(staysPut: true);
    private readonly Column<ForwardTarget> _forwards = new(staysPut: true);

    private readonly Column<Decision> _decisions = new();
    private readonly Column<int> _firstForwards = new(); // of series that have aggregates, too; ends with the last one
    private readonly Column<uint> _targets = new();  // by aggregate target, up to the last one that has one
    private readonly Column<uint> _replicas = new(); // by aggregate target, where rules tell replicas apart
    private readonly Column<uint> _blocks = new();   // by aggregate target, up to the last one that is deduplicated
    private readonly LabelStore _labels = new(hash, LabelChunkBytes);
    private readonly List<GroupIdentity> _groups = [];
    private readonly Column<GroupPlace> _places = new(); // by group
    private readonly Column<SeriesShape> _shapes = new();
    private readonly HashIndex _index = new(IndexPartBits);

    // For adding.
    private readonly Dictionary<(int Rule, int Task, UInt128 Group), int> _groupNumbers = [];
    private readonly Dictionary<SeriesShape, int> _shapeNumbers = [];
    private readonly Dictionary<string, string> _texts = []; // of groups, whose labels are few and repeated
    private readonly List<(byte[] Block, uint Address)> _stored = []; // of the series being added
    private int _aggregateCount;
    private int _forwardCount;
    private int _count;

    public int Count => Volatile.Read(ref _count);

    /// <summary>A bound is reached: the owner starts a new, empty cache.</summary>
    public bool IsFull =>
        Count >= Math.Min(maxSeries, HashIndex.MaxCount / 2) || _labels.SizeBytes > LabelStore.MaxBytes;

    /// <summary>What rules of configurations before still take; null when none did as the cache began.</summary>
    public RetiringTargets? Retiring { get; } = hasRetiring ? new RetiringTargets() : null;

    public long LabelBytes => _labels.SizeBytes;

    public ref readonly SeriesShape Shape(int id) => ref _shapes[_decisions[id].Shape];

    /// <summary>Of a series that has aggregates.</summary>
    public int FirstAggregate(int id) => _decisions[id].First;

    /// <summary>Of a series that has forwards.</summary>
    public int FirstForward(int id)
    {
        ref var decision = ref _decisions[id];
        return _shapes[decision.Shape].AggregateCount == 0 ? decision.First : _firstForwards[id];
    }

    public ref AggregateTarget Aggregate(int index) => ref _aggregates[index];

    /// <summary>Before <see cref="Aggregate"/>.</summary>
    public void PrefetchAggregate(int index) => _aggregates.Prefetch(index);

    public ref readonly GroupPlace PlaceOf(int aggregate) => ref _places[_aggregates[aggregate].Group];

    /// <summary>Of a group.</summary>
    public ref readonly GroupPlace Place(int group) => ref _places[group];

    /// <summary>Whether targets have a replica.</summary>
    public bool HasReplicas => hasReplicas;

    /// <summary>See <see cref="AggregationRule.ReplicaOf"/>.</summary>
    public uint ReplicaOf(int aggregate) => _replicas[aggregate];

    /// <summary>See <see cref="RuleSeries"/>.</summary>
    public uint TargetOf(int aggregate) => aggregate < _targets.Capacity ? _targets[aggregate] : 0;

    public ref ForwardTarget Forward(int index) => ref _forwards[index];

    public GroupIdentity Group(int index) => _groups[index];

    /// <summary>What a deduplicator passes on.</summary>
    public StoredLabels BlockOf(int aggregate) => new(_labels, _blocks[aggregate]);

    /// <summary>The labels that a forward target sends, as a label block.</summary>
    public ReadOnlySpan<byte> LabelsOf(int forward, ref byte[] buffer) =>
        _labels.Get(_forwards[forward].Labels, ref buffer);

    public UInt128 HashOf(ReadOnlySpan<byte> labels) => hash.Hash(labels);

    /// <summary>
    /// The id of known label bytes, or -1. <paramref name="previous"/>: the series before it in the body.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Find(UInt128 labelsHash, int previous)
    {
        if (previous >= 0)
        {
            var next = Volatile.Read(ref _identities[previous].Next);
            if (next >= 0 && _identities[next].Is(labelsHash))
            {
                return next;
            }
        }
        return FindInIndex(labelsHash, previous);
    }

    /// <summary>
    /// Adds a series that is not there, or answers with the id under which another thread just added it.
    /// </summary>
    public int Add(UInt128 labelsHash, int previous, in ResolvedSeries resolved)
    {
        lock (_lock)
        {
            var known = FindInIndex(labelsHash, previous);
            if (known != NotFound)
            {
                return known;
            }
            var id = _count;
            AddTargets(id, resolved);
            _identities.EnsureCapacity(id + 1);
            _identities[id] = new Identity
            {
                HashLow = (ulong)labelsHash,
                HashHigh = (uint)(labelsHash >> 64),
                Next = NotFound,
            };
            _index.Add((ulong)labelsHash, id, new Hashes(this));
            Volatile.Write(ref _count, id + 1);
            if (previous >= 0)
            {
                Volatile.Write(ref _identities[previous].Next, id);
            }
            return id;
        }
    }

    private int FindInIndex(UInt128 labelsHash, int previous)
    {
        var candidates = _index.Of((ulong)labelsHash);
        while (candidates.Next(out var id))
        {
            if (!_identities[id].Is(labelsHash))
            {
                continue;
            }
            if (previous >= 0)
            {
                Volatile.Write(ref _identities[previous].Next, id);
            }
            return id;
        }
        return NotFound;
    }

    private void AddTargets(int id, in ResolvedSeries resolved)
    {
        var shape = new SeriesShape
        {
            Fate = resolved.Fate,
            Route = (ushort)resolved.Route,
            AggregateCount = (ushort)(resolved.Aggregates.Count + resolved.Deduplications.Count),
            ForwardCount = (ushort)resolved.Forwards.Count,
            ExtraForwardCount = (ushort)resolved.ExtraForwards.Count,
            FirstTask = resolved.Aggregates.Count > 0 ? checked((ushort)resolved.Aggregates[0].Task)
                : resolved.Deduplications.Count > 0 ? checked((ushort)resolved.Deduplications[0].Task)
                : (ushort)0,
            FirstLane = resolved.Forwards.Count > 0 ? checked((ushort)resolved.Forwards[0].Lane)
                : resolved.ExtraForwards.Count > 0 ? checked((ushort)resolved.ExtraForwards[0].Lane)
                : (ushort)0,
        };
        _decisions.EnsureCapacity(id + 1);
        _decisions[id] = new Decision
        {
            Shape = ShapeNumber(shape),
            First = shape.AggregateCount > 0 ? _aggregateCount : _forwardCount,
        };
        if (shape.AggregateCount > 0 && shape.ForwardCount + shape.ExtraForwardCount > 0)
        {
            _firstForwards.EnsureCapacity(id + 1);
            _firstForwards[id] = _forwardCount;
        }
        _stored.Clear();
        foreach (var (rule, task, series) in resolved.Aggregates)
        {
            AddAggregate(rule, task, series);
        }
        foreach (var (rule, task, key, labels, replica) in resolved.Deduplications)
        {
            AddAggregate(key, GroupNumber(rule, task, default, LabelSet.Empty, null), replica);
            _blocks.EnsureCapacity(_aggregateCount);
            _blocks[_aggregateCount - 1] = AddressOf(labels);
        }
        if (Retiring is not null)
        {
            AddRetiring(id, resolved.Retiring ?? []);
        }
        AddForwards(resolved.Forwards);
        AddForwards(resolved.ExtraForwards);
    }

    private void AddForwards(List<(int Lane, byte[] Labels)> forwards)
    {
        _forwards.EnsureCapacity(_forwardCount + forwards.Count);
        foreach (var (lane, labels) in forwards)
        {
            _forwards[_forwardCount++] = new ForwardTarget { Lane = lane, Labels = AddressOf(labels) };
        }
    }

    /// <summary>Blocks of a series that are one array are kept once.</summary>
    private uint AddressOf(byte[] block)
    {
        foreach (var (stored, known) in _stored)
        {
            if (ReferenceEquals(stored, block))
            {
                return known;
            }
        }
        var address = _labels.Add(block);
        _stored.Add((block, address));
        return address;
    }

    private void AddRetiring(int id, IReadOnlyList<RetiringSeries> retiring)
    {
        Retiring!.Add(id, _aggregateCount, retiring);
        foreach (var (rule, task, series, _) in retiring)
        {
            AddAggregate(rule, task, series);
        }
    }

    /// <summary>
    /// Alike for all rules: a retiring one may be in force again tomorrow, with the series it took meanwhile.
    /// </summary>
    private void AddAggregate(int rule, int task, in RuleSeries series)
    {
        var group = GroupNumber(rule, task, series.GroupKey, series.Group, series.Labels);
        AddAggregate(series.Key, group, series.Replica);
        if (series.Target != 0)
        {
            _targets.EnsureCapacity(_aggregateCount);
            _targets[_aggregateCount - 1] = series.Target;
        }
    }

    private void AddAggregate(UInt128 key, int group, uint replica)
    {
        _aggregates.EnsureCapacity(_aggregateCount + 1);
        _aggregates[_aggregateCount++] = new AggregateTarget { SeriesKey = key, Group = group, SlotHint = NotFound };
        if (hasReplicas)
        {
            _replicas.EnsureCapacity(_aggregateCount);
            _replicas[_aggregateCount - 1] = replica;
        }
    }

    private int ShapeNumber(in SeriesShape shape)
    {
        if (!_shapeNumbers.TryGetValue(shape, out var number))
        {
            number = _shapeNumbers.Count;
            _shapes.EnsureCapacity(number + 1);
            _shapes[number] = shape;
            _shapeNumbers.Add(shape, number);
        }
        return number;
    }

    private int GroupNumber(int rule, int task, UInt128 groupKey, LabelSet labels, string[]? inputLabels)
    {
        var key = groupKey;
        foreach (var value in inputLabels ?? [])
        {
            key = key * 31 + StableHash.Hash128(MemoryMarshal.AsBytes(value.AsSpan()));
        }
        if (!_groupNumbers.TryGetValue((rule, task, key), out var number))
        {
            number = _groups.Count;
            _groups.Add(new GroupIdentity(groupKey, Shared(labels), inputLabels));
            _places.EnsureCapacity(number + 1);
            _places[number] = new GroupPlace { Rule = checked((ushort)rule), Task = checked((ushort)task) };
            _groupNumbers.Add((rule, task, key), number);
        }
        return number;
    }

    /// <summary>The same labels, made of texts that other groups have, too.</summary>
    private LabelSet Shared(LabelSet labels)
    {
        var shared = new Label[labels.Count];
        for (var i = 0; i < shared.Length; i++)
        {
            var label = labels.Labels[i];
            shared[i] = new Label(Shared(label.Name), Shared(label.Value));
        }
        return LabelSet.FromSorted(shared);
    }

    private string Shared(string text)
    {
        ref var shared = ref CollectionsMarshal.GetValueRefOrAddDefault(_texts, text, out _);
        return shared ??= text;
    }
}
