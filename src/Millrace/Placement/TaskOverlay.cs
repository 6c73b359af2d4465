namespace Millrace.Placement;

/// <summary>
/// A table while some of its nodes are not well: a pure function of the table and of who is healthy, so that gateways
/// that see the same nodes down send alike. Tasks of healthy nodes stay; those of the others go to the next-ranked
/// healthy node that has room, counted in tasks. Where nobody is healthy, or every healthy node has a copy already, a
/// task stays at home and waits in its queue.
/// </summary>
internal sealed class TaskOverlay
{
    private readonly int[] _owners;

    private TaskOverlay(TaskTable table, int[] owners, int displaced) =>
        (Table, _owners, Displaced) = (table, owners, displaced);

    public TaskTable Table { get; }

    /// <summary>How many copies of tasks are away from home.</summary>
    public int Displaced { get; }

    public int NodeOf(int task, int choice = 0) => NodesOf(task)[choice];

    public ReadOnlySpan<int> NodesOf(int task) => _owners.AsSpan(task * Table.Replicas, Table.Replicas);

    public static TaskOverlay Of(TaskTable table, ReadOnlySpan<bool> isHealthy)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(isHealthy.Length, table.Nodes.Count);
        var owners = new int[table.TaskCount * table.Replicas];
        var counts = new int[isHealthy.Length];
        var weights = new int[isHealthy.Length];
        for (var unit = 0; unit < owners.Length; unit++)
        {
            owners[unit] = table.NodesOf(unit / table.Replicas)[unit % table.Replicas];
            counts[owners[unit]]++;
        }
        PlacementNode[] nodes = [.. table.Nodes];
        for (var node = 0; node < nodes.Length; node++)
        {
            weights[node] = isHealthy[node] ? nodes[node].Weight : 0;
        }
        if (!isHealthy.Contains(true) || !isHealthy.Contains(false))
        {
            return new TaskOverlay(table, owners, displaced: 0);
        }
        var most = NodeShares.Of(owners.Length, weights, BoundedAssignment.Permille(table.Config.BoundedLoad)).Most;
        var ranking = NodeRanking.Of(table.Config, nodes);
        var order = new int[nodes.Length];
        var displaced = 0;
        for (var unit = 0; unit < owners.Length; unit++)
        {
            if (isHealthy[owners[unit]])
            {
                continue;
            }
            var task = unit / table.Replicas;
            ranking.Rank(task, order);
            var stand = StandIn(owners.AsSpan(task * table.Replicas, table.Replicas), order, weights, counts, most);
            if (stand >= 0)
            {
                owners[unit] = stand;
                counts[stand]++;
                displaced++;
            }
        }
        return new TaskOverlay(table, owners, displaced);
    }

    /// <summary>The best-ranked with room, or where none has room the one that is least full.</summary>
    private static int StandIn(
        ReadOnlySpan<int> taken, ReadOnlySpan<int> order, ReadOnlySpan<int> weights, ReadOnlySpan<int> counts,
        ReadOnlySpan<long> most)
    {
        var least = -1;
        foreach (var node in order)
        {
            if (weights[node] == 0 || taken.Contains(node))
            {
                continue;
            }
            if (counts[node] < most[node])
            {
                return node;
            }
            if (least < 0 || (long)counts[node] * weights[least] < (long)counts[least] * weights[node])
            {
                least = node;
            }
        }
        return least;
    }
}
