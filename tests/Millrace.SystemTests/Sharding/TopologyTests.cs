using System.Diagnostics;
using System.Globalization;
using System.IO;
using System.Net.Http;
using Millrace.TestKit.Fleet;
using Millrace.TestKit.Processes;

namespace Millrace.SystemTests.Sharding;

/// <summary>
/// The hybrid topology for real: two gateways deal one fleet to real vmagents that aggregate, which write to a real
/// VictoriaMetrics. Together they must say what one aggregator would have said.
/// </summary>
public sealed class TopologyTests(ITestOutputHelper output)
{
    private const int Tasks = 32;

    private const string TaskLabel = "stream_task_id";

    private const string OutputName = SimulatedFleet.CounterName + ":2s_without_instance_pod_";

    /// <summary>
    /// Every series with its first value before, and with its last one after, so that nothing hangs on whether an
    /// aggregator takes the first samples or the last ones in time: it closes windows when it pleases.
    /// </summary>
    private const int QuietTicks = 8;

    private const string Rules = $$"""
        - match: '{{SimulatedFleet.CounterName}}'
          interval: 2s
          without: [pod, instance]
          outputs: [total, increase]
          enable_windows: true
          staleness_interval: 1m
          ignore_first_sample_interval: 1h
        """;

    private static readonly TimeSpan Settle = TimeSpan.FromSeconds(25);

    private static readonly FleetOptions Fleet = new()
    {
        Seed = 3,
        Targets = 48,
        CountersPerTarget = 8,
        GaugesPerTarget = 0,
        Jobs = 8,
        StepMs = 500,
        Ticks = 20,
        BirthShare = 0,
        DeathShare = 0,
        RestartShare = 0,
    };

    [Theory]
    [InlineData(3)]
    [InlineData(5)]
    [InlineData(8)]
    public async Task Over_real_aggregators_the_sum_over_tasks_is_the_true_increase(int aggregators)
    {
        Assert.SkipUnless(
            aggregators == 3 || Environment.GetEnvironmentVariable("MILLRACE_TOPOLOGY") == "1",
            "More than three aggregators only with MILLRACE_TOPOLOGY=1.");
        Needs.Peer(Peers.VictoriaMetrics, Peers.Vmagent);
        await Needs.GatewayAsync();
        using var folder = new TemporaryFolder("topology");
        await File.WriteAllTextAsync(folder.File("rules.yml"), Rules);
        await using var storage = await VictoriaMetricsServer.StartAsync(TimeSpan.FromMilliseconds(1));
        var vmagents = await Task.WhenAll(Enumerable.Range(0, aggregators).Select(_ => VmagentProcess.StartAsync(
            "", [storage.WriteUrl], $"-streamAggr.config={folder.File("rules.yml")}", "-memory.allowedBytes=64MB",
            "-remoteWrite.queues=1")));
        try
        {
            var fleet = await SendAsync(ConfigText(vmagents));
            var taken = await Task.WhenAll(vmagents.Select(TakenAsync));
            taken.ShouldAllBe(samples => samples > 0);
            taken.Sum().ShouldBe(fleet.AllSamples().Count + 2 * QuietTicks * fleet.Series.Count);
            await JudgeAsync(storage, fleet, aggregators);
        }
        finally
        {
            foreach (var vmagent in vmagents)
            {
                await vmagent.DisposeAsync();
            }
        }
    }

    private static async Task<SimulatedFleet> SendAsync(string configText)
    {
        await using var first = new MillraceProcess();
        await using var second = new MillraceProcess();
        await Task.WhenAll(first.StartAsync(configText), second.StartAsync(configText));
        using var firstClient = new RemoteWriteClient(first.WriteUrl);
        using var secondClient = new RemoteWriteClient(second.WriteUrl);
        var fleet = new SimulatedFleet(Fleet with
        {
            StartMs = TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds() + QuietTicks * Fleet.StepMs,
        });
        var all = fleet.AllSamples();
        await SendQuietAsync(firstClient, secondClient, all[..fleet.Series.Count], -QuietTicks);
        await new FleetDriver(fleet, shards: 4).RunAsync([firstClient, secondClient]);
        await SendQuietAsync(firstClient, secondClient, all[^fleet.Series.Count..], 1);
        foreach (var gateway in (MillraceProcess[])[first, second])
        {
            await gateway.DrainAsync();
        }
        return fleet;
    }

    private static async Task SendQuietAsync(
        RemoteWriteClient first, RemoteWriteClient second, List<FleetSample> samples, int firstTick)
    {
        for (var tick = firstTick; tick < firstTick + QuietTicks; tick++)
        {
            await Task.Delay(Fleet.StepMs);
            var shiftMs = Fleet.StepMs * tick;
            // As the driver deals them: its shards go to the clients in turn.
            var shifted = samples.Select(sample => sample with { TimestampMs = sample.TimestampMs + shiftMs })
                .ToLookup(sample => sample.Series.Target % 2 == 0);
            await first.SendAsync([.. shifted[true]]);
            await second.SendAsync([.. shifted[false]]);
        }
    }

    private static async Task<double> TakenAsync(VmagentProcess vmagent)
    {
        using var http = new HttpClient();
        var metrics = new MetricsText(await http.GetStringAsync(new Uri(vmagent.BaseUrl, "metrics")));
        return metrics.Sum("vmagent_rows_inserted_total", "type=\"promremotewrite\"");
    }

    private async Task JudgeAsync(VictoriaMetricsServer storage, SimulatedFleet fleet, int aggregators)
    {
        var truth = TrueIncrease(fleet);
        var clock = Stopwatch.StartNew();
        var increases = await SumsAsync(storage);
        while (!increases.SequenceEqual(truth) && clock.Elapsed < Settle)
        {
            await Task.Delay(500);
            increases = await SumsAsync(storage);
        }
        increases.ShouldBe(truth);

        var totals = await storage.ExportAsync($"{{__name__=\"{OutputName}total\"}}");
        totals.ToDictionary(GroupOf, series => series.Values[^1]).OrderBy(pair => pair.Key, StringComparer.Ordinal)
            .ShouldBe(truth);
        var tasks = totals.Select(series => int.Parse(series.Labels[TaskLabel], CultureInfo.InvariantCulture))
            .Distinct().ToList();
        tasks.ShouldAllBe(task => task >= 0 && task < Tasks);
        tasks.Count.ShouldBeGreaterThan(aggregators);
        output.WriteLine(
            $"{aggregators} aggregators: {truth.Count} output series, {tasks.Count} tasks, "
            + $"increase {truth.Sum(group => group.Value)}");
    }

    /// <summary>All windows of each output series together; a series that two tasks wrote is an error.</summary>
    private static async Task<List<KeyValuePair<string, double>>> SumsAsync(VictoriaMetricsServer storage)
    {
        var series = await storage.ExportAsync($"{{__name__=\"{OutputName}increase\"}}");
        var sums = new SortedDictionary<string, double>(StringComparer.Ordinal);
        foreach (var stored in series)
        {
            sums.TryAdd(GroupOf(stored), stored.Values.Sum()).ShouldBeTrue($"{GroupOf(stored)} has two tasks");
        }
        return [.. sums];
    }

    private static List<KeyValuePair<string, double>> TrueIncrease(SimulatedFleet fleet)
    {
        var sums = new SortedDictionary<string, double>(StringComparer.Ordinal);
        foreach (var series in fleet.AllSamples().GroupBy(sample => sample.Series))
        {
            var group = SeriesText.Of(series.Key.Labels, "__name__", SimulatedFleet.InstanceLabel);
            sums[group] = sums.GetValueOrDefault(group) + series.Last().Value - series.First().Value;
        }
        return [.. sums];
    }

    private static string GroupOf(StoredSeries series) => SeriesText.Of(series.Labels, "__name__", TaskLabel);

    private static string ConfigText(IEnumerable<VmagentProcess> vmagents) => $$"""
        destinations:
        - name: aggregators
          flush_interval: 100ms
          sharded:
            nodes:
            {{string.Join(
                "\n    ", vmagents.Select((vmagent, i) => $"- {{name: agg-{i}, url: \"{vmagent.WriteUrl}\"}}"))}}
            tasks: {count: {{Tasks}}, without: [pod, instance], label: {{TaskLabel}}}
        """;
}
