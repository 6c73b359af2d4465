using Millrace.Aggregation;
using Millrace.Model;

namespace Millrace.Tests.Aggregation;

/// <summary>
/// Single behaviours of a shard in event time, on windows of ten seconds that begin with the rule at 0.
/// </summary>
public sealed class EventShardTests
{
    private const long Origin = 1_700_000_040_000; // a boundary of all windows here

    private static readonly LabelSet Series = LabelSet.Of(("__name__", "m"), ("a", "1"));
    private static readonly LabelSet Other = LabelSet.Of(("__name__", "m"), ("a", "2"));

    private static readonly AggregationRuleConfig Rule = new()
    {
        Interval = TimeSpan.FromSeconds(10),
        IntervalText = "10s",
        Outputs = ["increase"],
        By = ["none"],
    };

    [Fact]
    public void Emits_the_partial_first_window_where_the_rule_says_so()
    {
        var skips = new ShardRig(Rule, startMs: 5_000, Origin);
        var emits = new ShardRig(Rule with { EmitPartialWindows = true }, startMs: 5_000, Origin);
        foreach (var rig in new[] { skips, emits })
        {
            rig.Add(8_000, At(6_000, 10), At(8_000, 14));
            rig.Add(18_000, At(18_000, 15));
            rig.Close(20_000);
        }

        Values(skips).ShouldBe([(20_000, 1)]);
        Values(emits).ShouldBe([(10_000, 4), (20_000, 1)]);
    }

    [Fact]
    public void A_larger_value_at_the_first_time_of_a_run_can_show_a_reset()
    {
        // 12 replaces 5; from 12 to 10 is a reset, in which order ever they came.
        Increase(At(1_000, 5), At(3_000, 10), At(1_000, 12)).ShouldBe(10);
        Increase(At(1_000, 12), At(1_000, 5), At(3_000, 10)).ShouldBe(10);
        Increase(At(1_000, 5), At(2_000, 7), At(3_000, 10), At(1_000, 12), At(2_000, 7)).ShouldBe(10);
    }

    [Fact]
    public void A_late_sample_from_before_the_counters_start_does_not_join_its_run()
    {
        // The counter of 200 began at 1200: what it shows is all new, and 100 belongs to its predecessor.
        Increase(At(-5_000, 90, -50_000), At(2_000, 200, 1_200), At(500, 100, -50_000)).ShouldBe(210);
        Increase(At(-5_000, 90, -50_000), At(500, 100, -50_000), At(2_000, 200, 1_200)).ShouldBe(210);
    }

    [Fact]
    public void A_start_before_the_window_is_a_reset_though_the_window_before_is_still_open()
    {
        // Both windows are open when 150 comes: the base is not known yet.
        Increase(At(-5_000, 100, -50_000), At(2_000, 150, -2_000)).ShouldBe(150);
    }

    [Fact]
    public void Start_timestamps_mean_nothing_without_counters()
    {
        var rig = Rig(Rule with { Outputs = ["count_samples", "last"] });
        for (var i = 1; i <= 9; i++)
        {
            rig.Add(i * 1_000, At(i * 1_000, 10 - i, startMs: i * 1_000 - 1));
        }
        rig.Add(9_500, At(9_000, 1, startMs: 8_999));
        rig.Close(10_000);

        Values(rig).ShouldBe([(10_000, 9), (10_000, 1)]);
        rig.Shard.Counters.CounterResets.ShouldBe(0);
    }

    [Fact]
    public void A_gauge_aggregated_as_a_counter_keeps_its_increase_past_the_bound_on_runs()
    {
        var rule = Rule with { Interval = TimeSpan.FromMinutes(1) };
        var rig = Rig(rule);
        rig.Add(-10, At(-10, 1));
        var random = new Random(1);
        var (increase, last) = (0.0, 1.0);
        for (var timeMs = 1; timeMs <= 30_000; timeMs++)
        {
            var value = random.Next(1_000);
            rig.Add(timeMs, At(timeMs, value));
            increase += value >= last ? value - last : value;
            last = value;
        }
        rig.Close(60_000);

        Values(rig).ShouldBe([(60_000, increase)]);
    }

    [Fact]
    public void The_order_of_two_values_at_one_time_does_not_show()
    {
        foreach (var values in new double[][] { [5, 7], [7, 5] })
        {
            var rig = Rig(Rule with { Outputs = ["min", "max", "sum_samples", "count_samples", "last"] });
            rig.Add(1_000, At(1_000, values[0]), At(1_000, values[1]));
            rig.Close(10_000);

            rig.Emitted.Select(one => $"{one.Key.Series} {one.Value}").ShouldBe(
                ["m:10s_by_none_count_samples 1", "m:10s_by_none_last 7", "m:10s_by_none_max 7",
                    "m:10s_by_none_min 5", "m:10s_by_none_sum_samples 7"]);
        }
    }

    [Fact]
    public void The_sign_of_zero_does_not_show()
    {
        foreach (var values in new double[][] { [0.0, -0.0], [-0.0, 0.0] })
        {
            var rig = Rig(Rule with { Outputs = ["min", "max", "last"] });
            rig.Add(2_000, At(1_000, values[0]), At(2_000, values[1]));
            rig.Close(10_000);

            rig.Emitted.Values.Select(BitConverter.DoubleToInt64Bits).ShouldAllBe(bits => bits == 0);
        }
    }

    [Fact]
    public void Counts_a_late_sample_below_its_run_as_an_ambiguous_reset()
    {
        // In order: 50 to 60, reset, 7 to 90: 10 + 7 + 83. The 55 inside the run is forgotten when 7 arrives.
        var rig = Rig(Rule);
        rig.Add(9_000, At(1_000, 50), At(2_000, 55), At(3_000, 60), At(9_000, 90), At(4_000, 7));
        rig.Close(10_000);

        Values(rig).ShouldBe([(10_000, 90)], "at most last - first = 10 less than the true 100");
        rig.Shard.Counters.AmbiguousResets.ShouldBe(1);
    }

    [Fact]
    public void Carries_the_increase_of_a_late_sample_to_the_first_open_window()
    {
        var rig = Rig(Rule);
        rig.Add(4_000, At(4_000, 10));
        rig.Close(10_000);
        rig.Add(15_000, At(9_000, 25)); // too late for its window
        rig.Add(16_000, At(16_000, 30));
        rig.Close(20_000);

        Values(rig).ShouldBe([(10_000, 0), (20_000, 20)]);
        rig.Shard.Counters.LateSamples.ShouldBe([0, 1, 0, 0, 0, 0], "six seconds after its time");
    }

    [Fact]
    public void Drops_what_is_more_than_one_window_ahead()
    {
        var rig = Rig(Rule);
        rig.Add(5_000, At(20_000, 1), At(20_001, 2));
        rig.Close(30_000);

        Values(rig).ShouldBe([(20_000, 0)]);
        rig.Shard.Counters.TooFarAhead.ShouldBe(1);
    }

    [Fact]
    public void Ends_no_counter_at_a_stale_marker()
    {
        var rig = Rig(Rule);
        rig.Add(3_000, At(1_000, 1e9), At(2_000, double.NaN), At(3_000, 1e9 + 1));
        rig.Close(10_000);

        Values(rig).ShouldBe([(10_000, 1)]);
        rig.Shard.Counters.NotANumber.ShouldBe(1);
    }

    [Theory]
    [InlineData(300_000, 7)]  // the last moment at which the base counts
    [InlineData(300_001, 0)]  // a first sample again
    public void Remembers_a_counter_for_five_minutes_by_the_samples_own_times(long pauseMs, double increase)
    {
        var rig = Rig(Rule);
        rig.Add(1_000, At(1_000, 10));
        rig.Close(280_000);
        rig.Add(1_000 + pauseMs, At(1_000 + pauseMs, 17));
        rig.Close(400_000);

        Values(rig)[^1].ShouldBe((310_000, increase));
    }

    [Theory]
    [InlineData(FirstSample.Zero, 0, 0)]
    [InlineData(FirstSample.Auto, 0, 0)]
    [InlineData(FirstSample.Auto, -20_001, 0)]  // began before the rule
    [InlineData(FirstSample.Auto, -20_000, 42)] // began with it
    [InlineData(FirstSample.Auto, 19_999, 42)]  // began in the window before
    [InlineData(FirstSample.Count, 0, 42)]
    public void Counts_a_first_sample_as_the_rule_says(FirstSample policy, long startMs, double increase)
    {
        var rig = Rig(Rule with { FirstSample = policy, Outputs = ["increase", "increase_prometheus"] });
        rig.Add(25_000, At(25_000, 42, startMs));
        rig.Close(30_000);

        Values(rig).ShouldBe([(30_000, increase), (30_000, 0)]);
    }

    [Fact]
    public void Restarts_a_total_of_a_group_that_was_stale()
    {
        var rig = Rig(Rule with { Outputs = ["total"], StalenessInterval = TimeSpan.FromSeconds(20) });
        rig.Add(2_000, At(1_000, 10), At(2_000, 15));
        rig.Close(20_000);
        rig.Close(30_000); // 28 s after the last sample
        rig.Add(32_000, At(32_000, 18));
        rig.Close(40_000);

        Values(rig).ShouldBe([(10_000, 5), (20_000, 5), (40_000, 3)]);
    }

    [Fact]
    public void Forgets_series_and_groups_that_no_later_sample_can_use()
    {
        var rig = Rig(Rule with { By = [], Outputs = ["total"] });
        rig.Add(2_000, At(1_000, 10), new StreamSample(Other, 2_000, 1));
        rig.Close(300_000);
        rig.Add(300_500, At(300_500, 11));
        (rig.Shard.SeriesCount, rig.Shard.GroupCount).ShouldBe((2, 2));

        rig.Close(310_000);

        (rig.Shard.SeriesCount, rig.Shard.GroupCount).ShouldBe((1, 1));
    }

    [Fact]
    public void Adds_samples_of_known_series_without_allocating()
    {
        var rig = Rig(Rule with { Outputs = ["total", "rate_sum", "sum_samples", "max", "last"] });
        var pending = new PendingSamples();
        var scratch = new ShardScratch();
        for (var i = 0; i < PendingSamples.Capacity; i++)
        {
            var labels = LabelSet.Of(("__name__", "m"), ("i", $"{i % 64}"));
            pending.Slots[i] = rig.Shard.SlotOf(labels.StableKey(), Series.StableKey(), Series);
        }
        pending.Count = PendingSamples.Capacity;
        var timeMs = Origin;
        long Fill()
        {
            for (var i = 0; i < pending.Count; i++)
            {
                pending.TimesMs[i] = ++timeMs;
                pending.Values[i] = timeMs;
            }
            var before = GC.GetAllocatedBytesForCurrentThread();
            rig.Shard.Add(pending, timeMs, scratch);
            return GC.GetAllocatedBytesForCurrentThread() - before;
        }
        Fill(); // opens the window

        Enumerable.Range(0, 10).Select(_ => Fill()).Min().ShouldBe(0);
    }

    private static StreamSample At(long timeMs, double value, long startMs = 0) => new(Series, timeMs, value, startMs);

    /// <summary>A rule in force since a while: times below are milliseconds, the window (0, 10 s] among them.</summary>
    private static ShardRig Rig(AggregationRuleConfig rule)
    {
        var rig = new ShardRig(rule, startMs: -20_000, Origin);
        rig.Close(-10_000);
        return rig;
    }

    /// <summary>The increase of the window (0, 10 s] of samples in their order of arrival.</summary>
    private static double Increase(params ReadOnlySpan<StreamSample> samples)
    {
        var rig = Rig(Rule);
        rig.Add(9_999, samples);
        rig.Close(10_000);
        return Values(rig).Single(window => window.EndMs == 10_000).Value;
    }

    /// <summary>The windows of the only output series.</summary>
    private static List<(long EndMs, double Value)> Values(ShardRig rig) =>
        [.. rig.Emitted.Select(window => (window.Key.EndMs, window.Value))];
}
