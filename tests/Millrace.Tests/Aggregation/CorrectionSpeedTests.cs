using System.Diagnostics;
using System.Globalization;
using Millrace.Aggregation;
using Millrace.Model;

namespace Millrace.Tests.Aggregation;

/// <summary>What a close costs a rule that corrects five windows, beside one that corrects none.</summary>
public sealed class CorrectionSpeedTests(ITestOutputHelper output)
{
    private const int Groups = 2_000;
    private const int SeriesPerGroup = 50;
    private const int Windows = 20;

    [Theory]
    [InlineData(LatePolicy.Drop, false)]
    [InlineData(LatePolicy.Correct, false)]
    [InlineData(LatePolicy.Correct, true)]
    public void A_close_of_a_hundred_thousand_series_takes_less_than_a_second(LatePolicy late, bool hasLate)
    {
        Assert.SkipUnless(Environment.GetEnvironmentVariable("MILLRACE_MEASURE") == "1",
            "Measures only with MILLRACE_MEASURE=1.");
        var rig = new ShardRig(
            new AggregationRuleConfig
            {
                Interval = TimeSpan.FromMinutes(1),
                IntervalText = "1m",
                Outputs = ["total", "count_samples", "max", "avg", "sum_samples"],
                Without = ["pod"],
                Late = late,
            },
            startMs: 0);
        var labels = new LabelSet[Groups * SeriesPerGroup];
        for (var i = 0; i < labels.Length; i++)
        {
            labels[i] = LabelSet.Of(("__name__", "m"), ("g", $"{i % Groups}"), ("pod", $"{i}"));
        }
        var samples = new StreamSample[labels.Length];
        var best = double.MaxValue;
        for (var window = 1; window <= Windows; window++)
        {
            var endMs = window * 60_000L;
            for (var i = 0; i < labels.Length; i++)
            {
                samples[i] = new StreamSample(labels[i], endMs - 10_000, window);
            }
            rig.Add(endMs, samples);
            if (hasLate && window > 5)
            {
                rig.Add(endMs, new StreamSample(labels[window], endMs - 4 * 60_000 - 5_000, window));
            }
            rig.Parts.Clear();
            var start = Stopwatch.GetTimestamp();
            rig.Close(endMs);
            best = window < 10 ? best : Math.Min(best, Stopwatch.GetElapsedTime(start).TotalMilliseconds);
        }
        output.WriteLine(string.Create(
            CultureInfo.InvariantCulture, $"late: {late}, late samples: {hasLate}: {best:F1} ms per close"));
        best.ShouldBeLessThan(1_000);
    }
}
