using Millrace.Aggregation.Histograms;

namespace Millrace.Tests.Aggregation.Histograms;

public sealed class NativeHistogramTests
{
    [Theory]
    [InlineData(0, 0, 1)]
    [InlineData(1, 0, 2)]
    [InlineData(-3, 0, 0.125)]
    [InlineData(2, -2, 256)]
    [InlineData(1, 1, 1.4142135623730951)]
    [InlineData(3, 1, 2.8284271247461903)]
    [InlineData(-1, 2, 0.8408964152537145)]
    public void Buckets_end_at_the_powers_of_their_base(int index, int schema, double bound) =>
        NativeHistogram.UpperBound(index, schema).ShouldBe(bound, bound * 1e-15);

    [Fact]
    public void Bounds_rise_and_meet_those_of_the_coarser_schema()
    {
        for (var schema = -3; schema <= 8; schema++)
        {
            for (var index = -100; index < 100; index++)
            {
                var bound = NativeHistogram.UpperBound(index, schema);
                NativeHistogram.UpperBound(index + 1, schema).ShouldBeGreaterThanOrEqualTo(bound);
                var coarser = NativeHistogram.Coarser(index, 1);
                NativeHistogram.UpperBound(coarser, schema - 1).ShouldBeGreaterThanOrEqualTo(bound * (1 - 1e-12));
                NativeHistogram.UpperBound(coarser - 1, schema - 1).ShouldBeLessThan(bound * (1 + 1e-12));
            }
        }
    }

    public static TheoryData<string> ResetCases => [.. Resets.Keys];

    private static readonly Dictionary<string, (NativeHistogram Before, NativeHistogram After, bool IsReset)> Resets =
        new()
        {
            ["equal"] = (Histograms.Of((1, 5)), Histograms.Of((1, 5)), false),
            ["more in a bucket"] = (Histograms.Of((1, 5)), Histograms.Of((1, 6)), false),
            ["a new bucket"] = (Histograms.Of((1, 5)), Histograms.Of((0, 1), (1, 5)), false),
            ["less in all"] = (Histograms.Of((1, 5)), Histograms.Of((1, 4)), true),
            ["less in one bucket, more in another"] = (Histograms.Of((1, 5)), Histograms.Of((1, 4), (2, 9)), true),
            ["a bucket is gone"] = (Histograms.Of((1, 5), (3, 1)), Histograms.Of((1, 9)), true),
            ["fewer zeros"] = (Histograms.Exponential(0, 1, 5), Histograms.Exponential(0, 1, 4, (3, 8)), true),
            ["coarser buckets"] =
            (Histograms.Exponential(1, 0, 0, (1, 2), (2, 3)), Histograms.Exponential(0, 0, 0, (1, 5)), false),
            ["coarser buckets with less"] =
            (Histograms.Exponential(1, 0, 0, (1, 2), (2, 3)), Histograms.Exponential(0, 0, 0, (1, 4), (2, 9)), true),
            ["finer buckets"] =
            (Histograms.Exponential(0, 0, 0, (1, 5)), Histograms.Exponential(1, 0, 0, (1, 3), (2, 3)), true),
            ["a wider zero bucket"] =
            (Histograms.Exponential(0, 1, 2, (1, 3), (2, 3)), Histograms.Exponential(0, 2, 5, (2, 3)), false),
            ["a wider zero bucket with less"] =
            (Histograms.Exponential(0, 1, 2, (1, 3), (2, 3)), Histograms.Exponential(0, 2, 4, (2, 9)), true),
            ["a zero bucket that cuts a bucket"] =
            (Histograms.Exponential(0, 1, 2, (1, 3)), Histograms.Exponential(0, 1.5, 9, (1, 9)), true),
            ["a narrower zero bucket"] =
            (Histograms.Exponential(0, 2, 1, (2, 3)), Histograms.Exponential(0, 1, 1, (2, 3)), true),
            ["custom, more"] = (Histograms.Custom([1, 2], (0, 1)), Histograms.Custom([1, 2], (0, 1), (2, 1)), false),
            ["custom, other bounds"] = (Histograms.Custom([1, 2], (0, 1)), Histograms.Custom([1, 3], (0, 9)), true),
            ["custom and exponential"] = (Histograms.Custom([1, 2], (0, 1)), Histograms.Of((0, 9)), true),
        };

    [Theory]
    [MemberData(nameof(ResetCases))]
    public void Resets_are_those_of_Prometheus(string name)
    {
        var (before, after, isReset) = Resets[name];
        NativeHistogram.IsReset(0, before, after).ShouldBe(isReset);
    }
}
