using Millrace.TestKit.Fleet;
using Millrace.TestKit.Processes;

namespace Millrace.SystemTests.EndToEnd;

/// <summary>
/// Real scrapers send the same samples to Millrace and straight into VictoriaMetrics; the truth is computed from the
/// latter, so that whatever the scrapers do (jitter, failed scrapes, stale markers) is in it.
/// </summary>
public sealed class ScrapedFleetTests
{
    private static readonly TimeSpan ScrapeInterval = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan ScrapeFor = TimeSpan.FromSeconds(26);

    private static readonly FleetOptions Fleet = new()
    {
        Targets = 200,
        CountersPerTarget = 90,
        GaugesPerTarget = 10,
        StepMs = 1000,
        Ticks = 40,
    };

    private static readonly IncreaseRule Rule = new(TimeSpan.FromSeconds(4));

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Prometheus_through_Millrace_into_VictoriaMetrics_equals_the_raw_samples(bool remoteWrite2)
    {
        Needs.Peer(Peers.VictoriaMetrics, Peers.Prometheus);
        await Needs.GatewayAsync();
        await using var storage = await VictoriaMetricsServer.StartAsync();
        await using var millrace = new MillraceProcess();
        await millrace.StartAsync(Rule.ConfigText(storage.WriteUrl));
        await using var target = await ScrapeTarget.StartAsync(NewFleet());
        await Rule.WaitForUntouchedWindowAsync();

        await using var prometheus = await PrometheusServer.StartSenderAsync(
            target.ScrapeConfig(ScrapeInterval),
            new PrometheusServer.Target(millrace.WriteUrl, remoteWrite2),
            new PrometheusServer.Target(storage.WriteUrl));
        await Task.Delay(ScrapeFor);
        await prometheus.TerminateAsync();

        await ShouldEqualRawAsync(storage, () => storage.ExportAsync(Rule.OutputSelector));
    }

    [Fact]
    public async Task Vmagent_through_Millrace_into_Prometheus_equals_the_raw_samples()
    {
        Needs.Peer(Peers.VictoriaMetrics, Peers.Prometheus, Peers.Vmagent);
        await Needs.GatewayAsync();
        await using var rawStorage = await VictoriaMetricsServer.StartAsync();
        await using var storage = await PrometheusServer.StartReceiverAsync();
        await using var millrace = new MillraceProcess();
        await millrace.StartAsync(Rule.ConfigText(storage.WriteUrl));
        await using var target = await ScrapeTarget.StartAsync(NewFleet());
        await Rule.WaitForUntouchedWindowAsync();

        await using var vmagent = await VmagentProcess.StartAsync(
            target.ScrapeConfig(ScrapeInterval), [millrace.WriteUrl, rawStorage.WriteUrl]);
        await Task.Delay(ScrapeFor);
        await vmagent.TerminateAsync();

        await ShouldEqualRawAsync(rawStorage, () => storage.ReadAsync(Rule.OutputSelector));
    }

    private static SimulatedFleet NewFleet() =>
        new(Fleet with { StartMs = TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds() });

    private static async Task ShouldEqualRawAsync(
        VictoriaMetricsServer rawStorage, Func<Task<IReadOnlyList<StoredSeries>>> readAggregates)
    {
        var oracle = new IncreaseOracle();
        var rawSamples = 0;
        foreach (var series in await rawStorage.ExportAsync(SimulatedFleet.CounterName))
        {
            for (var i = 0; i < series.Values.Count; i++, rawSamples++)
            {
                oracle.Add(series.Labels, series.TimestampsMs[i], series.Values[i]);
            }
        }
        rawSamples.ShouldBeGreaterThan(Fleet.Targets * Fleet.CountersPerTarget * 5, "the scraper did not scrape");
        var truth = Rule.TruthOf(oracle);
        var stored = await StoredWindows.ReadAsync(readAggregates, truth.Count, TimeSpan.FromSeconds(20));
        stored.ShouldBeExactly(truth);
        stored.Repeats.ShouldBe(0);
    }
}
