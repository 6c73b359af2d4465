using System.IO;
using System.Net.Http;
using Millrace.TestKit.Fleet;
using Millrace.TestKit.Processes;
using Millrace.TestKit.Sharding;

namespace Millrace.SystemTests.Sharding;

/// <summary>
/// A node joins those behind two gateways while a fleet sends: the list in both configurations gets longer. Nodes that
/// record take the place of aggregators, so that each sample can be followed.
/// </summary>
public sealed class JoinTests(ITestOutputHelper output)
{
    private const int Tasks = 32;

    private static readonly FleetOptions Fleet = new()
    {
        Seed = 5,
        Targets = 40,
        CountersPerTarget = 6,
        GaugesPerTarget = 0,
        Jobs = 12,
        StepMs = 250,
        Ticks = 36,
        BirthShare = 0,
        DeathShare = 0,
        RestartShare = 0,
    };

    [Fact]
    public async Task A_node_that_joins_under_load_takes_its_tasks_and_no_sample_is_lost_or_repeated()
    {
        await Needs.GatewayAsync();
        await using var a = new RecordingNodeProcess("agg-0");
        await using var b = new RecordingNodeProcess("agg-1");
        await using var c = new RecordingNodeProcess("agg-2");
        await using var joining = new RecordingNodeProcess("agg-3");
        RecordingNodeProcess[] nodes = [a, b, c, joining];
        await Task.WhenAll(nodes.Select(node => node.StartAsync()));
        await using var first = new MillraceProcess();
        await using var second = new MillraceProcess();
        MillraceProcess[] gateways = [first, second];
        await Task.WhenAll(gateways.Select(gateway => gateway.StartAsync(ConfigText(nodes[..3]))));
        var fleet = new SimulatedFleet(Fleet with
        {
            StartMs = TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds() + 500,
        });
        using var firstClient = new RemoteWriteClient(first.WriteUrl);
        using var secondClient = new RemoteWriteClient(second.WriteUrl);

        var load = new FleetDriver(fleet, shards: 4).RunAsync([firstClient, secondClient]);
        await Task.Delay(TimeSpan.FromSeconds(3));
        await ReloadAsync(first, nodes);
        await Task.Delay(TimeSpan.FromMilliseconds(700)); // For a while the gateways have two lists.
        await ReloadAsync(second, nodes);
        var bothKnowAt = TimeProvider.System.GetTimestamp();
        await load;
        await Task.WhenAll(gateways.Select(gateway => gateway.DrainAsync()));

        var arrivals = nodes.SelectMany(node => node.Read()).OrderBy(arrival => arrival.AtTicks).ToList();
        var sent = fleet.AllSamples().Count;
        arrivals.Count.ShouldBe(sent);
        arrivals.DistinctBy(arrival => (arrival.Series, arrival.TimestampMs)).Count().ShouldBe(sent);
        CheckSeries(arrivals, joining.Name);
        CheckTasks(arrivals, bothKnowAt);
        var moved = arrivals.Where(arrival => arrival.Node == joining.Name).Select(arrival => arrival.Task).Distinct();
        moved.Count().ShouldBeInRange(1, Tasks / 3);
        output.WriteLine($"{sent} samples, each at one node; {moved.Count()} of {Tasks} tasks moved");
    }

    /// <summary>One task for good, one node before and at most the new one after, in order.</summary>
    private static void CheckSeries(List<Arrival> arrivals, string joining)
    {
        foreach (var series in arrivals.GroupBy(arrival => arrival.Series))
        {
            series.DistinctBy(arrival => arrival.Task).Count().ShouldBe(1, series.Key);
            var nodes = series.Select(arrival => arrival.Node).ToList();
            nodes.SkipWhile(node => node == nodes[0]).ShouldAllBe(node => node == joining, series.Key);
            series.Select(arrival => arrival.TimestampMs).ShouldBeInOrder(SortDirection.Ascending, series.Key);
        }
    }

    /// <summary>When both gateways know it, a task has one node, whichever gateway a series comes through.</summary>
    private static void CheckTasks(List<Arrival> arrivals, long bothKnowAt)
    {
        // What was sent to the node of before may still be under way for a moment.
        var settledAt = bothKnowAt + TimeProvider.System.TimestampFrequency;
        foreach (var task in arrivals.Where(arrival => arrival.AtTicks > settledAt).GroupBy(arrival => arrival.Task))
        {
            task.DistinctBy(arrival => arrival.Node).Count().ShouldBe(1, $"nodes of task {task.Key}");
        }
    }

    private static string ConfigText(IEnumerable<RecordingNodeProcess> nodes) => $$"""
        destinations:
        - name: aggregators
          flush_interval: 100ms
          remote_write: {protocol: prometheus_v1}
          sharded:
            nodes:
            {{string.Join("\n    ", nodes.Select(node => $"- {{name: {node.Name}, url: \"{node.Url}\"}}"))}}
            tasks: {count: {{Tasks}}, without: [pod, instance], label: {{Arrival.TaskLabel}}}
        """;

    private static async Task ReloadAsync(MillraceProcess gateway, RecordingNodeProcess[] nodes)
    {
        var before = await File.ReadAllTextAsync(gateway.ConfigPath);
        var after = before[..before.IndexOf("destinations:", StringComparison.Ordinal)] + ConfigText(nodes);
        await File.WriteAllTextAsync(gateway.ConfigPath, after);
        using var http = new HttpClient();
        using var answer = await http.PostAsync(new Uri(gateway.BaseUrl, "-/reload"), null);
        answer.IsSuccessStatusCode.ShouldBeTrue(await answer.Content.ReadAsStringAsync());
    }
}
