using Millrace.Aggregation;
using Millrace.Model;

namespace Millrace.Tests.Aggregation;

/// <summary>Single behaviours of a shard in event time, on windows of ten seconds that begin with the rule at 0.</summary>
public sealed class EventShardTests
{
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
        var skips = new ShardRig(Rule, startMs: 5_000);
        var emits = new ShardRig(Rule with { EmitPartialWindows = true }, startMs: 5_000);
        foreach (var rig in new[] { skips, emits })
        {
            rig.Add(8_000, At(6_000, 10), At(8_000, 14));
            rig.Add(18_000, At(18_000, 15));
            rig.Close(20_000);
        }

        Values(skips).ShouldBe([(20_000, 1)]);
        Values(emits).ShouldBe([(10_000, 4), (20_000, 1)]);
    }

    private static StreamSample At(long timeMs, double value, long startMs = 0) => new(Series, timeMs, value, startMs);

    /// <summary>The windows of the only output series.</summary>
    private static List<(long EndMs, double Value)> Values(ShardRig rig) =>
        [.. rig.Emitted.Select(window => (window.Key.EndMs, window.Value))];
}
