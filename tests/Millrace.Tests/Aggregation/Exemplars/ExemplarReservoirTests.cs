using System.IO;
using FsCheck;
using FsCheck.Fluent;
using Millrace.Aggregation.Exemplars;
using Millrace.Memory;

namespace Millrace.Tests.Aggregation.Exemplars;

/// <summary>Which exemplars are kept is a function of the set of all.</summary>
public sealed class ExemplarReservoirTests
{
    [Fact]
    public void Neither_order_nor_repetition_nor_parts_matter() =>
        Prop.ForAll<int>(seed =>
        {
            var random = new Random(seed);
            var capacity = random.Next(1, 5);
            var exemplars = Some(random, random.Next(30));
            var whole = Reservoir(capacity, exemplars);

            Exemplar[] shuffled = [.. exemplars, .. exemplars.Where(_ => random.Next(2) == 0)];
            random.Shuffle(shuffled);
            Same(Reservoir(capacity, shuffled), whole);

            var parts = Enumerable.Range(0, 3).Select(_ => new ExemplarReservoir(capacity)).ToArray();
            foreach (var exemplar in exemplars)
            {
                parts[random.Next(parts.Length)].Add(exemplar);
            }
            var merged = new ExemplarReservoir(capacity);
            random.Shuffle(parts);
            foreach (var part in parts)
            {
                merged.Merge(Reread(capacity, part));
            }
            Same(merged, whole);
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void The_largest_is_shown_and_as_many_others_as_there_is_room_for() =>
        Prop.ForAll<int>(seed =>
        {
            var random = new Random(seed);
            var capacity = random.Next(1, 5);
            var exemplars = Some(random, random.Next(1, 20));
            var distinct = exemplars.Distinct().ToList();
            var shown = Reservoir(capacity, exemplars).Shown();
            shown.Count.ShouldBe(Math.Min(capacity, distinct.Count));
            shown.ShouldBeUnique();
            shown.ShouldBe([.. shown.OrderBy(one => one.TimeMs).ThenBy(one => one.Value)], "by time, then value");
            shown.Max(one => one.Value).ShouldBe(exemplars.Max(one => one.Value));
            shown.ShouldBeSubsetOf(distinct);
        }).QuickCheckThrowOnFailure();

    /// <summary>The choice must not favour the early ones or the late ones.</summary>
    [Fact]
    public void Every_other_one_has_the_same_chance()
    {
        var chosen = new int[10];
        for (var round = 0; round < 2_000; round++)
        {
            var reservoir = new ExemplarReservoir(3);
            for (var i = 0; i < 10; i++)
            {
                reservoir.Add(Exemplar.Of(i, 1 - i / 100.0, [(byte)round, (byte)(round >> 8), (byte)i]));
            }
            reservoir.Shown().ForEach(one => chosen[one.TimeMs]++);
        }
        chosen[0].ShouldBe(2_000);
        chosen.Skip(1).ShouldAllBe(count => count > 350 && count < 540); // 2/9 of 2000 is 444
    }

    [Fact]
    public void Zero_has_one_sign()
    {
        var reservoir = Reservoir(3, [Exemplar.Of(1, 0.0, [1]), Exemplar.Of(1, -0.0, [1])]);
        reservoir.Count.ShouldBe(1);
    }

    private static List<Exemplar> Some(Random random, int count) =>
    [
        .. Enumerable.Range(0, count).Select(_ => Exemplar.Of(
            random.Next(5), random.Next(4), random.Next(2) == 0 ? [] : [(byte)random.Next(3)])),
    ];

    private static ExemplarReservoir Reservoir(int capacity, IEnumerable<Exemplar> exemplars)
    {
        var reservoir = new ExemplarReservoir(capacity);
        foreach (var exemplar in exemplars)
        {
            reservoir.Add(exemplar);
        }
        return reservoir;
    }

    private static void Same(ExemplarReservoir actual, ExemplarReservoir expected)
    {
        actual.Shown().ShouldBe(expected.Shown());
        Bytes(actual).ShouldBe(Bytes(expected));
    }

    private static ExemplarReservoir Reread(int capacity, ExemplarReservoir reservoir)
    {
        var read = new ExemplarReservoir(capacity);
        using var reader = new SnapshotReader(new MemoryStream(Bytes(reservoir)));
        read.Read(reader);
        return read;
    }

    private static byte[] Bytes(ExemplarReservoir reservoir)
    {
        var stream = new MemoryStream();
        using (var writer = new SnapshotWriter(stream))
        {
            reservoir.Write(writer);
        }
        return stream.ToArray();
    }
}
