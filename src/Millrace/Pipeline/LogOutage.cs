namespace Millrace.Pipeline;

/// <summary>
/// A time in which the log took no samples: its disk was full, or appends failed. What came due meanwhile is with its
/// senders, and closes wait for it as after a start. Refusals and acceptances come under the append lock.
/// </summary>
internal sealed class LogOutage
{
    /// <summary>Senders try again within a minute: if none does, nobody waits.</summary>
    private const long QuietMs = 60_000;

    private long _sinceMs;       // 0: none under way
    private long _lastRefusedMs;
    private long _endedMs;       // of the last one, until the tick has taken it
    private long _lastedMs;

    public bool IsUnderWay => Volatile.Read(ref _sinceMs) != 0;

    public void Refused(long nowMs)
    {
        Volatile.Write(ref _lastRefusedMs, nowMs);
        if (_sinceMs == 0)
        {
            Volatile.Write(ref _sinceMs, nowMs);
        }
    }

    public void Accepted(long nowMs)
    {
        if (_sinceMs != 0)
        {
            End(nowMs);
        }
    }

    /// <summary>By the tick: nobody has been refused for long, and there is room.</summary>
    public void EndIfQuiet(long nowMs, bool hasSpace)
    {
        if (IsUnderWay && hasSpace && nowMs - Volatile.Read(ref _lastRefusedMs) > QuietMs)
        {
            End(nowMs);
        }
    }

    /// <summary>By the tick, once for each outage: how long it lasted, and when it ended.</summary>
    public bool TryTake(out long lastedMs, out long endedMs)
    {
        endedMs = Interlocked.Exchange(ref _endedMs, 0);
        lastedMs = Volatile.Read(ref _lastedMs);
        return endedMs != 0;
    }

    private void End(long nowMs)
    {
        Volatile.Write(ref _lastedMs, nowMs - _sinceMs);
        Volatile.Write(ref _sinceMs, 0);
        Volatile.Write(ref _endedMs, nowMs);
    }
}
