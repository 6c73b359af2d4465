using System.Text;
using Millrace.Model;

namespace Millrace.Placement;

/// <summary>
/// In which order a task would choose nodes. It is made of integers alone, so that it is the same on every platform.
/// </summary>
internal abstract class NodeRanking
{
    /// <summary>Writes the indices of all nodes, the best first.</summary>
    public abstract void Rank(int task, Span<int> order);

    public static NodeRanking Of(PlacementConfig config, ReadOnlySpan<PlacementNode> nodes) => config.Kind switch
    {
        PlacementKind.Ring => new RingRanking(config, nodes),
        PlacementKind.Jump or PlacementKind.Modulo => new SlotRanking(config, nodes),
        _ => new RendezvousRanking(config, nodes),
    };

    /// <summary>The seed of everything that is drawn for a node, by its name.</summary>
    protected static ulong StableSeed(PlacementConfig config, string text) =>
        StableHash.Hash64(Encoding.UTF8.GetBytes(text), StableHash.Hash64(Encoding.UTF8.GetBytes(config.Salt)));

    /// <summary>The finalizer of SplitMix64: every bit of the result depends on every bit of the input.</summary>
    protected static ulong Mix(ulong value)
    {
        value += 0x9E3779B97F4A7C15;
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
        return value ^ (value >> 31);
    }
}

/// <summary>
/// Rendezvous: a task draws a number for each node, and the highest wins. A node of weight w draws w times, so its
/// chance is exactly proportional to w, and a change of its weight moves tasks to it or away from it alone.
/// </summary>
internal sealed class RendezvousRanking : NodeRanking
{
    private readonly ulong[] _seeds;
    private readonly int[] _weights;
    private readonly ulong[] _keys;

    public RendezvousRanking(PlacementConfig config, ReadOnlySpan<PlacementNode> nodes)
    {
        _seeds = new ulong[nodes.Length];
        _weights = new int[nodes.Length];
        _keys = new ulong[nodes.Length];
        for (var node = 0; node < nodes.Length; node++)
        {
            _seeds[node] = StableSeed(config, nodes[node].Name);
            _weights[node] = nodes[node].Weight;
        }
    }

    /// <summary>The best of the task's draws for the node.</summary>
    public ulong Score(int task, int node)
    {
        var best = 0UL;
        for (var draw = 0; draw < _weights[node]; draw++)
        {
            best = Math.Max(best, Mix(_seeds[node] ^ Mix((ulong)task << 32 | (uint)draw)));
        }
        return best;
    }

    public override void Rank(int task, Span<int> order)
    {
        for (var node = 0; node < order.Length; node++)
        {
            order[node] = node;
            _keys[node] = ~Score(task, node);
        }
        _keys.AsSpan().Sort(order);
    }
}

/// <summary>
/// A ring of points, 150 for each node and unit of weight; a task goes to the node of the first point at or behind its
/// own, and next to the other nodes in the order in which their points follow.
/// </summary>
internal sealed class RingRanking : NodeRanking
{
    private readonly ulong[] _points;
    private readonly int[] _nodes;
    private readonly ulong _taskSeed;
    private readonly bool[] _isRanked;

    public RingRanking(PlacementConfig config, ReadOnlySpan<PlacementNode> nodes)
    {
        var count = 0;
        foreach (var node in nodes)
        {
            count += node.Weight * config.VirtualNodes;
        }
        _points = new ulong[count];
        _nodes = new int[count];
        _isRanked = new bool[nodes.Length];
        _taskSeed = StableSeed(config, "");
        for (var node = 0; node < nodes.Length; node++)
        {
            var seed = StableSeed(config, nodes[node].Name);
            for (var i = 0; i < nodes[node].Weight * config.VirtualNodes; i++)
            {
                _points[--count] = Mix(seed ^ Mix((ulong)i));
                _nodes[count] = node;
            }
        }
        Array.Sort(_points, _nodes);
    }

    public override void Rank(int task, Span<int> order)
    {
        Array.Clear(_isRanked);
        var found = Array.BinarySearch(_points, Mix(_taskSeed ^ Mix((ulong)task)));
        var at = found < 0 ? ~found : found;
        for (var ranked = 0; ranked < order.Length; at++)
        {
            var node = _nodes[at % _nodes.Length];
            if (!_isRanked[node])
            {
                _isRanked[node] = true;
                order[ranked++] = node;
            }
        }
    }
}

/// <summary>
/// Jump and modulo number the nodes by their places in the list, a node of weight w taking w places. What stands in for
/// the first choice is ranked by rendezvous, so that no neighbour gets all of it.
/// </summary>
internal sealed class SlotRanking : NodeRanking
{
    private readonly List<int> _slots = [];
    private readonly RendezvousRanking _others;
    private readonly bool _jumps;
    private readonly ulong _taskSeed;

    public SlotRanking(PlacementConfig config, ReadOnlySpan<PlacementNode> nodes)
    {
        for (var node = 0; node < nodes.Length; node++)
        {
            for (var slot = 0; slot < nodes[node].Weight; slot++)
            {
                _slots.Add(node);
            }
        }
        _others = new RendezvousRanking(config, nodes);
        _jumps = config.Kind == PlacementKind.Jump;
        _taskSeed = StableSeed(config, "");
    }

    public override void Rank(int task, Span<int> order)
    {
        _others.Rank(task, order);
        var first = _slots[_jumps ? StableJump.Bucket(Mix(_taskSeed ^ Mix((ulong)task)), _slots.Count)
            : task % _slots.Count];
        var at = order.IndexOf(first);
        order[..at].CopyTo(order[1..]);
        order[0] = first;
    }
}

/// <summary>
/// Jump consistent hash of Lamping and Veach (2014): a key's bucket stays, or becomes the new one, when a bucket is
/// added at the end. The floating-point steps are exact to the bit on every platform.
/// </summary>
internal static class StableJump
{
    public static int Bucket(ulong key, int buckets)
    {
        long bucket = 0;
        for (long next = 0; next < buckets;)
        {
            bucket = next;
            key = key * 2862933555777941757 + 1;
            next = (long)((bucket + 1) * ((double)(1L << 31) / ((key >> 33) + 1)));
        }
        return (int)bucket;
    }
}
