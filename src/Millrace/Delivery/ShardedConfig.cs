using Millrace.Membership;
using Millrace.Placement;

namespace Millrace.Delivery;

/// <summary>How series are dealt to the nodes of a sharded destination.</summary>
public enum ShardScheme
{
    /// <summary>Series to tasks, by stable hash of the task key; tasks to nodes, by a table.</summary>
    Tasks,

    /// <summary>As <c>stream-metrics-route</c> does.</summary>
    StreamMetricsRoute,

    /// <summary>As vmagent does with <c>-remoteWrite.shardByURL</c>.</summary>
    VmAgent,
}

/// <summary>A rule of the aggregators behind a sharded destination.</summary>
internal sealed record ShardedRule(string Name, string File, int Line, RuleGrouping Grouping);

/// <summary>What makes a destination a sharded one: its nodes, and who of them gets what.</summary>
public sealed record ShardedConfig
{
    /// <summary>Where a scheme of others names a node, and not a task, each node has so many lanes.</summary>
    public const int LanesPerNode = 4;

    /// <summary>With such a scheme: the number of lanes is fixed, that of nodes is not.</summary>
    public const int MaxNamedNodes = 64;

    /// <summary>One task and its copies must not be too many.</summary>
    public const int MaxLanes = 4096;

    public ShardScheme Scheme { get; init; }

    public NodeSetConfig Nodes { get; init; } = new();

    public TaskKeyConfig Tasks { get; init; } = new();

    public PlacementConfig Placement { get; init; } = new();

    public HealthConfig Health { get; init; } = new();

    /// <summary>Of the aggregators behind it, as far as the configuration knows them.</summary>
    internal IReadOnlyList<ShardedRule> Rules { get; init; } = [];

    /// <summary>Lanes that it takes: one per task and copy, or some per node.</summary>
    public int Lanes => Scheme == ShardScheme.Tasks
        ? Tasks.Count * Placement.Replicas : MaxNamedNodes * LanesPerNode;
}
