using FsCheck;
using FsCheck.Fluent;
using Millrace.Delivery;

namespace Millrace.Tests.Delivery;

public sealed class OutputGroupTests
{
    [Fact]
    public void Reads_back_what_was_written() =>
        Prop.ForAll<int, byte[], string>((seed, state, name) =>
        {
            var random = new Random(seed);
            name ??= "";
            state ??= [];
            using var writer = new OutputGroupWriter();
            // A writer is used again and again: what came before must not show.
            writer.Begin(1, "before", 2, 3);
            writer.AddBlock("x", 1, 1, 1, 1, new byte[random.Next(100_000)]);
            writer.Finish([1, 2, 3]);

            var key = new UInt128((ulong)random.NextInt64(), ulong.MaxValue - (ulong)random.Next());
            writer.Begin(key, name, -5, long.MaxValue);
            var blocks = new List<OutputBlock>();
            for (var i = 0; i < random.Next(5); i++)
            {
                var bytes = new byte[random.Next(200_000)];
                random.NextBytes(bytes);
                var block = new OutputBlock($"d{i}é", random.Next(65_536), i, -i, random.NextInt64(), bytes);
                blocks.Add(block);
                writer.AddBlock(
                    block.Destination, block.Lane, block.SampleCount, block.MinTimestampMs, block.MaxTimestampMs, bytes)
                    .ShouldBe(i);
            }
            OutputGroup.TryRead(writer.Finish(state), out var group, out var problem).ShouldBeTrue(problem);
            group.RuleKey.ShouldBe(key);
            group.RuleName.ShouldBe(System.Text.Encoding.UTF8.GetString(System.Text.Encoding.UTF8.GetBytes(name)));
            group.WindowEndMs.ShouldBe(-5);
            group.InputLsn.ShouldBe(long.MaxValue);
            group.State.ToArray().ShouldBe(state);
            group.Blocks.Count.ShouldBe(blocks.Count);
            for (var i = 0; i < blocks.Count; i++)
            {
                (group.Blocks[i] with { Bytes = default }).ShouldBe(blocks[i] with { Bytes = default });
                group.Blocks[i].Bytes.Span.SequenceEqual(blocks[i].Bytes.Span).ShouldBeTrue();
            }
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void Refuses_every_cut_and_never_throws_on_damage()
    {
        using var writer = new OutputGroupWriter();
        writer.Begin(7, "rule", 60_000, 9);
        writer.AddBlock("storage", 3, 2, 1, 2, [1, 2, 3, 4]);
        writer.AddBlock("other", 4, 1, 1, 2, [5]);
        var payload = writer.Finish([9, 9]).ToArray();
        for (var length = 0; length < payload.Length; length++)
        {
            OutputGroup.TryRead(payload.AsMemory(0, length), out _, out var problem).ShouldBeFalse();
            problem.ShouldNotBeEmpty();
        }
        OutputGroup.TryRead((byte[])[.. payload, 0], out _, out _).ShouldBeFalse();
        var random = new Random(1);
        for (var i = 0; i < 20_000; i++)
        {
            var damaged = (byte[])payload.Clone();
            damaged[random.Next(damaged.Length)] = (byte)random.Next(256);
            OutputGroup.TryRead(damaged, out _, out _);
        }
    }

    [Fact]
    public void Says_which_version_it_cannot_read()
    {
        OutputGroup.TryRead((byte[])[3, 0], out _, out var problem).ShouldBeFalse();
        problem.ShouldContain("version 3");
    }

    [Theory]
    [InlineData(false, 1)]
    [InlineData(true, 2)]
    public void A_correction_is_told_by_its_version_alone(bool isCorrection, byte version)
    {
        using var writer = new OutputGroupWriter();
        using var other = new OutputGroupWriter();
        writer.Begin(new UInt128(1, 2), "r", 3, 4, isCorrection);
        other.Begin(new UInt128(1, 2), "r", 3, 4, !isCorrection);
        var payload = writer.Finish([]).ToArray();

        payload[0].ShouldBe(version);
        payload[1..].ShouldBe(other.Finish([]).ToArray()[1..]);
        OutputGroup.TryRead(payload, out var group, out _).ShouldBeTrue();
        group.IsCorrection.ShouldBe(isCorrection);
    }

    [Fact]
    public void Layout_of_version_1_does_not_change()
    {
        using var writer = new OutputGroupWriter();
        writer.Begin(new UInt128(1, 2), "r", 3, 4);
        writer.AddBlock("d", 5, 6, 7, 8, [0xAA]);
        Convert.ToHexString(writer.Finish([0xBB]).Span).ShouldBe(
            "01" + "0100000000000000" + "0200000000000000" + "0300000000000000" + "0400000000000000" + "010072"
            + "01000000" + "010064" + "0500" + "06000000" + "0700000000000000" + "0800000000000000" + "01000000AA"
            + "01000000BB");
    }
}
