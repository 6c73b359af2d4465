namespace Millrace.Membership;

/// <summary>When a node that was down takes its tasks back.</summary>
public enum ReturnPolicy
{
    /// <summary>As soon as it is well.</summary>
    Immediately,

    /// <summary>After it was well for <see cref="HealthConfig.ReturnAfter"/>.</summary>
    After,

    /// <summary>When somebody says so.</summary>
    Manual,
}

/// <summary>
/// When a node counts as down. With the defaults one that vanishes is down after at most 4 s: its last good probe just
/// before, then three that fail, one per second, each within a second.
/// </summary>
public sealed record HealthConfig
{
    /// <summary>
    /// Probed on each node, beside its write address. vmagent, VictoriaMetrics and Millrace serve it; any answer that
    /// is no server error will do, so where there is no such page its absence is as good.
    /// </summary>
    public string Path { get; init; } = "/health";

    public TimeSpan Interval { get; init; } = TimeSpan.FromSeconds(1);

    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>So many failures in a row make a node suspect of being down.</summary>
    public int FailAfter { get; init; } = 3;

    /// <summary>
    /// And these failures must have gone on for so long: sixteen connections that break at once are one event.
    /// </summary>
    public TimeSpan FailFor { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>So many good probes in a row before it returns.</summary>
    public int RiseAfter { get; init; } = 3;

    /// <summary>It stays down at least for so long; doubles each time until it has stayed up for a while.</summary>
    public TimeSpan HoldDown { get; init; } = TimeSpan.FromSeconds(10);

    public TimeSpan MaxHoldDown { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>Slow: so many times the median of the others; 0 switches it off.</summary>
    public int SlowFactor { get; init; } = 5;

    /// <summary>And at least so slow, whatever the others are.</summary>
    public TimeSpan SlowLeast { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>And for so long.</summary>
    public TimeSpan SlowFor { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Of the nodes, in percent, rounded up: no more are taken down, whatever happens to them.</summary>
    public int MaxDownPercent { get; init; } = 50;

    public ReturnPolicy Return { get; init; } = ReturnPolicy.Immediately;

    public TimeSpan ReturnAfter { get; init; }
}
