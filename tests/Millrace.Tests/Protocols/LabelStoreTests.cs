using Millrace.Memory;
using Millrace.Model;
using Millrace.Protocols;

namespace Millrace.Tests.Protocols;

public sealed class LabelStoreTests
{
    private readonly LabelStore _store = new(new KeyedHash(new Random(1)), chunkBytes: 1 << 12);
    private byte[] _buffer = [];

    [Fact]
    public void Gives_back_byte_for_byte_what_was_put_in_whatever_it_is()
    {
        var random = new Random(5);
        var kept = new List<(uint Address, byte[] Block)>();
        for (var i = 0; i < 2_000; i++)
        {
            var block = random.Next(4) switch
            {
                0 => Noise(random, random.Next(40)),
                1 => [LabelBlockWriter.LabelTag, .. Noise(random, random.Next(12))],
                2 => Labels(random)[..^random.Next(1, 5)],
                _ => Labels(random),
            };
            kept.Add((_store.Add(block), block));
        }
        foreach (var (address, block) in kept)
        {
            _store.Get(address, ref _buffer).SequenceEqual(block).ShouldBeTrue(Convert.ToHexString(block));
        }
    }

    [Fact]
    public void Takes_labels_larger_than_what_it_grows_by()
    {
        var block = LabelBlock.Encode(LabelSet.Of(("__name__", "m"), ("text", new string('x', 10_000))));
        var first = _store.Add(block);
        var second = _store.Add(LabelBlock.Encode(LabelSet.Of(("__name__", "m"))));
        _store.Get(first, ref _buffer).SequenceEqual(block).ShouldBeTrue();
        _store.Get(second, ref _buffer).Length.ShouldBe(15);
    }

    [Fact]
    public void Keeps_a_label_of_many_series_once()
    {
        long bytes = 0;
        for (var i = 0; i < 10_000; i++)
        {
            var block = LabelBlock.Encode(LabelSet.Of(
                ("__name__", "http_request_duration_seconds_bucket"), ("instance", $"10.0.0.{i / 450}:8080"),
                ("job", "kubernetes-pods/api"), ("le", $"{i % 12}"), ("path", $"/api/v1/orders/{i / 12 % 5}"),
                ("pod", $"api-5d8f7c9b6-{i / 450}"), ("namespace", "production"), ("region", "eu-central-1")));
            bytes += block.Length;
            _store.Add(block);
        }
        _store.LabelCount.ShouldBeLessThan(100);
        _store.SizeBytes.ShouldBeLessThan(bytes / 10);
    }

    [Fact]
    public void A_block_may_stand_in_a_store_or_alone()
    {
        byte[] block = [1, 2, 3];
        new StoredLabels(block).ToArray().ShouldBe(block);
        new StoredLabels(_store, _store.Add(block)).ToArray().ShouldBe(block);
        default(StoredLabels).IsNone.ShouldBeTrue();
        default(StoredLabels).ToArray().ShouldBeEmpty();
    }

    private static byte[] Noise(Random random, int length)
    {
        var bytes = new byte[length];
        random.NextBytes(bytes);
        return bytes;
    }

    private static byte[] Labels(Random random) => LabelBlock.Encode(LabelSet.Of(
        ("__name__", $"m{random.Next(5)}"), ("a", $"{random.Next(500)}"), ("b", new string('b', random.Next(300)))));
}
