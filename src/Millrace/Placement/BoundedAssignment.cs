namespace Millrace.Placement;

/// <summary>
/// Deals tasks to nodes by rendezvous with bounded load: a task goes to the best-ranked node that has room. A task with
/// replicas is dealt as several copies, which never meet on a node.
/// <para>
/// Room is given out up to half of what the bound allows (1.125 for 1.25), so that the nodes that stay are still within
/// the bound when others have come and their fair share has shrunk. A node that comes takes from the fullest, the tasks
/// that rank it highest first, until it has its fair share; therefore tables become more even with each one that comes.
/// </para>
/// </summary>
internal sealed class BoundedAssignment
{
    /// <summary>Above this a load counts as this, so that no sum overflows: 10¹² × 4096 × 16 × 100 &lt; 2⁶³.</summary>
    private const long MaxTaskLoad = 1_000_000_000_000;

    private const int Nobody = -1;

    private readonly RendezvousRanking _ranking;
    private readonly PlacementNode[] _nodes;
    private readonly int _tasks;
    private readonly int _replicas;
    private readonly long[] _loads;
    private readonly int[] _byLoad;
    private readonly long[] _fair;
    private readonly long[] _room;
    private readonly long[] _most;

    private readonly int[] _owners;
    private readonly long[] _carried;
    private readonly bool[] _isTaker;
    private readonly int[] _order;

    public BoundedAssignment(
        PlacementConfig config, PlacementNode[] nodes, int tasks, int replicas, ReadOnlySpan<long> loads)
    {
        if (!loads.IsEmpty)
        {
            ArgumentOutOfRangeException.ThrowIfNotEqual(loads.Length, tasks, nameof(loads));
        }
        (_nodes, _tasks, _replicas) = (nodes, tasks, replicas);
        _ranking = new RendezvousRanking(config, nodes);
        _loads = new long[tasks];
        _byLoad = new int[tasks];
        var total = 0L;
        for (var task = 0; task < tasks; task++)
        {
            _byLoad[task] = task;
            _loads[task] = loads.IsEmpty ? 1 : Math.Clamp(loads[task], 0, MaxTaskLoad);
            total += _loads[task] * replicas;
        }
        Array.Sort(_byLoad, (a, b) => _loads[a] != _loads[b] ? _loads[b].CompareTo(_loads[a]) : a - b);
        var weights = Array.ConvertAll(nodes, static node => node.Weight);
        var bound = Permille(config.BoundedLoad);
        var shares = NodeShares.Of(total, weights, bound);
        (_fair, _most) = (shares.Fair, shares.Most);
        _room = NodeShares.Of(total, weights, 1000 + (bound - 1000) / 2).Within;
        _owners = new int[tasks * replicas];
        Array.Fill(_owners, Nobody);
        _carried = new long[nodes.Length];
        _isTaker = new bool[nodes.Length];
        _order = new int[nodes.Length];
    }

    public static int Permille(double bound) => (int)Math.Round(bound * 1000);

    /// <summary>Each task's nodes, from nothing.</summary>
    public int[] Fresh()
    {
        PlaceFree();
        return _owners;
    }

    /// <summary>Each task's nodes, with as little moved as may be.</summary>
    /// <param name="previous">As it was.</param>
    /// <param name="relieve">Take tasks from nodes above the bound although nothing became of them.</param>
    public int[] Following(TaskTable previous, bool relieve)
    {
        var indexNow = previous.IndicesIn(_nodes);
        Keep(previous, indexNow);
        var weightBefore = new int[_nodes.Length];
        for (var node = 0; node < indexNow.Length; node++)
        {
            if (indexNow[node] >= 0)
            {
                weightBefore[indexNow[node]] = previous.Nodes[node].Weight;
            }
        }
        // Where all nodes are others there is nothing to take, and the table is that of a start.
        var mayTake = Array.Exists(_owners, static owner => owner != Nobody);
        for (var node = 0; node < _nodes.Length; node++)
        {
            _isTaker[node] = mayTake && _nodes[node].Weight > weightBefore[node];
            if (_nodes[node].Weight < weightBefore[node] || (relieve && _carried[node] > _most[node]))
            {
                Relieve(node);
            }
        }
        PlaceFree();
        for (var node = 0; node < _nodes.Length; node++)
        {
            if (_isTaker[node])
            {
                Pull(node);
            }
        }
        return _owners;
    }

    /// <summary>
    /// A copy on a node that is still there stays, and keeps its number, unless there are fewer copies than before:
    /// then one that is left over takes the place of one that is gone.
    /// </summary>
    private void Keep(TaskTable previous, int[] indexNow)
    {
        for (var task = 0; task < _tasks; task++)
        {
            var before = previous.NodesOf(task);
            for (var choice = 0; choice < before.Length; choice++)
            {
                var number = choice < _replicas ? choice : Copies(task).IndexOf(Nobody);
                if (indexNow[before[choice]] >= 0 && number >= 0)
                {
                    Give(task, number, indexNow[before[choice]]);
                }
            }
        }
    }

    /// <summary>
    /// Frees copies until the node is back where it has room: the largest that does not free too much, of equals the
    /// one that ranks the node lowest. A task that is too large for any node stays and loses its company.
    /// </summary>
    private void Relieve(int node)
    {
        while (_carried[node] > _room[node])
        {
            var excess = _carried[node] - _room[node];
            var (best, smallest) = (Nobody, Nobody);
            for (var unit = 0; unit < _owners.Length; unit++)
            {
                var load = _loads[unit / _replicas];
                if (_owners[unit] != node || load == 0)
                {
                    continue;
                }
                if (load <= excess && (best == Nobody || IsRatherFreed(unit, best, node)))
                {
                    best = unit;
                }
                if (load > excess && (smallest == Nobody || load < _loads[smallest / _replicas]))
                {
                    smallest = unit;
                }
            }
            var freed = best != Nobody ? best : smallest;
            if (freed == Nobody || _loads[freed / _replicas] == _carried[node])
            {
                return;
            }
            _carried[node] -= _loads[freed / _replicas];
            _owners[freed] = Nobody;
        }
    }

    private bool IsRatherFreed(int unit, int than, int node)
    {
        var (task, other) = (unit / _replicas, than / _replicas);
        return _loads[task] != _loads[other] ? _loads[task] > _loads[other]
            : _ranking.Score(task, node) < _ranking.Score(other, node);
    }

    /// <summary>Gives every copy that nobody has to a node, the largest first.</summary>
    private void PlaceFree()
    {
        for (var choice = 0; choice < _replicas; choice++)
        {
            foreach (var task in _byLoad)
            {
                if (_owners[task * _replicas + choice] == Nobody)
                {
                    Give(task, choice, BestFor(task));
                }
            }
        }
    }

    /// <summary>
    /// A node that has come, up to its fair share; else the best-ranked with room; else the one that is least full.
    /// </summary>
    private int BestFor(int task)
    {
        _ranking.Rank(task, _order);
        var (withRoom, withinBound, leastFull) = (Nobody, Nobody, Nobody);
        foreach (var node in _order)
        {
            if (Copies(task).Contains(node))
            {
                continue;
            }
            var load = _carried[node] + _loads[task];
            if (_isTaker[node] && load <= _fair[node])
            {
                return node;
            }
            withRoom = withRoom == Nobody && load <= _room[node] ? node : withRoom;
            withinBound = withinBound == Nobody && load <= _most[node] ? node : withinBound;
            if (leastFull == Nobody
                || load * _nodes[leastFull].Weight < (_carried[leastFull] + _loads[task]) * _nodes[node].Weight)
            {
                leastFull = node;
            }
        }
        return withRoom != Nobody ? withRoom : withinBound != Nobody ? withinBound : leastFull;
    }

    /// <summary>Takes from the fullest until a node that has come has its fair share.</summary>
    private void Pull(int taker)
    {
        var scores = new ulong[_tasks];
        for (var task = 0; task < _tasks; task++)
        {
            scores[task] = _ranking.Score(task, taker);
        }
        var isSpent = new bool[_nodes.Length];
        while (Fullest(taker, isSpent) is var donor and not Nobody)
        {
            var best = Nobody;
            for (var unit = 0; unit < _owners.Length; unit++)
            {
                var task = unit / _replicas;
                if (_owners[unit] == donor && _loads[task] > 0 && _carried[taker] + _loads[task] <= _fair[taker]
                    && !Copies(task).Contains(taker) && (best == Nobody || scores[task] > scores[best / _replicas]))
                {
                    best = unit;
                }
            }
            if (best == Nobody)
            {
                isSpent[donor] = true;
                continue;
            }
            _carried[donor] -= _loads[best / _replicas];
            Give(best / _replicas, best % _replicas, taker);
        }
    }

    /// <summary>Of the nodes above their fair share the fullest by weight.</summary>
    private int Fullest(int taker, ReadOnlySpan<bool> isSpent)
    {
        var fullest = Nobody;
        for (var node = 0; node < _nodes.Length; node++)
        {
            if (node != taker && !isSpent[node] && _carried[node] > _fair[node] && (fullest == Nobody
                || _carried[node] * _nodes[fullest].Weight > _carried[fullest] * _nodes[node].Weight))
            {
                fullest = node;
            }
        }
        return fullest;
    }

    private void Give(int task, int choice, int node)
    {
        _owners[task * _replicas + choice] = node;
        _carried[node] += _loads[task];
    }

    private ReadOnlySpan<int> Copies(int task) => _owners.AsSpan(task * _replicas, _replicas);
}
