using Millrace.TestKit.Fleet;
using Millrace.TestKit.Processes;

namespace Millrace.SystemTests.Rig;

/// <summary>The rig itself: what the other system tests take for granted, shown without the gateway.</summary>
public sealed class FleetTests
{
    private static readonly KeyValuePair<string, string>[] SomeLabels =
        [new("__name__", "requests"), new("instance", "a"), new("job", "web")];

    [Fact]
    public void The_true_increase_follows_the_definition()
    {
        var oracle = new IncreaseOracle();
        oracle.Add(SomeLabels, 1_000, 10);
        oracle.Add(SomeLabels, 2_000, 13); // On the edge: belongs to the window that ends here.
        oracle.Add(SomeLabels, 2_001, 17); // The first delta of a window belongs to it.
        oracle.Add(SomeLabels, 3_000, 5); // A reset adds the new value.
        oracle.Add(SomeLabels, 3_000, 99); // A repeat counts once.
        oracle.Add(SomeLabels, 7_500, 6); // Windows without a sample have no value.

        var expected = new WindowTable();
        expected.Add("{job=\"web\"}", 2_000, 3);
        expected.Add("{job=\"web\"}", 4_000, 4 + 5);
        expected.Add("{job=\"web\"}", 8_000, 1);

        oracle.Compute(2_000, FirstSampleAdds.Nothing, "instance").DifferenceFrom(expected).ShouldBe("");
        oracle.Compute(2_000, FirstSampleAdds.ItsValue, "instance").Get("{job=\"web\"}", 2_000).ShouldBe(13);
    }

    [Fact]
    public void A_fleet_is_the_same_for_the_same_seed_and_has_births_deaths_and_restarts()
    {
        var options = new FleetOptions { Targets = 40, Ticks = 40, StartMs = 1_700_000_000_000 };
        var samples = new SimulatedFleet(options).AllSamples();
        var again = new SimulatedFleet(options).AllSamples();
        var other = new SimulatedFleet(options with { Seed = 2 }).AllSamples();

        samples.Select(sample => (sample.TimestampMs, sample.Value))
            .ShouldBe(again.Select(sample => (sample.TimestampMs, sample.Value)));
        samples.Select(sample => sample.Value).ShouldNotBe(other.Select(sample => sample.Value));
        var counters = samples.Where(sample => sample.Series.IsCounter).GroupBy(sample => sample.Series).ToList();
        counters.Count(series => series.First().TimestampMs > options.StartMs + options.StepMs).ShouldBeGreaterThan(0);
        counters.Count(series => series.Last().TimestampMs < options.StartMs + 38L * options.StepMs)
            .ShouldBeGreaterThan(0);
        counters.Count(series => series.Zip(series.Skip(1)).Any(pair => pair.Second.Value < pair.First.Value))
            .ShouldBeGreaterThan(0);
    }

    [Fact]
    public async Task Remote_write_1_arrives_in_a_real_VictoriaMetrics_sample_by_sample()
    {
        Needs.Peer(Peers.VictoriaMetrics);
        var fleet = RecentFleet();
        await using var storage = await VictoriaMetricsServer.StartAsync();
        using var client = new RemoteWriteClient(storage.WriteUrl);

        await client.SendAsync(BySeries(fleet));

        ShouldHold(await storage.ExportAsync("{__name__=~\"fleet_.*\"}"), fleet);
    }

    [Fact]
    public async Task Remote_write_2_arrives_in_a_real_Prometheus_sample_by_sample()
    {
        Needs.Peer(Peers.Prometheus);
        var fleet = RecentFleet();
        await using var storage = await PrometheusServer.StartReceiverAsync();
        using var client = new RemoteWriteClient(storage.WriteUrl, RemoteWriteVersion.V2);

        await client.SendAsync(BySeries(fleet));

        ShouldHold(await storage.ReadAsync("{__name__=~\"fleet_.*\"}"), fleet);
    }

    [Fact]
    public async Task A_repeat_is_visible_in_VictoriaMetrics_without_deduplication()
    {
        Needs.Peer(Peers.VictoriaMetrics);
        var fleet = RecentFleet();
        await using var storage = await VictoriaMetricsServer.StartAsync();
        using var client = new RemoteWriteClient(storage.WriteUrl);

        await client.SendAsync(BySeries(fleet));
        await client.SendAsync(BySeries(fleet));

        var stored = await storage.ExportAsync("{__name__=~\"fleet_.*\"}");
        stored.Sum(series => series.Values.Count).ShouldBe(2 * fleet.AllSamples().Count);
        var read = await StoredWindows.ReadAsync(() => Task.FromResult(stored), 0, TimeSpan.Zero);
        read.Repeats.ShouldBe(fleet.AllSamples().Count);
    }

    [Fact]
    public async Task Real_scrapers_see_the_fleet_and_send_it_on()
    {
        Needs.Peer(Peers.VictoriaMetrics, Peers.Prometheus, Peers.Vmagent);
        var startMs = TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds();
        var fleet = new SimulatedFleet(
            new FleetOptions { StartMs = startMs, StepMs = 250, Ticks = 20, DeathShare = 0 });
        await using var storage = await VictoriaMetricsServer.StartAsync();
        await using var target = await ScrapeTarget.StartAsync(fleet);
        var config = target.ScrapeConfig(TimeSpan.FromSeconds(1));
        await using var prometheus = await PrometheusServer.StartSenderAsync(
            config, new PrometheusServer.Target(new Uri(storage.WriteUrl + "?extra_label=by=prometheus")));
        await using var vmagent = await VmagentProcess.StartAsync(
            config, [new Uri(storage.WriteUrl + "?extra_label=by=vmagent")]);

        await Task.Delay(TimeSpan.FromSeconds(9));
        await prometheus.TerminateAsync();
        await vmagent.TerminateAsync();

        foreach (var scraper in (string[])["prometheus", "vmagent"])
        {
            var stored = await storage.ExportAsync($"{{__name__=~\"fleet_.*\",by=\"{scraper}\"}}");
            ShouldBeTheSame(
                stored.Select(series => SeriesText.Of(series.Labels, "by")),
                fleet.Series.Select(series => SeriesText.Of(series.Labels)));
            stored.Min(series => series.Values.Count).ShouldBeGreaterThanOrEqualTo(2, scraper);
        }
    }

    private static SimulatedFleet RecentFleet()
    {
        var options = new FleetOptions { Targets = 5, Ticks = 30 };
        var now = TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds();
        return new SimulatedFleet(options with { StartMs = now - (long)options.Ticks * options.StepMs });
    }

    private static List<FleetSample> BySeries(SimulatedFleet fleet) =>
        [.. fleet.AllSamples().GroupBy(sample => sample.Series).SelectMany(series => series)];

    private static void ShouldHold(IReadOnlyList<StoredSeries> stored, SimulatedFleet fleet)
    {
        var expected = fleet.AllSamples()
            .Select(sample => $"{SeriesText.Of(sample.Series.Labels)} {sample.Value:R} @{sample.TimestampMs}");
        var actual = stored
            .SelectMany(series => series.TimestampsMs.Zip(series.Values)
                .Select(point => $"{SeriesText.Of(series.Labels)} {point.Second:R} @{point.First}"));
        ShouldBeTheSame(actual, expected);
    }

    /// <summary>As multisets, with a message that can be read: these lists are long.</summary>
    private static void ShouldBeTheSame(IEnumerable<string> actual, IEnumerable<string> expected)
    {
        var surplus = new Dictionary<string, int>();
        foreach (var text in actual)
        {
            surplus[text] = surplus.GetValueOrDefault(text) + 1;
        }
        foreach (var text in expected)
        {
            surplus[text] = surplus.GetValueOrDefault(text) - 1;
        }
        var wrong = surplus.Where(entry => entry.Value != 0)
            .Select(entry => $"{entry.Value:+0;-0} {entry.Key}").ToList();
        wrong.Count.ShouldBe(0, string.Join('\n', wrong.Take(6)));
    }
}
