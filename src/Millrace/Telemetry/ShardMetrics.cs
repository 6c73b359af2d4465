using System.Globalization;
using Millrace.Delivery;

namespace Millrace.Telemetry;

/// <summary>
/// Sharded destinations: their nodes, where they are found, and their tasks. Nothing where there are none.
/// </summary>
internal static class ShardMetrics
{
    public static void Write(ExpositionWriter page, IReadOnlyList<ShardedNodes> sharded)
    {
        if (sharded.Count == 0)
        {
            return;
        }
        WriteNodes(page, sharded);
        WriteMembership(page, sharded);
        WriteTasks(page, sharded);
    }

    private static void WriteNodes(ExpositionWriter page, IReadOnlyList<ShardedNodes> sharded)
    {
        page.Gauge("millrace_sharding_endpoints", "Nodes that there are.");
        WriteEach(page, sharded, static nodes => nodes.Assignment.Nodes.Length);
        page.Gauge("millrace_sharding_node_up", "1 while a node is well.");
        WriteNodes(page, sharded, static (nodes, node) => nodes.Health.IsUp(node.Name) ? 1 : 0);
        page.Counter("millrace_sharding_samples_total", "Samples that a node took.");
        WriteNodes(page, sharded, static (_, node) => node.DeliveredSamples);
        page.Counter("millrace_sharding_export_errors_total", "Requests to a node that were not answered with 2xx.");
        WriteNodes(page, sharded, static (_, node) => node.FailedRequests);
        page.Gauge("millrace_sharding_requests_under_way", "Requests to a node that are not answered yet.");
        WriteNodes(page, sharded, static (_, node) => node.RequestsOut);
        page.Gauge("millrace_sharding_pending_samples", "Samples queued for the tasks that a node has now.");
        foreach (var nodes in sharded)
        {
            foreach (var (node, pending) in nodes.Destination.PendingOfNodes())
            {
                page.Sample(pending, ("destination", nodes.Destination.Name), ("node", node.Name));
            }
        }
        page.Histogram("millrace_sharding_export_latency_seconds", "How long the answers of a node took.");
        var bounds = Array.ConvertAll(LatencyHistogram.BoundsMs, static bound => bound / 1e3);
        foreach (var nodes in sharded)
        {
            foreach (var node in nodes.Assignment.Nodes)
            {
                page.Buckets(
                    bounds, node.Latency.Counts(), node.Latency.SumMs / 1e3,
                    ("destination", nodes.Destination.Name), ("node", node.Name));
            }
        }
    }

    private static void WriteMembership(ExpositionWriter page, IReadOnlyList<ShardedNodes> sharded)
    {
        page.Counter("millrace_sharding_lookups_total", "Looks at where the nodes are found: DNS, or a file.");
        WriteEach(page, sharded, static nodes => nodes.Source.Status.Looks);
        page.Counter("millrace_sharding_lookup_errors_total", "Looks that failed, or found nobody.");
        WriteEach(page, sharded, static nodes => nodes.Source.Status.Errors + nodes.Source.Status.EmptyAnswers);
        page.Counter("millrace_sharding_lookup_seconds_total", "Time spent on looks.");
        WriteEach(page, sharded, static nodes => nodes.Source.Status.LatencySumMs / 1e3);
        page.Counter("millrace_sharding_health_changes_total", "How often the set of nodes that are down changed.");
        WriteEach(page, sharded, static nodes => nodes.Health.Changes);
    }

    private static void WriteTasks(ExpositionWriter page, IReadOnlyList<ShardedNodes> sharded)
    {
        page.Counter("millrace_sharding_rehash_total", "How often tasks were dealt anew, because nodes came or went.");
        WriteEach(page, sharded, static nodes => nodes.Rehashes);
        page.Counter("millrace_sharding_moved_tasks_total", "Tasks that changed hands, for whatever reason.");
        WriteEach(page, sharded, static nodes => nodes.MovedTasks);
        page.Gauge("millrace_sharding_displaced_tasks", "Tasks that are lent to others while their node is down.");
        WriteEach(page, sharded, static nodes => nodes.Overlay?.Displaced ?? 0);
        page.Gauge(
            "millrace_sharding_imbalance_ratio",
            "Samples per second of the busiest node, by its weight, to what is its fair share.");
        WriteEach(page, sharded, static nodes => nodes.Load.Imbalance);
        page.Gauge("millrace_sharding_hot_tasks", "Tasks that carry more than the fair share of a node.");
        WriteEach(page, sharded, static nodes => nodes.Load.HotTasks.Count);
        page.Gauge("millrace_sharding_table_version", "Version of the table that deals tasks to nodes.");
        WriteEach(page, sharded, static nodes => nodes.Table?.Version ?? 0);
        page.Gauge("millrace_sharding_tasks", "Tasks that a node has now, with their copies.");
        WriteNodes(page, sharded, static (nodes, node) => nodes.LanesOf(node));
        page.Gauge("millrace_sharding_task_samples_per_second", "What a task carries, as of late.");
        foreach (var nodes in sharded)
        {
            var rates = nodes.Load.Rates;
            for (var task = 0; task < rates.Count; task++)
            {
                page.Sample(
                    rates[task], ("destination", nodes.Destination.Name),
                    ("task", task.ToString(CultureInfo.InvariantCulture)));
            }
        }
    }

    private static void WriteEach(
        ExpositionWriter page, IReadOnlyList<ShardedNodes> sharded, Func<ShardedNodes, double> read)
    {
        foreach (var nodes in sharded)
        {
            page.Sample(read(nodes), ("destination", nodes.Destination.Name));
        }
    }

    private static void WriteNodes(
        ExpositionWriter page, IReadOnlyList<ShardedNodes> sharded, Func<ShardedNodes, BackendNode, double> read)
    {
        foreach (var nodes in sharded)
        {
            foreach (var node in nodes.Assignment.Nodes)
            {
                page.Sample(read(nodes, node), ("destination", nodes.Destination.Name), ("node", node.Name));
            }
        }
    }
}
