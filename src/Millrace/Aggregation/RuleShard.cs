using Millrace.Memory;
using Millrace.Model;

namespace Millrace.Aggregation;

/// <summary>
/// One rule in one task: series slots, groups, windows. Touched by one thread, in the order of the log. What differs
/// between event time and arrival time is in the two kinds of shard.
/// </summary>
internal abstract class RuleShard(AggregationRule rule, RuleClock clock)
{
    /// <summary>Series slots; each kind of shard has its columns beside it.</summary>
    protected SeriesTable Series { get; } = new();

    /// <summary>By slot, the values of the rule's input labels; empty without such.</summary>
    private readonly List<string[]?> _labels = [];

    protected GroupTable Groups { get; } = new(rule);

    public AggregationRule Rule { get; } = rule;

    public RuleClock Clock { get; } = clock;

    public ShardCounters Counters { get; } = new();

    /// <summary>Samples lent by the worker while it fills a task's part of a batch; null in between.</summary>
    public PendingSamples? Pending { get; set; }

    /// <summary>Windows up to here are closed.</summary>
    public long ClosedThrough { get; protected set; }

    public int SeriesCount => Series.Count;

    public int GroupCount => Groups.Count;

    /// <summary>A shard that has seen nothing, for a rule whose windows are closed up to one.</summary>
    public static RuleShard Create(AggregationRule rule, RuleClock clock, long closedThrough)
    {
        RuleShard shard = rule.IsArrivalTime ? new ArrivalShard(rule, clock) : new EventShard(rule, clock);
        shard.ClosedThrough = closedThrough;
        return shard;
    }

    /// <summary>Whether a remembered slot still holds the series.</summary>
    public bool HoldsSeries(int slot, UInt128 key) => Series.Holds(slot, key);

    /// <summary>The slot of a series; a new one joins its group.</summary>
    public int SlotOf(UInt128 key, UInt128 groupKey, LabelSet group, string[]? labels = null)
    {
        var slot = Series.Find(key);
        if (slot < 0)
        {
            slot = Series.Add(key);
            AddSeries(slot, Groups.Join(groupKey, group));
            if (labels is not null)
            {
                while (_labels.Count < Series.SlotCount)
                {
                    _labels.Add(null);
                }
                _labels[slot] = labels;
            }
        }
        return slot;
    }

    /// <summary>Books samples in log order; <paramref name="arrivalMs"/> is the record's.</summary>
    public abstract void Add(PendingSamples samples, long arrivalMs, ShardScratch scratch);

    /// <summary>Books a native histogram, as its message.</summary>
    public virtual void AddHistogram(int slot, long timeMs, ReadOnlySpan<byte> message, long arrivalMs)
    {
        Counters.Histograms++;
        Counters.UnusedHistograms++;
    }

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
    }

    public virtual void Read(SnapshotReader reader)
    {
        ClosedThrough = reader.ReadInt64();
        Series.Read(reader);
        Groups.Read(reader);
        ReadLabels(reader);
    }

    protected abstract void AddSeries(int slot, int group);

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
    /// The first window that counts: seen from its first moment, or, where the rule wants that, the one under way at
    /// its start. In arrival time what came before the first boundary is part of the first whole window anyway.
    /// </summary>
    protected long FirstBookedWindow =>
        Clock.FirstWholeWindow - (Rule.Config.EmitPartialWindows && !Rule.IsArrivalTime ? 1 : 0);

    /// <summary>Whether the window is shown: booked, and not among the first ones that the rule is to ignore.</summary>
    protected bool IsEmitted(long window) =>
        window >= FirstBookedWindow + Math.Max(0, Rule.Config.IgnoreFirstIntervals);
}
