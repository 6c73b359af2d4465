namespace Millrace.Aggregation;

/// <summary>
/// When a rule's windows close: when the arrival clock has passed their end by the allowed lateness. Only policy: what
/// is in a window is decided by the position of the close record alone, so nothing here is needed for a replay.
/// </summary>
internal sealed class ClosePolicy(AggregationRule rule, RuleClock clock, AggregationConfig config)
{
    /// <summary>The share of samples that <c>auto</c> waits for.</summary>
    private const double Quantile = 0.999;

    /// <summary>What is kept of older observations at each close: a pause is forgotten within some windows.</summary>
    private const double Keep = 0.8;

    /// <summary>Fewer observations than this say nothing about a high quantile.</summary>
    private const double MinObservations = 200;

    private static readonly TimeSpan StartLateness = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan MinLateness = TimeSpan.FromSeconds(1);

    private readonly double[] _recent = new double[LagHistogram.BucketCount];
    private readonly long[] _seen = new long[LagHistogram.BucketCount];

    public long LatenessMs { get; private set; } = rule.IsArrivalTime ? 0
        : (long)(rule.Config.AllowedLateness ?? Min(StartLateness, rule.Config.Interval)).TotalMilliseconds;

    /// <summary>
    /// The window up to which to close now. While <paramref name="isCatchingUp"/> senders deliver what they kept, and
    /// only the bound on open windows closes any.
    /// </summary>
    public long CloseThrough(long nowMs, bool isCatchingUp)
    {
        var current = rule.WindowOf(nowMs, clock.OffsetMs);
        var bound = current - config.MaxOpenWindows;
        if (isCatchingUp && !rule.IsArrivalTime)
        {
            return bound;
        }
        // The largest window whose end + lateness is not after now.
        return Math.Max(bound, rule.WindowOf(nowMs - LatenessMs + 1, clock.OffsetMs) - 1);
    }

    /// <summary>Follows the lags of the rule's shards, where the lateness is <c>auto</c>.</summary>
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
        var total = 0.0;
        for (var i = 0; i < sums.Length; i++)
        {
            _recent[i] = _recent[i] * Keep + Math.Max(0, sums[i] - _seen[i]);
            _seen[i] = sums[i];
            total += _recent[i];
        }
        if (total >= MinObservations)
        {
            LatenessMs = Math.Clamp(
                QuantileOf(total),
                (long)Min(MinLateness, rule.Config.Interval).TotalMilliseconds,
                rule.IntervalMs);
        }
    }

    private long QuantileOf(double total)
    {
        var left = total * Quantile;
        for (var i = 0; i < _recent.Length; i++)
        {
            left -= _recent[i];
            if (left <= 0)
            {
                return LagHistogram.UpperBoundMs(i);
            }
        }
        return long.MaxValue;
    }

    private static TimeSpan Min(TimeSpan a, TimeSpan b) => a < b ? a : b;
}
