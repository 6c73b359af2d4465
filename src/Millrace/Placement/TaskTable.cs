using System.IO;
using System.Text;
using Millrace.Model;

namespace Millrace.Placement;

/// <summary>A task that goes from one node to another.</summary>
internal readonly record struct TaskMove(int Task, string From, string To);

/// <summary>
/// Which nodes get which task, the second of the two mappings of dual scheduling. Immutable. A node is its name; an
/// index stands for a place in <see cref="Nodes"/>, which are sorted by name, but for jump and modulo, where the order
/// of the list is the placement.
/// <para>
/// <see cref="Build"/> is a pure function, so gateways that begin with the same nodes agree. What
/// <see cref="Next"/> makes with rendezvous depends on the tables before: that is the price of moving nothing but what
/// must move. Therefore a table can be kept in a file and handed on (<see cref="TaskTableText"/>), and
/// <see cref="Version"/> and <see cref="Fingerprint"/> let gateways see whether they have the same.
/// </para>
/// </summary>
internal sealed class TaskTable
{
    private readonly PlacementNode[] _nodes;
    private readonly int[] _owners;

    internal TaskTable(PlacementConfig config, PlacementNode[] nodes, int[] owners, int replicas, long version)
    {
        (Config, _nodes, _owners, Replicas, Version) = (config, nodes, owners, replicas, version);
        Fingerprint = StableFingerprint();
    }

    public PlacementConfig Config { get; }

    public IReadOnlyList<PlacementNode> Nodes => _nodes;

    /// <summary>How many nodes get each task: as configured, but not more than there are.</summary>
    public int Replicas { get; }

    public int TaskCount => _owners.Length / Replicas;

    /// <summary>One more with each table that follows on another.</summary>
    public long Version { get; }

    /// <summary>Equal for equal tables, whatever came before; the version is not in it.</summary>
    public ulong Fingerprint { get; }

    /// <summary>The first table: a function of its arguments alone.</summary>
    public static TaskTable Build(PlacementConfig config, int tasks, IReadOnlyList<PlacementNode> nodes)
    {
        var ordered = Ordered(config, nodes);
        ArgumentOutOfRangeException.ThrowIfNotEqual(tasks is >= 1 and <= TaskKeyConfig.MaxCount, true, nameof(tasks));
        return new TaskTable(config, ordered, Deal(config, tasks, ordered), ReplicasOf(config, ordered), version: 1);
    }

    /// <summary>
    /// The table for other nodes. With rendezvous nothing moves between nodes that stay as they are: the tasks of a
    /// node that is gone go to the best-ranked with room, and a new one takes its fair share from the fullest. A change
    /// of weight counts as coming, or as going in part. The other kinds are dealt anew.
    /// </summary>
    /// <param name="nodes">All nodes there are now.</param>
    /// <param name="loads">
    /// Samples per second of each task, where they are known. Then nodes above the bound are relieved, too, and room is
    /// measured by them; empty: each task counts as one.
    /// </param>
    public TaskTable Next(IReadOnlyList<PlacementNode> nodes, ReadOnlySpan<long> loads = default)
    {
        var ordered = Ordered(Config, nodes);
        var replicas = ReplicasOf(Config, ordered);
        var owners = Config.Kind == PlacementKind.Rendezvous
            ? new BoundedAssignment(Config, ordered, TaskCount, replicas, loads).Following(this, !loads.IsEmpty)
            : Deal(Config, TaskCount, ordered);
        return ordered.AsSpan().SequenceEqual(_nodes) && owners.AsSpan().SequenceEqual(_owners)
            ? this : new TaskTable(Config, ordered, owners, replicas, Version + 1);
    }

    /// <summary>The index of a task's node.</summary>
    /// <param name="task">From 0.</param>
    /// <param name="choice">From 0 up to, not including, <see cref="Replicas"/>.</param>
    public int NodeOf(int task, int choice = 0) => NodesOf(task)[choice];

    /// <summary>The indices of all nodes of a task: all different.</summary>
    public ReadOnlySpan<int> NodesOf(int task) => _owners.AsSpan(task * Replicas, Replicas);

    /// <summary>The index of a node; −1: there is none of the name.</summary>
    public int IndexOf(string name) => Array.FindIndex(_nodes, node => node.Name == name);

    /// <summary>Where the tasks are while some nodes are not well.</summary>
    /// <param name="isHealthy">By index of node.</param>
    public TaskOverlay Overlay(ReadOnlySpan<bool> isHealthy) => TaskOverlay.Of(this, isHealthy);

    /// <summary>
    /// Whether gateways that have both should take the other: the later version, and of one version the one that
    /// everybody agrees on, the larger fingerprint.
    /// </summary>
    public bool YieldsTo(TaskTable other) =>
        (other.Version, other.Fingerprint).CompareTo((Version, Fingerprint)) > 0;

    /// <summary>The fullest node against its fair share: 1 is even.</summary>
    /// <param name="loads">Samples per second of each task; empty: each task counts as one.</param>
    public double Imbalance(ReadOnlySpan<long> loads = default)
    {
        var carried = new double[_nodes.Length];
        var (total, weights) = (0.0, 0L);
        for (var unit = 0; unit < _owners.Length; unit++)
        {
            var load = loads.IsEmpty ? 1.0 : loads[unit / Replicas];
            carried[_owners[unit]] += load;
            total += load;
        }
        foreach (var node in _nodes)
        {
            weights += node.Weight;
        }
        var fullest = 0.0;
        for (var node = 0; node < carried.Length; node++)
        {
            fullest = Math.Max(fullest, carried[node] / _nodes[node].Weight);
        }
        return total > 0 ? fullest * weights / total : 1;
    }

    /// <summary>What changes hands between this table and another of as many tasks.</summary>
    public List<TaskMove> MovesTo(TaskTable next)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(next.TaskCount, TaskCount);
        var moves = new List<TaskMove>();
        var (left, joined) = (new List<string>(), new List<string>());
        var (indexThere, indexHere) = (IndicesIn(next._nodes), next.IndicesIn(_nodes));
        for (var task = 0; task < TaskCount; task++)
        {
            CollectOnlyHere(task, next, indexThere, left);
            next.CollectOnlyHere(task, this, indexHere, joined);
            for (var i = 0; i < Math.Max(left.Count, joined.Count); i++)
            {
                // Where there are more replicas than before, or fewer, a copy comes from nowhere, or goes there.
                moves.Add(new TaskMove(task, i < left.Count ? left[i] : "", i < joined.Count ? joined[i] : ""));
            }
        }
        return moves;
    }

    /// <summary>By index of a node here its index among others; −1: it is not there.</summary>
    public int[] IndicesIn(ReadOnlySpan<PlacementNode> others)
    {
        var byName = new Dictionary<string, int>();
        for (var node = 0; node < others.Length; node++)
        {
            byName.Add(others[node].Name, node);
        }
        return Array.ConvertAll(_nodes, node => byName.GetValueOrDefault(node.Name, -1));
    }

    private void CollectOnlyHere(int task, TaskTable other, int[] indexThere, List<string> names)
    {
        names.Clear();
        foreach (var node in NodesOf(task))
        {
            if (!other.NodesOf(task).Contains(indexThere[node]))
            {
                names.Add(_nodes[node].Name);
            }
        }
    }

    private static int[] Deal(PlacementConfig config, int tasks, PlacementNode[] nodes)
    {
        var replicas = ReplicasOf(config, nodes);
        if (config.Kind == PlacementKind.Rendezvous)
        {
            return new BoundedAssignment(config, nodes, tasks, replicas, loads: []).Fresh();
        }
        var ranking = NodeRanking.Of(config, nodes);
        var order = new int[nodes.Length];
        var owners = new int[tasks * replicas];
        for (var task = 0; task < tasks; task++)
        {
            ranking.Rank(task, order);
            order.AsSpan(0, replicas).CopyTo(owners.AsSpan(task * replicas));
        }
        return owners;
    }

    private static int ReplicasOf(PlacementConfig config, PlacementNode[] nodes) =>
        Math.Min(config.Replicas, nodes.Length);

    private static PlacementNode[] Ordered(PlacementConfig config, IReadOnlyList<PlacementNode> nodes)
    {
        if (config.Problem(nodes) is { } problem)
        {
            throw new ArgumentException(problem, nameof(nodes));
        }
        PlacementNode[] ordered = [.. nodes];
        if (config.Kind is PlacementKind.Rendezvous or PlacementKind.Ring)
        {
            Array.Sort(ordered, static (a, b) => Utf8Order.Compare(a.Name, b.Name));
        }
        return ordered;
    }

    /// <summary>Little-endian numbers and length-delimited names, in the order of the fields.</summary>
    private ulong StableFingerprint()
    {
        var bytes = new MemoryStream();
        using (var writer = new BinaryWriter(bytes, Encoding.UTF8))
        {
            writer.Write((int)Config.Kind);
            writer.Write(Config.BoundedLoad);
            writer.Write(Config.VirtualNodes);
            writer.Write(Config.Replicas);
            writer.Write(Config.Salt);
            writer.Write(_nodes.Length);
            foreach (var (name, weight) in _nodes)
            {
                writer.Write(name);
                writer.Write(weight);
            }
            foreach (var owner in _owners)
            {
                writer.Write(owner);
            }
        }
        return StableHash.Hash64(bytes.ToArray());
    }
}
