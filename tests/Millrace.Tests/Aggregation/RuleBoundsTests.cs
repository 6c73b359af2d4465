using Millrace.Aggregation;
using Millrace.Model;

namespace Millrace.Tests.Aggregation;

/// <summary>max_groups, max_series and the overflow groups behind them.</summary>
public sealed class RuleBoundsTests
{
    private static readonly AggregationRuleConfig Rule = new()
    {
        Interval = TimeSpan.FromSeconds(10),
        IntervalText = "10s",
        Outputs = ["increase", "count_samples"],
        By = ["shop"],
    };

    [Fact]
    public void Puts_series_of_further_groups_into_the_overflow_group_of_their_metric()
    {
        var rig = new ShardRig(Rule with { MaxGroups = 2 }, startMs: 0);
        foreach (var timeMs in new long[] { 12_000, 18_000 })
        {
            for (var shop = 1; shop <= 5; shop++)
            {
                rig.Add(timeMs, At($"s{shop}", timeMs, shop * timeMs), At($"s{shop}", timeMs, timeMs, "n"));
            }
        }
        rig.Close(20_000);

        Values(rig).ShouldBe(
            ["m s1 6000/2", "n s1 6000/2", "m __overflow__ 84000/8", "n __overflow__ 24000/8"], ignoreOrder: true);
        (rig.Shard.GroupCount, rig.Shard.OverflowGroupCount).ShouldBe((4, 2));
        rig.Shard.Counters.OverflowSeries.ShouldBe(8);
    }

    [Fact]
    public void Decides_the_same_after_a_restart()
    {
        var (undisturbed, restarted) = (new ShardRig(Rule with { MaxGroups = 1, MaxSeries = 3 }, startMs: 0),
            new ShardRig(Rule with { MaxGroups = 1, MaxSeries = 3 }, startMs: 0));
        foreach (var rig in new[] { undisturbed, restarted })
        {
            rig.Add(12_000, At("a", 12_000, 1), At("b", 12_000, 2));
            if (rig == restarted)
            {
                rig.Restart();
            }
            rig.Add(13_000, At("c", 13_000, 3), At("d", 13_000, 4), At("a", 13_000, 2));
            rig.Close(20_000);
            rig.Add(23_000, At("d", 23_000, 4), At("c", 23_000, 8), At("a", 23_000, 9));
            rig.Close(30_000);
        }

        Values(restarted).ShouldBe(Values(undisturbed));
        ShardRig.Snapshot(restarted.Shard).ShouldBe(ShardRig.Snapshot(undisturbed.Shard));
    }

    [Fact]
    public void Takes_samples_of_further_series_without_a_state()
    {
        var rule = Rule with { MaxSeries = 2, Outputs = ["increase", "count_samples", "sum_samples", "count_series"] };
        var rig = new ShardRig(rule, startMs: 0);
        foreach (var timeMs in new long[] { 12_000, 18_000 })
        {
            for (var shop = 1; shop <= 5; shop++)
            {
                rig.Add(timeMs, At($"s{shop}", timeMs, timeMs));
            }
        }
        rig.Close(20_000);

        rig.Emitted.Where(one => one.Key.Series.Contains("__overflow__"))
            .Select(one => $"{one.Key.Series[14..25]} {one.Value}").ShouldBe(["count_sampl 6", "sum_samples 90000"]);
        rig.Emitted.Count(one => one.Key.Series.Contains("increase")).ShouldBe(2);
        rig.Shard.Counters.OverflowSamples.ShouldBe(6);
        rig.Shard.SeriesCount.ShouldBe(3, "two, and one for the others");
    }

    [Fact]
    public void Gives_a_free_place_to_the_next_group()
    {
        var rig = new ShardRig(Rule with { MaxGroups = 1 }, startMs: 0);
        rig.Add(12_000, At("a", 12_000, 1), At("b", 12_000, 1));
        rig.Close(20_000);
        rig.Close(400_000); // both are forgotten
        rig.Add(401_000, At("b", 401_000, 1), At("a", 401_000, 1));
        rig.Close(410_000);

        Values(rig).ShouldBe(
            ["m a 0/1", "m __overflow__ 0/1", "m b 0/1", "m __overflow__ 0/1"], ignoreOrder: true);
        (rig.Shard.GroupCount, rig.Shard.OverflowGroupCount).ShouldBe((2, 1));
    }

    [Fact]
    public void Bounds_the_overflow_groups_too()
    {
        var rig = new ShardRig(Rule with { MaxGroups = 1 }, startMs: 0);
        for (var name = 0; name < OverflowGroup.MaxNames + 10; name++)
        {
            rig.Add(12_000, At("a", 12_000, 1, $"m{name}"));
        }
        rig.Close(20_000);

        // One group, 1000 overflow groups, and one for the rest.
        (rig.Shard.GroupCount, rig.Shard.OverflowGroupCount)
            .ShouldBe((OverflowGroup.MaxNames + 2, OverflowGroup.MaxNames + 1));
        rig.Emitted[(20_000, "__overflow__:10s_by_shop_count_samples")].ShouldBe(9);
    }

    [Fact]
    public void Deals_a_rule_with_bounds_to_one_task()
    {
        var bounded = new AggregationRule(Rule with { MaxGroups = 5 }, 0);
        var free = new AggregationRule(Rule, 0);
        IEnumerable<int> Tasks(AggregationRule rule) => Enumerable.Range(0, 50)
            .Select(i => rule.TaskOf(new RuleSeries((UInt128)(uint)i, (UInt128)(uint)i, LabelSet.Empty), 128))
            .Distinct();

        Tasks(bounded).Count().ShouldBe(1);
        Tasks(free).Count().ShouldBe(50);
    }

    private static StreamSample At(string shop, long timeMs, double value, string name = "m") =>
        new(LabelSet.Of(("__name__", name), ("shop", shop)), timeMs, value);

    /// <summary>Metric, shop, increase and number of samples of each group and window.</summary>
    private static List<string> Values(ShardRig rig)
    {
        var values = new List<string>();
        foreach (var ((endMs, series), increase) in rig.Emitted)
        {
            if (series.Contains("_increase"))
            {
                var count = rig.Emitted[(endMs, series.Replace("_increase", "_count_samples"))];
                var shop = series.Split('"')[1];
                values.Add($"{series.Split(':')[0]} {shop} {increase}/{count}");
            }
        }
        return values;
    }
}
