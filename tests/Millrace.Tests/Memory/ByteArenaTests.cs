using Millrace.Memory;

namespace Millrace.Tests.Memory;

public sealed class ByteArenaTests
{
    [Fact]
    public void Gives_back_what_was_added_across_chunks_and_beyond_their_size()
    {
        var arena = new ByteArena();
        var random = new Random(1);
        var kept = new List<(long Address, byte[] Bytes)>();
        for (var i = 0; i < 60; i++)
        {
            var bytes = new byte[i == 30 ? 3 << 20 : random.Next(0, 200_000)];
            random.NextBytes(bytes);
            kept.Add((arena.Add(bytes), bytes));
        }
        foreach (var (address, bytes) in kept)
        {
            arena[address, bytes.Length].SequenceEqual(bytes).ShouldBeTrue();
        }
        arena.SizeBytes.ShouldBeGreaterThanOrEqualTo(kept.Sum(one => (long)one.Bytes.Length));
    }
}
