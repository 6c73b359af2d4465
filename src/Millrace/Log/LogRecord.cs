namespace Millrace.Log;

/// <summary>What a record holds. Stored: values are never changed or reused, new ones are appended.</summary>
internal enum RecordType : byte
{
    Batch = 1,
    Close = 2,
    Configuration = 3,
    Base = 4,
    OutputGroup = 5,
    Block = 6,
    Ledger = 7,
    Derived = 8,
    LetterSettlement = 9,
}

/// <summary>What the writer of a record says about it; the log stores it and looks at none of it.</summary>
internal readonly record struct RecordHeader
{
    public RecordType Type { get; init; }

    /// <summary>Version of the payload's layout, per <see cref="Type"/>; the layout of the log has its own.</summary>
    public byte FormatVersion { get; init; }

    /// <summary>Encoding of the payload, numbered by the writer.</summary>
    public ushort Encoding { get; init; }

    public ulong Tenant { get; init; }

    public long ArrivalMs { get; init; }

    public UInt128 RequestHash { get; init; }

    public Guid GatewayId { get; init; }

    public long GatewayLsn { get; init; }
}

/// <summary>A record as read.</summary>
/// <param name="Lsn">Its position: 1, 2, 3 … in the order of the appends.</param>
/// <param name="Header">What the writer said about it.</param>
/// <param name="Payload">Valid until the reader's next call.</param>
/// <param name="MissingBefore">How many records right before it this reader could not give: damaged or dropped.</param>
internal readonly record struct LogRecord(
    long Lsn, RecordHeader Header, ReadOnlyMemory<byte> Payload, long MissingBefore);

internal enum AppendOutcome
{
    Written,

    /// <summary>Longer than <see cref="RecordLogOptions.MaxRecordBytes"/>; will never be taken.</summary>
    TooLarge,

    /// <summary>Too little space on the disk; nothing was written, try again later.</summary>
    DiskFull,

    /// <summary>The disk failed; nothing was written. <see cref="RecordLog.Failure"/> says what happened.</summary>
    Failed,
}

internal sealed record RecordLogOptions
{
    /// <summary>A new segment begins before this size is passed; a larger record gets a segment of its own.</summary>
    public long SegmentBytes { get; init; } = 64L << 20;

    /// <summary>Bound of a payload, at most <see cref="RecordFormat.MaxPayloadBytes"/>.</summary>
    public int MaxRecordBytes { get; init; } = RecordFormat.MaxPayloadBytes;

    /// <summary>Free space below which appends are refused; reserved ones, below a quarter of it. 0: off.</summary>
    public long MinFreeBytes { get; init; }

    /// <summary>
    /// What is synced is read again after a restart at most, so it need not stay in the page cache. It is cheaper so:
    /// appends go to the memory that was just given back, instead of to pages that the system has to find and, on a
    /// virtual machine, its host as well.
    /// </summary>
    public bool IsRarelyRead { get; init; }

    /// <summary>Identity of the log if it is a new one; empty: a random one.</summary>
    public Guid NewLogId { get; init; }
}

/// <summary>What was found when a log was opened.</summary>
/// <param name="Segments">Segment files found.</param>
/// <param name="TruncatedBytes">Bytes of a torn tail that were cut off the last segment.</param>
/// <param name="SkippedRecords">Records of the last segment that are damaged and stand before good ones.</param>
/// <param name="DamagedHeaders">Segment headers that are damaged; the last one is mended.</param>
internal readonly record struct RecoveryReport(
    int Segments, long TruncatedBytes, long SkippedRecords, int DamagedHeaders);

/// <summary>A log or cursor file cannot be opened; the text says why and what to do.</summary>
internal sealed class LogOpenException(string message, Exception? inner = null)
    : System.IO.IOException(message, inner);
