using Millrace.Aggregation;
using Millrace.Model;

namespace Millrace.Tests.Aggregation;

/// <summary>
/// Gaps, first samples, late samples, zeros: the examples of docs/aggregation.md, and the edges of each policy.
/// Windows of ten seconds; the rule is in force since 20 seconds before 0.
/// </summary>
public sealed class CounterPolicyTests
{
    private const long Origin = 1_700_000_040_000;

    private static readonly LabelSet Series = LabelSet.Of(("__name__", "m"), ("instance", "i"), ("path", "/a"));
    private static readonly LabelSet Path = LabelSet.Of(("__name__", "m"), ("instance", "i"), ("path", "/b"));
    private static readonly LabelSet Foreign = LabelSet.Of(("__name__", "m"), ("instance", "j"), ("path", "/b"));

    private static readonly AggregationRuleConfig Rule = new()
    {
        Interval = TimeSpan.FromSeconds(10),
        IntervalText = "10s",
        Outputs = ["increase"],
        By = ["none"],
    };

    [Theory]
    [InlineData(GapPolicy.Attribute, 4, new double[] { 10, 10, 40, 60 })]
    [InlineData(GapPolicy.Spread, 30, new double[] { 10, 14, 20, 20, 30, 20, 40, 16 })]
    [InlineData(GapPolicy.Spread, 4, new double[] { 10, 10, 30, 44, 40, 16 })]
    [InlineData(GapPolicy.Cap, 4, new double[] { 10, 10, 40, 30 })]
    public void Treats_a_gap_as_the_rule_says(GapPolicy gap, int latenessSeconds, double[] expected)
    {
        var rig = Rig(Rule with { Gap = gap });
        Play(rig, latenessSeconds, At(3, 100), At(8, 110), At(33, 160), At(38, 170));

        Increases(rig).ShouldBe(Pairs(expected));
        rig.Shard.Counters.CappedGaps.ShouldBe(gap == GapPolicy.Cap ? 1 : 0);
    }

    [Fact]
    public void Leaves_rates_and_presence_out_of_a_gap_that_is_spread()
    {
        var rig = Rig(Rule with { Gap = GapPolicy.Spread, Outputs = ["increase", "rate_sum", "count_series"] });
        Play(rig, 30, At(3, 100), At(8, 110), At(33, 160), At(38, 170));

        rig.Emitted.Keys.Where(key => key.EndMs is 20_000 or 30_000).Select(key => key.Series)
            .ShouldAllBe(series => series.Contains("increase"));
        rig.Emitted[(40_000, "m:10s_by_none_rate_sum")].ShouldBe(2);
    }

    [Fact]
    public void Spreads_what_a_counter_gained_after_a_reset_since_its_start()
    {
        // Began at 20: the 26 lie between 20 and 33.
        var rig = Rig(Rule with { Gap = GapPolicy.Spread });
        Play(rig, 30, At(3, 100), At(8, 110), At(33, 26, startSeconds: 20));

        Increases(rig).ShouldBe([(10, 10), (20, 0), (30, 20), (40, 6)]);
    }

    [Fact]
    public void Takes_nothing_back_that_was_spread()
    {
        var rig = Rig(Rule with { Gap = GapPolicy.Spread });
        rig.Add(8_000, At(5, 0));
        rig.Add(21_000, At(35, 120));
        rig.Close(10_000);              // 20 of the 120: 5 of 30 seconds
        rig.Add(22_000, At(19.9, 2));   // there were 2
        rig.Close(40_000);

        Increases(rig).Select(window => Math.Round(window.Value, 3))
            .ShouldBe([20, 0, 60.927, 39.073], "2 + 118 * 10.1 / 15.1 until 30");
        Increases(rig).Sum(window => window.Value).ShouldBe(120);
    }

    [Theory]
    [InlineData(FirstSample.Auto, new double[] { 10, 20, 29 })]
    [InlineData(FirstSample.Zero, new double[] { 10, 20, 22 })]
    [InlineData(FirstSample.Count, new double[] { 1010, 20, 29 })]
    public void Counts_first_samples_as_the_rule_says(FirstSample policy, double[] expected)
    {
        var rig = Rig(Rule with { FirstSample = policy });
        Play(rig, 1, At(3, 1000), At(8, 1010), At(13, 1020), At(18, 1030), At(23, 1040), new(Path, 23_000, 7),
            new(Path, 28_000, 9), At(28, 1050));

        Increases(rig).Select(window => window.Value).ShouldBe(expected);
    }

    [Fact]
    public void Knows_a_target_only_if_it_was_seen_two_windows_ago()
    {
        var rig = Rig(Rule);
        Play(rig, 1, At(3, 1000), new(Path, 13_000, 7), new(Foreign, 23_000, 500), At(23, 1000), new(Path, 23_000, 8));

        Increases(rig).Select(window => window.Value).ShouldBe([0, 0, 1]);
    }

    [Fact]
    public void Knows_targets_from_the_windows_before_it_took_over_from_an_older_version()
    {
        var rig = new ShardRig(Rule, startMs: -20_000, Origin, handoverMs: 30_000);
        Play(rig, 1, At(3, 1000), At(33, 1002), new(Path, 33_000, 7), new(Foreign, 34_000, 500));

        Increases(rig).ShouldBe([(40, 2 + 7)], "the first window it answers for, and the sixth it sees");
    }

    [Theory]
    [InlineData(310, 0)]  // the target was seen at 3, longer ago than counters are remembered
    [InlineData(303, 7)]
    public void Forgets_a_target_with_its_counters(int second, double increase)
    {
        var rig = Rig(Rule);
        Play(rig, 1, At(3, 1000), new(Path, second * 1_000L, 7));

        Increases(rig)[^1].Value.ShouldBe(increase);
    }

    [Fact]
    public void Counts_no_birth_before_the_first_sample_interval_is_over()
    {
        var rig = Rig(Rule with { IgnoreFirstSampleInterval = TimeSpan.FromSeconds(44) });
        Play(rig, 1, At(3, 1000), At(13, 1000), new(Path, 23_999, 7), new(Path, 24_000, 9),
            new(LabelSet.Of(("__name__", "m"), ("instance", "i"), ("path", "/c")), 24_000, 5));

        Increases(rig)[^1].Value.ShouldBe(2 + 5, "/b came 1 ms too early, /c just in time");
    }

    [Fact]
    public void Counts_a_birth_just_before_a_boundary()
    {
        // Began at 19.9, scraped first at 22: the value is all new, though the counter is older than the window.
        var rig = Rig(Rule);
        Play(rig, 1, new StreamSample(Foreign, 22_000, 42, 19_900));

        Increases(rig).ShouldBe([(30, 42)]);
    }

    [Fact]
    public void Counts_a_start_only_within_the_time_that_counters_are_remembered()
    {
        // Whatever it showed before may have been counted and forgotten.
        var rig = Rig(Rule);
        Play(rig, 1, At(5, 1000), new StreamSample(Foreign, 400_000, 42, 99_999));
        Increases(rig)[^1].Value.ShouldBe(0);

        rig = Rig(Rule);
        Play(rig, 1, At(5, 1000), new StreamSample(Foreign, 400_000, 42, 100_000));
        Increases(rig)[^1].Value.ShouldBe(42);
    }

    [Fact]
    public void Adds_nothing_for_a_rollback_where_resets_are_those_of_VictoriaMetrics()
    {
        StreamSample[] samples = [At(1, 440), At(2, 400), At(3, 420), At(4, 367), At(5, 10)];
        var rig = Rig(Rule with { Resets = ResetPolicy.VictoriaMetrics });
        Play(rig, 1, samples);
        Increases(rig).ShouldBe([(10, 20 + 367 + 10)], "440 to 400 is less than an eighth, 420 to 367 is more");

        rig = Rig(Rule);
        Play(rig, 1, samples);
        Increases(rig).ShouldBe([(10, 400 + 20 + 367 + 10)]);
    }

    [Fact]
    public void Carries_late_samples_to_sums_and_counts_and_counters_of_the_oldest_open_window()
    {
        var rule = Rule with
        {
            Late = LatePolicy.Carry,
            Outputs = ["increase", "count_samples", "sum_samples", "max", "avg", "count_series"],
        };
        var rig = Rig(rule);
        rig.Add(5_000, At(3, 10), At(5, 15));
        rig.Close(10_000);
        rig.Add(14_000, At(5, 15), At(9, 25)); // a repeat of the last counted one, and a late one
        rig.Add(16_000, At(16, 40));
        rig.Close(20_000);
        rig.Add(25_000, At(19, 47)); // the last that is seen of it
        rig.Close(30_000);

        rig.Emitted.Where(one => one.Key.EndMs >= 20_000)
            .Select(one => $"{one.Key.EndMs / 1_000} {one.Key.Series[14..]} {one.Value}").ShouldBe(
                ["20 avg 40", "20 count_samples 2", "20 count_series 1", "20 increase 25", "20 max 40",
                    "20 sum_samples 65", "30 count_samples 1", "30 increase 7", "30 sum_samples 47"]);
        rig.Shard.Counters.Carried.ShouldBe(2);
        rig.Shard.Counters.LateSamples.Sum().ShouldBe(3);
    }

    [Fact]
    public void Counts_a_late_sample_that_tells_of_a_reset_as_ambiguous()
    {
        var rig = Rig(Rule);
        rig.Add(5_000, At(5, 100));
        rig.Close(10_000);
        rig.Add(11_000, At(9, 3)); // and above 100 again in the next window: nobody else saw it
        rig.Add(15_000, At(15, 120));
        rig.Close(20_000);

        Increases(rig)[^1].ShouldBe((20, 20));
        rig.Shard.Counters.AmbiguousResets.ShouldBe(1);
    }

    [Fact]
    public void Injects_a_zero_before_a_new_total_and_before_one_that_begins_again_but_not_after_a_restart()
    {
        var rule = Rule with { ZeroInjection = true, Outputs = ["total", "increase"], FirstSample = FirstSample.Count };
        var rig = Rig(rule);
        rig.Add(13_000, At(13, 5));
        rig.Close(20_000);
        rig.Restart();
        rig.Add(23_000, At(23, 7));
        rig.Close(40_000); // nothing at 40: the group dies
        rig.Add(43_000, At(43, 8));
        rig.Close(50_000);

        rig.Emitted.Where(one => one.Key.Series.EndsWith("total")).Select(one => (one.Key.EndMs, one.Value))
            .ShouldBe([(10_000, 0), (20_000, 5), (30_000, 7), (40_000, 0), (50_000, 1)]);
        rig.Emitted.Count(one => one.Key.Series.EndsWith("increase")).ShouldBe(3);
    }

    private static StreamSample At(double second, double value, long startSeconds = 0) =>
        new(Series, (long)(second * 1_000), value, startSeconds * 1_000);

    /// <summary>Each sample arrives at its time; windows close as soon as the lateness allows.</summary>
    private static void Play(ShardRig rig, int latenessSeconds, params ReadOnlySpan<StreamSample> samples)
    {
        foreach (var sample in samples)
        {
            rig.Close(sample.TimeMs - 1 - latenessSeconds * 1_000L);
            rig.Add(sample.TimeMs, sample);
        }
        rig.Close(samples[^1].TimeMs + 10_000);
    }

    private static ShardRig Rig(AggregationRuleConfig rule)
    {
        var rig = new ShardRig(rule, startMs: -20_000, Origin);
        rig.Close(-10_000);
        return rig;
    }

    private static (long EndSeconds, double Value)[] Pairs(double[] flat) =>
        [.. flat.Chunk(2).Select(pair => ((long)pair[0], pair[1]))];

    /// <summary>The increases of the only group.</summary>
    private static (long EndSeconds, double Value)[] Increases(ShardRig rig) =>
        [.. rig.Emitted.Where(one => one.Key.Series.Contains("_increase"))
            .Select(one => (one.Key.EndMs / 1_000, one.Value))];
}
