namespace Millrace.Membership;

/// <summary>
/// Which nodes are up, from probes and from what is seen while sending. Passive: no clock and no I/O of its own. May be
/// called from any thread.
/// </summary>
/// <remarks>
/// <para><b>Down</b> is a node whose probes, or whose requests, fail so often in a row and for so long
/// (<see cref="HealthConfig.FailAfter"/>, <see cref="HealthConfig.FailFor"/>), or whose latency stays far above the
/// median of the others. Refusals (4xx) and requests for rest (429, 503 with Retry-After) are signs of life.</para>
/// <para><b>Up again</b> it is after some good probes in a row, one at a time, and not before its hold-down, which
/// doubles with each fall; by policy later.</para>
/// <para><b>Bound.</b> Of the nodes that fail only a share is taken down, those that do not answer before those that
/// are slow, the earlier before the later: whoever is left must carry it all. Where all of them fail the fault is
/// likely ours, and nobody is down.</para>
/// </remarks>
internal sealed class Health(HealthConfig config)
{
    /// <summary>What was measured longer ago says nothing about now.</summary>
    private const long FreshMs = 30_000;

    private readonly Lock _lock = new(); // covers the nodes and what is derived from them
    private readonly Dictionary<string, NodeHealth> _nodes = new(StringComparer.Ordinal);
    private HashSet<string> _down = [];
    private long _changes;

    public HealthConfig Config => config;

    /// <summary>The names of the nodes that get no requests; a new set after each change.</summary>
    public IReadOnlySet<string> Down => Volatile.Read(ref _down);

    /// <summary>How often <see cref="Down"/> has changed.</summary>
    public long Changes => Interlocked.Read(ref _changes);

    public bool IsUp(string node) => !Down.Contains(node);

    /// <summary>
    /// The nodes there are. One that is new is up until it shows otherwise; so is one with a new address, which is
    /// another process.
    /// </summary>
    /// <returns>True when <see cref="Down"/> has changed.</returns>
    public bool SetNodes(IReadOnlyList<Node> nodes)
    {
        lock (_lock)
        {
            var names = new HashSet<string>(nodes.Count, StringComparer.Ordinal);
            foreach (var node in nodes)
            {
                names.Add(node.Name);
                if (!_nodes.TryGetValue(node.Name, out var known) || known.Node.Url != node.Url)
                {
                    _nodes[node.Name] = new NodeHealth(node, config);
                }
            }
            foreach (var name in _nodes.Keys)
            {
                if (!names.Contains(name))
                {
                    _nodes.Remove(name);
                }
            }
            return UpdateDownLocked();
        }
    }

    /// <summary>One thing that was seen of a node; of a node that is gone, nothing comes of it.</summary>
    /// <returns>True when <see cref="Down"/> has changed.</returns>
    public bool Observe(string node, in HealthSignal signal, long nowMs)
    {
        lock (_lock)
        {
            if (!_nodes.TryGetValue(node, out var health))
            {
                return false;
            }
            var (wasFailing, hadReason) = (health.IsFailing, health.Reason);
            ApplyLocked(health, signal, nowMs);
            return (wasFailing != health.IsFailing || hadReason != health.Reason) && UpdateDownLocked();
        }
    }

    /// <summary>Takes a node back that waits for it under the policy <see cref="ReturnPolicy.Manual"/>.</summary>
    /// <returns>False where there is no such node or it does not fail.</returns>
    public bool Return(string node, long nowMs)
    {
        lock (_lock)
        {
            if (!_nodes.TryGetValue(node, out var health) || !health.IsFailing)
            {
                return false;
            }
            health.Return(nowMs);
            UpdateDownLocked();
            return true;
        }
    }

    /// <summary>All nodes, in the order of their names.</summary>
    public IReadOnlyList<NodeHealthView> View()
    {
        lock (_lock)
        {
            var views = new List<NodeHealthView>(_nodes.Count);
            foreach (var (name, health) in _nodes)
            {
                views.Add(health.View(_down.Contains(name)));
            }
            views.Sort(static (a, b) => string.CompareOrdinal(a.Name, b.Name));
            return views;
        }
    }

    private void ApplyLocked(NodeHealth health, in HealthSignal signal, long nowMs)
    {
        switch (signal.Kind)
        {
            case HealthSignalKind.ProbeAnswered:
                health.ProbeLatency.Add(signal.LatencyMs, nowMs);
                health.Probed(signal.Kind, IsSlowLocked(health, probes: true, signal.LatencyMs, nowMs), nowMs);
                MeasureLocked(health, health.ProbeLatency, probes: true, nowMs);
                break;
            case HealthSignalKind.ProbeUnanswered or HealthSignalKind.ProbeRefused:
                health.Probed(signal.Kind, isSlow: false, nowMs);
                break;
            case HealthSignalKind.Answered:
                health.Answered();
                health.RequestLatency.Add(signal.LatencyMs, nowMs);
                MeasureLocked(health, health.RequestLatency, probes: false, nowMs);
                break;
            case HealthSignalKind.Failed:
                health.Failed(nowMs);
                break;
            case HealthSignalKind.Overloaded:
                health.Answered();
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(signal), signal.Kind, "Unknown kind of signal.");
        }
    }

    private void MeasureLocked(NodeHealth health, LatencyTrack track, bool probes, long nowMs) => health.Measured(
        track, track.MedianMs is { } median && IsSlowLocked(health, probes, median, nowMs), nowMs);

    private bool IsSlowLocked(NodeHealth health, bool probes, long latencyMs, long nowMs)
    {
        // Most calls end here: the others are looked at only for a node that may be slow.
        if (config.SlowFactor == 0 || latencyMs < config.SlowLeast.TotalMilliseconds)
        {
            return false;
        }
        var others = new List<long>(_nodes.Count);
        foreach (var other in _nodes.Values)
        {
            var track = probes ? other.ProbeLatency : other.RequestLatency;
            if (other != health && !other.IsFailing && track.MedianMs is { } median
                && nowMs - track.LastAtMs <= FreshMs)
            {
                others.Add(median);
            }
        }
        others.Sort();
        return others.Count > 0 && latencyMs >= config.SlowFactor * Math.Max(1, others[(others.Count - 1) / 2]);
    }

    private bool UpdateDownLocked()
    {
        var failing = new List<NodeHealth>();
        foreach (var health in _nodes.Values)
        {
            if (health.IsFailing)
            {
                failing.Add(health);
            }
        }
        failing.Sort(static (a, b) =>
            (a.Reason == DownReason.Slow) != (b.Reason == DownReason.Slow) ? a.Reason.CompareTo(b.Reason)
            : a.FailingSinceMs != b.FailingSinceMs ? a.FailingSinceMs.CompareTo(b.FailingSinceMs)
            : string.CompareOrdinal(a.Node.Name, b.Node.Name));
        var down = new HashSet<string>(StringComparer.Ordinal);
        var most = failing.Count == _nodes.Count ? 0 : Math.Min(failing.Count, MostDown(_nodes.Count));
        for (var i = 0; i < most; i++)
        {
            down.Add(failing[i].Node.Name);
        }
        if (down.SetEquals(_down))
        {
            return false;
        }
        Volatile.Write(ref _down, down);
        Interlocked.Increment(ref _changes);
        return true;
    }

    private int MostDown(int nodes) => Math.Min(nodes - 1, ((nodes * config.MaxDownPercent) + 99) / 100);
}
