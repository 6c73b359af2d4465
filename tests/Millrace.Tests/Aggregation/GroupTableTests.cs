using Millrace.Aggregation;
using Millrace.Model;

namespace Millrace.Tests.Aggregation;

/// <summary>A rule of ten seconds with a staleness of twenty, shown by its total.</summary>
public sealed class GroupTableTests
{
    private static readonly AggregationRule Rule = new(
        new AggregationRuleConfig
        {
            Interval = TimeSpan.FromSeconds(10),
            IntervalText = "10s",
            StalenessInterval = TimeSpan.FromSeconds(20),
            Outputs = ["total"],
        },
        0);

    private readonly GroupTable _groups = new(Rule);
    private readonly ShardCounters _counters = new();

    [Fact]
    public void Emits_in_the_order_of_keys_whoever_came_first()
    {
        var emitted = new List<string>();
        foreach (var order in new string[][] { ["a", "b", "c", "d"], ["d", "b", "a", "c"] })
        {
            var groups = new GroupTable(Rule);
            foreach (var name in order)
            {
                groups.Touch(Join(groups, name), 5_000);
            }
            emitted.Add(string.Join(' ', Emitted(groups, 10_000)));
        }
        emitted[0].Split(' ').Length.ShouldBe(4);
        emitted[1].ShouldBe(emitted[0]);
    }

    [Theory]
    [InlineData(25_000, 1)]
    [InlineData(25_001, 0)]
    public void Lives_until_its_staleness_interval_after_its_last_sample(long endMs, int alive)
    {
        _groups.Touch(Join(_groups, "a"), 5_000);
        Emitted(_groups, endMs).Count.ShouldBe(alive);
        _groups.AliveCount.ShouldBe(alive);
    }

    [Fact]
    public void An_older_sample_does_not_shorten_a_life()
    {
        var group = Join(_groups, "a");
        _groups.Touch(group, 5_000);
        _groups.Touch(group, 1_000);
        Emitted(_groups, 25_000).Count.ShouldBe(1);
    }

    [Fact]
    public void A_group_without_samples_is_not_shown()
    {
        Join(_groups, "a");
        Emitted(_groups, 10_000).ShouldBeEmpty();
        _groups.Count.ShouldBe(1);
    }

    [Fact]
    public void A_row_is_freed_when_the_group_is_stale_and_its_series_are_gone_and_then_used_again()
    {
        var first = Join(_groups, "a");
        Join(_groups, "a").ShouldBe(first, "a second series of the group");
        _groups.Touch(first, 5_000);
        _groups.Leave(first);
        _groups.Leave(first);
        _groups.Count.ShouldBe(1, "its last sample is not stale yet");
        Emitted(_groups, 40_000).ShouldBeEmpty();
        _groups.Count.ShouldBe(0);

        Join(_groups, "b").ShouldBe(first);
        _groups.Touch(first, 45_000);
        Emitted(_groups, 50_000).ShouldBe(["m:10s_total{g=\"b\"}"], "nothing of the old group is left");
    }

    [Fact]
    public void A_stale_group_stays_known_while_it_has_series()
    {
        var group = Join(_groups, "a");
        _groups.Touch(group, 5_000);
        Emitted(_groups, 40_000).ShouldBeEmpty();
        _groups.Count.ShouldBe(1);

        _groups.Leave(group);
        _groups.Count.ShouldBe(0);
    }

    private static int Join(GroupTable groups, string name)
    {
        var labels = LabelSet.Of(("__name__", "m"), ("g", name));
        return groups.Join(labels.StableKey(), labels);
    }

    private List<string> Emitted(GroupTable groups, long endMs)
    {
        var part = new WindowPart(endMs);
        groups.Emit(null, part, isEmitted: true, _counters);
        return [.. part.Samples.Select(ShardRig.SeriesOf)];
    }
}
