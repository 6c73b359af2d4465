namespace Millrace.Membership;

/// <summary>What one look at a source of nodes gave: nodes, none, or an error.</summary>
internal sealed record NodeLookup(IReadOnlyList<Node> Nodes, string? Error)
{
    public static NodeLookup Found(IReadOnlyList<Node> nodes) => new(nodes, null);

    public static NodeLookup Failed(string error) => new([], error);
}

/// <summary>How the source does; a new one after each look, to be read from any thread.</summary>
internal sealed record MembershipStatus
{
    public long Looks { get; init; }

    public long Errors { get; init; }

    /// <summary>Looks that succeeded and found nobody.</summary>
    public long EmptyAnswers { get; init; }

    /// <summary>Of the last look; null when it found nodes.</summary>
    public string? LastError { get; init; }

    public long LastLatencyMs { get; init; }

    public long LatencySumMs { get; init; }

    /// <summary>Sets that were given out, the first included.</summary>
    public long Changes { get; init; }

    public int Nodes { get; init; }

    public bool IsFallback { get; init; }

    /// <summary>Nodes that are missing, or look different, and are kept as they were for now.</summary>
    public int Unconfirmed { get; init; }

    /// <summary>Zero: never.</summary>
    public long LastFoundAtMs { get; init; }

    public long LastChangeAtMs { get; init; }
}

/// <summary>
/// Decides which nodes there are from what looks at their source gave. Passive: no clock and no I/O of its own; for one
/// caller at a time. The status and the current set may be read from any thread.
/// </summary>
/// <remarks>
/// <para><b>Failure.</b> An error or an empty answer never takes a node away: the last good set stays. Before the first
/// good answer there is the fallback endpoint, or nobody; after it the fallback is never used again.</para>
/// <para><b>Addition</b> is at once: the worst it can do is to give a share to a node that its health takes away
/// again.</para>
/// <para><b>Removal, and another address or weight,</b> must be seen in two good answers in a row, at least the
/// debounce apart; nodes are counted each by itself. So a node that comes and goes from one answer to the next is one
/// change (its addition), however long that lasts, and does not hold up what happens to others.</para>
/// </remarks>
internal sealed class MembershipSource
{
    private const int AnswersToConfirm = 2;
    private const long FirstRetryMs = 1_000;

    private readonly NodeSetConfig _config;
    private readonly Dictionary<string, Doubt> _doubts = new(StringComparer.Ordinal);
    private NodeSet _current = NodeSet.Empty;
    private MembershipStatus _status = new();
    private int _failuresInRow;

    public MembershipSource(NodeSetConfig config)
    {
        _config = config;
        if (config.Kind == NodeSourceKind.List)
        {
            _current = new NodeSet(1, config.Nodes, IsFallback: false);
            _status = new MembershipStatus { Changes = 1, Nodes = config.Nodes.Count };
        }
    }

    /// <summary>A list is complete from the start; a source that is looked at begins empty.</summary>
    public NodeSet Current => Volatile.Read(ref _current);

    public MembershipStatus Status => Volatile.Read(ref _status);

    /// <summary>Takes what a look gave; returns the new set when there is one.</summary>
    public NodeSet? Observe(NodeLookup lookup, long latencyMs, long nowMs)
    {
        if (lookup.Nodes.Count > NodeSet.MaxNodes)
        {
            lookup = NodeLookup.Failed(
                $"{lookup.Nodes.Count} nodes are more than {NodeSet.MaxNodes}: this cannot be meant");
        }
        var isFound = lookup.Nodes.Count > 0;
        _failuresInRow = isFound ? 0 : _failuresInRow + 1;
        var changed = isFound ? Found(lookup.Nodes, nowMs) : NotFound();
        var status = Status;
        Volatile.Write(ref _status, status with
        {
            Looks = status.Looks + 1,
            Errors = status.Errors + (lookup.Error is null ? 0 : 1),
            EmptyAnswers = status.EmptyAnswers + (lookup.Error is null && !isFound ? 1 : 0),
            LastError = isFound ? null : lookup.Error ?? "the answer is empty",
            LastLatencyMs = latencyMs,
            LatencySumMs = status.LatencySumMs + latencyMs,
            Changes = status.Changes + (changed is null ? 0 : 1),
            Nodes = _current.Nodes.Count,
            IsFallback = _current.IsFallback,
            Unconfirmed = _doubts.Count,
            LastFoundAtMs = isFound ? nowMs : status.LastFoundAtMs,
            LastChangeAtMs = changed is null ? status.LastChangeAtMs : nowMs,
        });
        return changed;
    }

    /// <summary>How long to wait after a look: shorter while it fails, and when a missing node may soon go.</summary>
    public TimeSpan WaitBeforeNextLook(long nowMs)
    {
        var refreshMs = (long)_config.Refresh.TotalMilliseconds;
        if (_failuresInRow > 0)
        {
            return TimeSpan.FromMilliseconds(Math.Min(refreshMs, FirstRetryMs << Math.Min(_failuresInRow - 1, 16)));
        }
        var waitMs = refreshMs;
        foreach (var doubt in _doubts.Values)
        {
            waitMs = Math.Min(waitMs, Math.Max(FirstRetryMs, doubt.SinceMs + DebounceMs - nowMs));
        }
        return TimeSpan.FromMilliseconds(Math.Min(waitMs, refreshMs));
    }

    private long DebounceMs => (long)_config.Debounce.TotalMilliseconds;

    private NodeSet? NotFound() => _current.Nodes.Count == 0 && _config.Fallback is { } url
        ? Change([new Node("fallback", url)], isFallback: true)
        : null;

    private NodeSet? Found(IReadOnlyList<Node> answer, long nowMs)
    {
        var found = new Dictionary<string, Node>(answer.Count, StringComparer.Ordinal);
        var distinct = new List<Node>(answer.Count);
        foreach (var node in answer)
        {
            if (found.TryAdd(node.Name, node))
            {
                distinct.Add(node);
            }
        }
        var next = _current.IsFallback ? Ordered(distinct) : Merge(distinct, found, nowMs);
        return IsCurrent(next) ? null : Change(next, isFallback: false);
    }

    private List<Node> Merge(List<Node> answer, Dictionary<string, Node> found, long nowMs)
    {
        var merged = new List<Node>(answer.Count);
        var known = new HashSet<string>(StringComparer.Ordinal);
        foreach (var node in _current.Nodes)
        {
            known.Add(node.Name);
            if (Confirmed(node, found.GetValueOrDefault(node.Name), nowMs) is { } kept)
            {
                merged.Add(kept);
            }
        }
        foreach (var node in answer)
        {
            if (!known.Contains(node.Name))
            {
                merged.Add(node);
            }
        }
        if (merged.Count > NodeSet.MaxNodes)
        {
            // Names that are new in each answer would pile up.
            _doubts.Clear();
            return Ordered(answer);
        }
        return Ordered(_doubts.Count == 0 ? answer : merged);
    }

    /// <summary>The node as it is to be from now on: as known, as seen, or null for gone.</summary>
    private Node? Confirmed(Node known, Node? seen, long nowMs)
    {
        if (known == seen)
        {
            _doubts.Remove(known.Name);
            return known;
        }
        if (!_doubts.TryGetValue(known.Name, out var doubt) || doubt.Seen != seen)
        {
            doubt = new Doubt(seen, nowMs, 0);
        }
        doubt = doubt with { Answers = doubt.Answers + 1 };
        if (DebounceMs == 0 || (doubt.Answers >= AnswersToConfirm && nowMs - doubt.SinceMs >= DebounceMs))
        {
            _doubts.Remove(known.Name);
            return seen;
        }
        _doubts[known.Name] = doubt;
        return known;
    }

    /// <summary>An answer of DNS comes in any order; a file has the one that was written.</summary>
    private List<Node> Ordered(List<Node> nodes)
    {
        if (_config.Kind != NodeSourceKind.File)
        {
            nodes.Sort(static (a, b) => string.CompareOrdinal(a.Name, b.Name));
        }
        return nodes;
    }

    private bool IsCurrent(List<Node> nodes)
    {
        if (_current.IsFallback || nodes.Count != _current.Nodes.Count)
        {
            return false;
        }
        for (var i = 0; i < nodes.Count; i++)
        {
            if (nodes[i] != _current.Nodes[i])
            {
                return false;
            }
        }
        return true;
    }

    private NodeSet Change(IReadOnlyList<Node> nodes, bool isFallback)
    {
        var changed = new NodeSet(_current.Version + 1, nodes, isFallback);
        Volatile.Write(ref _current, changed);
        return changed;
    }

    /// <summary>A node that answers do not show as it is known; null: they do not show it.</summary>
    private readonly record struct Doubt(Node? Seen, long SinceMs, int Answers);
}
