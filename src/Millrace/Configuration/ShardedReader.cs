using System.Linq;
using Millrace.Aggregation;
using Millrace.Delivery;
using Millrace.Membership;
using Millrace.Placement;

namespace Millrace.Configuration;

/// <summary>Reads and writes the <c>sharded</c> section of a destination.</summary>
/// <param name="isCanonical">From the log: what shapes the blocks, without addresses.</param>
/// <param name="readRules">Reads what a key <c>rule_files</c> names.</param>
internal sealed class ShardedReader(
    bool isCanonical, Func<ConfigReader, IReadOnlyList<AggregationRuleConfig>> readRules)
{

    public ShardedConfig Read(ConfigReader reader)
    {
        var (scheme, kind) = reader.Choice("placement", (ShardScheme.Tasks, PlacementKind.Rendezvous),
            ("rendezvous", (ShardScheme.Tasks, PlacementKind.Rendezvous)),
            ("ring", (ShardScheme.Tasks, PlacementKind.Ring)),
            ("jump", (ShardScheme.Tasks, PlacementKind.Jump)),
            ("modulo", (ShardScheme.Tasks, PlacementKind.Modulo)),
            ("stream-metrics-route", (ShardScheme.StreamMetricsRoute, PlacementKind.Modulo)),
            ("vmagent", (ShardScheme.VmAgent, PlacementKind.Modulo)));
        var defaults = new PlacementConfig();
        var (tasks, rules) = ReadTasks(reader.Mapping("tasks"), scheme);
        var sharded = new ShardedConfig
        {
            Scheme = scheme,
            Nodes = NodeSetReader.Read(reader, isCanonical),
            Tasks = tasks,
            Rules = rules,
            Placement = new PlacementConfig
            {
                Kind = kind,
                BoundedLoad = ReadBound(reader, defaults.BoundedLoad),
                VirtualNodes = (int)reader.Number(
                    "virtual_nodes", defaults.VirtualNodes, 1, PlacementConfig.MaxVirtualNodes),
                Replicas = (int)reader.Number("replicas", defaults.Replicas, 1, PlacementConfig.MaxReplicas),
                Salt = reader.Text("salt") ?? "",
            },
            Health = HealthReader.Read(reader.Mapping("health")),
        };
        Check(reader, sharded);
        reader.Finish();
        return sharded;
    }

    /// <summary>Equal where series have the same tasks, and go by the same scheme to the same nodes.</summary>
    public static string KeyText(ShardedConfig sharded)
    {
        var writer = new CanonicalWriter();
        writer.BeginMapping();
        Write(writer, sharded with { Nodes = new NodeSetConfig() });
        writer.End();
        return writer.ToString();
    }

    /// <summary>What decides the lane and the labels of a series.</summary>
    public static void Write(CanonicalWriter writer, ShardedConfig sharded)
    {
        writer.BeginMapping("sharded");
        writer.Text("placement", sharded.Scheme switch
        {
            ShardScheme.VmAgent => "vmagent",
            ShardScheme.StreamMetricsRoute => "stream-metrics-route",
            _ => "rendezvous", // Which node gets a task is no matter of the log.
        });
        if (sharded.Scheme != ShardScheme.Tasks)
        {
            writer.BeginSequence("nodes");
            foreach (var node in sharded.Nodes.Nodes)
            {
                // The order and the text decide; of who it is and what it weighs nothing depends.
                writer.BeginMapping();
                writer.Text("name", node.Name);
                writer.Text("url", node.Url.OriginalString);
                writer.End();
            }
            writer.End();
        }
        writer.Number("replicas", sharded.Placement.Replicas);
        writer.BeginMapping("tasks");
        writer.Number("count", sharded.Tasks.Count);
        writer.OptionalTexts("by", sharded.Tasks.By);
        writer.OptionalTexts("without", sharded.Tasks.Without);
        writer.OptionalText("label", sharded.Tasks.Label);
        writer.Text("missing", sharded.Tasks.Missing == MissingLabels.KeepKey ? "keep_key" : "whole_series");
        writer.End();
        writer.End();
    }

    private (TaskKeyConfig Tasks, IReadOnlyList<ShardedRule> Rules) ReadTasks(ConfigReader reader, ShardScheme scheme)
    {
        var tasks = new TaskKeyConfig
        {
            Count = (int)reader.Number("count", TaskKeyConfig.DefaultCount, 1, TaskKeyConfig.MaxCount),
            By = reader.Texts("by"),
            Without = reader.Texts("without"),
            Label = reader.Text("label"),
            Missing = reader.Choice("missing", MissingLabels.WholeSeries,
                ("whole_series", MissingLabels.WholeSeries), ("keep_key", MissingLabels.KeepKey)),
        };
        IReadOnlyList<ShardedRule> rules = [.. RulesOf(readRules(reader))];
        if (rules.Count > 0 && tasks is { By: null, Without: null } && scheme == ShardScheme.Tasks)
        {
            tasks = RuleGrouping.DeriveKey(rules.Select(static rule => rule.Grouping), tasks.Count, tasks.Label);
        }
        if (scheme == ShardScheme.VmAgent && tasks is { By: not null, Without: not null })
        {
            reader.Report("without", "by and without exclude each other: keep one of them");
        }
        else if (scheme == ShardScheme.Tasks && tasks.Problem() is { } problem)
        {
            reader.Report("", problem);
        }
        reader.Finish();
        return (tasks, rules);
    }

    private static IEnumerable<ShardedRule> RulesOf(IReadOnlyList<AggregationRuleConfig> rules)
    {
        foreach (var rule in rules)
        {
            yield return new ShardedRule(rule.Name, rule.File, rule.Line, new RuleGrouping
            {
                By = rule.By,
                Without = rule.Without,
                Changed = rule.DropInputLabels,
                ChangesAny = rule.InputRelabelConfigs.Count > 0,
            });
        }
    }

    private static double ReadBound(ConfigReader reader, double fallback)
    {
        if (reader.Text("bounded_load") is not { } text)
        {
            return fallback;
        }
        if (double.TryParse(text, System.Globalization.CultureInfo.InvariantCulture, out var bound)
            && bound is >= 1 and <= PlacementConfig.MaxBound)
        {
            return bound;
        }
        reader.Report("bounded_load", $"\"{text}\" is not a number between 1 and {PlacementConfig.MaxBound:0}: 1.25 "
            + "lets a node have a quarter more than its share");
        return fallback;
    }

    private void Check(ConfigReader reader, ShardedConfig sharded)
    {
        var nodes = sharded.Nodes.Nodes;
        if (sharded.Scheme == ShardScheme.Tasks)
        {
            if (sharded.Lanes > ShardedConfig.MaxLanes)
            {
                reader.Report("replicas", $"{sharded.Tasks.Count} tasks in {sharded.Placement.Replicas} copies are "
                    + $"{sharded.Lanes} queues, more than {ShardedConfig.MaxLanes}: lower one of the two");
            }
            var placed = nodes.Select(static node => new PlacementNode(node.Name, node.Weight)).ToList();
            if (placed.Count > 0 && sharded.Placement.Problem(placed) is { } problem)
            {
                reader.Report("nodes", problem);
            }
            if (!isCanonical && sharded.Nodes.Kind == NodeSourceKind.List && nodes.Count > 0
                && nodes.Count < sharded.Placement.Replicas)
            {
                reader.Report("replicas", $"{sharded.Placement.Replicas} copies need as many nodes, and there are "
                    + $"{nodes.Count}: name more, or lower it");
            }
            return;
        }
        if (sharded.Nodes.Kind != NodeSourceKind.List || nodes.Count is 0 or > ShardedConfig.MaxNamedNodes)
        {
            reader.Report("nodes", "this placement goes by the order of a list: name between 1 and "
                + $"{ShardedConfig.MaxNamedNodes} nodes under nodes");
        }
        foreach (var node in nodes)
        {
            if (node.Url.UserInfo.Length > 0)
            {
                reader.Report("nodes", $"node \"{node.Name}\" has a user in its url, and this placement writes urls to "
                    + "the log: use remote_write.basic_auth");
            }
        }
    }
}
