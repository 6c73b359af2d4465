using FsCheck;
using FsCheck.Fluent;
using Millrace.Aggregation;
using Millrace.Aggregation.Histograms;
using Millrace.Model;

namespace Millrace.Tests.Aggregation.Histograms;

/// <summary>
/// Histograms of several replicas, behind deduplication, and in arrival time: windows of a minute, groups by a.
/// </summary>
public sealed class HistogramPathTests
{
    private const long Origin = 1_700_000_040_000;
    private const int ScrapeMs = 5_000;

    private static readonly AggregationRuleConfig Rule = new()
    {
        Interval = TimeSpan.FromMinutes(1),
        IntervalText = "1m",
        By = ["a"],
        Outputs = ["increase", "sum_samples"],
        FirstSample = FirstSample.Zero,
        IgnoreFirstSampleInterval = TimeSpan.Zero,
    };

    private static readonly AggregationRuleConfig WithReplicas =
        Rule with { Ha = new HaConfig { ReplicaLabel = "replica" } };

    /// <summary>The replicas read one target at different moments: mixed, their counts go back and forth.</summary>
    [Fact]
    public void Of_two_replicas_one_counts()
    {
        var (both, one) = (Started(WithReplicas), Started(WithReplicas));
        for (var timeMs = 0; timeMs < 180_000; timeMs += ScrapeMs)
        {
            one.AddHistogram(timeMs, Series("a"), timeMs, Observed(timeMs));
            both.AddHistogram(timeMs, Series("a"), timeMs, Observed(timeMs));
            both.AddHistogram(timeMs + 100, Series("b"), timeMs + 2_000, Observed(timeMs - 700));
        }
        one.Close(180_000);
        both.Close(180_000);
        Shown(both).ShouldBe(Shown(one));
        Shown(both).Count.ShouldBe(6);
        both.Shard.Counters.ReplicaDropped.ShouldBe(35, "the last one of b may still be needed");
        both.Shard.Counters.Histograms.ShouldBe(36);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Another_replica_takes_over_and_nothing_that_it_saw_is_missing(bool restarts)
    {
        var rig = Started(WithReplicas);
        for (var timeMs = 0; timeMs <= 180_000; timeMs += ScrapeMs)
        {
            if (timeMs <= 60_000)
            {
                rig.AddHistogram(timeMs, Series("a"), timeMs, Observed(timeMs));
            }
            rig.AddHistogram(timeMs + 100, Series("b"), timeMs + 2_000, Observed(timeMs + 2_000));
            if (restarts)
            {
                rig.Restart();
            }
        }
        rig.Close(180_000);
        // From a's 60 s to b's 117 s, and on to 177 s.
        Shown(rig)[^4].ShouldStartWith("120000 increase: 0/0.001 count 57 ");
        Shown(rig)[^2].ShouldStartWith("180000 increase: 0/0.001 count 60 ");
        if (!restarts)
        {
            rig.Shard.Counters.ReplicaFailovers.ShouldBe(1);
        }
    }

    [Fact]
    public void A_slot_that_another_series_takes_knows_nothing_of_the_one_before()
    {
        var filter = new HistogramReplicas(WithReplicas.Ha!);
        var (scratch, counters) = (new PendingSamples(), new ShardCounters());
        var counted = new List<(long, byte[])>();
        void Send(uint replica, long timeMs)
        {
            var message = HistogramCodec.Write(Observed(timeMs));
            filter.Filter(7, replica, timeMs, message, timeMs, scratch, counted, counters);
        }
        Send(1, 1_000);
        Send(2, 2_000);
        counted.Count.ShouldBe(1);
        filter.Begin(7, counters);
        counters.ReplicaDropped.ShouldBe(1);
        Send(2, 3_000);
        counted.Count.ShouldBe(2);
    }

    [Fact]
    public void Deduplication_counts_the_last_one_of_each_interval_in_any_order() =>
        Prop.ForAll<int>(seed =>
        {
            var random = new Random(seed);
            var config = Rule with { DedupInterval = TimeSpan.FromSeconds(20) };
            var samples = Enumerable.Range(0, random.Next(1, 30))
                .Select(_ => (Pod: random.Next(2) == 0 ? "p" : "q", TimeMs: (long)random.Next(1, 180_000))).ToArray();
            var survivors = samples.Distinct()
                .GroupBy(one => (one.Pod, (one.TimeMs - 1) / 20_000)).Select(group => group.MaxBy(one => one.TimeMs));
            var expected = Started(Rule);
            foreach (var (pod, timeMs) in survivors.OrderBy(one => one.TimeMs))
            {
                expected.AddHistogram(179_000, Series("a", pod), timeMs, Observed(timeMs));
            }
            expected.Close(180_000);

            random.Shuffle(samples);
            var rig = Started(config);
            var restartAt = random.Next(samples.Length);
            for (var i = 0; i < samples.Length; i++)
            {
                rig.AddHistogram(179_000, Series("a", samples[i].Pod), samples[i].TimeMs, Observed(samples[i].TimeMs));
                if (i == restartAt)
                {
                    rig.Restart();
                }
            }
            rig.Close(180_000);
            Shown(rig).ShouldBe(Shown(expected));
        }).QuickCheckThrowOnFailure();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void In_arrival_time_histograms_belong_to_the_window_in_which_they_come(bool restarts)
    {
        var rig = Started(Rule with { Time = RuleTime.Arrival, Outputs = ["increase", "total", "sum_last"] });
        void Add(long arrivalMs, long timeMs)
        {
            rig.AddHistogram(arrivalMs, Series("a"), timeMs, Observed(timeMs));
            if (restarts)
            {
                rig.Restart();
            }
        }
        rig.Close(60_000);
        Add(61_000, 50_000);
        Add(90_000, 70_000);
        rig.Close(120_000);
        Add(121_000, 110_000);
        Add(122_000, 60_000); // older than what the window before counted
        rig.Close(240_000);
        Shown(rig).ShouldBe(
        [
            "120000 increase: 0/0.001 count 20 sum 40 zero 0 [1:20] [] False Gauge",
            "120000 total: 0/0.001 count 20 sum 40 zero 0 [1:20] [] False Unknown",
            "120000 sum_last: 0/0.001 count 1070 sum 2140 zero 0 [1:1070] [] False Gauge",
            "180000 increase: 0/0.001 count 40 sum 80 zero 0 [1:40] [] False Gauge",
            "180000 total: 0/0.001 count 60 sum 120 zero 0 [1:60] [] False Unknown",
            "180000 sum_last: 0/0.001 count 1110 sum 2220 zero 0 [1:1110] [] False Gauge",
        ]);
        if (!restarts)
        {
            rig.Shard.Counters.OutOfOrder.ShouldBe(1);
        }
        rig.Shard.SeriesCount.ShouldBe(0, "it is stale");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void In_arrival_time_the_survivor_of_an_interval_arrives_at_its_end(bool restarts)
    {
        var rig = Started(Rule with
        {
            Time = RuleTime.Arrival,
            DedupInterval = TimeSpan.FromSeconds(30),
            Outputs = ["sum_samples"],
        });
        rig.Close(60_000);
        (long, long)[] samples = [(61_000, 60_000), (62_000, 61_000), (63_000, 59_000), (91_000, 90_000)];
        foreach (var (arrivalMs, timeMs) in samples)
        {
            rig.AddHistogram(arrivalMs, Series("a"), timeMs, Observed(timeMs));
            if (restarts)
            {
                rig.Restart();
            }
        }
        rig.Close(120_000);
        rig.AddHistogram(121_000, Series("a"), 120_000, Observed(120_000));
        rig.Close(240_000);
        Shown(rig).ShouldBe(
        [
            "120000 sum_samples: 0/0.001 count 2151 sum 4302 zero 0 [1:2151] [] False Gauge",
            "180000 sum_samples: 0/0.001 count 1120 sum 2240 zero 0 [1:1120] [] False Gauge",
        ]);
        rig.Shard.SeriesCount.ShouldBe(0, "it is stale");
    }

    [Fact]
    public void In_arrival_time_a_first_histogram_counts_as_a_first_number_does()
    {
        var rig = Started(Rule with
        {
            Time = RuleTime.Arrival,
            FirstSample = FirstSample.Auto,
            Outputs = ["increase", "increase_prometheus"],
        });
        rig.Close(60_000);
        rig.AddHistogram(70_000, Series("a"), 70_000, Observed(70_000));
        rig.Close(120_000);
        Shown(rig)[0].ShouldStartWith("120000 increase: 0/0.001 count 1070 ");
        Shown(rig)[1].ShouldStartWith("120000 increase_prometheus: 0/0.001 count 0 ");
    }

    /// <summary>A target that observes once a second, and did so for long.</summary>
    private static NativeHistogram Observed(long timeMs) => Histograms.Of((1, 1_000 + (int)(timeMs / 1_000)));

    private static LabelSet Series(string replica, string pod = "p") =>
        LabelSet.Of(("__name__", "h"), ("a", "x"), ("pod", pod), ("replica", replica));

    private static ShardRig Started(AggregationRuleConfig rule)
    {
        var rig = new ShardRig(rule, startMs: -1, originMs: Origin);
        rig.Close(0);
        return rig;
    }

    private static List<string> Shown(ShardRig rig)
    {
        var lines = new List<string>();
        foreach (var part in rig.Parts)
        {
            foreach (var sample in part.Samples)
            {
                HistogramCodec.TryRead(sample.Histogram, 0, out var histogram).ShouldBeTrue();
                var series = ShardRig.SeriesOf(sample);
                var output = series[(series.IndexOf("by_a_", StringComparison.Ordinal) + 5)..series.IndexOf('{')];
                lines.Add($"{part.EndMs - Origin} {output}: {Histograms.Text(histogram)}");
            }
        }
        return lines;
    }
}
