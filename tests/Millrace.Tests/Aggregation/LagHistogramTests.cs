using Millrace.Aggregation;

namespace Millrace.Tests.Aggregation;

public sealed class LagHistogramTests
{
    [Fact]
    public void A_lag_falls_into_the_first_bucket_whose_bound_is_not_below_it()
    {
        var random = new Random(1);
        for (var i = 0; i < 20_000; i++)
        {
            var lagMs = i < 2_000 ? i : random.NextInt64(1L << random.Next(12, 33));
            var histogram = new LagHistogram();
            histogram.Observe(lagMs);
            var bucket = histogram.Counts.IndexOf(1);

            LagHistogram.UpperBoundMs(bucket).ShouldBeGreaterThanOrEqualTo(lagMs);
            if (bucket > 0)
            {
                LagHistogram.UpperBoundMs(bucket - 1).ShouldBeLessThan(lagMs);
            }
            LagHistogram.UpperBoundMs(bucket).ShouldBeLessThanOrEqualTo(lagMs + lagMs / 4 + 1, "a quarter octave");
        }
    }

    [Fact]
    public void Takes_any_lag()
    {
        var histogram = new LagHistogram();
        histogram.Observe(-5);
        histogram.Observe(long.MinValue);
        histogram.Observe(long.MaxValue);

        histogram.Counts[0].ShouldBe(2, "from the future");
        histogram.Counts[^1].ShouldBe(1);
    }
}
