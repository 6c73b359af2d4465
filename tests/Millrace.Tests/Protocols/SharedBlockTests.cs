using Millrace.Aggregation;
using Millrace.Model;
using Millrace.Protocols;

namespace Millrace.Tests.Protocols;

public sealed class SharedBlockTests
{
    [Fact]
    public void Gives_back_byte_for_byte_what_was_put_in_whatever_it_is_like()
    {
        var random = new Random(1);
        byte[] buffer = [];
        for (var i = 0; i < 20_000; i++)
        {
            // Few different bytes: beginnings and ends overlap in every way.
            var like = Bytes(random, 0);
            var (beginning, end) = (random.Next(like.Length + 1), random.Next(like.Length + 1));
            byte[] block = random.Next(3) == 0
                ? Bytes(random, 0) : [.. like[..beginning], .. Bytes(random, 160), .. like[end..]];
            SharedBlock.Of(block, like).Get(ref buffer).SequenceEqual(block).ShouldBeTrue();
            SharedBlock.Of(block, block).Get(ref buffer).SequenceEqual(block).ShouldBeTrue();
        }
    }

    [Fact]
    public void A_further_output_series_of_a_group_takes_130_bytes()
    {
        const int SeriesCount = 2_000;
        var block = LabelBlock.Encode(LabelSet.Of(
            ("__name__", "http_request_duration_seconds_bucket:1m_without_instance_pod_histogram_bucket"),
            ("cluster", "production-1"), ("job", "kubernetes-pods/api"), ("method", "GET"),
            ("namespace", "orders"), ("path", "/api/v1/orders/{id}"), ("region", "eu-central-1"),
            ("vmrange", "1.000e+00...1.136e+00")));
        var other = block.ToArray();
        other[^2] = (byte)'1';
        var blocks = new SharedBlocks();
        blocks.Reserve(1);
        blocks.Add(0, block);
        var series = new OutputSeries[SeriesCount];
        var copies = Enumerable.Range(0, SeriesCount).Select(_ => other.ToArray()).ToArray();
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < SeriesCount; i++)
        {
            series[i] = new OutputSeries(default, blocks.Add(0, copies[i]));
        }
        ((GC.GetAllocatedBytesForCurrentThread() - before) / (double)SeriesCount).ShouldBeLessThan(130);
    }

    private static byte[] Bytes(Random random, int minLength)
    {
        var bytes = new byte[random.Next(minLength, minLength + 160)];
        for (var i = 0; i < bytes.Length; i++)
        {
            bytes[i] = (byte)(random.Next(20) / 19);
        }
        return bytes;
    }
}
