using System.IO;
using Millrace.Aggregation.Outputs;
using Millrace.Memory;

namespace Millrace.Tests.Aggregation.Outputs;

public sealed class SortedCountsTests
{
    [Theory]
    [InlineData(1 << 10, 3)]
    [InlineData(long.MaxValue, 3)]
    [InlineData(1 << 10, long.MaxValue / 1000)]
    [InlineData(long.MaxValue, long.MaxValue / 1000)]
    public void Counts_like_a_sorted_dictionary_however_wide_keys_and_counts_are(long maxKey, long maxCount)
    {
        var random = new Random(1);
        var counts = new SortedCounts(); // used again, as for the next window
        for (var round = 0; round < 30; round++)
        {
            counts.Clear();
            var expected = new SortedDictionary<long, long>();
            for (var i = random.Next(400); i > 0; i--)
            {
                // Some keys and counts fit into 32 bits.
                var key = random.NextInt64(-maxKey, maxKey) >> (random.Next(2) * 40);
                var count = random.NextInt64(-maxCount, maxCount) >> (random.Next(2) * 30);
                counts.Add(key, count);
                expected[key] = expected.GetValueOrDefault(key) + count;
            }
            ShouldBe(counts, expected);
            counts.Contains(expected.Keys.FirstOrDefault()).ShouldBe(expected.Count > 0);
            counts.Contains(maxKey).ShouldBe(expected.ContainsKey(maxKey));

            var bits = random.Next(50);
            counts.ShiftKeys(bits);
            ShouldBe(counts, new SortedDictionary<long, long>(
                expected.GroupBy(pair => pair.Key >> bits)
                    .ToDictionary(group => group.Key, group => group.Sum(pair => pair.Value))));
        }
    }

    [Fact]
    public void Equal_counts_are_written_alike_whatever_width_they_once_needed()
    {
        var (narrow, wide) = (new SortedCounts(), new SortedCounts());
        wide.Add(1L << 60, 1);
        wide.ShiftKeys(55);
        wide.Add(32, 1L << 40);
        wide.Add(32, -(1L << 40));
        narrow.Add(32, 1);
        SnapshotOf(wide).ShouldBe(SnapshotOf(narrow));

        var read = new SortedCounts();
        read.Read(new SnapshotReader(new MemoryStream(SnapshotOf(wide))));
        SnapshotOf(read).ShouldBe(SnapshotOf(narrow));
    }

    [Fact]
    public void Takes_no_memory_in_a_window_like_the_one_before()
    {
        var counts = new SortedCounts();
        FillWindow(counts);
        var before = GC.GetAllocatedBytesForCurrentThread();
        FillWindow(counts);
        (GC.GetAllocatedBytesForCurrentThread() - before).ShouldBe(0);
    }

    /// <summary>Values as they are, until they are too many.</summary>
    private static void FillWindow(SortedCounts counts)
    {
        counts.Clear();
        for (var i = 0; i < QuantileSketch.MaxValues; i++)
        {
            counts.Add(BitConverter.DoubleToInt64Bits(1000 + i), 1);
        }
        counts.ShiftKeys(45);
        for (var i = 0; i < QuantileSketch.MaxValues; i++)
        {
            counts.Add(BitConverter.DoubleToInt64Bits(1128 + i) >> 45, 1);
        }
    }

    private static void ShouldBe(SortedCounts counts, SortedDictionary<long, long> expected)
    {
        Enumerable.Range(0, counts.Length).Select(counts.KeyAt).ShouldBe(expected.Keys);
        Enumerable.Range(0, counts.Length).Select(counts.CountAt).ShouldBe(expected.Values);
    }

    private static byte[] SnapshotOf(SortedCounts counts)
    {
        var stream = new MemoryStream();
        using (var writer = new SnapshotWriter(stream))
        {
            counts.Write(writer);
        }
        return stream.ToArray();
    }
}
