using System.IO;
using Millrace.Aggregation.Histograms;
using Millrace.Memory;

namespace Millrace.Tests.Aggregation.Histograms;

public sealed class HistogramSumTests
{
    [Fact]
    public void Merging_any_split_in_any_order_gives_the_same_bytes()
    {
        var random = new Random(1);
        for (var round = 0; round < 500; round++)
        {
            var all = Enumerable.Range(0, random.Next(1, 20)).Select(_ => Histograms.Random(random)).ToArray();
            var whole = SumOf(all);
            random.Shuffle(all);
            var parts = Enumerable.Range(0, 4).Select(_ => new HistogramSum()).ToArray();
            foreach (var histogram in all)
            {
                parts[random.Next(4)].TryAdd(histogram, isAdded: true).ShouldBeTrue();
            }
            var merged = new HistogramSum();
            foreach (var part in parts)
            {
                merged.Merge(WrittenAndRead(part));
            }
            Shown(merged).ShouldBe(Shown(whole));
        }
    }

    [Fact]
    public void What_was_taken_away_leaves_no_trace_in_the_counts()
    {
        var random = new Random(2);
        for (var round = 0; round < 200; round++)
        {
            var kept = Histograms.Exponential(3, 0, 1, (1, 5), (7, 2));
            var sum = SumOf(kept);
            var other = Histograms.Exponential(3, 0, 4, (1, random.Next(1, 9)), (3, 2));
            sum.TryAdd(other, isAdded: true);
            sum.TryAdd(other, isAdded: false);
            Shown(sum).ShouldBe(Shown(SumOf(kept)));
        }
    }

    [Fact]
    public void Different_schemas_meet_in_the_coarser_one() => Shown(SumOf(
        Histograms.Exponential(1, 0, 0, (1, 1), (2, 2), (3, 4), (-1, 8)), Histograms.Exponential(0, 0, 0, (1, 16))))
        .ShouldBe("0/0 count 31 sum 62 zero 0 [0:8 1:19 2:4] [] False Gauge");

    [Fact]
    public void The_widest_zero_bucket_takes_in_what_lies_inside_it() => Shown(SumOf(
        Histograms.Exponential(0, 1, 3, (2, 1)), Histograms.Exponential(0, 0.25, 5, (-1, 10), (0, 20), (1, 40))))
        .ShouldBe("0/1 count 79 sum 142 zero 38 [1:40 2:1] [] False Gauge");

    [Fact]
    public void A_zero_bucket_that_would_end_inside_a_populated_bucket_grows_to_its_end() => Shown(SumOf(
        Histograms.Exponential(0, 1.5, 3, (3, 1)), Histograms.Exponential(0, 0, 0, (1, 10), (2, 20))))
        .ShouldBe("0/2 count 34 sum 62 zero 13 [2:20 3:1] [] False Gauge");

    [Fact]
    public void Custom_buckets_meet_in_their_common_bounds() => Shown(SumOf(
        Histograms.Custom([0.1, 0.5, 1, 5], (0, 1), (1, 2), (2, 4), (3, 8), (4, 16)),
        Histograms.Custom([0.1, 1, 2], (0, 100), (1, 200), (2, 400), (3, 800))))
        .ShouldBe("-53/0 count 1531 sum 3062 zero 0 [0:101 1:206 2:1224] []0.1,1 False Gauge");

    [Fact]
    public void Of_a_mixture_the_exponential_part_is_shown_and_that_is_told()
    {
        var sum = SumOf(Histograms.Custom([1], (0, 1)), Histograms.Of((1, 5)));
        Histograms.Text(HistogramReconciler.Show(sum, ResetHint.Gauge, out var isMixed)!)
            .ShouldBe("0/0.001 count 5 sum 10 zero 0 [1:5] [] False Gauge");
        isMixed.ShouldBeTrue();
    }

    [Fact]
    public void Too_many_kinds_of_buckets_are_refused()
    {
        var sum = new HistogramSum();
        var taken = Enumerable.Range(1, 100).Count(
            i => sum.TryAdd(Histograms.Exponential(0, i, 1), isAdded: true));
        taken.ShouldBe(32);
    }

    private static HistogramSum SumOf(params NativeHistogram[] histograms)
    {
        var sum = new HistogramSum();
        foreach (var histogram in histograms)
        {
            sum.TryAdd(histogram, isAdded: true).ShouldBeTrue();
        }
        return sum;
    }

    private static string Shown(HistogramSum sum) =>
        Histograms.Text(HistogramReconciler.Show(sum, ResetHint.Gauge, out _).ShouldNotBeNull());

    private static HistogramSum WrittenAndRead(HistogramSum sum)
    {
        var stream = new MemoryStream();
        using (var writer = new SnapshotWriter(stream))
        {
            sum.Write(writer);
        }
        stream.Position = 0;
        var read = new HistogramSum();
        using var reader = new SnapshotReader(stream);
        read.Read(reader);
        return read;
    }
}
