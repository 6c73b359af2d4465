using System.IO;
using Millrace.Log;

namespace Millrace.Delivery;

/// <summary>A block that a backend refused for good, and waits for somebody to decide about it.</summary>
/// <param name="Lsn">Its record: its name in commands.</param>
/// <param name="Letter">The block as last sent, and what the backend said of it.</param>
/// <param name="AtMs">When it was refused.</param>
/// <param name="IsWanted">It is to be sent again and waits for its turn.</param>
internal sealed record DeadLetter(long Lsn, StoredBlock Letter, long AtMs, bool IsWanted);

/// <summary>How many letters wait, and what became of the others.</summary>
internal readonly record struct LetterState(int Letters, long Samples, long Bytes, int Wanted, LetterTotals Totals);

/// <summary>
/// Blocks that a backend refused for good: kept until they are replayed or discarded, bounded, the oldest goes. They
/// were counted as parked when they came: parked = replayed + discarded + evicted + waiting, but for what a crash lets
/// happen twice.
/// </summary>
internal sealed class DeadLetters : IDisposable
{
    private readonly Lock _lock = new(); // covers everything below, and what is appended
    private readonly RecordLog _log;
    private readonly PayloadWriter _head = new(512);
    private readonly LetterBook _book = new();
    private readonly Guid _inputLogId;
    private readonly long _maxBytes;
    private long _added;

    public DeadLetters(DestinationConfig config, DestinationEnvironment environment)
        : this(
            RecordLog.Open(
                Path.Combine(environment.Folder, FolderName),
                new RecordLogOptions
                {
                    SegmentBytes = Math.Clamp(config.DeadLetterMaxBytes / 8, 64 << 10, 16 << 20),
                    MinFreeBytes = environment.MinFreeBytes,
                },
                environment.Disk, environment.Time),
            config.DeadLetterMaxBytes, environment.InputLogId)
    {
    }

    private DeadLetters(RecordLog log, long maxBytes, Guid inputLogId)
    {
        (_log, _maxBytes, _inputLogId) = (log, maxBytes, inputLogId);
        using var reader = log.OpenReader(log.FirstLsn);
        while (reader.TryRead(out var record))
        {
            if (LetterSettlement.TryRead(record) is { } settlement)
            {
                _book.Apply(settlement.Fate, settlement.Range);
                _book.Totals = settlement.Totals;
            }
            else if (StoredBlock.TryRead(record) is { } letter && _book.Count < LetterBook.MaxLetters)
            {
                _book.Add(record.Lsn, letter.LostSamples, letter.Block.Bytes.Length);
            }
        }
    }

    /// <summary>Below the folder of the destination.</summary>
    public const string FolderName = "dead-letters";

    public long SizeBytes => _log.SizeBytes;

    /// <summary>Letters since the start.</summary>
    public long Added => Interlocked.Read(ref _added);

    /// <summary>Segments that went because of the bound.</summary>
    public long DroppedSegments { get; private set; }

    public LetterState State
    {
        get
        {
            lock (_lock)
            {
                return new LetterState(_book.Count, _book.Samples, _book.Bytes, _book.WantedCount, _book.Totals);
            }
        }
    }

    /// <summary>Those of a stopped gateway, to decide about.</summary>
    /// <exception cref="LogOpenException">A gateway has them open, or they cannot be read.</exception>
    public static DeadLetters OpenStopped(string folder, IDisk disk, TimeProvider time) =>
        new(RecordLog.Open(folder, new RecordLogOptions(), disk, time), long.MaxValue, Guid.Empty);

    /// <summary>To look at, also while a gateway writes them.</summary>
    /// <exception cref="LogOpenException">There are none, or they cannot be read.</exception>
    public static DeadLetters OpenReadOnly(string folder, IDisk disk) =>
        new(RecordLog.OpenReadOnly(folder, disk), long.MaxValue, Guid.Empty);

    /// <param name="part">The samples as last sent, in canonical form.</param>
    /// <param name="lostSamples">How many of them the backend did not take.</param>
    public bool TryAdd(SealedBlock part, Refusal refusal, in SendResult answer, int lostSamples, long nowMs)
    {
        lock (_lock)
        {
            while (_book.Count >= LetterBook.MaxLetters && EvictLocked(nowMs))
            {
            }
            var letter = new StoredBlock(part, _inputLogId, refusal, answer.StatusCode, answer.Body ?? "", lostSamples);
            letter.WriteHead(_head);
            var header = letter.RecordHeader(nowMs);
            if (_book.Count >= LetterBook.MaxLetters
                || _log.Append(header, _head.Written.Span, part.Bytes.Span, out var lsn) != AppendOutcome.Written)
            {
                return false;
            }
            _book.Add(lsn, lostSamples, part.Bytes.Length);
            Interlocked.Increment(ref _added);
            while (_log.SizeBytes > _maxBytes && EvictLocked(nowMs))
            {
            }
            return true;
        }
    }

    /// <summary>The letters that wait in a range; the bytes of a block are its own.</summary>
    public IEnumerable<DeadLetter> Read(LetterRange range, bool wantedOnly = false)
    {
        using var reader = _log.OpenReader(Math.Max(range.From, _log.FirstLsn));
        while (reader.TryRead(out var record) && record.Lsn <= range.To)
        {
            if (IsWaiting(record.Lsn, out var isWanted) && (isWanted || !wantedOnly)
                && StoredBlock.TryRead(record) is { } letter)
            {
                var own = letter with { Block = letter.Block with { Bytes = letter.Block.Bytes.ToArray() } };
                yield return new DeadLetter(record.Lsn, own, record.Header.ArrivalMs, isWanted);
            }
        }
    }

    public IEnumerable<DeadLetter> Read() => Read(LetterRange.All);

    /// <summary>Where a replay begins; null when nothing is to be sent again.</summary>
    public long? FirstWantedLsn
    {
        get
        {
            lock (_lock)
            {
                return _book.FirstWantedLsn;
            }
        }
    }

    /// <summary>Decides about the letters that wait in a range; what is decided survives power loss.</summary>
    /// <returns>What it concerned; null when the disk refused it.</returns>
    public LetterSum? Settle(LetterFate fate, LetterRange range, long nowMs)
    {
        LetterSum sum;
        lock (_lock)
        {
            sum = _book.Sum(fate, range);
            if (sum.Letters == 0)
            {
                return sum;
            }
            if (!TrySettleLocked(fate, range, sum, nowMs))
            {
                return null;
            }
            _log.ReleaseBefore(_book.FirstLsn ?? _log.NextLsn);
        }
        return _log.Sync() ? sum : null;
    }

    public bool Sync() => _log.Sync();

    public void Dispose()
    {
        _log.Dispose();
        _head.Dispose();
    }

    private bool IsWaiting(long lsn, out bool isWanted)
    {
        lock (_lock)
        {
            return _book.IsWaiting(lsn, out isWanted);
        }
    }

    private bool TrySettleLocked(LetterFate fate, LetterRange range, LetterSum sum, long nowMs)
    {
        var totals = _book.Totals.With(fate, sum.Samples);
        new LetterSettlement(fate, range, totals).Write(_head);
        var header = LetterSettlement.RecordHeader(nowMs);
        if (_log.Append(header, _head.Written.Span, out _, reserved: true) != AppendOutcome.Written)
        {
            return false;
        }
        _book.Apply(fate, range);
        _book.Totals = totals;
        return true;
    }

    private bool EvictLocked(long nowMs)
    {
        if (!_log.DropOldestSegment(out var firstLsn))
        {
            return false;
        }
        DroppedSegments++;
        var range = new LetterRange(1, firstLsn - 1);
        var sum = _book.Sum(LetterFate.Evicted, range);
        if (sum.Letters > 0 && !TrySettleLocked(LetterFate.Evicted, range, sum, nowMs))
        {
            // They are gone all the same; the next settlement brings the sums to disk.
            _book.Apply(LetterFate.Evicted, range);
            _book.Totals = _book.Totals.With(LetterFate.Evicted, sum.Samples);
        }
        return true;
    }
}
