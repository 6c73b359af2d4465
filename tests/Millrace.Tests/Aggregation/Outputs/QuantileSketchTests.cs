using System.IO;
using Millrace.Aggregation.Outputs;
using Millrace.Memory;

namespace Millrace.Tests.Aggregation.Outputs;

/// <summary>
/// The sketch keeps its stated error on heavy-tailed data. vmagent's reservoir of 1000 samples is simulated beside it.
/// </summary>
public sealed class QuantileSketchTests(ITestOutputHelper output)
{
    private static readonly double[] Phis = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999];

    public static TheoryData<string> Shapes =>
        ["pareto 1.05", "pareto 2", "lognormal 2", "exponential", "two modes", "both signs", "uniform"];

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Stays_within_its_stated_error_on_heavy_tails(string shape)
    {
        var (worst, worstOfReservoir) = (0.0, 0.0);
        for (var seed = 1; seed <= 20; seed++)
        {
            var random = new Random(seed);
            var values = Enumerable.Range(0, 200 + random.Next(50_000)).Select(_ => Draw(shape, random)).ToArray();
            var sketch = SketchOf(values);
            var reservoir = new Reservoir(values, random);
            Array.Sort(values);
            sketch.RelativeError.ShouldBeLessThanOrEqualTo(1 / 129.0);
            foreach (var phi in Phis)
            {
                var exact = values[(int)(phi * (values.Length - 1) + 0.5)];
                var error = Math.Abs(sketch.Quantile(phi) - exact) / Math.Abs(exact);
                error.ShouldBeLessThanOrEqualTo(sketch.RelativeError * (1 + 1e-9), $"phi {phi}, seed {seed}");
                worst = Math.Max(worst, error);
                worstOfReservoir = Math.Max(
                    worstOfReservoir, Math.Abs(reservoir.Quantile(phi) - exact) / Math.Abs(exact));
            }
            sketch.Quantile(0).ShouldBe(values[0]);
            sketch.Quantile(1).ShouldBe(values[^1]);
        }
        output.WriteLine($"{shape}: largest relative error {worst:P2}, reservoir of 1000 {worstOfReservoir:P2}");
        worst.ShouldBeLessThan(worstOfReservoir);
    }

    [Fact]
    public void Few_values_are_exact_however_often_they_come()
    {
        var random = new Random(1);
        double[] different = [.. Enumerable.Range(0, QuantileSketch.MaxValues).Select(_ => random.NextDouble() - 0.5)];
        var values = Enumerable.Range(0, 10_000).Select(_ => different[random.Next(different.Length)]).ToArray();
        var sketch = SketchOf(values);
        sketch.RelativeError.ShouldBe(0);
        Array.Sort(values);
        foreach (var phi in Phis)
        {
            sketch.Quantile(phi).ShouldBe(values[(int)(phi * (values.Length - 1) + 0.5)]);
        }
    }

    [Fact]
    public void Zeros_negative_values_and_infinities_have_their_place()
    {
        var few = SketchOf([double.NegativeInfinity, -3, -0.0, 0, 2, double.PositiveInfinity]);
        new[] { 0, 0.2, 0.4, 0.6, 0.8, 1 }.Select(few.Quantile)
            .ShouldBe([double.NegativeInfinity, -3, 0, 0, 2, double.PositiveInfinity]);

        double[] many = [.. Enumerable.Range(-500, 1001).Select(i => (double)i)];
        var sketch = SketchOf([double.NegativeInfinity, .. many, double.PositiveInfinity, double.MaxValue]);
        sketch.Quantile(0.0001).ShouldBe(double.NegativeInfinity);
        sketch.Quantile(0.9999).ShouldBe(double.PositiveInfinity);
        sketch.Quantile(501 / 1003.0).ShouldBe(0);
        sketch.Quantile(1002 / 1003.0).ShouldBe(double.MaxValue, double.MaxValue / 256);
        sketch.Quantile(101 / 1003.0).ShouldBe(-400, 400 / 256.0);
    }

    [Fact]
    public void Memory_is_bounded_and_the_error_says_what_it_costs()
    {
        var random = new Random(1);
        var values = new double[200_000];
        for (var i = 0; i < values.Length; i++)
        {
            // Every exponent there is, and both signs.
            values[i] = BitConverter.Int64BitsToDouble(random.NextInt64() ^ (random.NextInt64(2) << 63));
            values[i] = double.IsFinite(values[i]) ? values[i] : 1;
        }
        var sketch = SketchOf(values);
        SnapshotOf(sketch).Length.ShouldBeLessThan(4096 * 16 + 100);
        sketch.RelativeError.ShouldBe(1 / 3.0, 0.2);
        Array.Sort(values);
        foreach (var phi in Phis)
        {
            var exact = values[(int)(phi * (values.Length - 1) + 0.5)];
            Math.Abs(sketch.Quantile(phi) / exact - 1).ShouldBeLessThanOrEqualTo(sketch.RelativeError + 1e-9);
        }
    }

    [Fact]
    public void Sixteen_octaves_without_a_hole_keep_seven_bits()
    {
        var sketch = new QuantileSketch();
        for (var value = 1.0; value < 65_536; value *= 1.001)
        {
            sketch.Add(value);
        }
        sketch.RelativeError.ShouldBe(1 / 257.0);
        sketch.Add(65_536);
        sketch.RelativeError.ShouldBe(1 / 129.0);
    }

    [Fact]
    public void Neither_order_nor_a_value_that_gave_way_shows()
    {
        var random = new Random(5);
        for (var round = 0; round < 60; round++)
        {
            var values = Enumerable.Range(0, random.Next(1, 6_000))
                .Select(_ => Draw("lognormal 2", random) * Math.Pow(Draw("lognormal 2", random), round % 3)).ToArray();
            var (inOrder, shuffled) = (new QuantileSketch(), new QuantileSketch());
            foreach (var value in values)
            {
                // The smaller value first, and then the larger one in its place.
                inOrder.Add(value / 2);
                inOrder.Replace(value / 2, value);
            }
            random.Shuffle(values);
            foreach (var value in values)
            {
                shuffled.Add(value);
                shuffled.Lose(value / 2);
            }
            SnapshotOf(shuffled).ShouldBe(SnapshotOf(inOrder));
        }
    }

    private static QuantileSketch SketchOf(double[] values)
    {
        var sketch = new QuantileSketch();
        foreach (var value in values)
        {
            sketch.Add(value);
        }
        return sketch;
    }

    private static byte[] SnapshotOf(QuantileSketch sketch)
    {
        var stream = new MemoryStream();
        using (var writer = new SnapshotWriter(stream))
        {
            sketch.Write(writer);
        }
        return stream.ToArray();
    }

    private static double Draw(string shape, Random random)
    {
        double Normal() =>
            Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());

        return shape switch
        {
            "pareto 1.05" => Math.Pow(1 - random.NextDouble(), -1 / 1.05),
            "pareto 2" => 0.005 * Math.Pow(1 - random.NextDouble(), -0.5),
            "lognormal 2" => Math.Exp(2 * Normal()),
            "exponential" => -Math.Log(1 - random.NextDouble()) + 1e-3,
            "two modes" => random.Next(10) == 0 ? 30 + Normal() : 0.01 * Math.Exp(0.3 * Normal()),
            "both signs" => Math.Exp(Normal()) * (random.Next(2) == 0 ? 1 : -1),
            _ => 1 + random.NextDouble() * 999,
        };
    }

    /// <summary>vmagent's: of n values 1000, each with the same probability.</summary>
    private sealed class Reservoir
    {
        private const int Size = 1000;
        private readonly List<double> _values = [];

        public Reservoir(double[] values, Random random)
        {
            for (var i = 0; i < values.Length; i++)
            {
                if (i < Size)
                {
                    _values.Add(values[i]);
                }
                else if (random.Next(i + 1) is var at and < Size)
                {
                    _values[at] = values[i];
                }
            }
            _values.Sort();
        }

        public double Quantile(double phi) => _values[(int)(phi * (_values.Count - 1) + 0.5)];
    }
}
