using System.Net.Http;
using Millrace.TestKit.Processes;

namespace Millrace.SystemTests.EndToEnd;

/// <summary>From a point on an aggregate to a trace: exemplars arrive in a real Prometheus.</summary>
public sealed class ExemplarTests
{
    private const long IntervalMs = 2_000;

    [Theory]
    [InlineData("prometheus_v1")]
    [InlineData("prometheus_v2")]
    public async Task Prometheus_stores_the_exemplars_of_an_output(string protocol)
    {
        Needs.Peer(Peers.Prometheus);
        await Needs.GatewayAsync();
        await using var storage = await PrometheusServer.StartReceiverAsync();
        await using var millrace = new MillraceProcess();
        await millrace.StartAsync($$"""
            aggregation:
              rules:
              - {match: took_total, interval: 2s, by: [shop], outputs: [total], allowed_lateness: 1s, exemplars: 2}
            destinations:
            - name: storage
              remote_write: {url: '{{storage.WriteUrl}}', protocol: {{protocol}} }
            """);
        var nowMs = TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds();
        var windowMs = nowMs / IntervalMs * IntervalMs + IntervalMs; // the first one that is seen as a whole
        await Task.Delay(TimeSpan.FromMilliseconds(windowMs + 300 - nowMs));

        using var http = new HttpClient();
        var atMs = windowMs + 200;
        var text = $$"""
            took_total 1 {{atMs}}
            took_total{pod="a"} 5 {{atMs}} # {trace_id="largest"} 9.5 {{Seconds(atMs - 3)}}
            took_total{pod="b"} 7 {{atMs}} # {trace_id="small"} 0.5 {{Seconds(atMs - 5)}}
            took_total{pod="c"} 7 {{atMs}} # {trace_id="smaller"} 0.25 {{Seconds(atMs - 4)}}

            """;
        var answer = await http.PostAsync(
            new Uri(millrace.BaseUrl, "api/v1/import/prometheus"), new StringContent(text));
        answer.IsSuccessStatusCode.ShouldBeTrue(await answer.Content.ReadAsStringAsync());

        IReadOnlyList<string> stored = [];
        for (var attempt = 0; stored.Count == 0 && attempt < 100; attempt++)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(200));
            stored = await storage.ReadExemplarsAsync(
                "{__name__=~\"took_total:.+\"}", windowMs - 60_000, windowMs + 60_000);
        }
        stored.Count.ShouldBe(2);
        stored.ShouldContain("took_total:2s_by_shop_total: 9.5 trace_id=largest");
        var metrics = await millrace.ScrapeAsync();
        metrics.Sum("millrace_aggregation_exemplars_total").ShouldBe(3);
        metrics.Sum("millrace_aggregation_sent_exemplars_total").ShouldBe(2);
        metrics.Sum("millrace_aggregation_dropped_exemplars_total").ShouldBe(1);
    }

    private static string Seconds(long timestampMs) => FormattableString.Invariant($"{timestampMs / 1e3:F3}");
}
