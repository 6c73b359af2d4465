using Millrace.Aggregation;
using Millrace.Model;

namespace Millrace.Tests.Aggregation;

/// <summary>What neither the cases nor the random runs reach.</summary>
public sealed class ArrivalShardTests
{
    private static readonly AggregationRuleConfig Rule = new()
    {
        Interval = TimeSpan.FromSeconds(4),
        IntervalText = "4s",
        Outputs = ["increase_prometheus", "count_series", "count_samples", "sum_samples"],
        Time = RuleTime.Arrival,
        FirstSample = FirstSample.Count,
    };

    [Fact]
    public void Series_past_the_bound_are_not_taken_for_one_counter()
    {
        var rig = new ShardRig(Rule with { MaxSeries = 1, By = ["job"] }, startMs: 0);
        foreach (var timeMs in (long[])[1_000, 2_000])
        {
            foreach (var pod in (string[])["1", "2", "3"])
            {
                var labels = LabelSet.Of(("__name__", "m"), ("job", pod == "1" ? "a" : "b"), ("pod", pod));
                rig.Add(timeMs, new StreamSample(labels, timeMs, timeMs / int.Parse(pod)));
            }
        }
        rig.Close(4_000);

        // Of the two others samples are known, and which of them belong together is not.
        rig.Emitted.Select(one => $"{one.Key.Series} {one.Value}").Order(StringComparer.Ordinal).ShouldBe([
            """m:4s_by_job_count_samples{job="__overflow__"} 4""",
            """m:4s_by_job_count_samples{job="a"} 2""",
            """m:4s_by_job_count_series{job="a"} 1""",
            """m:4s_by_job_increase_prometheus{job="a"} 1000""",
            """m:4s_by_job_sum_samples{job="__overflow__"} 2499""",
            """m:4s_by_job_sum_samples{job="a"} 3000""",
        ]);
    }
}
