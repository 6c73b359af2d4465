using System.Globalization;
using System.IO;
using System.Text;
using Millrace.Aggregation.Outputs;
using Millrace.Memory;
using Millrace.Model;

namespace Millrace.Tests.Aggregation.Outputs;

public sealed class DistinctSetTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(1000)]
    [InlineData(DistinctSet.ExactCount)]
    public void Counts_exactly_up_to_its_bound(int count)
    {
        var set = new DistinctSet();
        for (var i = 0; i < 2 * count; i++)
        {
            set.Add(HashOf(i % Math.Max(1, count)));
        }
        set.Estimate().ShouldBe(count);
    }

    [Fact]
    public void Beyond_it_the_error_is_that_of_its_size()
    {
        var worst = 0.0;
        var sumOfSquares = 0.0;
        const int Rounds = 40;
        for (var round = 0; round < Rounds; round++)
        {
            var count = 20_000 + round * 5_000;
            var set = new DistinctSet();
            for (var i = 0; i < count; i++)
            {
                set.Add(HashOf(round * 1_000_000 + i));
            }
            var error = set.Estimate() / (double)count - 1;
            worst = Math.Max(worst, Math.Abs(error));
            sumOfSquares += error * error;
        }
        output.WriteLine($"standard error {Math.Sqrt(sumOfSquares / Rounds):P2}, worst {worst:P2}");
        Math.Sqrt(sumOfSquares / Rounds).ShouldBeLessThan(1.2 / Math.Sqrt(DistinctSet.ExactCount));
        worst.ShouldBeLessThan(4 / Math.Sqrt(DistinctSet.ExactCount));
    }

    [Fact]
    public void Merging_any_split_of_many_equals_the_unsplit_whole()
    {
        var random = new Random(1);
        for (var round = 0; round < 5; round++)
        {
            var whole = new DistinctSet();
            DistinctSet[] parts = [new(), new(), new(), new()];
            for (var i = random.Next(200_000); i > 0; i--)
            {
                var hash = HashOf(random.Next(100_000));
                whole.Add(hash);
                parts[Math.Min(3, random.Next(40))].Add(hash);
            }
            var merged = new DistinctSet();
            foreach (var part in parts)
            {
                merged.Merge(part);
            }
            SnapshotOf(merged).ShouldBe(SnapshotOf(whole));
            merged.Estimate().ShouldBe(whole.Estimate());
        }
    }

    [Fact]
    public void Different_doubles_are_told_apart_and_zero_has_one_sign()
    {
        var window = new UniqueSamples();
        window.Reserve(1);
        window.AddSamples([0, 0, 0, 0, 0], [0.0, -0.0, 1, Math.BitIncrement(1), double.NegativeInfinity], new long[5]);
        window.TryGetValue(0, out var count).ShouldBeTrue();
        count.ShouldBe(4);
    }

    private static byte[] SnapshotOf(DistinctSet set)
    {
        var stream = new MemoryStream();
        using (var writer = new SnapshotWriter(stream))
        {
            set.Write(writer);
        }
        return stream.ToArray();
    }

    private static ulong HashOf(int i) =>
        StableHash.Hash64(Encoding.UTF8.GetBytes(i.ToString(CultureInfo.InvariantCulture)));
}
