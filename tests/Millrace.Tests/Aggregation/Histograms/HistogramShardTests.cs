using System.IO;
using Millrace.Aggregation;
using Millrace.Aggregation.Histograms;
using Millrace.Memory;
using Millrace.Model;
using Millrace.Relabeling;

namespace Millrace.Tests.Aggregation.Histograms;

/// <summary>Histograms in a shard: windows of ten seconds, groups by a.</summary>
public sealed class HistogramShardTests
{
    private const long StartMs = 1_700_000_000_000;
    private const long FirstMs = StartMs + 10_000;

    [Fact]
    public void A_counter_gives_what_it_gained_as_a_histogram()
    {
        var rig = new Rig("increase", "total", "rate_sum");
        rig.Add("p", 2_000, Histograms.Of((1, 10), (2, 1)));
        rig.Add("p", 7_000, Histograms.Of((1, 12), (2, 2)));
        rig.Add("q", 5_000, Histograms.Of((2, 100)));
        rig.Add("q", 9_000, Histograms.Of((2, 104)));
        rig.Add("p", 12_000, Histograms.Of((1, 12), (2, 5)));
        rig.Close(20_000);

        rig.Shown("increase", 10_000).ShouldBe("0/0.001 count 7 sum 14 zero 0 [1:2 2:5] [] False Gauge");
        rig.Shown("total", 10_000).ShouldBe("0/0.001 count 7 sum 14 zero 0 [1:2 2:5] [] False Unknown");
        rig.Shown("rate_sum", 10_000)
            .ShouldBe("0/0.001 count 1.6 sum 3.2 zero 0 [1:0.4 2:1.2] [] True Gauge");
        rig.Shown("increase", 20_000).ShouldBe("0/0.001 count 3 sum 6 zero 0 [2:3] [] False Gauge");
        rig.Shown("total", 20_000).ShouldBe("0/0.001 count 10 sum 20 zero 0 [1:2 2:8] [] False Unknown");
    }

    [Fact]
    public void A_reset_counts_in_full_and_so_does_a_hint_or_a_start_that_tells_of_one()
    {
        var rig = new Rig("increase");
        rig.Add("p", 1_000, Histograms.Of((1, 10)));
        rig.Add("p", 2_000, Histograms.Of((1, 3)));
        rig.Add("q", 1_000, Histograms.Of((1, 100)));
        rig.Add("q", 2_000, Histograms.Of((1, 700)), ResetHint.Reset);
        rig.Add("r", 1_000, Histograms.Of((1, 1_000)));
        rig.Add("r", 2_000, Histograms.Of((1, 9_000)), startMs: FirstMs + 1_500);
        rig.Close(10_000);
        rig.Shown("increase", 10_000).ShouldBe("0/0.001 count 9703 sum 19406 zero 0 [1:9703] [] False Gauge");
    }

    [Fact]
    public void A_late_histogram_corrects_its_window_and_the_running_total()
    {
        var rig = new Rig(FirstSample.Zero, LatePolicy.Correct, "increase", "total", "sum_last");
        rig.Add("p", 2_000, Histograms.Of((1, 10)));
        rig.Add("p", 7_000, Histograms.Of((1, 12)));
        rig.Close(10_000);
        rig.Add("p", 12_000, Histograms.Of((1, 20)));
        rig.Close(20_000);
        rig.Restart();
        rig.Add("p", 9_000, Histograms.Of((1, 15)));
        rig.Close(30_000);

        var given = new List<string>();
        foreach (var part in rig.Parts.Where(part => part.IsCorrection))
        {
            foreach (var sample in part.Samples)
            {
                HistogramCodec.TryRead(sample.Histogram, 0, out var histogram).ShouldBeTrue();
                var output = ShardRig.SeriesOf(sample).Split('_', '{')[3];
                given.Add($"{(part.EndMs - FirstMs) / 1_000} {output} {histogram.Count}");
            }
        }
        given.ShouldBe(["10 increase 5", "10 total 5", "10 sum 15", "20 increase 5"]);
        rig.Shown("total", 20_000).ShouldStartWith("0/0.001 count 10 ");
    }

    [Fact]
    public void Gauges_are_summed_by_their_last_samples_and_have_no_increase()
    {
        var rig = new Rig("sum_last", "sum_samples", "increase");
        rig.Add("p", 1_000, Histograms.Of((1, 10)), ResetHint.Gauge);
        rig.Add("p", 2_000, Histograms.Of((1, 3)), ResetHint.Gauge);
        rig.Add("q", 9_000, Histograms.Of((2, 1)), ResetHint.Gauge);
        rig.Close(10_000);
        rig.Shown("sum_last", 10_000).ShouldBe("0/0.001 count 4 sum 8 zero 0 [1:3 2:1] [] False Gauge");
        rig.Shown("sum_samples", 10_000).ShouldBe("0/0.001 count 14 sum 28 zero 0 [1:13 2:1] [] False Gauge");
        rig.Shown("increase", 10_000).ShouldBe("");
    }

    [Fact]
    public void A_series_that_a_stale_marker_ended_is_not_there_at_the_windows_end()
    {
        var rig = new Rig("sum_last", "increase");
        rig.Add("p", 1_000, Histograms.Of((1, 10)));
        rig.Add("q", 2_000, Histograms.Of((1, 3)));
        rig.AddMarker("p", 4_000);
        rig.AddMarker("q", 1_500);
        rig.Close(10_000);
        rig.Shown("sum_last", 10_000).ShouldBe("0/0.001 count 3 sum 6 zero 0 [1:3] [] False Gauge");
        rig.Add("p", 12_000, Histograms.Of((1, 14)));
        rig.Close(20_000);
        rig.Shown("increase", 20_000)
            .ShouldBe("0/0.001 count 4 sum 8 zero 0 [1:4] [] False Gauge", "the chain goes on");
    }

    [Fact]
    public void First_samples_count_where_the_rule_says_so()
    {
        var rig = new Rig(FirstSample.Count, "increase", "increase_prometheus");
        rig.Add("p", 5_000, Histograms.Of((1, 10)));
        rig.Close(10_000);
        rig.Shown("increase", 10_000).ShouldBe("0/0.001 count 10 sum 20 zero 0 [1:10] [] False Gauge");
        rig.Shown("increase_prometheus", 10_000).ShouldBe("0/0.001 count 0 sum 0 zero 0 [] [] False Gauge");
    }

    [Fact]
    public void Outputs_of_numbers_see_no_histograms_and_a_rule_without_others_counts_them()
    {
        var rig = new Rig("max", "count_samples");
        rig.Add("p", 5_000, Histograms.Of((1, 10)));
        rig.Close(10_000);
        rig.Parts.SelectMany(part => part.Samples).ShouldBeEmpty();
        rig.Shard.Counters.UnusedHistograms.ShouldBe(1);
    }

    [Fact]
    public void A_total_is_shown_while_its_group_lives_and_then_begins_anew()
    {
        var rig = new Rig("total", "sum_samples");
        rig.Add("p", 1_000, Histograms.Of((1, 10)));
        rig.Add("p", 2_000, Histograms.Of((1, 15)));
        rig.Close(20_000);
        rig.Shown("total", 10_000).ShouldBe("0/0.001 count 5 sum 10 zero 0 [1:5] [] False Unknown");
        rig.Shown("total", 20_000).ShouldBe("", "the group is not alive any more");
        rig.Add("p", 25_000, Histograms.Of((1, 18)));
        rig.Close(30_000);
        rig.Shown("total", 30_000).ShouldBe("0/0.001 count 3 sum 6 zero 0 [1:3] [] False Unknown");
        rig.Shown("sum_samples", 20_000).ShouldBe("");
    }

    [Fact]
    public void A_late_histogram_carries_its_increase_over()
    {
        var rig = new Rig("increase");
        rig.Add("p", 5_000, Histograms.Of((1, 10)));
        rig.Close(10_000);
        rig.Add("p", 9_000, Histograms.Of((1, 12)));
        rig.Add("p", 15_000, Histograms.Of((1, 20)));
        rig.Close(20_000);
        rig.Shown("increase", 20_000).ShouldBe("0/0.001 count 10 sum 20 zero 0 [1:10] [] False Gauge");
        rig.Shard.Counters.LateSamples.Sum().ShouldBe(1);
    }

    [Fact]
    public void Any_order_of_arrival_gives_the_same_bytes_and_the_increases_of_the_definition()
    {
        for (var seed = 1; seed <= 150; seed++)
        {
            var random = new Random(seed);
            var stream = Stream(random, hasResets: false);
            var inOrder = Play(stream, restartAt: -1);
            inOrder.ShouldBe(Expected(stream), $"seed {seed}");
            random.Shuffle(stream);
            Play(stream, restartAt: random.Next(stream.Length)).ShouldBe(inOrder, $"seed {seed}");
        }
    }

    [Fact]
    public void Resets_in_order_give_the_increases_of_the_definition()
    {
        for (var seed = 1; seed <= 150; seed++)
        {
            var stream = Stream(new Random(seed), hasResets: true);
            Play(stream, restartAt: seed % stream.Length).ShouldBe(Expected(stream), $"seed {seed}");
        }
    }

    /// <summary>Counters of several pods over two windows; the schema changes now and then.</summary>
    private static (string Pod, long Ms, NativeHistogram Sample)[] Stream(Random random, bool hasResets)
    {
        var stream = new List<(string, long, NativeHistogram)>();
        foreach (var pod in new[] { "p", "q", "r" })
        {
            var schema = random.Next(0, 3);
            var counts = new SortedDictionary<int, double>();
            for (var ms = 500L + random.Next(1_000); ms <= 20_000; ms += random.Next(500, 4_000))
            {
                if (hasResets && random.Next(5) == 0)
                {
                    counts.Clear();
                }
                for (var i = random.Next(4); i >= 0; i--)
                {
                    var index = random.Next(-20, 20);
                    counts[index] = counts.GetValueOrDefault(index) + random.Next(1, 50);
                }
                (int, double)[] buckets = [.. counts.Select(bucket => (bucket.Key, bucket.Value))];
                stream.Add((pod, ms, Histograms.Exponential(schema, 0, 0, buckets)));
            }
        }
        return [.. stream.OrderBy(one => one.Item2)];
    }

    private static string Play((string Pod, long Ms, NativeHistogram Sample)[] stream, int restartAt)
    {
        var rig = new Rig("increase");
        for (var i = 0; i < stream.Length; i++)
        {
            rig.Add(stream[i].Pod, stream[i].Ms, stream[i].Sample);
            if (i == restartAt)
            {
                rig.Restart();
            }
        }
        rig.Close(20_000);
        return rig.Shown("increase", 10_000) + "\n" + rig.Shown("increase", 20_000);
    }

    /// <summary>The increase of each window from the samples in order, every bucket by itself.</summary>
    private static string Expected((string Pod, long Ms, NativeHistogram Sample)[] stream)
    {
        var texts = new List<string>();
        foreach (var endMs in new[] { 10_000, 20_000 })
        {
            var gained = new SortedDictionary<int, double>();
            var inside = stream.Where(one => one.Ms > endMs - 10_000 && one.Ms <= endMs).ToList();
            var pods = inside.Select(one => one.Pod).ToHashSet();
            var schema = stream.Where(one => pods.Contains(one.Pod)).Min(one => one.Sample.Schema);
            foreach (var pod in pods)
            {
                var samples = stream.Where(one => one.Pod == pod).OrderBy(one => one.Ms).ToList();
                for (var i = 1; i < samples.Count; i++)
                {
                    if (samples[i].Ms > endMs - 10_000 && samples[i].Ms <= endMs)
                    {
                        var isReset = NativeHistogram.IsReset(0, samples[i - 1].Sample, samples[i].Sample);
                        AddTo(gained, samples[i].Sample, schema, 1);
                        AddTo(gained, samples[i - 1].Sample, schema, isReset ? 0 : -1);
                    }
                }
            }
            (int, double)[] buckets = [.. gained.Where(one => one.Value != 0).Select(one => (one.Key, one.Value))];
            var expected = Histograms.Exponential(schema, 0, 0, buckets);
            texts.Add(Histograms.Text(expected).Replace("Unknown", "Gauge", StringComparison.Ordinal));
        }
        return string.Join('\n', texts);
    }

    private static void AddTo(SortedDictionary<int, double> sums, NativeHistogram histogram, int schema, double sign)
    {
        for (var i = 0; i < histogram.Positive.Indexes.Length; i++)
        {
            // The bucket whose upper bound at the coarse schema is the next one at or above.
            var width = 1 << (histogram.Schema - schema);
            var index = (int)Math.Ceiling(histogram.Positive.Indexes[i] / (double)width);
            sums[index] = sums.GetValueOrDefault(index) + sign * histogram.Positive.Counts[i];
        }
    }

    private sealed class Rig
    {
        private readonly ShardScratch _scratch = new();
        private readonly LabelBuilder _builder = new();

        public Rig(params string[] outputs)
            : this(FirstSample.Auto, outputs)
        {
        }

        public Rig(FirstSample firstSample, params string[] outputs)
            : this(firstSample, LatePolicy.Drop, outputs)
        {
        }

        public Rig(FirstSample firstSample, LatePolicy late, params string[] outputs)
        {
            var rule = new AggregationRule(
                new AggregationRuleConfig
                {
                    Interval = TimeSpan.FromSeconds(10),
                    IntervalText = "10s",
                    By = ["a"],
                    FirstSample = firstSample,
                    Late = late,
                    IgnoreFirstSampleInterval = TimeSpan.Zero,
                    Outputs = outputs,
                },
                0);
            var clock = RuleClock.StartAt(rule, StartMs);
            Shard = RuleShard.Create(rule, clock, clock.ClosedAtStart(rule));
        }

        public RuleShard Shard { get; private set; }

        public List<WindowPart> Parts { get; } = [];

        public void Add(string pod, long ms, NativeHistogram sample, ResetHint hint = default, long startMs = 0)
        {
            var series = LabelSet.Of(("__name__", "h"), ("a", "1"), ("pod", pod));
            Shard.Rule.TryTake(series, _builder, out var taken);
            var slot = Shard.SlotOf(taken.Key, taken.GroupKey, taken.Group);
            var hinted = new NativeHistogram
            {
                Schema = sample.Schema,
                ZeroThreshold = sample.ZeroThreshold,
                ZeroCount = sample.ZeroCount,
                Count = sample.Count,
                Sum = sample.Sum,
                Hint = hint,
                Positive = sample.Positive,
            };
            var start = startMs == 0 ? [] : new Protocols.WireWriter().Varint(17, (ulong)startMs).ToArray();
            Shard.AddHistogram(slot, FirstMs + ms, [.. HistogramCodec.Write(hinted), .. start], FirstMs + ms);
        }

        public void AddMarker(string pod, long ms)
        {
            var series = LabelSet.Of(("__name__", "h"), ("a", "1"), ("pod", pod));
            Shard.Rule.TryTake(series, _builder, out var taken);
            var marker = BitConverter.UInt64BitsToDouble(0x7FF0000000000002);
            Shard.AddHistogram(
                Shard.SlotOf(taken.Key, taken.GroupKey, taken.Group), FirstMs + ms,
                new Protocols.WireWriter().Double(3, marker).ToArray(), FirstMs + ms);
        }

        public void Close(long ms) => Shard.Close(
            Shard.Rule.WindowOf(FirstMs + ms + 1, Shard.Clock.OffsetMs) - 1, _scratch, Parts);

        public void Restart()
        {
            var bytes = ShardRig.Snapshot(Shard);
            var shard = RuleShard.Create(Shard.Rule, Shard.Clock, Shard.Clock.ClosedAtStart(Shard.Rule));
            using var reader = new SnapshotReader(new MemoryStream(bytes));
            shard.Read(reader);
            ShardRig.Snapshot(shard).ShouldBe(bytes);
            Shard = shard;
        }

        /// <summary>What an output showed for a window's end; empty: nothing.</summary>
        public string Shown(string output, long endMs)
        {
            var shown = Parts.Where(part => part.EndMs == FirstMs + endMs).SelectMany(part => part.Samples)
                .Where(sample => ShardRig.SeriesOf(sample) == $"h:10s_by_a_{output}{{a=\"1\"}}").ToList();
            if (shown.Count == 0)
            {
                return "";
            }
            HistogramCodec.TryRead(shown.Single().Histogram, 0, out var histogram).ShouldBeTrue();
            histogram.Count.ShouldBe(shown[0].Value);
            return Histograms.Text(histogram);
        }
    }
}
