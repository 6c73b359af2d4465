using Millrace.Aggregation;
using Millrace.Memory;
using Millrace.Protocols;

namespace Millrace.Pipeline;

/// <summary>
/// A record of the log on its way through the workers: each of them applies its share, in the order of the log, and the
/// last one finishes it.
/// </summary>
internal abstract class LogItem
{
    private int _workersLeft;

    public long Lsn { get; set; }

    public long ArrivalMs { get; set; }

    public void Start(int workers) => _workersLeft = workers;

    /// <summary>True for the last worker.</summary>
    public bool FinishShare() => Interlocked.Decrement(ref _workersLeft) == 0;
}

/// <summary>Samples.</summary>
internal sealed class BatchItem : LogItem
{
    public DecodedBatch Batch { get; } = new();

    public BatchDeal Deal { get; } = new();

    /// <summary>The tasks' state already holds this record: only lanes that lag behind it take from it.</summary>
    public bool IsForLanesOnly { get; set; }

    /// <summary>What it counts for against the bound on bytes in flight.</summary>
    public long SizeBytes { get; set; }
}

/// <summary>Windows end: a rule's windows up to one, for several rules.</summary>
internal sealed class CloseItem(List<(int Rule, long ThroughWindow)> closes, Generation generation) : LogItem
{
    public List<(int Rule, long ThroughWindow)> Closes { get; } = closes;

    public Generation Generation { get; } = generation;

    /// <summary>By close and task: what the shards gave, filled by the workers.</summary>
    public List<WindowPart>?[][] Parts { get; } = NewParts(closes.Count, generation.TaskCount);

    /// <summary>What is known of families at this place of the log, filled by the first worker.</summary>
    public IReadOnlyDictionary<string, MetricMetadata>? Families { get; set; }

    /// <summary>Rules that take what some close gives, and where their own closes wait for it.</summary>
    public List<(UInt128 Taker, long FromMs)> Takers { get; } = [];

    /// <summary>The emitter's: what is left to be derived for them; null before it has come to it.</summary>
    public Queue<DerivedPayload>? Derived { get; set; }

    private static List<WindowPart>?[][] NewParts(int closes, int tasks)
    {
        var parts = new List<WindowPart>?[closes][];
        for (var i = 0; i < closes; i++)
        {
            parts[i] = new List<WindowPart>?[tasks];
        }
        return parts;
    }
}

/// <summary>Other rules come into force, or retiring ones are let go.</summary>
internal sealed class ConfigurationItem(RulesInForce rules) : LogItem
{
    public RulesInForce Rules { get; } = rules;
}

/// <summary>The state after this record is to be written down: each worker its part, the rest is in the item.</summary>
internal sealed class BaseItem(
    BaseWriter writer, RulesInForce rules, IReadOnlyList<(long Lsn, Generation Generation)> configurationsOfLanes,
    RememberedRequest[] requests)
    : LogItem
{
    public BaseWriter Writer { get; } = writer;

    public void WriteHead(
        SnapshotWriter head, long lanesNeedFromLsn, long outputLsn, IReadOnlyDictionary<UInt128, long> lastEmitted)
    {
        head.Write(lanesNeedFromLsn);
        head.Write(outputLsn);
        head.Write(rules.Generation.Config.CanonicalText);
        head.Write(configurationsOfLanes.Count);
        foreach (var (lsn, ofLanes) in configurationsOfLanes)
        {
            head.Write(lsn);
            head.Write(ofLanes.Config.CanonicalText);
        }
        BaseRules.Write(head, rules);
        // Of rules that are gone, nothing will be emitted again: a later one of the same definition begins behind.
        var kept = new List<(UInt128, long)>();
        foreach (var rule in rules.Generation.RulesInForce)
        {
            if (lastEmitted.TryGetValue(rule.Key, out var endMs))
            {
                kept.Add((rule.Key, endMs));
            }
        }
        head.Write(kept.Count);
        foreach (var (rule, endMs) in kept)
        {
            head.Write(rule);
            head.Write(endMs);
        }
        RememberedRequest.WriteAll(head, requests);
    }
}

/// <summary>Not in the log: blocks that waited long enough are sealed.</summary>
internal sealed class FlushItem(long nowMs, bool everything) : LogItem
{
    public long NowMs { get; } = nowMs;

    public bool Everything { get; } = everything;

    /// <summary>Completed when the last worker is through: everything before has been applied.</summary>
    public TaskCompletionSource Applied { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
}
