namespace Millrace.Delivery;

/// <summary>
/// How old, and how far ahead, a sample may be for a backend: learned from its refusals, which name no bound. A guess
/// starts at what Prometheus has by default, shrinks when a block within it is refused, and grows when a block beyond
/// it is taken. Used only on blocks that were refused, so a wrong guess costs a request, not samples that were welcome.
/// Not thread-safe.
/// </summary>
internal sealed class TimeBounds
{
    /// <summary>
    /// Half of Prometheus' head block, behind its newest sample, which may be a little ahead of our clock.
    /// </summary>
    private const long StartAgeMs = 59 * 60_000;

    /// <summary>Prometheus refuses what is more than 10 minutes ahead.</summary>
    private const long StartAheadMs = 9 * 60_000;

    private long _ageMs = StartAgeMs;
    private long _aheadMs = StartAheadMs;

    /// <summary>The span to keep of a block that was refused; at least one end lies inside the block.</summary>
    public (long KeepFromMs, long KeepToMs) Learn(Refusal refusal, long minTimestampMs, long maxTimestampMs, long nowMs)
    {
        if (refusal == Refusal.TooFarAhead)
        {
            while (nowMs + _aheadMs >= maxTimestampMs && _aheadMs > 0)
            {
                _aheadMs /= 2;
            }
            return (long.MinValue, Math.Min(nowMs + _aheadMs, maxTimestampMs - 1));
        }
        while (nowMs - _ageMs <= minTimestampMs && _ageMs > 0)
        {
            _ageMs /= 2;
        }
        return (Math.Max(nowMs - _ageMs, minTimestampMs + 1), long.MaxValue);
    }

    public void Taken(long minTimestampMs, long maxTimestampMs, long nowMs)
    {
        _ageMs = Math.Max(_ageMs, nowMs - minTimestampMs);
        _aheadMs = Math.Max(_aheadMs, maxTimestampMs - nowMs);
    }
}
