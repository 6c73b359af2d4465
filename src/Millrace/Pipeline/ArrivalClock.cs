namespace Millrace.Pipeline;

/// <summary>
/// The time of arrival: the wall clock at the start plus monotonic time, drawn towards the wall clock by at most a
/// tenth
/// of the time that passes, never set, never back, never below what the log holds. A leap of the wall clock so moves no
/// window.
/// </summary>
internal sealed class ArrivalClock
{
    private const double MaxSlew = 0.1;

    private readonly TimeProvider _time;
    private readonly Lock _lock = new();
    private long _lastTimestamp;
    private double _nowMs;

    public ArrivalClock(TimeProvider time)
    {
        _time = time;
        _lastTimestamp = time.GetTimestamp();
        _nowMs = WallMs();
    }

    /// <summary>Milliseconds since the epoch.</summary>
    public long NowMs()
    {
        lock (_lock)
        {
            var timestamp = _time.GetTimestamp();
            var elapsedMs = _time.GetElapsedTime(_lastTimestamp, timestamp).TotalMilliseconds;
            if (elapsedMs > 0)
            {
                _lastTimestamp = timestamp;
                var driftMs = WallMs() - (_nowMs + elapsedMs);
                var slewMs = elapsedMs * MaxSlew;
                _nowMs += elapsedMs + Math.Clamp(driftMs, -slewMs, slewMs);
            }
            return (long)_nowMs;
        }
    }

    /// <summary>The log holds records up to this time: the clock does not stand below it.</summary>
    public void NotBefore(long timeMs)
    {
        lock (_lock)
        {
            _nowMs = Math.Max(_nowMs, timeMs);
        }
    }

    private double WallMs() => (_time.GetUtcNow() - DateTimeOffset.UnixEpoch).TotalMilliseconds;
}
