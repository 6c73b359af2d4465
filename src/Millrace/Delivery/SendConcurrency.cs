namespace Millrace.Delivery;

/// <summary>
/// How many lanes may have a request under way: one more after a round of good answers, half after a failure, one less
/// when answers take several times as long as they can. Not thread-safe.
/// </summary>
internal sealed class SendConcurrency(int lanes)
{
    private const int StartLanes = 4;

    /// <summary>Answers of one bad moment count once.</summary>
    private const long FailureSpacingMs = 1_000;

    /// <summary>Latencies below this are noise, whatever the best one was.</summary>
    private const double SlowFloorMs = 100;

    private const double SlowFactor = 4;

    private double _smoothedMs;
    private double _bestMs = double.MaxValue;
    private int _goodAnswers;
    private long _lastCutMs = long.MinValue / 2;

    public int Allowed { get; private set; } = Math.Min(StartLanes, lanes);

    public void Succeeded(long latencyMs, long nowMs)
    {
        _smoothedMs = _smoothedMs == 0 ? latencyMs : _smoothedMs * 0.8 + latencyMs * 0.2;
        // The best latency drifts up slowly, so that a backend that became slower for good is not held down for ever.
        _bestMs = Math.Min(_bestMs * 1.001, Math.Max(latencyMs, 1));
        if (_smoothedMs > Math.Max(SlowFloorMs, _bestMs * SlowFactor))
        {
            _goodAnswers = 0;
            if (nowMs - _lastCutMs >= FailureSpacingMs && Allowed > 1)
            {
                Allowed--;
                _lastCutMs = nowMs;
            }
            return;
        }
        if (++_goodAnswers >= Allowed && Allowed < lanes)
        {
            Allowed++;
            _goodAnswers = 0;
        }
    }

    public void Failed(long nowMs)
    {
        _goodAnswers = 0;
        if (nowMs - _lastCutMs >= FailureSpacingMs)
        {
            Allowed = Math.Max(1, Allowed / 2);
            _lastCutMs = nowMs;
        }
    }
}
