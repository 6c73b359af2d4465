namespace Millrace.Delivery;

/// <summary>Why samples left a destination without being delivered or parked. Stored: values are fixed.</summary>
internal enum DropReason : byte
{
    /// <summary>The queue's size bound: the oldest goes.</summary>
    QueueFull = 0,

    /// <summary>The queue's age bound.</summary>
    QueueAge = 1,

    /// <summary>Older than the backend takes.</summary>
    RefusedTooOld = 2,

    /// <summary>Further ahead than the backend takes.</summary>
    RefusedTooFarAhead = 3,

    /// <summary>The backend says that it has the point already.</summary>
    RefusedDuplicate = 4,

    /// <summary>The backend has a newer point of the series.</summary>
    RefusedOutOfOrder = 5,

    /// <summary>The disk could not take what did not fit into memory.</summary>
    DiskError = 6,

    /// <summary>On disk, but damaged there or cut off by the log's bound.</summary>
    LostOnDisk = 7,

    /// <summary>Refused for good, and the dead letters could not take it.</summary>
    DeadLettersFailed = 8,
}

/// <summary>
/// The ledger of a destination. At every quiet moment queued + replayed = delivered + parked + Σ dropped + pending;
/// replayed is what was parked before and has come in once more. The destination changes it under its lock and takes
/// snapshots under it, so that a snapshot always balances. Metrics that need no balance may read it at any time.
/// </summary>
internal sealed class DestinationCounters
{
    public const int DropReasons = 9;

    private readonly long[] _dropped = new long[DropReasons];
    private readonly long[] _statuses = new long[1_000];
    private long _queued;
    private long _replayed;
    private long _delivered;
    private long _parked;
    private long _pending;
    private long _possiblyRepeatedBlocks;
    private long _possiblyRepeatedSamples;
    private long _retries;
    private long _bytesSent;

    /// <summary>From the request to its answer.</summary>
    public LatencyHistogram Requests { get; } = new();

    /// <summary>From the arrival of a block's first sample, or the close of its window, to its delivery.</summary>
    public LatencyHistogram Distribution { get; } = new();

    public void Queued(long samples)
    {
        Interlocked.Add(ref _queued, samples);
        Interlocked.Add(ref _pending, samples);
    }

    /// <summary>Parked before, and in the queue again.</summary>
    public void Replayed(long samples)
    {
        Interlocked.Add(ref _replayed, samples);
        Interlocked.Add(ref _pending, samples);
    }

    public void Delivered(long samples) => Leave(ref _delivered, samples);

    public void Parked(long samples) => Leave(ref _parked, samples);

    public void Dropped(DropReason reason, long samples) => Leave(ref _dropped[(int)reason], samples);

    public void PossiblyRepeated(long samples)
    {
        Interlocked.Increment(ref _possiblyRepeatedBlocks);
        Interlocked.Add(ref _possiblyRepeatedSamples, samples);
    }

    public void Sent(long sizeBytes) => Interlocked.Add(ref _bytesSent, sizeBytes);

    public void Retried() => Interlocked.Increment(ref _retries);

    public void Answered(in SendResult result, long latencyMs)
    {
        var status = result.Outcome switch
        {
            SendOutcome.NetworkError => 0,
            SendOutcome.Timeout => 1,
            _ => Math.Clamp(result.StatusCode, 2, _statuses.Length - 1),
        };
        Interlocked.Increment(ref _statuses[status]);
        Requests.Observe(latencyMs);
    }

    /// <summary>Goes on with the totals of an earlier process.</summary>
    public void Restore(in LedgerTotals totals, long pendingSamples)
    {
        _delivered = totals.Delivered;
        _parked = totals.Parked;
        _replayed = totals.Replayed;
        totals.Dropped.CopyTo(_dropped);
        _pending = pendingSamples;
        _queued = _delivered + _parked + _pending - _replayed;
        foreach (var dropped in _dropped)
        {
            _queued += dropped;
        }
    }

    /// <summary>What is saved with the cursors.</summary>
    public LedgerTotals Totals() =>
        new(
        Interlocked.Read(ref _delivered), Interlocked.Read(ref _parked), Interlocked.Read(ref _replayed),
        Copy(_dropped));

    public CountersSnapshot Snapshot()
    {
        var requests = new Dictionary<string, long>();
        for (var status = 0; status < _statuses.Length; status++)
        {
            if (Interlocked.Read(ref _statuses[status]) is > 0 and var count)
            {
                requests[StatusText(status)] = count;
            }
        }
        return new CountersSnapshot
        {
            Queued = Interlocked.Read(ref _queued),
            Replayed = Interlocked.Read(ref _replayed),
            Delivered = Interlocked.Read(ref _delivered),
            Parked = Interlocked.Read(ref _parked),
            Pending = Interlocked.Read(ref _pending),
            DroppedByReason = Copy(_dropped),
            PossiblyRepeatedBlocks = Interlocked.Read(ref _possiblyRepeatedBlocks),
            PossiblyRepeatedSamples = Interlocked.Read(ref _possiblyRepeatedSamples),
            Retries = Interlocked.Read(ref _retries),
            BytesSent = Interlocked.Read(ref _bytesSent),
            RequestsByStatus = requests,
        };
    }

    private void Leave(ref long counter, long samples)
    {
        Interlocked.Add(ref counter, samples);
        Interlocked.Add(ref _pending, -samples);
    }

    private static string StatusText(int status) => status switch
    {
        0 => "network_error",
        1 => "timeout",
        _ => status.ToString(System.Globalization.CultureInfo.InvariantCulture),
    };

    private static long[] Copy(long[] counters)
    {
        var copy = new long[counters.Length];
        for (var i = 0; i < copy.Length; i++)
        {
            copy[i] = Interlocked.Read(ref counters[i]);
        }
        return copy;
    }
}

/// <summary>What left a destination for good, as saved with the cursors; indexed by <see cref="DropReason"/>.</summary>
internal readonly record struct LedgerTotals(long Delivered, long Parked, long Replayed, long[] Dropped);

internal sealed record CountersSnapshot
{
    public long Queued { get; init; }

    /// <summary>Came from the dead letters, where they had been counted as parked.</summary>
    public long Replayed { get; init; }

    public long Delivered { get; init; }

    public long Parked { get; init; }

    public long Pending { get; init; }

    /// <summary>Indexed by <see cref="DropReason"/>.</summary>
    public required IReadOnlyList<long> DroppedByReason { get; init; }

    public long PossiblyRepeatedBlocks { get; init; }

    public long PossiblyRepeatedSamples { get; init; }

    public long Retries { get; init; }

    public long BytesSent { get; init; }

    /// <summary>Keys: the status, <c>network_error</c>, <c>timeout</c>.</summary>
    public required IReadOnlyDictionary<string, long> RequestsByStatus { get; init; }

    public long Dropped
    {
        get
        {
            var sum = 0L;
            foreach (var samples in DroppedByReason)
            {
                sum += samples;
            }
            return sum;
        }
    }

    public long RefusedTooOld => DroppedByReason[(int)DropReason.RefusedTooOld];

    /// <summary>Zero: nothing was lost without a reason.</summary>
    public long Imbalance => Queued + Replayed - Delivered - Parked - Dropped - Pending;
}
