using System.Globalization;
using System.Linq;
using Millrace.Delivery;
using Millrace.Model;
using Millrace.Pipeline;
using Millrace.Placement;
using Millrace.Web;

namespace Millrace.Server.Commands;

/// <summary>Which task and which node of a sharded destination a series belongs to, in words.</summary>
internal static class ShardExplainer
{
    /// <param name="destination">A sharded one.</param>
    /// <param name="series">As the destination's relabeling leaves it.</param>
    /// <param name="report">Of a running gateway; null: the first table for the nodes of the configuration.</param>
    /// <param name="sent">With what the destination adds.</param>
    public static IEnumerable<string> Explain(
        DestinationConfig destination, LabelSet series, ShardReport? report, out LabelSet sent)
    {
        var sharded = destination.Sharded!;
        var plan = new LanePlan(destination, sharded.Lanes);
        sent = plan.LabelsOf(series);
        return sharded.Scheme == ShardScheme.Tasks
            ? OfTask(sharded, series, report)
            : OfNamedNodes(sharded, plan, sent);
    }

    private static IEnumerable<string> OfNamedNodes(ShardedConfig sharded, LanePlan plan, LabelSet sent)
    {
        for (var copy = 0; copy < plan.Copies; copy++)
        {
            var node = sharded.Nodes.Nodes[plan.LaneOf(sent, copy) / ShardedConfig.LanesPerNode];
            var scheme = sharded.Scheme == ShardScheme.VmAgent ? "vmagent" : "stream-metrics-route";
            yield return $"node \"{node.Name}\", where {scheme} puts it";
        }
    }

    private static IEnumerable<string> OfTask(ShardedConfig sharded, LabelSet series, ShardReport? report)
    {
        var key = new TaskKey(sharded.Tasks);
        var task = key.TaskOf(series);
        yield return string.Create(
            CultureInfo.InvariantCulture, $"task {task} of {sharded.Tasks.Count}, by {key.KeyOf(series)}");
        if (report is not null)
        {
            foreach (var line in OfGateway(report, task))
            {
                yield return line;
            }
            yield break;
        }
        if (sharded.Nodes.Nodes.Count == 0)
        {
            yield return "its node is known where the nodes are: name a running gateway (millrace route --gateway)";
            yield break;
        }
        var table = TaskTable.Build(
            sharded.Placement, sharded.Tasks.Count,
            [.. sharded.Nodes.Nodes.Select(static node => new PlacementNode(node.Name, node.Weight))]);
        foreach (var node in table.NodesOf(task).ToArray())
        {
            yield return $"node \"{table.Nodes[node].Name}\", by the first table of these nodes";
        }
    }

    private static IEnumerable<string> OfGateway(ShardReport report, int task)
    {
        if (task >= report.Owners.Count)
        {
            yield return "the gateway has no node for it";
            yield break;
        }
        for (var copy = 0; copy < report.Owners[task].Length; copy++)
        {
            var (owner, home) = (NameOf(report, report.Owners[task][copy]), NameOf(report, report.Homes[task][copy]));
            yield return $"node \"{owner}\", by version {report.TableVersion} of the gateway's table"
                + (owner == home ? "" : $"; at home it is at \"{home}\", which is down");
        }
    }

    private static string NameOf(ShardReport report, int node) =>
        node >= 0 && node < report.Nodes.Count ? report.Nodes[node].Name : "?";
}
