using System.Buffers;
using System.Net.Http;
using System.Net.Http.Headers;
using Millrace.Model;
using Millrace.Protocols;
using Millrace.Protocols.Compression;
using Millrace.Protocols.RemoteWrite;

namespace Millrace.Server;

/// <summary>
/// The fleet of <c>--demo</c>: a few hundred pods whose counters grow, restart, come and go, sent as real remote write
/// to the gateway's own address. It is a sender like any other; nothing in the gateway knows of it.
/// </summary>
internal sealed class Demo
{
    private const int Pods = 300;
    private static readonly TimeSpan Scrape = TimeSpan.FromSeconds(5);
    private static readonly string[] Jobs = ["shop", "cart", "search", "payment"];
    private static readonly string[] Codes = ["200", "404", "500"];

    private sealed record Series(byte[] Labels, double PerScrape)
    {
        public double Value { get; set; }
    }

    private readonly Random _random = new(20_260_101);
    private readonly List<Series>[] _pods = new List<Series>[Pods];
    private int _births;

    private Demo()
    {
        for (var pod = 0; pod < Pods; pod++)
        {
            _pods[pod] = NewPod(pod);
        }
    }

    public static async Task RunAsync(string address, TimeProvider time, CancellationToken stop)
    {
        var demo = new Demo();
        using var client = new HttpClient();
        using var timer = new PeriodicTimer(Scrape, time);
        try
        {
            do
            {
                await demo.SendAsync(client, $"http://{address}/api/v1/write", time.GetUtcNow(), stop);
            }
            while (await timer.WaitForNextTickAsync(stop));
        }
        catch (OperationCanceledException)
        {
            // The gateway stops.
        }
    }

    private async Task SendAsync(HttpClient client, string url, DateTimeOffset now, CancellationToken stop)
    {
        var body = Scraped(now.ToUnixTimeMilliseconds());
        var compressed = new byte[Snappy.MaxEncodedLength(body.Length)];
        var length = Snappy.Encode(body, compressed);
        using var content = new ByteArrayContent(compressed, 0, length);
        content.Headers.ContentType = new MediaTypeHeaderValue("application/x-protobuf");
        content.Headers.ContentEncoding.Add("snappy");
        content.Headers.Add("X-Prometheus-Remote-Write-Version", "0.1.0");
        try
        {
            using var response = await client.PostAsync(url, content, stop);
        }
        catch (HttpRequestException)
        {
            // Not listening yet, or stopping: the next scrape comes.
        }
    }

    private byte[] Scraped(long nowMs)
    {
        // Now and then a pod restarts, and one goes for a new one to come.
        if (_random.Next(6) == 0)
        {
            _pods[_random.Next(Pods)].ForEach(static series => series.Value = 0);
        }
        if (_random.Next(12) == 0)
        {
            var pod = _random.Next(Pods);
            _pods[pod] = NewPod(pod);
        }
        var body = new ArrayBufferWriter<byte>();
        foreach (var pod in _pods)
        {
            foreach (var series in pod)
            {
                series.Value += Math.Round(series.PerScrape * (0.5 + _random.NextDouble()));
                V1SeriesWriter.Write(body, series.Labels, nowMs, series.Value);
            }
        }
        return body.WrittenSpan.ToArray();
    }

    private List<Series> NewPod(int pod)
    {
        var job = Jobs[pod % Jobs.Length];
        var name = $"{job}-{pod / Jobs.Length}-{_births++:x4}";
        var series = new List<Series>();
        foreach (var path in (string[])["/", "/api/items", "/api/orders"])
        {
            foreach (var code in Codes)
            {
                var labels = LabelSet.Of(
                    ("__name__", "http_requests_total"), ("job", job), ("pod", name),
                    ("instance", $"10.1.{pod / 250}.{pod % 250}:9100"), ("path", path), ("code", code));
                series.Add(new Series(LabelBlock.Encode(labels), code == "200" ? 40 : 2));
            }
        }
        var seconds = LabelSet.Of(
            ("__name__", "http_request_seconds_total"), ("job", job), ("pod", name),
            ("instance", $"10.1.{pod / 250}.{pod % 250}:9100"));
        series.Add(new Series(LabelBlock.Encode(seconds), 12));
        return series;
    }
}
