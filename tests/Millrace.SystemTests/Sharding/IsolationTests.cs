using System.Diagnostics;
using System.Globalization;
using System.Net.Http;
using System.Net.Http.Headers;
using Millrace.TestKit.Fleet;
using Millrace.TestKit.Processes;
using Millrace.TestKit.Sharding;

namespace Millrace.SystemTests.Sharding;

/// <summary>
/// What senders notice of a destination that stands still: the latency of their requests, with all nodes of a sharded
/// destination well and with all of them silent, in turns. A measurement.
/// </summary>
public sealed class IsolationTests(ITestOutputHelper output)
{
    private const int Rounds = 6;
    private const int SamplesPerRequest = 500;
    private static readonly TimeSpan Phase = TimeSpan.FromSeconds(8);
    private static readonly TimeSpan Settling = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan Pace = TimeSpan.FromMilliseconds(10);

    [Fact]
    public async Task Latency_of_ingest_beside_a_stalled_destination_is_measured()
    {
        Assert.SkipUnless(
            Environment.GetEnvironmentVariable("MILLRACE_MEASURE") == "1", "Measures only with MILLRACE_MEASURE=1.");
        await Needs.GatewayAsync();
        await using var steady = new RecordingNodeProcess("steady");
        await using var a = new RecordingNodeProcess("node-a");
        await using var b = new RecordingNodeProcess("node-b");
        await Task.WhenAll(steady.StartAsync(), a.StartAsync(), b.StartAsync());
        await using var gateway = new MillraceProcess();
        await gateway.StartAsync($$"""
            destinations:
            - name: steady
              remote_write: {url: "{{steady.Url}}", protocol: prometheus_v1}
            - name: stalling
              remote_write: {protocol: prometheus_v1, send_timeout: 5s}
              sharded:
                nodes: [{name: a, url: "{{a.Url}}"}, {name: b, url: "{{b.Url}}"}]
                tasks: {count: 32}
            """);

        List<double> well = [], stalled = [], wellP99 = [], stalledP99 = [];
        for (var round = 0; round < Rounds; round++)
        {
            await SetAsync(NodeMood.Well, a, b);
            await MeasureAsync(gateway.WriteUrl, Settling, []);
            wellP99.Add(await MeasureAsync(gateway.WriteUrl, Phase, well));
            await SetAsync(NodeMood.BlackHole, a, b);
            await MeasureAsync(gateway.WriteUrl, Settling, []);
            stalledP99.Add(await MeasureAsync(gateway.WriteUrl, Phase, stalled));
        }
        Write("well", well, wellP99);
        Write("stalled", stalled, stalledP99);
        (await gateway.ScrapeAsync())
            .Sum("millrace_destination_samples_total", "destination=\"steady\"", "state=\"dropped\"").ShouldBe(0);
    }

    private static Task SetAsync(NodeMood mood, params RecordingNodeProcess[] nodes) =>
        Task.WhenAll(nodes.Select(node => node.BehaveAsync(new NodeBehaviour(mood))));

    /// <summary>One request after the other, at most one per pace.</summary>
    /// <returns>The 99th percentile of this phase, in milliseconds.</returns>
    private static async Task<double> MeasureAsync(Uri url, TimeSpan time, List<double> latenciesMs)
    {
        using var http = new HttpClient();
        var fleet = new SimulatedFleet(new FleetOptions
        {
            Targets = SamplesPerRequest / 10,
            Ticks = 1,
            BirthShare = 0,
            DeathShare = 0,
            RestartShare = 0,
        });
        var samples = fleet.AllSamples();
        var clock = Stopwatch.StartNew();
        List<double> own = [];
        for (var count = 0; clock.Elapsed < time; count++)
        {
            var wait = Pace * count - clock.Elapsed;
            await Task.Delay(wait > TimeSpan.Zero ? wait : TimeSpan.Zero);
            var nowMs = TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds();
            var body = RemoteWriteBody.Encode(
                [.. samples.Select(sample => sample with { TimestampMs = nowMs })], RemoteWriteVersion.V1);
            using var content = new ByteArrayContent(body);
            content.Headers.ContentType = new MediaTypeHeaderValue("application/x-protobuf");
            content.Headers.ContentEncoding.Add("snappy");
            var began = Stopwatch.GetTimestamp();
            using var answer = await http.PostAsync(url, content);
            own.Add(Stopwatch.GetElapsedTime(began).TotalMilliseconds);
            answer.IsSuccessStatusCode.ShouldBeTrue();
        }
        latenciesMs.AddRange(own);
        return Quantile(own, 0.99);
    }

    private void Write(string what, List<double> latenciesMs, List<double> p99Ms) => output.WriteLine(string.Create(
        CultureInfo.InvariantCulture,
        $"{what}: {latenciesMs.Count} requests, p50 {Quantile(latenciesMs, 0.5):0.000} ms, "
        + $"p99 {Quantile(latenciesMs, 0.99):0.000} ms; of {p99Ms.Count} phases, median p99 "
        + $"{Quantile(p99Ms, 0.5):0.000} ms, least {p99Ms.Min():0.000}, most {p99Ms.Max():0.000}"));

    private static double Quantile(List<double> values, double quantile)
    {
        var sorted = values.Order().ToList();
        return sorted[(int)(quantile * (sorted.Count - 1))];
    }
}
