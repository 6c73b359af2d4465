using System.Net.Http;
using Millrace.TestKit.Processes;

namespace Millrace.SystemTests.EndToEnd;

/// <summary>A real Prometheus refuses, its configuration is mended, and what it refused is sent again.</summary>
public sealed class DeadLetterTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private readonly HttpClient _http = new();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task What_Prometheus_refused_is_there_after_a_replay(bool isStopped)
    {
        Needs.Peer(Peers.Prometheus);
        await Needs.GatewayAsync();
        await using var storage = await PrometheusServer.StartReceiverAsync();
        await using var millrace = new MillraceProcess();
        await millrace.StartAsync($$"""
            destinations:
            - name: prom
              remote_write: {url: '{{storage.WriteUrl}}', protocol: prometheus_v1}
              flush_interval: 100ms
              lanes: 1
            """);
        var nowMs = TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds();
        await SendAsync(millrace, $"orders 10 {nowMs}\n");
        await WaitAsync(millrace, metrics => State(metrics, "delivered") == 1);
        await SendAsync(millrace, $"orders 5 {nowMs - 20_000}\n");
        await WaitAsync(millrace, metrics => State(metrics, "parked") == 1);
        await SendAsync(millrace, $"orders 4 {nowMs - 30_000}\n");
        await WaitAsync(millrace, metrics => metrics.Sum("millrace_destination_dead_letters") == 2);

        var listed = await CommandAsync(millrace, "list");
        listed.ShouldContain("2 blocks wait, 2 samples");
        listed.ShouldContain("out of order sample");
        (await CommandAsync(millrace, "show", "--lsn", "1")).ShouldContain("orders 5 @ ");

        await storage.ReloadAsync("storage: {tsdb: {out_of_order_time_window: 1h}}");
        if (isStopped)
        {
            (await millrace.TerminateAsync()).ShouldBe(0);
        }
        (await CommandAsync(millrace, "replay", "--lsn", "1"))
            .ShouldContain("1 blocks with 1 samples will be sent again");
        (await CommandAsync(millrace, "drop", "--lsn", "2-9")).ShouldContain("1 blocks with 1 samples dropped");
        if (isStopped)
        {
            await millrace.RestartAsync();
        }
        await WaitAsync(millrace, metrics => State(metrics, "delivered") == 2);

        var stored = (await storage.ReadAsync("orders")).ShouldHaveSingleItem();
        stored.TimestampsMs.ShouldBe([nowMs - 20_000, nowMs]);
        stored.Values.ShouldBe([5, 10]);
        var end = await millrace.ScrapeAsync();
        end.Sum("millrace_destination_dead_letters").ShouldBe(0);
        (State(end, "queued"), State(end, "replayed"), State(end, "parked")).ShouldBe((3, 1, 2));
        end.Sum("millrace_destination_dead_letter_settled_samples_total", "fate=\"discarded\"").ShouldBe(1);
    }

    [Fact]
    public async Task A_page_of_another_site_cannot_decide()
    {
        await Needs.GatewayAsync();
        await using var millrace = new MillraceProcess();
        await millrace.StartAsync("destinations: [{name: prom, remote_write: {url: 'http://127.0.0.1:1/'}}]");
        var url = new Uri(millrace.BaseUrl, "api/v1/deadletters/drop?destination=prom");
        using var plain = await _http.PostAsync(url, null);
        ((int)plain.StatusCode).ShouldBe(403);
        using var command = new HttpRequestMessage(HttpMethod.Post, url);
        command.Headers.Add("X-Millrace-Command", "1");
        using var taken = await _http.SendAsync(command);
        (await taken.Content.ReadAsStringAsync()).ShouldBe("""{"letters":0,"samples":0}""");
        (await _http.GetStringAsync(new Uri(millrace.BaseUrl, "api/v1/deadletters?destination=prom"))).ShouldBe("[]");
        using var unknown = await _http.GetAsync(new Uri(millrace.BaseUrl, "api/v1/deadletters?destination=x"));
        ((int)unknown.StatusCode).ShouldBe(404);
    }

    public void Dispose() => _http.Dispose();

    private static double State(MetricsText metrics, string state) =>
        metrics.Sum("millrace_destination_samples_total", $"state=\"{state}\"");

    private async Task SendAsync(MillraceProcess millrace, string lines)
    {
        using var body = new StringContent(lines);
        using var answer = await _http.PostAsync(new Uri(millrace.BaseUrl, "api/v1/import/prometheus"), body);
        answer.EnsureSuccessStatusCode();
    }

    private static async Task<string> CommandAsync(MillraceProcess millrace, params string[] args)
    {
        var (code, output) = await MillraceProcess.RunAsync(
            ["deadletter", args[0], "--config", millrace.ConfigPath, "--destination", "prom", .. args[1..]]);
        code.ShouldBe(0, output);
        return output;
    }

    private static async Task WaitAsync(MillraceProcess millrace, Predicate<MetricsText> isReached)
    {
        for (var waited = TimeSpan.Zero; waited < Patience; waited += TimeSpan.FromMilliseconds(100))
        {
            if (isReached(await millrace.ScrapeAsync()))
            {
                return;
            }
            await Task.Delay(TimeSpan.FromMilliseconds(100));
        }
        Assert.Fail($"Not reached in {Patience}.\n{millrace.Process.Output}");
    }
}
