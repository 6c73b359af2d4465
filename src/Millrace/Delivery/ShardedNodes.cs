using Millrace.Membership;
using Millrace.Placement;

namespace Millrace.Delivery;

/// <summary>
/// Who gets what of a sharded destination: brings together which nodes there are, which of them are well, and which
/// tasks each has, and tells the destination. Passive; its lock makes it fit for several callers.
/// </summary>
/// <remarks>
/// Nodes that come or go make another table, which is kept on disk. A node that is not well keeps its place in the
/// table: its tasks are lent to others, with what waits for them, and come back.
/// </remarks>
internal sealed class ShardedNodes
{
    /// <summary>Requests at once to one node: as many as a plain destination has lanes.</summary>
    private const int MostRequests = 16;

    private readonly Lock _lock = new(); // covers everything below
    private readonly Destination _destination;
    private readonly ShardedConfig _config;
    private readonly TaskTableFile _file;
    private readonly Dictionary<string, BackendNode> _nodes = new(StringComparer.Ordinal);
    private IReadOnlyList<Node> _set = [];
    private bool[] _areUp = [];
    private TaskTable? _table;
    private TaskOverlay? _overlay;
    private NodeAssignment _assignment;
    private TaskLoad _load = TaskLoad.None;
    private long[] _measuredSamples = [];
    private long _measuredAtMs;

    /// <param name="destination">A sharded one.</param>
    /// <param name="file">Where its table is kept.</param>
    public ShardedNodes(Destination destination, TaskTableFile file)
    {
        (_destination, _file) = (destination, file);
        _config = destination.Config.Sharded
            ?? throw new ArgumentException("The destination is not a sharded one.", nameof(destination));
        _assignment = new NodeAssignment([], new BackendNode?[destination.Lanes]);
        Health = new Health(_config.Health);
        Source = new MembershipSource(_config.Nodes);
        SetNodes(Source.Current.Nodes);
    }

    public Destination Destination => _destination;

    /// <summary>Which nodes there are.</summary>
    public MembershipSource Source { get; }

    /// <summary>Which of them are well. Where a scheme of others names the node, it changes nothing.</summary>
    public Health Health { get; }

    /// <summary>Null before the first nodes were found, and where the scheme has no table.</summary>
    public TaskTable? Table => Volatile.Read(ref _table);

    /// <summary>The table as it is in force while some nodes are not well.</summary>
    public TaskOverlay? Overlay => Volatile.Read(ref _overlay);

    public NodeAssignment Assignment => Volatile.Read(ref _assignment);

    public TaskLoad Load => Volatile.Read(ref _load);

    /// <summary>How many lanes a node has now.</summary>
    public int LanesOf(BackendNode node) => Array.FindAll(Assignment.OfLane, other => other == node).Length;

    /// <summary>How often the tasks were dealt anew, because nodes came or went.</summary>
    public long Rehashes { get; private set; }

    /// <summary>Tasks, with their copies, that changed hands since the start, for whatever reason.</summary>
    public long MovedTasks { get; private set; }

    /// <summary>Why the nodes that were found get no tasks, or the table is not on disk; null: all is well.</summary>
    public string? TableProblem { get; private set; }

    /// <summary>Called after <see cref="SetNodes"/>, outside of the lock.</summary>
    public Action<IReadOnlyList<Node>>? NodesSet { get; set; }

    /// <param name="set">All nodes there are.</param>
    /// <param name="isFallback">
    /// Nothing was found yet: what there is gets everything, and the table, which is about the nodes, is left as it is.
    /// </param>
    public void SetNodes(IReadOnlyList<Node> set, bool isFallback = false)
    {
        PlacementNode[] nodes = Array.ConvertAll([.. set], static node => new PlacementNode(node.Name, node.Weight));
        lock (_lock)
        {
            var isDealt = _config.Scheme == ShardScheme.Tasks && set.Count > 0 && !isFallback;
            if (isDealt && _config.Placement.Problem(nodes) is { } problem)
            {
                TableProblem = problem; // What was found cannot be dealt to: the last good set stays.
                return;
            }
            _set = set;
            Health.SetNodes(set);
            foreach (var node in set)
            {
                if (_nodes.TryGetValue(node.Name, out var known))
                {
                    known.Url = node.Url;
                }
                else
                {
                    _nodes.Add(node.Name, new BackendNode(
                        node.Name, node.Url, _destination.Config, Math.Min(MostRequests, _destination.Lanes)));
                }
            }
            if (isDealt)
            {
                FollowLocked(nodes);
            }
            ApplyLocked(isForced: true);
        }
        NodesSet?.Invoke(set);
    }

    /// <summary>Some node may have become well, or ceased to be.</summary>
    public void HealthChanged()
    {
        lock (_lock)
        {
            ApplyLocked(isForced: false);
        }
    }

    /// <summary>Sees what the tasks carried since the call before. Called every few seconds.</summary>
    public void Measure(long nowMs)
    {
        lock (_lock)
        {
            if (_table is not { } table)
            {
                return;
            }
            // The first copy of each task; the others carry the same.
            var samples = new long[table.TaskCount];
            _destination.SamplesOfLanes(samples);
            if (_measuredSamples.Length == samples.Length && nowMs > _measuredAtMs)
            {
                var since = new long[samples.Length];
                for (var task = 0; task < since.Length; task++)
                {
                    since[task] = samples[task] - _measuredSamples[task];
                }
                Volatile.Write(
                    ref _load, TaskLoad.Measure(_load, since, (nowMs - _measuredAtMs) / 1e3, table));
            }
            (_measuredSamples, _measuredAtMs) = (samples, nowMs);
        }
    }

    /// <summary>Deals tasks anew, by what each of them carries.</summary>
    public void Rebalance()
    {
        lock (_lock)
        {
            if (_table is { } table)
            {
                ReplaceLocked(table.Next([.. table.Nodes], _load.Loads()));
                ApplyLocked(isForced: true);
            }
        }
    }

    private void FollowLocked(PlacementNode[] nodes)
    {
        var before = _table ?? _file.Read();
        if (before is null || before.Config != _config.Placement || before.TaskCount != _config.Tasks.Count)
        {
            ReplaceLocked(TaskTable.Build(_config.Placement, _config.Tasks.Count, nodes));
            return;
        }
        // By count alone, so that all gateways come to the same table, whatever they measured.
        ReplaceLocked(before.Next(nodes));
    }

    private void ReplaceLocked(TaskTable table)
    {
        if (ReferenceEquals(table, _table) && TableProblem is null)
        {
            return;
        }
        Rehashes += _table is null || ReferenceEquals(table, _table) ? 0 : 1;
        Volatile.Write(ref _table, table);
        TableProblem = _file.TryWrite(table) is { } problem ? $"the table is not on disk: {problem}" : null;
    }

    private void ApplyLocked(bool isForced)
    {
        bool[] areUp = Array.ConvertAll([.. _set], node => Health.IsUp(node.Name));
        if (!isForced && areUp.AsSpan().SequenceEqual(_areUp))
        {
            return;
        }
        _areUp = areUp;
        var ofLane = new BackendNode?[_destination.Lanes];
        if (_config.Scheme != ShardScheme.Tasks || _table is null)
        {
            for (var lane = 0; lane < ofLane.Length && _set.Count > 0; lane++)
            {
                // What waits for a node that the list does not have any more goes to those that it has; a fallback gets
                // everything.
                ofLane[lane] = _nodes[_set[lane / ShardedConfig.LanesPerNode % _set.Count].Name];
            }
        }
        else
        {
            AssignTasksLocked(_table, ofLane);
        }
        MovedTasks += CountMoves(_assignment.OfLane, ofLane);
        var assignment = new NodeAssignment(Array.ConvertAll([.. _set], node => _nodes[node.Name]), ofLane);
        Volatile.Write(ref _assignment, assignment);
        _destination.Assign(assignment);
        GiveUpLocked(assignment);
    }

    private void AssignTasksLocked(TaskTable table, BackendNode?[] ofLane)
    {
        var isHealthy = new bool[table.Nodes.Count];
        for (var i = 0; i < isHealthy.Length; i++)
        {
            isHealthy[i] = Health.IsUp(table.Nodes[i].Name);
        }
        var overlay = table.Overlay(isHealthy);
        Volatile.Write(ref _overlay, overlay);
        for (var task = 0; task < table.TaskCount; task++)
        {
            for (var copy = 0; copy < table.Replicas; copy++)
            {
                ofLane[copy * table.TaskCount + task] =
                    _nodes[table.Nodes[overlay.NodeOf(task, copy)].Name];
            }
        }
    }

    /// <summary>
    /// Nobody waits any longer for the answers of a node that has nothing left: it is gone, or it is not well.
    /// </summary>
    private void GiveUpLocked(NodeAssignment assignment)
    {
        List<string> gone = [];
        foreach (var (name, node) in _nodes)
        {
            if (Array.IndexOf(assignment.OfLane, node) < 0)
            {
                node.GiveUp();
            }
            if (Array.IndexOf(assignment.Nodes, node) < 0)
            {
                gone.Add(name);
            }
        }
        gone.ForEach(name => _nodes.Remove(name));
    }

    private static long CountMoves(BackendNode?[] before, BackendNode?[] after)
    {
        var moves = 0L;
        for (var lane = 0; lane < before.Length; lane++)
        {
            moves += before[lane] is { } from && !ReferenceEquals(from, after[lane]) ? 1 : 0;
        }
        return moves;
    }
}
