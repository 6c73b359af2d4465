using System.Diagnostics;
using System.Globalization;
using System.IO;
using Millrace.TestKit.Fleet;
using Millrace.TestKit.Processes;
using Millrace.TestKit.Sharding;

namespace Millrace.SystemTests.Sharding;

/// <summary>
/// A gateway with a sharded destination of three nodes and a plain one that is always well, a fleet that sends, and
/// faults of the nodes. When all have ended and nothing waits any longer, what arrived is judged.
/// </summary>
internal sealed class FaultRun
{
    private const string Sharded = "destination=\"nodes\"";
    private const string Steady = "destination=\"steady\"";
    private static readonly TimeSpan DrainTimeout = TimeSpan.FromSeconds(60);

    private readonly IReadOnlyList<Fault> _faults;
    private readonly SimulatedFleet _fleet;
    private readonly HashSet<(string Series, long TimestampMs)> _arrived = [];
    private List<Arrival> _atNodes = [];
    private List<Arrival> _atSteady = [];
    private Dictionary<Fault, long> _beganAtTicks = [];
    private MetricsText _metrics = new("");

    private FaultRun(int seed, IReadOnlyList<Fault> faults, int ticks)
    {
        _faults = faults;
        _fleet = new SimulatedFleet(new FleetOptions
        {
            Seed = seed,
            Targets = 24,
            CountersPerTarget = 4,
            GaugesPerTarget = 1,
            StepMs = 250,
            Ticks = ticks,
            StartMs = NowMs + 500,
            BirthShare = 0,
            DeathShare = 0,
            RestartShare = 0,
        });
    }

    private static long NowMs => TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds();

    public int Sent { get; private set; }

    /// <summary>Sent and acknowledged, and at no node.</summary>
    public int Missing => Sent - _arrived.Count;

    public long RefusedForGood { get; private set; }

    public long Repeated => _atNodes.Count - _arrived.Count;

    public TimeSpan SteadyLag { get; private set; }

    public static async Task<FaultRun> RunAsync(FaultRig rig, int seed, IReadOnlyList<Fault> faults, int ticks)
    {
        var nodes = rig.Nodes;
        using var folder = new TemporaryFolder("nodes");
        var nodesFile = folder.File("nodes.yml");
        await File.WriteAllTextAsync(nodesFile, FaultPlayer.FileText(nodes));
        await using var gateway = new MillraceProcess();
        await gateway.StartAsync(ConfigText(nodesFile, rig.Steady.Url));

        var run = new FaultRun(seed, faults, ticks);
        var player = new FaultPlayer(nodes, nodesFile);
        using var client = new RemoteWriteClient(gateway.WriteUrl);
        var load = Task.WhenAll(new FleetDriver(run._fleet, shards: 4).RunAsync(client), player.PlayAsync(faults));
        while (!load.IsCompleted)
        {
            CheckLedger(await gateway.ScrapeAsync());
            await Task.WhenAny(load, Task.Delay(1_000));
        }
        await load;
        await run.DrainAsync(gateway);
        run._beganAtTicks = player.BeganAtTicks;
        // The nodes have seen runs before.
        var startMs = run._fleet.Options.StartMs;
        run._atNodes = [.. nodes.SelectMany(node => node.Read(startMs)).OrderBy(arrival => arrival.AtTicks)];
        run._atSteady = rig.Steady.Read(startMs);
        return run;
    }

    /// <summary>G1, G2, G7 and G8.</summary>
    public void Check()
    {
        CheckConservation();
        CheckSteady();
        CheckOrder(_atNodes);
        CheckOrder(_atSteady);
        foreach (var tasks in _atNodes.GroupBy(arrival => arrival.Series))
        {
            tasks.DistinctBy(arrival => arrival.Task).Count().ShouldBe(1, $"tasks of {tasks.Key}");
        }
    }

    /// <summary>
    /// From the beginning of a fault until every series had a sample arrive that was due after it: until all tasks
    /// flow.
    /// </summary>
    public TimeSpan TimeToFlow(Fault fault)
    {
        var began = _beganAtTicks[fault];
        var slowest = TimeSpan.Zero;
        foreach (var series in _atNodes.GroupBy(arrival => arrival.Series))
        {
            // What came later than the fault and was due later than anything that had come before.
            var newest = series.Where(arrival => arrival.AtTicks <= began).Max(arrival => arrival.TimestampMs);
            var first = series.First(arrival =>
                arrival.AtTicks > began && arrival.TimestampMs > newest + _fleet.Options.StepMs);
            var time = Stopwatch.GetElapsedTime(began, first.AtTicks);
            slowest = time > slowest ? time : slowest;
        }
        return slowest;
    }

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{string.Join(", ", _faults)}: {Sent} sent, {_arrived.Count} arrived, {Repeated} repeated, "
        + $"{RefusedForGood} refused for good, steady at most {SteadyLag.TotalSeconds:0.0} s behind");

    private static string ConfigText(string nodesFile, Uri steady) => $$"""
        destinations:
        - name: nodes
          flush_interval: 100ms
          remote_write: {protocol: prometheus_v1, send_timeout: 5s, retry_min_interval: 200ms, retry_max_interval: 2s}
          sharded:
            file: {{nodesFile}}
            tasks: {count: 32, label: {{Arrival.TaskLabel}}}
        - name: steady
          flush_interval: 100ms
          remote_write: {url: "{{steady}}", protocol: prometheus_v1}
        """;

    /// <summary>Holds in every scrape.</summary>
    private static void CheckLedger(MetricsText metrics)
    {
        foreach (var destination in (string[])[Sharded, Steady])
        {
            State(metrics, destination, "queued").ShouldBe(
                State(metrics, destination, "delivered") + State(metrics, destination, "parked")
                + State(metrics, destination, "dropped")
                + metrics.Sum("millrace_destination_pending_samples", destination), destination);
        }
    }

    private static double State(MetricsText metrics, string destination, string state) =>
        metrics.Sum("millrace_destination_samples_total", destination, $"state=\"{state}\"");

    private async Task DrainAsync(MillraceProcess gateway)
    {
        Sent = _fleet.AllSamples().Count;
        var clock = Stopwatch.StartNew();
        while (true)
        {
            _metrics = await gateway.ScrapeAsync();
            CheckLedger(_metrics);
            if (State(_metrics, Sharded, "queued") >= Sent && State(_metrics, Steady, "queued") >= Sent
                && _metrics.Sum("millrace_destination_pending_samples") == 0)
            {
                return;
            }
            clock.Elapsed.ShouldBeLessThan(
                DrainTimeout, $"{State(_metrics, Sharded, "queued")} of {Sent} queued, "
                + $"{_metrics.Sum("millrace_destination_pending_samples")} pending\n{gateway.Process.Output}");
            await Task.Delay(200);
        }
    }

    private void CheckConservation()
    {
        var sent = _fleet.AllSamples().ToDictionary(
            sample => (PlainText(sample.Series), sample.TimestampMs),
            sample => BitConverter.DoubleToInt64Bits(sample.Value));
        foreach (var arrival in _atNodes)
        {
            sent.TryGetValue((arrival.Series, arrival.TimestampMs), out var bits).ShouldBeTrue(arrival.ToString());
            arrival.Bits.ShouldBe(bits, arrival.ToString());
            _arrived.Add((arrival.Series, arrival.TimestampMs));
        }
        var delivered = State(_metrics, Sharded, "delivered");
        RefusedForGood = (long)(State(_metrics, Sharded, "parked") + State(_metrics, Sharded, "dropped"));
        _metrics.Sum("millrace_ingest_samples_total").ShouldBe(Sent);
        (delivered + RefusedForGood).ShouldBe(Sent);
        // What is counted as delivered is there; so what is missing is counted.
        ((double)_arrived.Count).ShouldBeGreaterThanOrEqualTo(delivered);
        if (!_faults.Any(fault => fault.RefusesForGood))
        {
            RefusedForGood.ShouldBe(0);
            Missing.ShouldBe(0);
        }
    }

    /// <summary>The other destination got everything, once, and on time, whatever happened beside it.</summary>
    private void CheckSteady()
    {
        State(_metrics, Steady, "delivered").ShouldBe(Sent);
        _atSteady.Count.ShouldBe(Sent);
        _atSteady.DistinctBy(arrival => (arrival.Series, arrival.TimestampMs)).Count().ShouldBe(Sent);
        foreach (var arrival in _atSteady)
        {
            var dueMs = _fleet.Options.StartMs + (_fleet.TickAt(arrival.TimestampMs) + 1L) * _fleet.Options.StepMs;
            var lag = TimeSpan.FromMilliseconds(arrival.AtMs - dueMs);
            SteadyLag = lag > SteadyLag ? lag : SteadyLag;
        }
        // Far above what a loaded machine needs, and below what the faults last.
        SteadyLag.ShouldBeLessThan(TimeSpan.FromSeconds(5));
    }

    /// <summary>First arrivals of each series come in the order of its timestamps, at whatever nodes.</summary>
    internal static void CheckOrder(IEnumerable<Arrival> arrivals)
    {
        var seen = new Dictionary<string, (HashSet<long> Timestamps, Arrival Newest)>();
        foreach (var arrival in arrivals)
        {
            if (!seen.TryGetValue(arrival.Series, out var known))
            {
                seen.Add(arrival.Series, ([arrival.TimestampMs], arrival));
            }
            else if (known.Timestamps.Add(arrival.TimestampMs))
            {
                arrival.TimestampMs.ShouldBeGreaterThan(
                    known.Newest.TimestampMs, $"{arrival} came after {known.Newest}");
                seen[arrival.Series] = (known.Timestamps, arrival);
            }
        }
    }

    private static string PlainText(FleetSeries series)
    {
        var labels = series.Labels.Skip(1).Select(label => $"{label.Key}=\"{label.Value}\",");
        return $"{series.Labels[0].Value}{{{string.Concat(labels)}}}";
    }
}
