using System.Text.Json.Serialization;

namespace Millrace.Placement;

/// <summary>How tasks are dealt to nodes.</summary>
public enum PlacementKind
{
    /// <summary>The best-ranked node with room. Only the tasks of nodes that come or go move.</summary>
    [JsonStringEnumMemberName("rendezvous")]
    Rendezvous = 0,

    /// <summary>The next of the nodes' points on a ring. Only tasks of nodes that come or go move; no bound.</summary>
    [JsonStringEnumMemberName("ring")]
    Ring = 1,

    /// <summary>Jump consistent hash: cheap to move only where nodes come and go at the end of the list.</summary>
    [JsonStringEnumMemberName("jump")]
    Jump = 2,

    /// <summary>Task modulo nodes: nearly all tasks move when a node comes or goes.</summary>
    [JsonStringEnumMemberName("modulo")]
    Modulo = 3,
}

/// <summary>A node as placement knows it.</summary>
/// <param name="Name">Its identity, which outlives changes of its address.</param>
/// <param name="Weight">Its share of the tasks against the others'.</param>
public readonly record struct PlacementNode(string Name, int Weight = 1);

/// <summary>How tasks are dealt to the nodes of a destination.</summary>
public sealed record PlacementConfig
{
    public const int MaxNodes = 1024;
    public const int MaxWeight = 100;
    public const int MaxNameChars = 512;
    public const int MaxReplicas = 16;
    public const int MaxVirtualNodes = 1000;
    public const double MaxBound = 10;

    /// <summary>Points of a ring, all nodes together: 64 MiB while it is built.</summary>
    private const long MaxPoints = 4 << 20;

    public PlacementKind Kind { get; init; } = PlacementKind.Rendezvous;

    /// <summary>With rendezvous: how much more than its fair share a node may get.</summary>
    public double BoundedLoad { get; init; } = 1.25;

    /// <summary>With ring: points per node and unit of weight.</summary>
    public int VirtualNodes { get; init; } = 150;

    /// <summary>How many nodes get each task; never more than there are.</summary>
    public int Replicas { get; init; } = 1;

    /// <summary>Another text deals the tasks otherwise.</summary>
    public string Salt { get; init; } = "";

    /// <summary>What is wrong with it and the nodes, for whoever wrote them; null: nothing.</summary>
    public string? Problem(IReadOnlyList<PlacementNode> nodes)
    {
        if (!Enum.IsDefined(Kind))
        {
            return $"kind {(int)Kind} is not known";
        }
        if (!(BoundedLoad is >= 1 and <= MaxBound))
        {
            return $"the bound of the load is {BoundedLoad}; it must lie between 1 and {MaxBound}";
        }
        if (VirtualNodes is < 1 or > MaxVirtualNodes)
        {
            return $"virtual nodes are {VirtualNodes}; they must lie between 1 and {MaxVirtualNodes}";
        }
        if (Replicas is < 1 or > MaxReplicas)
        {
            return $"replicas are {Replicas}; they must lie between 1 and {MaxReplicas}";
        }
        return Salt.Length > MaxNameChars ? $"the salt has more than {MaxNameChars} characters" : ProblemOf(nodes);
    }

    private string? ProblemOf(IReadOnlyList<PlacementNode> nodes)
    {
        if (nodes.Count is 0 or > MaxNodes)
        {
            return $"there are {nodes.Count} nodes; there must be between 1 and {MaxNodes}";
        }
        var names = new HashSet<string>();
        var weights = 0L;
        foreach (var (name, weight) in nodes)
        {
            if (name is null or "" || name.Length > MaxNameChars)
            {
                return $"a node's name must have between 1 and {MaxNameChars} characters";
            }
            if (weight is < 1 or > MaxWeight)
            {
                return $"the weight of node \"{name}\" is {weight}; it must lie between 1 and {MaxWeight}";
            }
            if (!names.Add(name))
            {
                return $"two nodes have the name \"{name}\"; a name is a node's identity";
            }
            weights += weight;
        }
        return Kind == PlacementKind.Ring && weights * VirtualNodes > MaxPoints
            ? $"the ring would have {weights * VirtualNodes} points; lower weights or virtual nodes to {MaxPoints}"
            : null;
    }
}
