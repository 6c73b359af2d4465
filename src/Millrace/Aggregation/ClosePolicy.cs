namespace Millrace.Aggregation;

/// <summary>
/// When a rule's windows close: when the arrival clock has passed their end by the allowed lateness. Only policy: what
/// is in a window is decided by the position of the close record alone, so nothing here is needed for a replay.
/// </summary>
internal sealed class ClosePolicy(AggregationRule rule, RuleClock clock, AggregationConfig config)
{
    /// <summary>The share of samples that <c>auto</c> waits for.</summary>
    private const double Quantile = 0.999;

    /// <summary>
    /// Periods that are remembered, and the fewest that say something. The lateness is the second largest quantile of
    /// them: one outlier, or one burst within a period, does not move it, and a pause is forgotten within minutes.
    /// </summary>
    private const int MaxPeriods = 10;
    private const int MinPeriods = 3;

    /// <summary>A period lasts until it has as many observations, however few samples a rule gets.</summary>
    private const long MinObservations = 20;

    private const long NoWindow = long.MaxValue;

    private static readonly TimeSpan StartLateness = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan MinLateness = TimeSpan.FromSeconds(1);

    private readonly Queue<long> _periods = new(); // the quantile of each
    private readonly long[] _seen = new long[LagHistogram.BucketCount];

    private long _waitsAt = NoWindow; // the last window ready, where the bound is past it
    private long _waitsSinceMs;

    public long LatenessMs { get; private set; } = rule.IsArrivalTime ? 0
        : (long)(rule.Config.AllowedLateness ?? Min(StartLateness, rule.Config.Interval)).TotalMilliseconds;

    /// <summary>Nothing has changed that this policy was made for: what <c>auto</c> has learned stays.</summary>
    public bool IsFor(AggregationRule other, RuleClock otherClock, AggregationConfig otherConfig) =>
        rule.Key == other.Key && clock == otherClock && config.MaxOpenWindows == otherConfig.MaxOpenWindows
        && rule.Config.AllowedLateness == other.Config.AllowedLateness;

    /// <summary>
    /// The window up to which to close now. While <paramref name="isCatchingUp"/> senders deliver what they kept, and
    /// only the bound on open windows closes any. Windows behind <paramref name="readyThrough"/> wait for other rules.
    /// </summary>
    public long CloseThrough(long nowMs, bool isCatchingUp, long readyThrough = NoWindow)
    {
        var bound = Bound(nowMs, readyThrough);
        if (isCatchingUp && !rule.IsArrivalTime)
        {
            return bound;
        }
        // The largest window whose end + lateness is not after now.
        return Math.Max(
            bound, Math.Min(readyThrough, rule.WindowOf(nowMs - LatenessMs + 1, clock.OffsetMs) - 1));
    }

    /// <summary>
    /// What is closed for the bound on open windows alone. Behind an outage a rule and those before it are all past
    /// their bounds: it follows them, or their outputs would come too late for it. As they are bounded, too, that ends;
    /// and where nothing moves for as long as the bound again, the rule waits no longer.
    /// </summary>
    private long Bound(long nowMs, long readyThrough)
    {
        var bound = rule.WindowOf(nowMs, clock.OffsetMs) - config.MaxOpenWindows;
        if (bound <= readyThrough)
        {
            _waitsAt = NoWindow;
            return bound;
        }
        if (_waitsAt != readyThrough)
        {
            (_waitsAt, _waitsSinceMs) = (readyThrough, nowMs);
        }
        return nowMs - _waitsSinceMs < config.MaxOpenWindows * rule.IntervalMs ? readyThrough : bound;
    }

    /// <summary>
    /// Ends a period of lags of the rule's shards, where the lateness is <c>auto</c>; called every some seconds.
    /// </summary>
    public void Observe(IEnumerable<LagHistogram> lags)
    {
        if (rule.IsArrivalTime || rule.Config.AllowedLateness is not null)
        {
            return;
        }
        var sums = new long[LagHistogram.BucketCount];
        foreach (var histogram in lags)
        {
            var counts = histogram.Counts;
            for (var i = 0; i < sums.Length; i++)
            {
                sums[i] += counts[i];
            }
        }
        var total = 0L;
        for (var i = 0; i < sums.Length; i++)
        {
            // Counts begin anew where shards do.
            total += Math.Max(0, sums[i] - _seen[i]);
        }
        if (total < MinObservations)
        {
            return;
        }
        _periods.Enqueue(QuantileOf(sums, total));
        sums.CopyTo(_seen, 0);
        if (_periods.Count > MaxPeriods)
        {
            _periods.Dequeue();
        }
        if (_periods.Count >= MinPeriods)
        {
            LatenessMs = Math.Clamp(
                SecondLargest(_periods),
                (long)Min(MinLateness, rule.Config.Interval).TotalMilliseconds,
                rule.IntervalMs);
        }
    }

    /// <summary>The quantile of what came since the last period.</summary>
    private long QuantileOf(long[] sums, long total)
    {
        var left = total * Quantile;
        for (var i = 0; i < sums.Length; i++)
        {
            left -= Math.Max(0, sums[i] - _seen[i]);
            if (left <= 0)
            {
                return LagHistogram.UpperBoundMs(i);
            }
        }
        return long.MaxValue;
    }

    private static long SecondLargest(Queue<long> values)
    {
        var (largest, second) = (long.MinValue, long.MinValue);
        foreach (var value in values)
        {
            second = Math.Max(second, Math.Min(largest, value));
            largest = Math.Max(largest, value);
        }
        return second;
    }

    private static TimeSpan Min(TimeSpan a, TimeSpan b) => a < b ? a : b;
}
