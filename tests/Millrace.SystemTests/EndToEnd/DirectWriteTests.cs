using Millrace.TestKit.Fleet;
using Millrace.TestKit.Processes;

namespace Millrace.SystemTests.EndToEnd;

/// <summary>
/// A fleet writes to Millrace, Millrace to a real VictoriaMetrics; the truth is known, so nothing is tolerated.
/// </summary>
public sealed class DirectWriteTests
{
    private static readonly FleetOptions Fleet = new() { Targets = 40, StepMs = 250, Ticks = 64 };

    [Theory]
    [InlineData(RemoteWriteVersion.V1, FirstSampleAdds.Nothing, "auto")]
    [InlineData(RemoteWriteVersion.V1, FirstSampleAdds.ItsValue, "prometheus_v1")]
    [InlineData(RemoteWriteVersion.V2, FirstSampleAdds.Nothing, "victoriametrics")]
    public async Task Every_window_holds_exactly_the_true_increase(
        RemoteWriteVersion version, FirstSampleAdds firstSample, string protocol)
    {
        Needs.Peer(Peers.VictoriaMetrics);
        await Needs.GatewayAsync();
        var rule = new IncreaseRule(TimeSpan.FromSeconds(2)) { FirstSample = firstSample, Protocol = protocol };
        await using var storage = await VictoriaMetricsServer.StartAsync();
        await using var millrace = new MillraceProcess();
        await millrace.StartAsync(rule.ConfigText(storage.WriteUrl));
        var fleet = new SimulatedFleet(Fleet with { StartMs = rule.NextUntouchedWindowMs() });
        using var client = new RemoteWriteClient(millrace.WriteUrl, version);

        await new FleetDriver(fleet).RunAsync(client);

        var truth = rule.TruthOf(fleet);
        var stored = await StoredWindows.ReadAsync(
            () => storage.ExportAsync(rule.OutputSelector), truth.Count, TimeSpan.FromSeconds(20));
        stored.ShouldBeExactly(truth);
        stored.Repeats.ShouldBe(0);
        client.Retries.ShouldBe(0);
        await ShouldHoldGaugesOnceAsync(storage, fleet);
        ShouldBalance(await millrace.ScrapeAsync(), fleet, truth.Count);
    }

    /// <summary>What no rule takes is forwarded, sample by sample.</summary>
    private static async Task ShouldHoldGaugesOnceAsync(VictoriaMetricsServer storage, SimulatedFleet fleet)
    {
        var gauges = await storage.ExportAsync(SimulatedFleet.GaugeName);
        var actual = new HashSet<(string, long, double)>(gauges.SelectMany(series => series.TimestampsMs
            .Zip(series.Values, (at, value) => (SeriesText.Of(series.Labels), at, value))));
        var expected = fleet.AllSamples().Where(sample => !sample.Series.IsCounter)
            .Select(sample => (SeriesText.Of(sample.Series.Labels), sample.TimestampMs, sample.Value)).ToList();
        gauges.Sum(series => series.Values.Count).ShouldBe(expected.Count);
        expected.Count(sample => !actual.Contains(sample)).ShouldBe(0);
        (await storage.ExportAsync(SimulatedFleet.CounterName)).Count.ShouldBe(0, "matched input was forwarded");
    }

    /// <summary>The ledger, when quiet: what came in went to the rule or out; nothing is dropped or inside.</summary>
    private static void ShouldBalance(MetricsText metrics, SimulatedFleet fleet, int windows)
    {
        var samples = fleet.AllSamples();
        var counters = samples.Count(sample => sample.Series.IsCounter);
        metrics.Sum("millrace_ingest_samples_total").ShouldBe(samples.Count);
        metrics.Sum("millrace_aggregation_samples_total").ShouldBe(counters);
        metrics.Sum("millrace_dropped_samples_total").ShouldBe(0);
        metrics.Sum("millrace_destination_samples_total", "destination=\"storage\"", "state=\"delivered\"")
            .ShouldBe(samples.Count - counters + windows);
        metrics.Sum("millrace_destination_pending_samples").ShouldBe(0);
    }
}
