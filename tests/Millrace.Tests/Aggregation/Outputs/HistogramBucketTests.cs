using System.Globalization;
using Millrace.Aggregation.Outputs;

namespace Millrace.Tests.Aggregation.Outputs;

public sealed class HistogramBucketTests
{
    [Theory]
    [InlineData(0, "0...1.000e-09")]
    [InlineData(1e-10, "0...1.000e-09")]
    [InlineData(1e-9, "1.000e-09...1.136e-09")]
    [InlineData(1, "8.799e-01...1.000e+00")]
    [InlineData(1.0000001, "1.000e+00...1.136e+00")]
    [InlineData(10, "8.799e+00...1.000e+01")]
    [InlineData(1e17, "8.799e+16...1.000e+17")]
    [InlineData(9.9999999e17, "8.799e+17...1.000e+18")]
    [InlineData(1e18, "1.000e+18...+Inf")]
    [InlineData(2e18, "1.000e+18...+Inf")]
    [InlineData(double.PositiveInfinity, "1.000e+18...+Inf")]
    public void Each_value_has_the_bucket_that_VictoriaMetrics_gives_it(double value, string range) =>
        VmRange.LabelOf(VmRange.BucketOf(value)).ShouldBe(range);

    [Fact]
    public void Buckets_are_those_of_the_logarithm()
    {
        var random = new Random(1);
        for (var i = 0; i < 200_000; i++)
        {
            var value = Math.Pow(10, random.NextDouble() * 30 - 11);
            var index = (Math.Log10(value) + 9) * 18;
            if (Math.Abs(index - Math.Round(index)) > 1e-9)
            {
                var expected = Math.Clamp((int)Math.Floor(index) + 1, 0, 27 * 18 + 1);
                VmRange.BucketOf(value).ShouldBe(expected, value.ToString("R", CultureInfo.InvariantCulture));
            }
        }
    }

    [Fact]
    public void A_bound_belongs_to_the_bucket_below_it_and_the_next_double_to_the_one_above()
    {
        for (var decade = -8; decade < 18; decade++)
        {
            var bound = double.Parse($"1e{decade}", CultureInfo.InvariantCulture);
            var bucket = VmRange.BucketOf(bound);
            VmRange.LabelOf(bucket).ShouldEndWith(bound.ToString("0.000e+00", CultureInfo.InvariantCulture));
            VmRange.BucketOf(Math.BitIncrement(bound)).ShouldBe(bucket + 1);
            VmRange.BucketOf(Math.BitDecrement(bound)).ShouldBe(bucket);
        }
    }

    [Fact]
    public void Values_below_zero_have_no_bucket()
    {
        var counts = new BucketCounts();
        counts.Add(-1, 1);
        counts.Add(double.NegativeInfinity, 1);
        counts.Counts.Length.ShouldBe(0);
    }
}
