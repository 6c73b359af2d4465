using Millrace.Memory;

namespace Millrace.Tests.Memory;

public sealed class HashIndexTests
{
    private readonly struct Hashes(Func<int, ulong> hashOf) : IHashes
    {
        public ulong HashOf(int number) => hashOf(number);
    }

    [Theory]
    [InlineData(0, 1L)]                  // small numbers for hashes
    [InlineData(0, 0L)]                  // all alike
    [InlineData(3, 7_046_029_254_386_353_131L)]
    public void Finds_what_is_there_under_random_additions_and_removals(int partBits, long factor)
    {
        ulong HashOf(int number) => (ulong)number * (ulong)factor;
        var random = new Random(2);
        var index = new HashIndex(partBits);
        var there = new HashSet<int>();
        for (var step = 0; step < 20_000; step++)
        {
            var number = random.Next(step < 10_000 ? 700 : 90);
            Finds(index, HashOf(number), number).ShouldBe(there.Contains(number), $"step {step}");
            if (there.Add(number))
            {
                index.Add(HashOf(number), number, new Hashes(HashOf));
            }
            else
            {
                index.Remove(HashOf(number), number);
                there.Remove(number);
            }
        }
        foreach (var number in there)
        {
            Finds(index, HashOf(number), number).ShouldBeTrue();
        }
    }

    [Fact]
    public void Shows_hardly_a_wrong_candidate()
    {
        const int Count = 100_000;
        ulong HashOf(int number) => (ulong)number * 7_046_029_254_386_353_131;
        var index = new HashIndex(partBits: 4);
        for (var number = 0; number < Count; number++)
        {
            index.Add(HashOf(number), number, new Hashes(HashOf));
        }
        var wrong = 0;
        for (var number = Count; number < 2 * Count; number++)
        {
            var candidates = index.Of(HashOf(number));
            while (candidates.Next(out _))
            {
                wrong++;
            }
        }
        wrong.ShouldBeLessThan(Count / 100);
    }

    [Fact]
    public void Readers_find_what_was_there_while_it_grows()
    {
        const int Count = 200_000;
        ulong HashOf(int number) => (ulong)number * 7_046_029_254_386_353_131;
        var index = new HashIndex(partBits: 2);
        var added = 0;
        var missing = 0;
        var reader = new Thread(() =>
        {
            var random = new Random(3);
            for (var seen = 0; seen < Count;)
            {
                seen = Volatile.Read(ref added);
                if (seen > 0 && random.Next(seen) is var number && !Finds(index, HashOf(number), number))
                {
                    missing++;
                }
            }
        });
        reader.Start();
        for (var number = 0; number < Count; number++)
        {
            index.Add(HashOf(number), number, new Hashes(HashOf));
            Volatile.Write(ref added, number + 1);
        }
        reader.Join();
        missing.ShouldBe(0);
    }

    private static bool Finds(HashIndex index, ulong hash, int number)
    {
        var candidates = index.Of(hash);
        while (candidates.Next(out var candidate))
        {
            if (candidate == number)
            {
                return true;
            }
        }
        return false;
    }
}
