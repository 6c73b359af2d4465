namespace Millrace.Log;

/// <summary>What an acknowledgement promises.</summary>
public enum Durability
{
    /// <summary>Acknowledged after the write: survives the death of the process. Synced within 200 ms.</summary>
    Log,

    /// <summary>Acknowledged after a group sync: survives power loss.</summary>
    LogSynced,

    /// <summary>No log: nothing survives the process.</summary>
    Memory,
}

/// <summary>The <c>log</c> section.</summary>
public sealed record LogConfig
{
    public string Path { get; init; } = "./millrace-data";

    public Durability Durability { get; init; } = Durability.Log;

    public long MaxBytes { get; init; } = 10L << 30;

    public long SegmentBytes { get; init; } = 64L << 20;

    public TimeSpan BaseInterval { get; init; } = TimeSpan.FromMinutes(5);

    public long BaseBytes { get; init; } = 1L << 30;

    /// <summary>Below this much free space on the log's disk nothing is accepted (503).</summary>
    public long MinFreeBytes { get; init; } = 256L << 20;
}
