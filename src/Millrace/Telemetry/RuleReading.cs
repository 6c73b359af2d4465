using Millrace.Aggregation;
using Millrace.Pipeline;

namespace Millrace.Telemetry;

/// <summary>A rule in force, its shards in all tasks added up.</summary>
internal sealed class RuleReading(AggregationRule rule, string name)
{
    public AggregationRule Rule { get; } = rule;

    /// <summary>As written, or the rule's place; with a number where several rules share it.</summary>
    public string Name { get; } = name;

    public long Series { get; private set; }

    public long Groups { get; private set; }

    public long Samples { get; private set; }

    public long NotANumber { get; private set; }

    public long TooFarAhead { get; private set; }

    public long Repeats { get; private set; }

    public long DedupDropped { get; private set; }

    public long ReplicaDropped { get; private set; }

    public long ReplicaFailovers { get; private set; }

    public long OutOfOrder { get; private set; }

    public long AmbiguousResets { get; private set; }

    public long CounterResets { get; private set; }

    public long Histograms { get; private set; }

    public long UnusedHistograms { get; private set; }

    public long UnlikeHistograms { get; private set; }

    public long Exemplars { get; private set; }

    public long SentExemplars { get; private set; }

    public long DroppedExemplars { get; private set; }

    public long OutputSamples { get; private set; }

    public long Carried { get; private set; }

    public long CorrectingSamples { get; private set; }

    public long Corrections { get; private set; }

    public long CappedGaps { get; private set; }

    public long NotRemembered { get; private set; }

    public long OverflowSeries { get; private set; }

    public long OverflowSamples { get; private set; }

    public long OverflowGroups { get; private set; }

    /// <summary>Per bucket of <see cref="ShardCounters.LateBoundsMs"/>.</summary>
    public long[] Late { get; } = new long[ShardCounters.LateBoundsMs.Length + 1];

    /// <summary>Per bucket of <see cref="LagHistogram"/>.</summary>
    public long[] Lags { get; } = new long[LagHistogram.BucketCount];

    /// <summary>Null before the first close was considered.</summary>
    public long? LatenessMs { get; private set; }

    /// <summary>The end of the last closed window; null while a configuration comes into force.</summary>
    public long? ClosedThroughMs { get; private set; }

    public RecentWindow? Recent { get; private set; }

    public long LateSamples
    {
        get
        {
            var sum = 0L;
            foreach (var samples in Late)
            {
                sum += samples;
            }
            return sum;
        }
    }

    /// <summary>The rules of the configuration in force, in its order.</summary>
    public static List<RuleReading> TakeAll(RunningPipeline pipeline)
    {
        var engine = pipeline.Engine;
        var rules = engine.Generation.Rules;
        var names = NamesOf(rules);
        var readings = new List<RuleReading>(rules.Length);
        var byKey = new Dictionary<UInt128, RuleReading>();
        for (var i = 0; i < rules.Length; i++)
        {
            var reading = new RuleReading(rules[i], names[i])
            {
                LatenessMs = pipeline.LatenessOf(rules[i]),
                ClosedThroughMs = engine.ClosedThroughMs(rules[i]),
                Recent = engine.Emitter.RecentOf(rules[i]),
            };
            readings.Add(reading);
            byKey[rules[i].Key] = reading;
        }
        foreach (var shard in engine.Shards)
        {
            if (byKey.TryGetValue(shard.Rule.Key, out var reading))
            {
                reading.Add(shard);
            }
        }
        return readings;
    }

    private void Add(RuleShard shard)
    {
        var counters = shard.Counters;
        Series += shard.SeriesCount;
        Groups += shard.GroupCount;
        Samples += counters.Samples;
        NotANumber += counters.NotANumber;
        TooFarAhead += counters.TooFarAhead;
        Repeats += counters.Repeats;
        DedupDropped += counters.DedupDropped;
        ReplicaDropped += counters.ReplicaDropped;
        ReplicaFailovers += counters.ReplicaFailovers;
        OutOfOrder += counters.OutOfOrder;
        AmbiguousResets += counters.AmbiguousResets;
        CounterResets += counters.CounterResets;
        Histograms += counters.Histograms;
        UnusedHistograms += counters.UnusedHistograms;
        UnlikeHistograms += counters.UnlikeHistograms;
        Exemplars += counters.Exemplars;
        SentExemplars += counters.SentExemplars;
        DroppedExemplars += counters.DroppedExemplars;
        OutputSamples += counters.OutputSamples;
        Carried += counters.Carried;
        CorrectingSamples += counters.CorrectingSamples;
        Corrections += counters.Corrections;
        CappedGaps += counters.CappedGaps;
        NotRemembered += counters.NotRemembered;
        OverflowSeries += counters.OverflowSeries;
        OverflowSamples += counters.OverflowSamples;
        OverflowGroups += shard.OverflowGroupCount;
        for (var i = 0; i < Late.Length; i++)
        {
            Late[i] += counters.LateSamples[i];
        }
        var lags = counters.Lags.Counts;
        for (var i = 0; i < Lags.Length; i++)
        {
            Lags[i] += lags[i];
        }
    }

    private static string[] NamesOf(AggregationRule[] rules)
    {
        var names = new string[rules.Length];
        var taken = new HashSet<string>(StringComparer.Ordinal);
        for (var i = 0; i < rules.Length; i++)
        {
            names[i] = rules[i].Name;
            for (var number = 2; !taken.Add(names[i]); number++)
            {
                names[i] = $"{rules[i].Name} ({number})";
            }
        }
        return names;
    }
}
