using Millrace.Aggregation;
using Millrace.TestKit.Oracle;

namespace Millrace.Tests.Aggregation;

/// <summary>
/// Deduplication in front of a shard in event time, against its definition: of the samples that are neither late nor
/// too far ahead, the largest time per series and dedup interval, of equal times the largest value, and those alone
/// are told to the oracle.
/// </summary>
public sealed class DedupPropertyTests
{
    private const int Cases = 200;

    private static readonly StreamShape[] Shapes =
    [
        new() { IsGauge = true, Disorder = 1, HasRepeats = true, HasConflicts = true },
        new() { Disorder = 3, HasRepeats = true, HasStarts = true },
        new() { Disorder = 1.2, HasFractions = true },
        new() { HasRepeats = true, HasConflicts = true },
    ];

    [Fact]
    public void Equals_the_oracle_fed_with_survivors_alone()
    {
        var (dropped, values) = (0L, 0);
        for (var seed = 1; seed <= Cases; seed++)
        {
            var stream = new RandomStream(seed, Shapes[seed % Shapes.Length]);
            var config = WithDedup(stream.Config, seed);
            var rig = new ShardRig(config, stream.StartMs);
            rig.Play(stream);

            var (expected, survivors) = Expect(stream, config);
            WindowValues.Difference(rig.Emitted, expected).ShouldBeEmpty($"seed {seed}, {config}");
            var counters = rig.Shard.Counters;
            counters.DedupDropped.ShouldBe(
                counters.Samples - survivors - counters.LateSamples.Sum() - counters.TooFarAhead - counters.NotANumber,
                $"seed {seed}");
            dropped += counters.DedupDropped;
            values += expected.Count;
        }
        values.ShouldBeGreaterThan(Cases * 10, "the streams must say something");
        dropped.ShouldBeGreaterThan(Cases * 10, "and so must deduplication");
    }

    [Theory]
    [InlineData(RuleTime.Event)]
    [InlineData(RuleTime.Arrival)]
    public void A_restart_in_the_middle_changes_no_bit(RuleTime time)
    {
        for (var seed = 1; seed <= Cases; seed++)
        {
            var stream = new RandomStream(seed, Shapes[seed % Shapes.Length]);
            var config = WithDedup(stream.Config, seed) with { Time = time };
            var undisturbed = new ShardRig(config, stream.StartMs);
            var restarted = new ShardRig(config, stream.StartMs);
            undisturbed.Play(stream);
            restarted.Play(stream, restartAt: seed * 7919 % stream.Records.Count);

            WindowValues.Difference(restarted.Emitted, undisturbed.Emitted).ShouldBeEmpty($"seed {seed}");
            ShardRig.Snapshot(restarted.Shard).ShouldBe(ShardRig.Snapshot(undisturbed.Shard), $"seed {seed}");
        }
    }

    private static AggregationRuleConfig WithDedup(AggregationRuleConfig config, int seed)
    {
        int[] parts = [1, 2, 4, 10, 100];
        return config with { DedupInterval = config.Interval / parts[seed % parts.Length] };
    }

    private static (SortedDictionary<(long EndMs, string Series), double> Values, int Survivors) Expect(
        RandomStream stream, AggregationRuleConfig config)
    {
        var dedupMs = (long)config.DedupInterval!.Value.TotalMilliseconds;
        var rule = new OracleRule(config, stream.StartMs);
        var survivors = new Dictionary<(string Series, long Interval), StreamSample>();
        var closedMs = rule.PartialEndMs - rule.IntervalMs;
        foreach (var record in stream.Records)
        {
            foreach (var sample in record.Samples)
            {
                var endMs = rule.EndOf(sample.TimeMs);
                if (double.IsNaN(sample.Value) || endMs <= closedMs
                    || endMs > rule.EndOf(record.ArrivalMs) + rule.IntervalMs)
                {
                    continue;
                }
                // Counted back from the window's end, which is the end of an interval.
                var series = rule.SeriesOf(sample.Labels).ToString();
                var key = (series, endMs - (endMs - sample.TimeMs) / dedupMs * dedupMs);
                if (!survivors.TryGetValue(key, out var held)
                    || (sample.TimeMs, sample.Value, sample.StartMs)
                        .CompareTo((held.TimeMs, held.Value, held.StartMs)) > 0)
                {
                    survivors[key] = sample;
                }
            }
            if (record.CloseThroughMs is { } throughMs)
            {
                var endMs = rule.EndOf(throughMs);
                closedMs = Math.Max(closedMs, endMs > throughMs ? endMs - rule.IntervalMs : endMs);
            }
        }
        var oracle = new AggregationOracle(rule);
        foreach (var sample in survivors.Values.OrderBy(static sample => sample.TimeMs))
        {
            oracle.Add(sample.Labels, sample.TimeMs, sample.Value, sample.TimeMs, sample.StartMs);
        }
        oracle.Close(stream.Records[^1].CloseThroughMs!.Value);
        return (oracle.Compute(), survivors.Count);
    }
}
