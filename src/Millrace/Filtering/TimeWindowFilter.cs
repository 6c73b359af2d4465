namespace Millrace.Filtering;

/// <summary>
/// Keeps out samples that are too old or too far ahead, before anything costly. Judged against the arrival time of
/// the record, never against the clock, so that a replay decides alike.
/// </summary>
internal readonly struct TimeWindowFilter(TimeWindowConfig config)
{
    private readonly long _maxAgeMs = config.MaxAge is { } age ? (long)age.TotalMilliseconds : long.MaxValue / 4;

    private readonly long _maxFutureMs =
        config.MaxFuture is { } future ? (long)future.TotalMilliseconds : long.MaxValue / 4;

    public bool IsTooOld(long timeMs, long arrivalMs) => timeMs < arrivalMs - _maxAgeMs;

    public bool IsTooFarAhead(long timeMs, long arrivalMs) => timeMs > arrivalMs + _maxFutureMs;
}
