using System.Globalization;
using FsCheck;
using FsCheck.Fluent;
using Millrace.Aggregation;
using Millrace.Model;
using Millrace.Protocols;
using Millrace.Protocols.RemoteWrite;
using Millrace.Tests.Protocols;

namespace Millrace.Tests.Aggregation.Exemplars;

/// <summary>Exemplars on their way through a rule: windows of ten seconds, groups by a.</summary>
public sealed class ExemplarShardTests
{
    private const long Origin = 1_700_000_000_000;

    private static readonly AggregationRuleConfig Rule = new()
    {
        Interval = TimeSpan.FromSeconds(10),
        IntervalText = "10s",
        By = ["a"],
        Outputs = ["increase", "max"],
        FirstSample = FirstSample.Count,
        IgnoreFirstSampleInterval = TimeSpan.Zero,
    };

    [Fact]
    public void They_go_with_the_outputs_of_counters()
    {
        var rig = Started(Rule with { Outputs = ["increase", "max", "total", "rate_sum", "count_series"] });
        rig.Add(12_000, new StreamSample(Series("x", "p"), 11_000, 5), new StreamSample(Series("x", "p"), 12_000, 6));
        rig.AddExemplar(12_000, Series("x", "p"), 11_500, 0.7, "t1");
        rig.AddExemplar(12_000, Series("x", "q"), 11_600, 0.2, "t2");
        rig.Close(20_000);
        Shown(rig).ShouldBe(
        [
            "20000 increase: 11500 0.7 t1, 11600 0.2 t2",
            "20000 total: 11500 0.7 t1, 11600 0.2 t2",
            "20000 rate_sum: 11500 0.7 t1, 11600 0.2 t2",
        ]);
        Counted(rig).ShouldBe((2, 2, 0));
    }

    [Fact]
    public void Quantiles_show_them_on_the_largest_one()
    {
        var rig = Started(Rule with { Outputs = ["quantiles(0.99, 0.5)"] });
        rig.Add(12_000, new StreamSample(Series("x", "p"), 11_000, 5));
        rig.AddExemplar(12_000, Series("x", "p"), 11_500, 0.7, "t1");
        rig.Close(20_000);
        Shown(rig).ShouldBe(["20000 quantiles 0.99: 11500 0.7 t1"]);
    }

    [Fact]
    public void A_rule_without_a_use_for_them_has_none()
    {
        Started(Rule with { Outputs = ["max", "histogram_bucket"] }).Shard.Rule.TakesExemplars.ShouldBeFalse();
        Started(Rule with { Exemplars = 0 }).Shard.Rule.TakesExemplars.ShouldBeFalse();
        Started(Rule).Shard.Rule.TakesExemplars.ShouldBeTrue();
    }

    [Fact]
    public void Without_a_point_there_is_nothing_to_show_them_with()
    {
        var rig = Started(Rule);
        rig.AddExemplar(12_000, Series("x", "p"), 11_500, 0.7, "t1");
        rig.Close(30_000);
        Shown(rig).ShouldBeEmpty();
        Counted(rig).ShouldBe((1, 0, 1));
    }

    /// <summary>What was observed before the window's end comes with the next scrape.</summary>
    [Fact]
    public void A_late_one_goes_with_the_oldest_open_window_in_order_of_time()
    {
        var rig = Started(Rule);
        rig.Add(12_000, new StreamSample(Series("x", "p"), 11_000, 5));
        rig.AddExemplar(12_000, Series("x", "p"), 15_000, 0.7, "t1");
        rig.Close(20_000);
        rig.Add(22_000, new StreamSample(Series("x", "p"), 21_000, 7));
        rig.AddExemplar(22_000, Series("x", "p"), 19_000, 0.1, "after");
        rig.AddExemplar(22_000, Series("x", "p"), 15_000, 0.1, "not newer");
        rig.Close(30_000);
        Shown(rig).ShouldBe(["20000 increase: 15000 0.7 t1", "30000 increase: 19000 0.1 after"]);
        Counted(rig).ShouldBe((3, 2, 1));
    }

    [Fact]
    public void In_arrival_time_they_go_with_the_window_in_which_they_come()
    {
        var rig = Started(Rule with { Time = RuleTime.Arrival });
        rig.Add(12_000, new StreamSample(Series("x", "p"), 11_000, 5));
        rig.AddExemplar(12_000, Series("x", "p"), 3_000, 0.7, "t1");
        rig.Restart();
        rig.Close(20_000);
        Shown(rig).ShouldBe(["20000 increase: 3000 0.7 t1"]);
        Counted(rig).Item2.ShouldBe(1);
    }

    [Fact]
    public void Nonsense_is_dropped()
    {
        var rig = Started(Rule);
        rig.Add(12_000, new StreamSample(Series("x", "p"), 11_000, 5));
        rig.AddExemplar(12_000, Series("x", "p"), 12_000, double.NaN, "t1");
        rig.AddExemplar(12_000, Series("x", "p"), 12_000, 1, new string('x', 2_000));
        rig.AddExemplar(12_000, Series("x", "p"), 42_000, 1, "far ahead");
        rig.AddExemplar(400_000, Series("x", "p"), -100_000_000, 1, "long ago");
        rig.Close(20_000);
        Shown(rig).ShouldBeEmpty();
        Counted(rig).ShouldBe((4, 0, 4));
    }

    [Fact]
    public void Inside_the_lateness_neither_order_nor_a_restart_shows_and_none_is_unaccounted_for() =>
        Prop.ForAll<int>(seed =>
        {
            var random = new Random(seed);
            var events = new List<(bool IsExemplar, string Pod, long TimeMs, double Value, string Trace)>();
            for (var i = random.Next(60); i > 0; i--)
            {
                events.Add((
                    random.Next(2) == 0, Invariant($"{random.Next(4)}"), random.Next(10_001, 40_000),
                    random.Next(5), Invariant($"{random.Next(9)}")));
            }
            var expected = Play(events, restarts: false);
            var shuffled = events.ToArray();
            random.Shuffle(shuffled);
            Play(shuffled, restarts: true).ShouldBe(expected);
        }).QuickCheckThrowOnFailure();

    private static List<string> Play(
        IEnumerable<(bool IsExemplar, string Pod, long TimeMs, double Value, string Trace)> events, bool restarts)
    {
        var rig = Started(Rule with { Exemplars = 2, Late = LatePolicy.Drop });
        var count = 0;
        foreach (var (isExemplar, pod, timeMs, value, trace) in events)
        {
            var series = Series(pod is "0" or "1" ? "x" : "y", pod);
            if (isExemplar)
            {
                rig.AddExemplar(39_000, series, timeMs, value, trace);
                count++;
            }
            else
            {
                // One value per time: which of two comes first is another test's matter.
                rig.Add(39_000, new StreamSample(series, timeMs, timeMs));
            }
            // A close of windows before changes nothing for those that are open.
            rig.Close(10_000);
        }
        if (restarts)
        {
            Before(rig);
        }
        var sent = 0L;
        for (var endMs = 20_000; endMs <= 60_000; endMs += 10_000)
        {
            rig.Close(endMs);
            if (restarts)
            {
                sent += Before(rig);
            }
        }
        if (!restarts)
        {
            var counted = Counted(rig);
            counted.Item1.ShouldBe(count);
            (counted.Item2 + counted.Item3).ShouldBe(count);
        }
        return Shown(rig);
    }

    /// <summary>A restart begins to count anew.</summary>
    private static long Before(ShardRig rig)
    {
        var sent = rig.Shard.Counters.SentExemplars;
        rig.Restart();
        return sent;
    }

    private static ShardRig Started(AggregationRuleConfig rule)
    {
        var rig = new ShardRig(rule, startMs: 0, originMs: Origin);
        rig.Close(10_000);
        return rig;
    }

    private static LabelSet Series(string a, string pod) =>
        LabelSet.Of(("__name__", "m"), ("a", a), ("pod", pod));

    private static (long, long, long) Counted(ShardRig rig)
    {
        var counters = rig.Shard.Counters;
        return (counters.Exemplars, counters.SentExemplars, counters.DroppedExemplars);
    }

    private static List<string> Shown(ShardRig rig)
    {
        var lines = new List<string>();
        foreach (var part in rig.Parts)
        {
            foreach (var sample in part.Samples)
            {
                if (sample.Exemplars is null)
                {
                    continue;
                }
                var series = ShardRig.SeriesOf(sample);
                var output = series[(series.IndexOf("by_a_", StringComparison.Ordinal) + 5)..series.IndexOf('{')];
                var quantile = series.Contains("0.99") ? " 0.99" : series.Contains("0.5") ? " 0.5" : "";
                lines.Add(Invariant($"{part.EndMs - Origin} {output}{quantile}: {Text(sample)}"));
            }
        }
        return lines;
    }

    private static string Text(OutputSample sample)
    {
        var target = new System.Buffers.ArrayBufferWriter<byte>();
        V1SeriesWriter.Write(target, sample.Labels.ToArray(), Origin, 1, exemplars: sample.Exemplars);
        var record = new RecordingSink.Record();
        var sink = new RecordingSink(record);
        RemoteWriteV1Decoder.TryDecode(target.WrittenSpan, ref sink, DecodeLimits.Default, out var error)
            .ShouldBeTrue(error);
        return string.Join(", ", record.Lines.Where(line => line.StartsWith("exemplar", StringComparison.Ordinal))
            .Select(line =>
            {
                var words = line.Split(' ');
                var timeMs = long.Parse(words[1], CultureInfo.InvariantCulture) - Origin;
                return Invariant($"{timeMs} {words[2]} {words[3].Split('=')[1]}");
            }));
    }

    private static string Invariant(FormattableString text) => FormattableString.Invariant(text);
}
