using System.Diagnostics;
using System.Net.Http;
using Millrace.TestKit.Fleet;
using Millrace.TestKit.Processes;

namespace Millrace.SystemTests.EndToEnd;

/// <summary>One request in ten comes half an interval or one and a half intervals late.</summary>
public sealed class LateSamplesTests
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(4);

    private static readonly LatePlan Late = new(Seed: 3, Share: 0.1, [Interval * 0.5, Interval * 1.5]);

    private static readonly FleetOptions Fleet = new() { Targets = 40, StepMs = 250, Ticks = 80 };

    [Fact]
    public async Task Inside_the_lateness_the_order_of_arrival_does_not_matter()
    {
        Needs.Peer(Peers.VictoriaMetrics);
        await Needs.GatewayAsync();
        var rule = new IncreaseRule(Interval) { AllowedLateness = Interval * 2 };

        var (stored, truth) = await RunAsync(rule, Fleet);

        stored.ShouldBeExactly(truth);
        stored.Repeats.ShouldBe(0);
    }

    /// <summary>
    /// A sample that comes after its window closed is not in that window, but its increase is in a later one. Without
    /// restarts, as a late sample may be the only witness of what was counted before one.
    /// </summary>
    [Fact]
    public async Task Beyond_the_lateness_the_long_run_total_stays_exact()
    {
        Needs.Peer(Peers.VictoriaMetrics);
        await Needs.GatewayAsync();
        var rule = new IncreaseRule(Interval) { AllowedLateness = Interval * 0.75 };
        var steady = Fleet with { RestartShare = 0, DeathShare = 0, BirthShare = 0 };

        var (stored, truth) = await RunAsync(rule, steady);

        (stored with { Values = stored.Values.Totals() }).ShouldBeExactly(truth.Totals());
        stored.Values.DifferenceFrom(truth).Length.ShouldBeGreaterThan(0, "nothing was late: the test shows nothing");
        stored.Repeats.ShouldBe(0);
    }

    /// <summary>VictoriaMetrics shows the larger of two values: a correction that falls is never seen.</summary>
    [Fact]
    public async Task A_window_is_written_again_when_a_late_sample_changes_it()
    {
        Needs.Peer(Peers.VictoriaMetrics);
        await Needs.GatewayAsync();
        await using var storage = await VictoriaMetricsServer.StartAsync(TimeSpan.FromMilliseconds(1));
        await using var millrace = new MillraceProcess();
        await millrace.StartAsync($$"""
            aggregation:
              rules:
              - {match: orders, interval: 4s, allowed_lateness: 1s, outputs: [count_samples, max, min, total],
                 without: [pod], first_sample: zero, late: correct, corrections_for: 1m}
            destinations:
            - {name: storage, remote_write: {url: {{storage.WriteUrl}}}, corrections: true}
            """);
        using var http = new HttpClient();
        var startMs = new IncreaseRule(Interval).NextUntouchedWindowMs();
        var end = DateTimeOffset.FromUnixTimeMilliseconds(startMs + 4_000);
        async Task SendAsync(double second, double value)
        {
            using var body = new StringContent($"orders{{pod=\"a\"}} {value} {startMs + (long)(second * 1_000)}\n");
            (await http.PostAsync(new Uri(millrace.BaseUrl, "api/v1/import/prometheus"), body))
                .IsSuccessStatusCode.ShouldBeTrue();
        }
        async Task<double?> StoredAsync(string output) =>
            await storage.QueryAsync($"last_over_time(orders:4s_without_pod_{output}[1s])", end);
        async Task WaitForAsync(string output, double value)
        {
            var clock = Stopwatch.StartNew();
            while (await StoredAsync(output) != value)
            {
                clock.Elapsed.ShouldBeLessThan(TimeSpan.FromSeconds(40), $"{output} has not become {value}");
                await Task.Delay(200);
            }
        }

        await Task.Delay(TimeSpan.FromMilliseconds(
            startMs + 2_000 - TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds()));
        await SendAsync(1, 5);
        await SendAsync(2, 7);
        await WaitForAsync("count_samples", 2);
        (await StoredAsync("total")).ShouldBe(2);
        await SendAsync(1.5, 4); // It falls to 4: a reset, which adds what comes after it.
        await SendAsync(3, 9);

        await WaitForAsync("count_samples", 4);
        await WaitForAsync("max", 9);
        await WaitForAsync("total", 9);
        (await StoredAsync("min")).ShouldBe(5, "4 was written, and is not seen");
        var metrics = await millrace.ScrapeAsync();
        metrics.Sum("millrace_aggregation_correcting_samples_total").ShouldBe(2);
        metrics.Sum("millrace_aggregation_corrections_total").ShouldBeGreaterThanOrEqualTo(4);
        metrics.Sum("millrace_aggregation_late_samples_total").ShouldBe(0);
        metrics.Sum("millrace_destination_samples_total", "state=\"parked\"").ShouldBe(0);
    }

    private static async Task<(StoredWindows Stored, WindowTable Truth)> RunAsync(
        IncreaseRule rule, FleetOptions options)
    {
        await using var storage = await VictoriaMetricsServer.StartAsync();
        await using var millrace = new MillraceProcess();
        await millrace.StartAsync(rule.ConfigText(storage.WriteUrl));
        var fleet = new SimulatedFleet(options with { StartMs = rule.NextUntouchedWindowMs() });
        using var client = new RemoteWriteClient(millrace.WriteUrl);

        await new FleetDriver(fleet, shards: 8, Late).RunAsync(client);

        var truth = rule.TruthOf(fleet);
        var timeout = rule.AllowedLateness + TimeSpan.FromSeconds(12);
        var stored = await StoredWindows.ReadAsync(
            () => storage.ExportAsync(rule.OutputSelector), truth.Count, timeout);
        return (stored, truth);
    }
}
