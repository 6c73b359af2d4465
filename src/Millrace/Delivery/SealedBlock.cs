namespace Millrace.Delivery;

/// <summary>
/// A place in a log: the record, and what inside it. Raw blocks count in the input log, output blocks in the output
/// log, where the index is the block's place in its group.
/// </summary>
internal readonly record struct LogPosition(long Lsn, int Index) : IComparable<LogPosition>
{
    public int CompareTo(LogPosition other) =>
        Lsn != other.Lsn ? Lsn.CompareTo(other.Lsn) : Index.CompareTo(other.Index);

    public static bool operator <(LogPosition a, LogPosition b) => a.CompareTo(b) < 0;

    public static bool operator >(LogPosition a, LogPosition b) => a.CompareTo(b) > 0;

    public static bool operator <=(LogPosition a, LogPosition b) => a.CompareTo(b) <= 0;

    public static bool operator >=(LogPosition a, LogPosition b) => a.CompareTo(b) >= 0;

    public static LogPosition Max(LogPosition a, LogPosition b) => a > b ? a : b;
}

/// <summary>Which log a block comes from. Stored on disk: values are fixed.</summary>
internal enum Feed : byte
{
    /// <summary>Forwarded samples, rebuilt from the input log after a crash.</summary>
    Raw = 0,

    /// <summary>Closed windows, read again from the output log after a crash.</summary>
    Outputs = 1,
}

/// <summary>
/// Samples of one lane, encoded and never changed again: whatever must be sent twice is the same bytes. Canonical form:
/// a snappy-compressed remote write 1.0 WriteRequest. Passed on, not shared: the destination owns the bytes.
/// </summary>
internal sealed record SealedBlock
{
    public required Feed Feed { get; init; }

    public required int Lane { get; init; }

    /// <summary>
    /// The last record (and place in it) that the block covers; blocks of a lane and feed come in this order.
    /// </summary>
    public required LogPosition End { get; init; }

    public required ReadOnlyMemory<byte> Bytes { get; init; }

    /// <summary>
    /// The array of <see cref="Bytes"/> if it was rented. It goes back when the block was delivered at the first
    /// attempt, which is when nobody else can still hold the bytes; else the collector takes it.
    /// </summary>
    public byte[]? RentedBytes { get; init; }

    public required int SampleCount { get; init; }

    public long MinTimestampMs { get; init; }

    public long MaxTimestampMs { get; init; }

    /// <summary>Counts against the queue's age bound.</summary>
    public long SealedAtMs { get; init; }
}
