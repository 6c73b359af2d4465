using Millrace.Aggregation;
using Millrace.TestKit.Oracle;

namespace Millrace.Tests.Aggregation;

public sealed class DoubleDoubleTests
{
    [Fact]
    public void Sums_are_rounded_once_in_whichever_order_and_split()
    {
        var random = new Random(1);
        for (var round = 0; round < 2_000; round++)
        {
            var exact = new ExactSum();
            var values = new double[random.Next(1, 50)];
            for (var i = 0; i < values.Length; i++)
            {
                values[i] = (random.NextDouble() - 0.3) * Math.Pow(10, random.Next(-6, 7));
                exact.Add(values[i]);
            }
            var cut = random.Next(values.Length + 1);
            var left = Sum(values.AsSpan(0, cut));
            left.Add(Sum(values.AsSpan(cut)));
            random.Shuffle(values);

            Sum(values).Value.ShouldBe(exact.Value, $"round {round}");
            left.Value.ShouldBe(exact.Value, $"round {round}");
        }
    }

    [Fact]
    public void Keeps_what_a_double_would_lose()
    {
        Sum([1e16, 1, -1e16]).Value.ShouldBe(1);
        Sum([9007199254740992, 1, 1]).Value.ShouldBe(9007199254740994);
    }

    [Fact]
    public void Infinities_are_sums_and_their_difference_is_none()
    {
        Sum([1, double.PositiveInfinity, 2]).Value.ShouldBe(double.PositiveInfinity);
        Sum([double.NegativeInfinity, 1e300]).Value.ShouldBe(double.NegativeInfinity);
        Sum([double.PositiveInfinity, double.NegativeInfinity]).Value.ShouldBe(double.NaN);
        Sum([double.MaxValue, double.MaxValue]).Value.ShouldBe(double.PositiveInfinity);

        var merged = Sum([double.PositiveInfinity]);
        merged.Add(Sum([1.5]));
        merged.Value.ShouldBe(double.PositiveInfinity);
    }

    private static DoubleDouble Sum(ReadOnlySpan<double> values)
    {
        var sum = default(DoubleDouble);
        foreach (var value in values)
        {
            sum.Add(value);
        }
        return sum;
    }
}
