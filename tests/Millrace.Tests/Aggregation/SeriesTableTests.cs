using System.IO;
using Millrace.Aggregation;
using Millrace.Memory;

namespace Millrace.Tests.Aggregation;

public sealed class SeriesTableTests
{
    [Fact]
    public void Behaves_like_a_dictionary_under_random_additions_and_removals()
    {
        var random = new Random(1);
        var table = new SeriesTable<UInt128>();
        var model = new Dictionary<UInt128, int>();
        for (var step = 0; step < 30_000; step++)
        {
            // Few low bits, so that keys collide in the table.
            var key = new UInt128((ulong)random.Next(1, 200), (ulong)random.Next(8));
            if (model.TryGetValue(key, out var slot))
            {
                table.Find(key).ShouldBe(slot);
                table.Holds(slot, key).ShouldBeTrue();
                table.KeyOf(slot).ShouldBe(key);
                if (random.Next(2) == 0)
                {
                    table.Remove(slot);
                    model.Remove(key);
                    table.Holds(slot, key).ShouldBeFalse();
                }
            }
            else
            {
                table.Find(key).ShouldBe(-1);
                var added = table.Add(key);
                model.Values.ShouldNotContain(added);
                model.Add(key, added);
            }
            table.Count.ShouldBe(model.Count);
            if (step % 5_000 == 4_999)
            {
                table = WrittenAndRead(table);
            }
        }
        table.SlotCount.ShouldBeLessThanOrEqualTo(1_600, "freed slots are used again");
    }

    [Fact]
    public void Frees_are_reused_in_the_same_order_after_a_restart()
    {
        var table = new SeriesTable<UInt128>();
        for (ulong key = 1; key <= 10; key++)
        {
            table.Add(key);
        }
        table.Remove(3);
        table.Remove(7);
        table.Remove(5);
        var restarted = WrittenAndRead(table);

        foreach (var one in new[] { table, restarted })
        {
            new[] { one.Add(100), one.Add(101), one.Add(102), one.Add(103) }.ShouldBe([5, 7, 3, 10]);
        }
    }

    private static SeriesTable<UInt128> WrittenAndRead(SeriesTable<UInt128> table)
    {
        var stream = new MemoryStream();
        using (var writer = new SnapshotWriter(stream))
        {
            table.Write(writer);
        }
        stream.Position = 0;
        var read = new SeriesTable<UInt128>();
        using var reader = new SnapshotReader(stream);
        read.Read(reader);
        return read;
    }
}
