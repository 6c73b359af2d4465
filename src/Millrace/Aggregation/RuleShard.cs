using Millrace.Aggregation.Histograms;
using Millrace.Memory;
using Millrace.Model;

namespace Millrace.Aggregation;

/// <summary>
/// One rule in one task: series slots, groups, windows. Touched by one thread, in the order of the log. What differs
/// between event time and arrival time is in the two kinds of shard.
/// </summary>
internal abstract class RuleShard(AggregationRule rule, RuleClock clock)
{
    private readonly ReplicaFilter? _replicas = rule.Config.Ha is { } ha ? new ReplicaFilter(ha) : null;

    private HistogramReplicas? _histogramReplicas; // once a histogram came, where replicas are told apart

    /// <summary>Series slots; each kind of shard has its columns beside it.</summary>
    protected SeriesTable<SeriesKey> Series { get; private init; } = new();

    /// <summary>By slot, the values of the rule's input labels; empty without such.</summary>
    private readonly List<string[]?> _labels = [];

    protected GroupTable Groups { get; private init; } = new(rule);

    /// <summary>A copy to look ahead with: it closes windows, and takes nothing. Shares what names things.</summary>
    protected RuleShard(RuleShard original, ShardScratch scratch)
        : this(original.Rule, original.Clock)
    {
        (Series, _labels) = (original.Series, original._labels);
        Groups = GroupTable.CopyOf(original.Groups, scratch);
        Term = original.Term;
        ClosedThrough = original.ClosedThrough;
    }

    public AggregationRule Rule { get; } = rule;

    public RuleClock Clock { get; } = clock;

    /// <summary>For which windows the rule answers; set by the worker when a configuration comes into force.</summary>
    public RuleTerm Term { get; set; } = new(clock);

    public ShardCounters Counters { get; } = new();

    /// <summary>Samples lent by the worker while it fills a task's part of a batch; null in between.</summary>
    public PendingSamples? Pending { get; set; }

    /// <summary>Windows up to here are closed.</summary>
    public long ClosedThrough { get; protected set; }

    public int SeriesCount => Series.Count;

    public int GroupCount => Groups.Count;

    public int OverflowGroupCount => Groups.OverflowCount;

    /// <summary>A shard that has seen nothing, for a rule whose windows are closed up to one.</summary>
    public static RuleShard Create(AggregationRule rule, RuleClock clock, long closedThrough)
    {
        RuleShard shard = rule.Config.IsDeduplicator ? new DedupShard(rule, clock)
            : rule.IsArrivalTime ? new ArrivalShard(rule, clock)
            : new EventShard(rule, clock);
        shard.Begin(closedThrough);
        return shard;
    }

    /// <summary>The windows up to this one were closed before there was anything in the shard.</summary>
    protected virtual void Begin(long closedThrough) => ClosedThrough = closedThrough;

    /// <summary>Before <see cref="HoldsSeries"/>.</summary>
    public void PrefetchSeries(int slot) => Series.Prefetch(slot);

    /// <summary>Whether a remembered slot still holds the series.</summary>
    public bool HoldsSeries(int slot, in SeriesKey key) => Series.Holds(slot, key);

    /// <summary>The slot of a series; a new one joins its group.</summary>
    public int SlotOf(
        SeriesKey key, UInt128 groupKey, LabelSet group, uint target = 0, string[]? inputLabels = null)
    {
        var slot = Series.Find(key);
        if (slot < 0)
        {
            slot = Rule.IsBounded
                ? NewSlotWithinBounds(key, groupKey, group, target, inputLabels)
                : NewSlot(key, groupKey, group, target, inputLabels, isOverflow: false);
        }
        return slot;
    }

    /// <summary>Takes samples in log order: those of several replicas are counted once.</summary>
    public void Take(PendingSamples samples, long arrivalMs, ShardScratch scratch)
    {
        if (_replicas is null)
        {
            Add(samples, arrivalMs, scratch);
            return;
        }
        var counted = scratch.OfReplicas;
        for (var i = 0; i < samples.Count; i++)
        {
            _replicas.Filter(samples, i, arrivalMs, counted, Counters);
            if (counted.Count > PendingSamples.Capacity - ReplicaFilter.MaxHeld)
            {
                Add(counted, arrivalMs, scratch);
                counted.Count = 0;
            }
        }
        if (counted.Count > 0)
        {
            Add(counted, arrivalMs, scratch);
            counted.Count = 0;
        }
    }

    /// <summary>Books samples in log order; <paramref name="arrivalMs"/> is the record's.</summary>
    public abstract void Add(PendingSamples samples, long arrivalMs, ShardScratch scratch);

    /// <summary>Takes a native histogram in log order: those of several replicas are counted once.</summary>
    public void TakeHistogram(
        int slot, uint replica, long timeMs, ReadOnlySpan<byte> message, long arrivalMs, ShardScratch scratch)
    {
        if (Rule.Config.Ha is not { } ha)
        {
            AddHistogram(slot, timeMs, message, arrivalMs);
            return;
        }
        _histogramReplicas ??= new HistogramReplicas(ha);
        var counted = scratch.HistogramsOfReplicas;
        _histogramReplicas.Filter(
            slot, replica, timeMs, message, arrivalMs, scratch.OfReplicas, counted, Counters);
        foreach (var (countedMs, bytes) in counted)
        {
            AddHistogram(slot, countedMs, bytes, arrivalMs);
        }
        counted.Clear();
    }

    /// <summary>Books a native histogram, as its message.</summary>
    public virtual void AddHistogram(int slot, long timeMs, ReadOnlySpan<byte> message, long arrivalMs)
    {
        Counters.Histograms++;
        Counters.UnusedHistograms++;
    }

    /// <summary>Keeps an exemplar, if there is a use and a place for it.</summary>
    public void AddExemplar(int slot, long timeMs, double value, ReadOnlySpan<byte> labels, long arrivalMs)
    {
        Counters.Exemplars++;
        var group = GroupOf(slot);
        if (Groups.Exemplars is { } book && book.Takes(group, timeMs, value, labels)
            && WindowOfExemplar(timeMs, arrivalMs) is { } window)
        {
            book.Add(window, slot, group, timeMs, value, labels, Counters);
            return;
        }
        Counters.DroppedExemplars++;
    }

    protected virtual int GroupOf(int slot) => -1;

    /// <summary>The window with which an exemplar is sent; null: there is none any more, or not yet.</summary>
    protected virtual WindowState? WindowOfExemplar(long timeMs, long arrivalMs) => null;

    /// <summary>
    /// Closes the windows up to one, oldest first, each into a part of its own. A repeat does nothing.
    /// </summary>
    public abstract void Close(long throughWindow, ShardScratch scratch, List<WindowPart> parts);

    public virtual void Write(SnapshotWriter writer)
    {
        writer.Write(ClosedThrough);
        Series.Write(writer);
        Groups.Write(writer);
        WriteLabels(writer);
        _replicas?.Write(writer, Series.SlotCount);
        if (_replicas is not null)
        {
            writer.Write(_histogramReplicas is null ? 0 : 1);
            _histogramReplicas?.Write(writer);
        }
    }

    public virtual void Read(SnapshotReader reader)
    {
        ClosedThrough = reader.ReadInt64();
        Series.Read(reader);
        Groups.Read(reader);
        ReadLabels(reader);
        _replicas?.Read(reader, Series.SlotCount);
        if (_replicas is not null && reader.ReadInt32() != 0)
        {
            _histogramReplicas = new HistogramReplicas(Rule.Config.Ha!);
            _histogramReplicas.Read(reader, Counters);
        }
    }

    /// <param name="slot">Free until now.</param>
    /// <param name="group">The series' group.</param>
    /// <param name="target">The hash of its target; 0: unknown, or the rule does not ask.</param>
    protected abstract void AddSeries(int slot, int group, uint target);

    private int NewSlot(
        SeriesKey key, UInt128 groupKey, LabelSet group, uint target, string[]? inputLabels, bool isOverflow)
    {
        var slot = AddSlot(key);
        AddSeries(slot, Groups.Join(groupKey, group, isOverflow), target);
        if (inputLabels is not null)
        {
            while (_labels.Count < Series.SlotCount)
            {
                _labels.Add(null);
            }
            _labels[slot] = inputLabels;
        }
        return slot;
    }

    protected int AddSlot(SeriesKey key)
    {
        var slot = Series.Add(key);
        _replicas?.Begin(slot, Counters);
        _histogramReplicas?.Begin(slot, Counters);
        return slot;
    }

    /// <summary>The values of the rule's input labels; null if no output looks at one.</summary>
    protected string[]? LabelsOf(int slot) => _labels.Count == 0 ? null : _labels[slot];

    private void WriteLabels(SnapshotWriter writer)
    {
        for (var slot = 0; slot < Series.SlotCount && Rule.InputLabels.Length > 0; slot++)
        {
            foreach (var value in _labels[slot]!)
            {
                writer.Write(value);
            }
        }
    }

    private void ReadLabels(SnapshotReader reader)
    {
        var known = new Dictionary<string, string>();
        for (var slot = 0; slot < Series.SlotCount && Rule.InputLabels.Length > 0; slot++)
        {
            var values = new string[Rule.InputLabels.Length];
            for (var i = 0; i < values.Length; i++)
            {
                var value = reader.ReadString();
                values[i] = known.TryAdd(value, value) ? value : known[value];
            }
            _labels.Add(values);
        }
    }

    /// <summary>
    /// Past <c>max_groups</c> a series comes to an overflow group, past <c>max_series</c> it has no state: its samples
    /// go to a slot that all such series of the overflow group share.
    /// </summary>
    private int NewSlotWithinBounds(
        SeriesKey key, UInt128 groupKey, LabelSet group, uint target, string[]? inputLabels)
    {
        var isStateless = Rule.Config.MaxSeries > 0 && Series.Count >= Rule.Config.MaxSeries;
        var isOverflow = isStateless || (Rule.Config.MaxGroups > 0
            && Groups.Find(groupKey) < 0 && Groups.Count - Groups.OverflowCount >= Rule.Config.MaxGroups);
        if (isOverflow)
        {
            group = OverflowGroup.Of(group);
            groupKey = group.StableKey();
            if (Groups.Find(groupKey) < 0 && Groups.OverflowCount >= OverflowGroup.MaxNames)
            {
                group = OverflowGroup.Last;
                groupKey = group.StableKey();
            }
            Counters.OverflowSeries += isStateless ? 0 : 1;
        }
        if (!isStateless)
        {
            return NewSlot(key, groupKey, group, target, inputLabels, isOverflow);
        }
        Counters.OverflowSamples++;
        var shared = OverflowGroup.SharedKey(groupKey);
        var slot = Series.Find(shared);
        return slot >= 0
            ? slot
            : NewSlot(shared, groupKey, group, EventSeries.SharedTarget, inputLabels, isOverflow);
    }

    /// <summary>The first window that counts.</summary>
    protected long FirstBookedWindow { get; } = clock.FirstBookedWindow(rule);

    /// <summary>
    /// No zeros in the first window: a rule of before may have written the same series at its start.
    /// </summary>
    protected WindowPart NewPart(long window) => new(Rule.EndOf(window, Clock.OffsetMs))
    {
        HasZeros = Rule.Config.ZeroInjection && window > FirstBookedWindow,
    };

    /// <summary>Whether the window is shown: booked, served, and not among the first ones to be ignored.</summary>
    protected bool IsEmitted(long window) =>
        window >= FirstBookedWindow + Math.Max(0, Rule.Config.IgnoreFirstIntervals) && Term.Serves(Rule, window);
}
