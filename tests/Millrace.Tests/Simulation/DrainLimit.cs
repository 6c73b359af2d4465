namespace Millrace.Tests.Simulation;

/// <summary>
/// How long a run may take to come to rest after its faults. A slow backend with small blocks and one lane may need
/// hours for what has piled up, and that is no fault: the process is stuck when nothing leaves its queues any more. The
/// time as a whole is bounded too, so that a process which never runs out of things to send is found.
/// </summary>
internal sealed class DrainLimit(long startMs)
{
    public const long MaxStillMs = 3_600_000;
    public const long MaxMs = 24 * MaxStillMs;

    private readonly long _startMs = startMs;
    private long _movedAtMs = startMs;
    private long _most = -1;

    /// <param name="nowMs">The simulation's time.</param>
    /// <param name="accounted">
    /// Samples that have left the queues, of all destinations. Each leaves once: only a new highest is progress.
    /// </param>
    /// <returns>What is wrong; null while the run may go on.</returns>
    public string? Judge(long nowMs, long accounted)
    {
        if (accounted > _most)
        {
            (_most, _movedAtMs) = (accounted, nowMs);
        }
        return nowMs - _movedAtMs > MaxStillMs ? "for an hour nothing was delivered, and there is no rest"
            : nowMs - _startMs > MaxMs ? "a day after the last fault there is no rest"
            : null;
    }
}
