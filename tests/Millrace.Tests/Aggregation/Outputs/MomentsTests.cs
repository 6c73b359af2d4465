using Millrace.Aggregation.Outputs;
using Millrace.TestKit.Oracle;

namespace Millrace.Tests.Aggregation.Outputs;

/// <summary>Variances against a reference that does not round.</summary>
public sealed class MomentsTests
{
    [Theory]
    [InlineData(2.1875, 1.0, 3.0, 5.0, 2.0)]        // B1
    [InlineData(4.222222222222222, 10.0, 7.0, 12.0)] // B3
    [InlineData(5.0625, 4.0, 8.5)]                   // B13
    [InlineData(0, 7.25)]
    [InlineData(0, 0.0, -0.0)]
    public void Gives_the_variances_of_vmagent(double expected, params double[] values) =>
        Variance(values).ShouldBe(expected);

    [Fact]
    public void Is_the_nearest_double_whatever_the_values()
    {
        var random = new Random(1);
        var notNearest = 0;
        const int Rounds = 4_000;
        for (var round = 0; round < Rounds; round++)
        {
            var values = NewValues(random);
            var expected = OracleOutput.Variance(values);
            var actual = Variance(values);
            notNearest += actual == expected ? 0 : 1;
            actual.ShouldBeInRange(Math.BitDecrement(expected), Math.BitIncrement(expected), $"round {round}");
        }
        notNearest.ShouldBe(0, "one unit in the last place is promised, but none was ever seen");
    }

    [Fact]
    public void Cancellation_does_not_show()
    {
        // Of values around 1e15 a sum of squares in doubles keeps no digit of this variance.
        Variance([1e15 + 1, 1e15 + 2, 1e15 + 3, 1e15 + 4]).ShouldBe(1.25);
        Variance([1e300, -1e300, 1e-300]).ShouldBe(double.PositiveInfinity);
        Variance([1e150, 1e150, 1e150]).ShouldBe(0);
        Variance([5e-324, -5e-324]).ShouldBe(0, "below the smallest double");
    }

    [Fact]
    public void The_order_does_not_show_and_what_was_taken_away_leaves_nothing()
    {
        var random = new Random(2);
        for (var round = 0; round < 200; round++)
        {
            var values = NewValues(random);
            var shuffled = values.ToArray();
            random.Shuffle(shuffled);
            var moments = new Moments();
            var others = NewValues(random);
            foreach (var value in (double[])[.. others, .. shuffled])
            {
                moments.Add(value);
            }
            foreach (var value in others)
            {
                moments.Add(value, isAdded: false);
            }
            moments.Variance().ShouldBe(Variance(values));
        }
    }

    [Fact]
    public void An_infinity_gives_NaN_until_it_is_taken_away()
    {
        var moments = new Moments();
        moments.Add(4);
        moments.Add(double.PositiveInfinity);
        moments.Variance().ShouldBe(double.NaN);
        moments.Add(double.PositiveInfinity, isAdded: false);
        moments.Add(8.5);
        moments.Variance().ShouldBe(5.0625);
    }

    private static double Variance(params double[] values)
    {
        var moments = new Moments();
        foreach (var value in values)
        {
            moments.Add(value);
        }
        return moments.Variance();
    }

    private static double[] NewValues(Random random)
    {
        var values = new double[random.Next(1, 40)];
        var shape = random.Next(4);
        var offset = Math.Pow(10, random.Next(0, 18));
        for (var i = 0; i < values.Length; i++)
        {
            values[i] = shape switch
            {
                0 => random.Next(-100, 100) / 4.0,
                1 => offset + random.NextDouble(),
                2 => (random.NextDouble() - 0.5) * Math.Pow(10, random.Next(-140, 140)),
                _ => Math.Round(random.NextDouble() * 1e6) / 1000,
            };
        }
        return values;
    }
}
