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
