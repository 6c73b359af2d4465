using Millrace.Memory;

namespace Millrace.Tests.Memory;

public sealed class KeyedHashTests
{
    private readonly KeyedHash _hash = new(new Random(1));

    [Fact]
    public void Every_byte_and_the_length_count()
    {
        var seen = new HashSet<UInt128>();
        for (var length = 0; length <= 200; length++)
        {
            var bytes = new byte[length];
            seen.Add(_hash.Hash(bytes)).ShouldBeTrue($"{length} zeros");
            for (var at = 0; at < length; at++)
            {
                bytes[at] = 1;
                seen.Add(_hash.Hash(bytes)).ShouldBeTrue($"byte {at} of {length}");
                bytes[at] = 0;
            }
        }
    }

    [Fact]
    public void Bits_of_similar_keys_spread_over_both_halves()
    {
        var low = new HashSet<ulong>();
        var high = new HashSet<ulong>();
        var buckets = new int[64];
        Span<byte> bytes = stackalloc byte[40];
        for (var i = 0; i < 64_000; i++)
        {
            BitConverter.TryWriteBytes(bytes[20..], i);
            var hash = _hash.Hash(bytes);
            low.Add((ulong)hash);
            high.Add((ulong)(hash >> 64));
            buckets[(int)(ulong)hash & 63]++;
        }
        low.Count.ShouldBe(64_000);
        high.Count.ShouldBe(64_000);
        buckets.ShouldAllBe(count => count > 800 && count < 1_200);
    }

    [Fact]
    public void The_key_decides_and_the_place_in_memory_does_not()
    {
        var bytes = new byte[100];
        new Random(2).NextBytes(bytes);
        var copy = new byte[107];
        bytes.CopyTo(copy, 7);

        _hash.Hash(copy.AsSpan(7)).ShouldBe(_hash.Hash(bytes));
        new KeyedHash(new Random(1)).Hash(bytes).ShouldBe(_hash.Hash(bytes));
        new KeyedHash(new Random(3)).Hash(bytes).ShouldNotBe(_hash.Hash(bytes));
    }

    [Fact]
    public void A_difference_cannot_be_undone_in_the_next_block_of_its_lane()
    {
        // What one AES round makes of a changed byte: one of 255 differences, spread over four bytes by MixColumns.
        var bytes = new byte[128];
        var crafted = new byte[128];
        for (var seed = 0; seed < 64; seed++)
        {
            var hash = new KeyedHash(new Random(seed));
            var collisions = 0;
            for (var difference = 1; difference < 256; difference++)
            {
                var twice = (byte)((difference << 1) ^ (difference >= 128 ? 0x1B : 0));
                crafted[0] = 1;
                (crafted[64], crafted[65]) = (twice, (byte)difference);
                (crafted[66], crafted[67]) = ((byte)difference, (byte)(twice ^ difference));
                collisions += hash.Hash(crafted) == hash.Hash(bytes) ? 1 : 0;
            }
            collisions.ShouldBe(0, $"key {seed}");
        }
    }
}
