namespace Millrace.Tests.Simulation;

/// <summary>Time that moves when told to; the wall clock may be set, monotonic time goes on.</summary>
internal sealed class SimulationClock : TimeProvider
{
    private static readonly DateTimeOffset Start = new(2026, 1, 5, 10, 0, 0, TimeSpan.Zero);

    private TimeSpan _elapsed;

    /// <summary>How far the gateway's wall clock is off.</summary>
    public TimeSpan WallOffset { get; set; }

    /// <summary>What the senders' clocks show: these are right.</summary>
    public long TrueMs => (Start + _elapsed).ToUnixTimeMilliseconds();

    public long ElapsedMs => (long)_elapsed.TotalMilliseconds;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override DateTimeOffset GetUtcNow() => Start + _elapsed + WallOffset;

    public override long GetTimestamp() => _elapsed.Ticks;

    public void Advance(long byMs) => _elapsed += TimeSpan.FromMilliseconds(byMs);
}
