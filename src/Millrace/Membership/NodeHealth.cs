namespace Millrace.Membership;

internal enum HealthState : byte
{
    Healthy,

    /// <summary>Its last signals are bad, not yet for long enough.</summary>
    Suspect,

    Down,

    /// <summary>It fails, and gets requests all the same: too many others are down already.</summary>
    Spared,
}

/// <summary>Why a node is down, the graver the lower.</summary>
internal enum DownReason : byte
{
    /// <summary>Probes fail.</summary>
    Probes,

    /// <summary>Requests fail.</summary>
    Requests,

    /// <summary>It answers, but far slower than the others.</summary>
    Slow,
}

/// <summary>How a node does, as shown.</summary>
/// <param name="SinceMs">Of a node that is down: when it fell. Else when it came back, or zero.</param>
/// <param name="HoldUntilMs">Of a node that is down: it does not come back before.</param>
/// <param name="Falls">How often it went down.</param>
/// <param name="ProbeLatencyMs">Median of the last few probes; null when there are none.</param>
internal sealed record NodeHealthView(
    string Name, HealthState State, DownReason? Reason, long SinceMs, long HoldUntilMs, long Falls,
    long Probes, long FailedProbes, long? ProbeLatencyMs);

/// <summary>
/// The state of one node: what its signals come to, without a look at how many others are down. For the owner of
/// <see cref="Health"/>'s lock.
/// </summary>
internal sealed class NodeHealth(Node node, HealthConfig config)
{
    private FailureRun _probes;
    private FailureRun _requests;
    private int _goodInRow;
    private long _goodSinceMs;
    private long _holdMs;
    private int _recentFalls;
    private long? _returnedAtMs;

    public Node Node { get; } = node;

    /// <summary>It should be down; whether it is, is for <see cref="Health"/> to say.</summary>
    public bool IsFailing { get; private set; }

    public DownReason Reason { get; private set; }

    public long FailingSinceMs { get; private set; }

    public LatencyTrack ProbeLatency { get; } = new();

    public LatencyTrack RequestLatency { get; } = new();

    public long Falls { get; private set; }

    public long Probes { get; private set; }

    public long FailedProbes { get; private set; }

    /// <summary>A probe, good or bad. While the node fails, only probes tell of its recovery.</summary>
    /// <param name="isSlow">Answered, but as slow as a node is taken down for.</param>
    public void Probed(HealthSignalKind kind, bool isSlow, long nowMs)
    {
        Probes++;
        if (kind == HealthSignalKind.ProbeAnswered)
        {
            _probes = default;
            if (IsFailing)
            {
                Rise(isSlow, nowMs);
            }
            return;
        }
        FailedProbes++;
        _goodInRow = 0;
        _probes = _probes.With(nowMs, isRefusal: kind == HealthSignalKind.ProbeRefused);
        FallIfLong(_probes, DownReason.Probes, nowMs);
    }

    /// <summary>A request for writing was answered.</summary>
    public void Answered()
    {
        _requests = default;
        if (!_probes.HasRefusal)
        {
            // Too busy to answer a probe in time, but at work.
            _probes = default;
        }
    }

    public void Failed(long nowMs)
    {
        if (IsFailing)
        {
            return; // what was under way when it fell
        }
        _requests = _requests.With(nowMs, isRefusal: false);
        FallIfLong(_requests, DownReason.Requests, nowMs);
    }

    /// <summary>Its latency on one of the tracks is, or is not, far above the others'.</summary>
    public void Measured(LatencyTrack track, bool isSlow, long nowMs)
    {
        track.SlowSinceMs = !isSlow ? null : track.SlowSinceMs ?? nowMs;
        if (!IsFailing && track.SlowSinceMs is { } since && nowMs - since >= config.SlowFor.TotalMilliseconds)
        {
            Fall(DownReason.Slow, nowMs);
        }
    }

    /// <summary>Somebody says that it may take requests again.</summary>
    public void Return(long nowMs)
    {
        IsFailing = false;
        _returnedAtMs = nowMs;
        _probes = _requests = default;
        _goodInRow = 0;
        // How slow it was while it was down must not take it down again.
        ProbeLatency.Clear();
        RequestLatency.Clear();
    }

    public NodeHealthView View(bool isDown) => new(
        Node.Name,
        IsFailing ? isDown ? HealthState.Down : HealthState.Spared
            : _probes.Failures + _requests.Failures > 0 || ProbeLatency.SlowSinceMs is not null
                || RequestLatency.SlowSinceMs is not null ? HealthState.Suspect
            : HealthState.Healthy,
        IsFailing ? Reason : null,
        IsFailing ? FailingSinceMs : _returnedAtMs ?? 0,
        IsFailing ? FailingSinceMs + _holdMs : 0,
        Falls,
        Probes,
        FailedProbes,
        ProbeLatency.MedianMs);

    private void FallIfLong(in FailureRun run, DownReason reason, long nowMs)
    {
        if (IsFailing)
        {
            // A slow node that now does not answer at all is no longer only slow.
            Reason = reason < Reason && run.Failures >= config.FailAfter ? reason : Reason;
            return;
        }
        if (run.Failures >= config.FailAfter && nowMs - run.SinceMs >= config.FailFor.TotalMilliseconds)
        {
            Fall(reason, nowMs);
        }
    }

    private void Fall(DownReason reason, long nowMs)
    {
        var longestMs = (long)config.MaxHoldDown.TotalMilliseconds;
        if (_returnedAtMs is { } returned && nowMs - returned >= longestMs)
        {
            _recentFalls = 0;
        }
        _holdMs = Math.Min(longestMs, (long)config.HoldDown.TotalMilliseconds << _recentFalls);
        _recentFalls = Math.Min(_recentFalls + 1, 16);
        (IsFailing, Reason, FailingSinceMs, _goodInRow) = (true, reason, nowMs, 0);
        Falls++;
        // What it was like before says nothing of what it is like when it returns.
        ProbeLatency.Clear();
        RequestLatency.Clear();
        _requests = default;
    }

    private void Rise(bool isSlow, long nowMs)
    {
        if (isSlow)
        {
            _goodInRow = 0;
            return;
        }
        _goodSinceMs = _goodInRow == 0 ? nowMs : _goodSinceMs;
        _goodInRow = Math.Min(_goodInRow + 1, config.RiseAfter);
        var mayReturn = config.Return switch
        {
            ReturnPolicy.Manual => false,
            ReturnPolicy.After => nowMs - _goodSinceMs >= config.ReturnAfter.TotalMilliseconds,
            _ => true,
        };
        if (mayReturn && _goodInRow >= config.RiseAfter && nowMs - FailingSinceMs >= _holdMs)
        {
            Return(nowMs);
        }
    }

    /// <summary>Failures in a row of one kind of signal.</summary>
    private readonly record struct FailureRun(int Failures, long SinceMs, bool HasRefusal)
    {
        public FailureRun With(long nowMs, bool isRefusal) => new(
            Math.Min(Failures + 1, int.MaxValue - 1), Failures == 0 ? nowMs : SinceMs, HasRefusal || isRefusal);
    }
}

/// <summary>The last few latencies of a node, of one kind.</summary>
internal sealed class LatencyTrack
{
    private const int Length = 7;

    /// <summary>Fewer say nothing.</summary>
    private const int Enough = 4;

    private readonly long[] _latestMs = new long[Length];
    private int _count;

    public long LastAtMs { get; private set; }

    public long? SlowSinceMs { get; set; }

    public long? MedianMs { get; private set; }

    public void Add(long latencyMs, long nowMs)
    {
        _latestMs[_count++ % Length] = latencyMs;
        _count = _count == 2 * Length ? Length : _count; // full from here on
        LastAtMs = nowMs;
        var filled = Math.Min(_count, Length);
        if (filled < Enough)
        {
            return;
        }
        Span<long> sorted = stackalloc long[Length];
        sorted = sorted[..filled];
        _latestMs.AsSpan(0, filled).CopyTo(sorted);
        sorted.Sort();
        MedianMs = sorted[(filled - 1) / 2];
    }

    public void Clear()
    {
        _count = 0;
        (MedianMs, SlowSinceMs) = (null, null);
    }
}
