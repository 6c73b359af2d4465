using Millrace.Aggregation;
using Millrace.Model;

namespace Millrace.Tests.Aggregation;

/// <summary>What late and far samples may and may not change.</summary>
public sealed class LatenessPropertyTests
{
    private const int Cases = 60;

    [Fact]
    public void Far_future_and_very_late_samples_change_nothing_else()
    {
        for (var seed = 1; seed <= Cases; seed++)
        {
            var stream = new RandomStream(seed, new StreamShape { Disorder = 1, HasTargets = true, HasStarts = true });
            var (plain, disturbed) = (new ShardRig(stream.Config, stream.StartMs),
                new ShardRig(stream.Config, stream.StartMs));
            var random = new Random(seed);
            var farMs = 3 * (long)stream.Config.Interval.TotalMilliseconds;
            var closedMs = stream.StartMs;
            var strays = 0;
            foreach (var record in stream.Records)
            {
                plain.Add(record.ArrivalMs, record.Samples);
                var mixed = new List<StreamSample>(record.Samples);
                foreach (var sample in record.Samples)
                {
                    // Of the same series and of others, with any value.
                    var labels = random.Next(2) == 0 ? sample.Labels : LabelSet.Of(("__name__", "x"), ("a", "1"));
                    var far = record.ArrivalMs + farMs + random.NextInt64(100 * farMs);
                    var late = closedMs - farMs - random.NextInt64(100 * farMs);
                    foreach (var timeMs in new[] { far, late })
                    {
                        mixed.Insert(random.Next(mixed.Count + 1),
                            new StreamSample(labels, timeMs, random.Next(1_000), random.Next(2) * (timeMs - 1)));
                        strays++;
                    }
                }
                disturbed.Add(record.ArrivalMs, [.. mixed]);
                if (record.CloseThroughMs is { } throughMs)
                {
                    plain.Close(throughMs);
                    disturbed.Close(throughMs);
                    closedMs = throughMs;
                }
            }

            WindowValues.Difference(disturbed.Emitted, plain.Emitted).ShouldBeEmpty($"seed {seed}, {stream.Config}");
            var counters = disturbed.Shard.Counters;
            (counters.LateSamples.Sum() + counters.TooFarAhead).ShouldBe(
                strays + plain.Shard.Counters.LateSamples.Sum() + plain.Shard.Counters.TooFarAhead);
        }
    }

    [Fact]
    public void Carried_samples_leave_long_sums_counts_and_increases_exact()
    {
        for (var seed = 1; seed <= Cases; seed++)
        {
            var random = new Random(seed);
            var labels = LabelSet.Of(("__name__", "m"));
            var rig = new ShardRig(
                new AggregationRuleConfig
                {
                    Interval = TimeSpan.FromSeconds(10),
                    IntervalText = "10s",
                    Outputs = ["sum_samples", "count_samples", "increase"],
                    By = ["none"],
                    Late = LatePolicy.Carry,
                    Gap = seed % 2 == 0 ? GapPolicy.Attribute : GapPolicy.Spread,
                },
                startMs: 0);
            rig.Add(5_000, new StreamSample(labels, 5_000, 10_000)); // a base
            var arrivals = new List<(long ArrivalMs, StreamSample Sample)>();
            var (sum, value) = (10_000.0, 10_000.0);
            for (var timeMs = 11_000L; timeMs < 200_000; timeMs += 1_000)
            {
                sum += value += random.Next(50);
                var lagMs = random.Next(3) == 0 ? random.Next(60_000) : random.Next(2_000);
                arrivals.Add((timeMs + lagMs, new StreamSample(labels, timeMs, value)));
            }
            foreach (var (arrivalMs, sample) in arrivals.OrderBy(arrival => arrival.ArrivalMs))
            {
                rig.Close(arrivalMs - 3_000);
                rig.Add(arrivalMs, sample);
            }
            rig.Close(300_000);

            double Total(string output) =>
                rig.Emitted.Where(one => one.Key.Series.Contains(output)).Sum(one => one.Value);
            rig.Shard.Counters.Carried.ShouldBeGreaterThan(10);
            Total("sum_samples").ShouldBe(sum);
            Total("count_samples").ShouldBe(arrivals.Count + 1);
            Total("increase").ShouldBe(value - 10_000);
        }
    }

    /// <summary>
    /// Not only inside one window: as many windows as the lateness needs are open, and each gets what is its own.
    /// </summary>
    [Fact]
    public void Keeps_as_many_windows_open_as_the_lateness_needs()
    {
        var rig = new ShardRig(
            new AggregationRuleConfig
            {
                Interval = TimeSpan.FromSeconds(10),
                IntervalText = "10s",
                Outputs = ["count_samples"],
                By = ["none"],
            },
            startMs: 0);
        for (var window = 60; window >= 2; window--)
        {
            for (var i = 0; i < window; i++)
            {
                var timeMs = window * 10_000L - 10 * i;
                rig.Add(600_000, new StreamSample(LabelSet.Of(("__name__", "m")), timeMs, 1));
            }
        }
        rig.Close(600_000);

        rig.Emitted.Select(one => (one.Key.EndMs / 10_000, one.Value))
            .ShouldBe(Enumerable.Range(2, 59).Select(window => ((long)window, (double)window)));
    }
}
