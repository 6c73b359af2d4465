using Millrace.TestKit.Fleet;
using Millrace.TestKit.Processes;

namespace Millrace.SystemTests.Crash;

/// <summary>
/// Two gateways get the same fleet; one of them is ended at random moments under load and started again. What it
/// delivers must be what the other delivers, and both the truth.
/// </summary>
public sealed class RestartTests
{
    private static readonly IncreaseRule Rule = new(TimeSpan.FromSeconds(2));

    private static readonly FleetOptions Fleet = new() { Targets = 60, StepMs = 250, Ticks = 80 };

    /// <summary>Kills of a run; more of them, for the record, by the environment variable MILLRACE_KILLS.</summary>
    private static readonly int Kills =
        int.TryParse(Environment.GetEnvironmentVariable("MILLRACE_KILLS"), out var kills) ? kills : 4;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Kill_9_under_load_changes_no_window(int seed)
    {
        var run = await RunAsync(seed, Kills, downtime: TimeSpan.Zero, millrace => millrace.Kill9Async());

        run.ShouldEqualUndisturbed();
        // A block whose answer was lost is sent again, at most one per lane and kill, as the same bytes.
        run.Disturbed.MostRepeatsOfOnePoint.ShouldBeLessThanOrEqualTo(Kills);
        run.RepeatsByCountOverTime.ShouldBe(run.Disturbed.Repeats);
    }

    [Fact]
    public async Task Kill_9_and_a_downtime_longer_than_a_window_change_no_window()
    {
        var run = await RunAsync(seed: 3, ends: 1, Rule.Interval * 2.5, millrace => millrace.Kill9Async());

        run.ShouldEqualUndisturbed();
        run.Disturbed.MostRepeatsOfOnePoint.ShouldBeLessThanOrEqualTo(1);
    }

    [Fact]
    public async Task A_graceful_restart_changes_no_window_and_repeats_nothing()
    {
        var run = await RunAsync(
            seed: 4, ends: 3, downtime: TimeSpan.FromMilliseconds(300), async millrace =>
                (await millrace.TerminateAsync()).ShouldBe(0, millrace.Process.Output));

        run.ShouldEqualUndisturbed();
        run.Disturbed.Repeats.ShouldBe(0);
        run.RepeatsByCountOverTime.ShouldBe(0);
    }

    private static async Task<Outcome> RunAsync(
        int seed, int ends, TimeSpan downtime, Func<MillraceProcess, Task> end)
    {
        Needs.Peer(Peers.VictoriaMetrics);
        await Needs.GatewayAsync();
        await using var storage = await VictoriaMetricsServer.StartAsync();
        await using var otherStorage = await VictoriaMetricsServer.StartAsync();
        await using var disturbed = new MillraceProcess();
        await using var undisturbed = new MillraceProcess();
        await disturbed.StartAsync(Rule.ConfigText(storage.WriteUrl), $", base_interval: 3s");
        await undisturbed.StartAsync(Rule.ConfigText(otherStorage.WriteUrl));
        var ticks = Math.Max(Fleet.Ticks, ends * 20);
        var fleet = new SimulatedFleet(
            Fleet with { Seed = seed, StartMs = Rule.NextUntouchedWindowMs(), Ticks = ticks });
        using var client = new RemoteWriteClient(disturbed.WriteUrl) { MaxBackoff = TimeSpan.FromSeconds(1) };
        using var otherClient = new RemoteWriteClient(undisturbed.WriteUrl);
        var driver = new FleetDriver(fleet, shards: 8);

        var sending = Task.WhenAll(driver.RunAsync(client), driver.RunAsync(otherClient));
        await DisturbAsync(disturbed, fleet, new Random(seed), ends, downtime, end);
        await sending;

        var truth = Rule.TruthOf(fleet);
        return new Outcome(
            await ReadAsync(storage, truth), await ReadAsync(otherStorage, truth), truth,
            await RepeatsAsync(storage, truth));
    }

    /// <summary>Ends the process so many times, each at a random moment of its share of the fleet's life.</summary>
    private static async Task DisturbAsync(
        MillraceProcess millrace, SimulatedFleet fleet, Random random, int ends, TimeSpan downtime,
        Func<MillraceProcess, Task> end)
    {
        var shareMs = (fleet.EndMs - fleet.Options.StartMs) / ends;
        for (var i = 0; i < ends; i++)
        {
            var momentMs = fleet.Options.StartMs + i * shareMs + random.NextInt64(shareMs);
            var wait = momentMs - TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds();
            await Task.Delay(TimeSpan.FromMilliseconds(Math.Max(0, wait)));
            await end(millrace);
            await Task.Delay(downtime);
            await millrace.RestartAsync();
        }
    }

    private static Task<StoredWindows> ReadAsync(VictoriaMetricsServer storage, WindowTable truth) =>
        StoredWindows.ReadAsync(
            () => storage.ExportAsync(Rule.OutputSelector), truth.Count, TimeSpan.FromSeconds(25));

    /// <summary>The repeats as a reader meets them: what <c>sum_over_time</c> would count twice.</summary>
    private static async Task<double?> RepeatsAsync(VictoriaMetricsServer storage, WindowTable truth)
    {
        var count = await storage.QueryAsync(
            $"sum(count_over_time({Rule.OutputSelector}[1h]))", TimeProvider.System.GetUtcNow());
        return count - truth.Count;
    }

    private sealed record Outcome(
        StoredWindows Disturbed, StoredWindows Undisturbed, WindowTable Truth, double? RepeatsByCountOverTime)
    {
        public void ShouldEqualUndisturbed()
        {
            Undisturbed.ShouldBeExactly(Truth, "the undisturbed gateway");
            Undisturbed.Repeats.ShouldBe(0);
            Disturbed.ShouldBeExactly(Undisturbed.Values, "the disturbed gateway");
        }
    }
}
