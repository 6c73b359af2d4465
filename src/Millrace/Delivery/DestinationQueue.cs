using System.IO;
using Millrace.Log;
using Millrace.Protocols;

namespace Millrace.Delivery;

/// <summary>Where a destination lives: its folder, and the logs that feed it.</summary>
internal sealed record DestinationEnvironment
{
    /// <summary>The destination's own; holds spill, dead letters and cursors.</summary>
    public required string Folder { get; init; }

    public required IDisk Disk { get; init; }

    /// <summary>Shared by all destinations.</summary>
    public required RecordLog OutputLog { get; init; }

    /// <summary>Identity of the input log: raw positions mean nothing in another one.</summary>
    public required Guid InputLogId { get; init; }

    /// <summary>Where raw samples begin for a destination that is new: the end of the input log.</summary>
    public LogPosition RawStart { get; init; }

    /// <summary>Free space on the disk that the spill leaves to others.</summary>
    public long MinFreeBytes { get; init; }

    public TimeProvider Time { get; init; } = TimeProvider.System;

    /// <summary>Type, help and unit of a family, for remote write 2.0; null: sent without.</summary>
    public Func<string, MetricMetadata?>? MetadataOf { get; init; }

    /// <summary>Jitter of retries.</summary>
    public required Random Random { get; init; }
}

/// <summary>
/// The blocks of a destination until it is done with them: in memory while it keeps up, on disk when it does not.
/// Knows nothing of requests. Not thread-safe: <see cref="Destination"/> calls it under its lock.
/// </summary>
/// <remarks>
/// <para><b>Raw blocks</b> live in memory only, until one does not fit. Then all of its lane, the one under way
/// included, are written to the spill in their order, and so is every new one until the lane's spill has been read
/// empty. So a lane's spill always reaches back to what the lane is done with, and <see cref="RawResumeAt"/>, the place
/// behind which the input log must be read again after a crash, is simply the end of its last spilled block. Blocks
/// stay in memory when they are spilled; what is on disk only is read back in order by
/// <see cref="StoredFeed"/>.</para>
/// <para><b>Nodes.</b> Where several nodes share the lanes, half of the memory is dealt to the lanes: what waits for
/// one node does not send the lanes of the others to the disk.</para>
/// <para><b>Output blocks</b> are in the output log already: when memory is full they are just not kept.</para>
/// <para><b>A block under way</b> is marked before it is first sent, and its lane has no other. After a crash the
/// marked block is the one that may be repeated: found in the spill or the output log it is the same bytes anyway,
/// else
/// <see cref="RawSealAt"/> says where the rebuilt block must end to be the same bytes.</para>
/// </remarks>
internal sealed class DestinationQueue : IDisposable
{
    private const int Feeds = 2;
    private const long ReadRetryMs = 1_000;

    private readonly DestinationConfig _config;
    private readonly DestinationCounters _counters;
    private readonly Guid _inputLogId;
    private readonly RecordLog _outputLog;
    private readonly RecordLog _spill;
    private readonly LaneCursors _cursors;
    private readonly PayloadWriter _head = new(256);
    private readonly LaneFeed[][] _feeds = new LaneFeed[Feeds][];
    private readonly StoredFeed[] _stored = new StoredFeed[Feeds];
    private readonly QueuedBlock?[] _underWay;
    private readonly Feed[] _lastTaken;

    // Stored and not done with, per feed: what the size bound is about.
    private readonly long[] _storedBytes = new long[Feeds];
    private readonly long _laneRoomBytes;   // of what is read back, while others need the memory, too
    private readonly long _commonBytes;     // memory for whichever lane comes
    private readonly long _laneOwnBytes;    // memory that a lane has besides
    private bool _hasUnsavedLoss; // blocks were given up, and the ledger on disk does not know
    private long _readAgainAtMs; // after a failed read: a disk that does not answer is not asked all the time
    private long _rawNeededFromLsn;
    private long _outputsNeededFromLsn;

    public DestinationQueue(
        DestinationConfig config, DestinationEnvironment environment, DestinationCounters counters)
    {
        (_config, _counters) = (config, counters);
        (_inputLogId, _outputLog) = (environment.InputLogId, environment.OutputLog);
        environment.Disk.CreateFolder(environment.Folder);
        _spill = RecordLog.Open(
            Path.Combine(environment.Folder, "spill"),
            new RecordLogOptions
            {
                SegmentBytes = Math.Clamp(config.QueueMaxBytes / 16, 1 << 20, 64 << 20),
                MinFreeBytes = environment.MinFreeBytes,
            },
            environment.Disk, environment.Time);
        _cursors = new LaneCursors(
            environment.Folder, config.Lanes, environment.InputLogId, environment.OutputLog, _spill,
            environment.RawStart, environment.Disk);
        Lanes = _cursors.Lanes;
        _underWay = new QueuedBlock?[Lanes];
        _lastTaken = new Feed[Lanes];
        _laneRoomBytes = config.QueueMemoryBytes / 2 / Lanes;
        _laneOwnBytes = config.Sharded is null ? 0 : _laneRoomBytes;
        _commonBytes = config.QueueMemoryBytes - _laneOwnBytes * Lanes;
        _feeds[(int)Feed.Raw] = NewLanes(Feed.Raw, Lanes);
        _feeds[(int)Feed.Outputs] = NewLanes(Feed.Outputs, Lanes);
        _stored[(int)Feed.Raw] = new StoredFeed(
            Feed.Raw, _spill, config.Name, environment.InputLogId, _feeds[(int)Feed.Raw]);
        _stored[(int)Feed.Outputs] = new StoredFeed(
            Feed.Outputs, environment.OutputLog, config.Name, environment.InputLogId, _feeds[(int)Feed.Outputs]);
        Restore(environment.OutputLog);
        (_rawNeededFromLsn, _outputsNeededFromLsn) = Needed();
    }

    /// <summary>Fixed when the folder was made, whatever the configuration says later.</summary>
    public int Lanes { get; }

    public string? Failure =>
        _spill.Failure ?? _stored[(int)Feed.Raw].Failure ?? _stored[(int)Feed.Outputs].Failure;

    public long MemoryBytes
    {
        get
        {
            var sum = 0L;
            for (var lane = 0; lane < Lanes; lane++)
            {
                sum += MemoryBytesOf(lane);
            }
            return sum;
        }
    }

    private long MemoryBytesOf(int lane) =>
        _feeds[0][lane].WaitingBytes + _feeds[1][lane].WaitingBytes + (_underWay[lane]?.SizeBytes ?? 0);

    /// <summary>Not delivered yet and on disk, in the spill or in the output log.</summary>
    public long StoredBytes(Feed feed) => _storedBytes[(int)feed];

    /// <summary>Raw samples of the lane up to here are done with, or safe in the spill.</summary>
    public LogPosition RawResumeAt(int lane) => Of(Feed.Raw, lane).ResumeAt;

    /// <summary>Where the block ended that was under way in the crash, if it has to be rebuilt.</summary>
    public LogPosition? RawSealAt(int lane)
    {
        var positions = Of(Feed.Raw, lane);
        return positions.MarkedEnd > positions.ResumeAt ? positions.MarkedEnd : null;
    }

    public LogPosition OutputsResumeAt(int lane) => Of(Feed.Outputs, lane).ResumeAt;

    /// <summary>
    /// As of the last <see cref="PublishNeeded"/>: what is released must survive power loss elsewhere first.
    /// </summary>
    public long RawNeededFromLsn => Volatile.Read(ref _rawNeededFromLsn);

    public long OutputsNeededFromLsn => Volatile.Read(ref _outputsNeededFromLsn);

    public long HighestLsn(Feed feed)
    {
        var highest = 0L;
        foreach (var positions in _feeds[(int)feed])
        {
            highest = Math.Max(highest, Math.Max(positions.ResumeAt.Lsn, positions.MarkedEnd.Lsn));
        }
        return highest;
    }

    /// <returns>False when the lane is past this block already.</returns>
    public bool Offer(SealedBlock block, long nowMs)
    {
        var positions = Of(block.Feed, block.Lane);
        if (block.End <= positions.ResumeAt)
        {
            return false;
        }
        _counters.Queued(block.SampleCount);
        if (block.Feed == Feed.Outputs)
        {
            OfferOutput(block, positions);
        }
        else
        {
            OfferRaw(block, positions, nowMs);
        }
        return true;
    }

    /// <summary>
    /// A dead letter, behind all that waits in its lane. It goes into the spill as a block of no input log: no position
    /// there speaks of it, and the bound of the queue does not throw out others for it.
    /// </summary>
    /// <returns>False when the queue has no room for it now, or the disk refused it.</returns>
    public bool TryOfferAgain(SealedBlock letter, long nowMs)
    {
        var stored = _storedBytes[(int)Feed.Raw];
        if (stored > 0 && stored + letter.Bytes.Length > _config.QueueMaxBytes)
        {
            return false;
        }
        var block = letter with { Feed = Feed.Raw, Lane = letter.Lane % Lanes, End = default, SealedAtMs = nowMs };
        if (!TrySpillMemory(nowMs) || !TryAppend(block, Guid.Empty, nowMs, out var lsn))
        {
            return false;
        }
        var positions = Of(Feed.Raw, block.Lane);
        _counters.Replayed(block.SampleCount);
        _stored[(int)Feed.Raw].Stored(positions, lsn);
        positions.CountOnDisk(block, new LogPosition(lsn, 0), default);
        return TrySaveLedger();
    }

    /// <summary>
    /// More waits on disk, or is kept in the output log by what waits, than the configuration allows.
    /// </summary>
    public bool IsOverBound(Feed feed) =>
        _storedBytes[(int)feed] > _config.QueueMaxBytes
        || (feed == Feed.Outputs && PinnedBytes() > _config.QueueMaxBytes);

    /// <summary>
    /// The lane with the oldest stored block of the feed, and whether it is the one under way: as a rule it is, being
    /// tried again and again, and left alone it would pin all that came after it.
    /// </summary>
    /// <param name="isOut">
    /// The lane's request is out: its block is left to the answer, and those behind it too while there are others.
    /// </param>
    public (int Lane, bool IsUnderWay)? FindOldest(Feed feed, long nowMs, Predicate<int> isOut)
    {
        (int Lane, bool IsUnderWay)? oldest = null;
        var (oldestAt, oldestIsBehind) = (default(LogPosition), true);
        for (var lane = 0; lane < Lanes; lane++)
        {
            var positions = Of(feed, lane);
            var isUnderWay = IsUnderWay(feed, lane);
            var isBehind = isUnderWay && isOut(lane);
            QueuedBlock? candidate = null;
            if (isUnderWay && !isBehind)
            {
                candidate = _underWay[lane];
            }
            else if (positions.HasWork && TryLoad(lane, feed, nowMs))
            {
                positions.Waiting.TryPeek(out candidate);
            }
            if (candidate is null || candidate.StoredAt == default)
            {
                continue;
            }
            if (oldest is null || (oldestIsBehind && !isBehind)
                || (oldestIsBehind == isBehind && candidate.StoredAt < oldestAt))
            {
                oldest = (lane, isUnderWay && !isBehind);
                (oldestAt, oldestIsBehind) = (candidate.StoredAt, isBehind);
            }
        }
        return oldest;
    }

    /// <summary>The first block that waits in the lane goes; it is in memory.</summary>
    public void DropHead(int lane, Feed feed, DropReason reason)
    {
        var positions = Of(feed, lane);
        var block = positions.Dequeue();
        Forget(block);
        _counters.Dropped(reason, block.Block.SampleCount);
        positions.Dropped(block, IsUnderWay(feed, lane));
        TrySaveDone(lane, feed, positions);
    }

    /// <summary>The feeding log has nothing more for this lane up to here.</summary>
    public void Passed(Feed feed, int lane, LogPosition upTo) =>
        Of(feed, lane).Passed(upTo, IsUnderWay(feed, lane));

    /// <summary>Not before this time is anything to be had from the disk.</summary>
    public long ReadAgainAtMs => _readAgainAtMs;

    /// <summary>Samples of a lane that are not accounted for.</summary>
    public long PendingOf(int lane) =>
        Of(Feed.Raw, lane).Samples + Of(Feed.Outputs, lane).Samples + (_underWay[lane]?.Block.SampleCount ?? 0);

    public bool HasWork(int lane) => Of(Feed.Raw, lane).HasWork || Of(Feed.Outputs, lane).HasWork;

    /// <summary>
    /// The next block of the lane, which is under way from now on; null when there is none or it must be read on.
    /// </summary>
    public QueuedBlock? TryTake(int lane, long nowMs)
    {
        for (var turn = 1; turn <= Feeds; turn++)
        {
            var feed = (Feed)(((int)_lastTaken[lane] + turn) % Feeds);
            if (TryLoadHead(lane, feed, nowMs))
            {
                _lastTaken[lane] = feed;
                var positions = Of(feed, lane);
                var block = positions.Dequeue();
                positions.Taken(block);
                return _underWay[lane] = block;
            }
        }
        return null;
    }

    /// <summary>True for the block that was under way when the process before us ended.</summary>
    public bool IsPossiblyRepeated(int lane, out bool wasSplit)
    {
        var block = _underWay[lane]!;
        var positions = Of(block.Block.Feed, lane);
        wasSplit = positions.MarkedAsSplit;
        return positions.IsMarked(block);
    }

    /// <summary>On disk before the first byte is sent.</summary>
    public bool MarkUnderWay(int lane)
    {
        var block = _underWay[lane]!;
        var positions = Of(block.Block.Feed, lane);
        // If the end of the lane's block before could not be saved, a crash would repeat that one, too; and of the same
        // feed the mark would say that both are one.
        for (var feed = 0; feed < Feeds; feed++)
        {
            if (!TrySaveDone(lane, (Feed)feed, Of((Feed)feed, lane)))
            {
                return false;
            }
        }
        positions.Mark(block);
        return _cursors.SaveMark(lane, block.Block.Feed, positions);
    }

    /// <summary>On disk before the first part is sent.</summary>
    public void MarkAsSplit(int lane)
    {
        var feed = _underWay[lane]!.Block.Feed;
        var positions = Of(feed, lane);
        if (!positions.MarkedAsSplit)
        {
            positions.MarkAsSplit();
            _cursors.SaveMark(lane, feed, positions);
        }
    }

    public bool IsExpired(QueuedBlock block, long nowMs) =>
        block.Block.SealedAtMs > 0 && nowMs - block.Block.SealedAtMs > _config.QueueMaxAge.TotalMilliseconds;

    /// <summary>Every sample of the block under way is accounted for; the lane moves on.</summary>
    public void Finish(int lane)
    {
        var block = _underWay[lane]!;
        var feed = block.Block.Feed;
        _underWay[lane] = null;
        Forget(block);
        var positions = Of(feed, lane);
        positions.Finished(block);
        TrySaveDone(lane, feed, positions);
    }

    /// <summary>Writes what waits in memory only to the spill.</summary>
    public bool TrySpillMemory(long nowMs)
    {
        for (var lane = 0; lane < Lanes; lane++)
        {
            if (!TrySpillMemory(lane, nowMs))
            {
                return false;
            }
        }
        return true;
    }

    private bool TrySpillMemory(int lane, long nowMs)
    {
        var positions = Of(Feed.Raw, lane);
        if (_underWay[lane] is { Block.Feed: Feed.Raw } block && block.StoredAt == default)
        {
            if (!TrySpill(block, positions, nowMs))
            {
                return false;
            }
            if (positions.MarkedEnd == block.End)
            {
                positions.MarkSpilled(block.StoredAt.Lsn);
                _cursors.SaveMark(lane, Feed.Raw, positions);
            }
        }
        foreach (var waiting in positions.Waiting)
        {
            if (!TrySpill(waiting, positions, nowMs))
            {
                return false;
            }
        }
        return true;
    }

    /// <summary>What <see cref="PublishNeeded"/> may tell once everything up to now is synced.</summary>
    public (long Raw, long Outputs) Needed()
    {
        var (raw, outputs) = (long.MaxValue, long.MaxValue);
        for (var lane = 0; lane < Lanes; lane++)
        {
            raw = Math.Min(raw, NextLsn(Of(Feed.Raw, lane).ResumeAt));
            outputs = Math.Min(outputs, NextLsn(Of(Feed.Outputs, lane).Done));
        }
        return (raw, outputs);
    }

    /// <summary>Positions that moved without a block, and the ledger.</summary>
    public void SavePositions()
    {
        for (var lane = 0; lane < Lanes; lane++)
        {
            TrySaveDone(lane, Feed.Raw, Of(Feed.Raw, lane));
            TrySaveDone(lane, Feed.Outputs, Of(Feed.Outputs, lane));
        }
    }

    /// <summary>Touches nothing but files: called without the lock.</summary>
    public bool SyncFiles()
    {
        var syncedLsn = _spill.NextLsn;
        if (!_spill.Sync())
        {
            return false;
        }
        _cursors.SpillSyncedLsn = syncedLsn;
        return _cursors.Sync();
    }

    public void PublishNeeded((long Raw, long Outputs) needed)
    {
        Volatile.Write(ref _rawNeededFromLsn, needed.Raw);
        Volatile.Write(ref _outputsNeededFromLsn, needed.Outputs);
        var spill = _spill.NextLsn;
        for (var lane = 0; lane < Lanes; lane++)
        {
            var raw = _underWay[lane] is { Block.Feed: Feed.Raw } block ? block : null;
            spill = Math.Min(spill, Of(Feed.Raw, lane).NeedsStoredFrom(raw));
        }
        _spill.ReleaseBefore(spill);
    }

    public void Dispose()
    {
        foreach (var stored in _stored)
        {
            stored.Dispose();
        }
        _cursors.Dispose();
        _spill.Dispose();
        _head.Dispose();
    }

    private static LaneFeed[] NewLanes(Feed feed, int lanes)
    {
        var positions = new LaneFeed[lanes];
        for (var lane = 0; lane < lanes; lane++)
        {
            positions[lane] = new LaneFeed(feed);
        }
        return positions;
    }

    private static long NextLsn(LogPosition position) =>
        position.Index == int.MaxValue ? position.Lsn + 1 : position.Lsn;

    private LaneFeed Of(Feed feed, int lane) => _feeds[(int)feed][lane];

    private bool IsUnderWay(Feed feed, int lane) => _underWay[lane]?.Block.Feed == feed;

    private void Restore(RecordLog outputLog)
    {
        var (spillTo, outputsFrom) = (0L, long.MaxValue);
        for (var lane = 0; lane < Lanes; lane++)
        {
            var (raw, outputs) = (Of(Feed.Raw, lane), Of(Feed.Outputs, lane));
            _cursors.Restore(lane, raw, outputs);
            spillTo = Math.Max(spillTo, Math.Max(raw.SpillDone, raw.MarkedSpill));
            outputsFrom = Math.Min(outputsFrom, outputs.Done.Lsn);
        }
        // A power loss may have taken records from the ends of the logs whose LSNs mean something to us already.
        foreach (var known in _cursors.SpillGaps())
        {
            spillTo = Math.Max(spillTo, known.ToLsn - 1);
        }
        _spill.SkipTo(Math.Max(spillTo + 1, _cursors.SpillSyncedLsn));
        outputLog.SkipTo(HighestLsn(Feed.Outputs) + 1);
        if (_stored[(int)Feed.Raw].FindSpilled(_cursors.SpillSyncedLsn, _cursors.SpillGaps()) is { } gap)
        {
            _cursors.AddSpillGap(gap);
        }
        _stored[(int)Feed.Outputs].FindOutputs(outputsFrom);
        var pendingSamples = 0L;
        for (var feed = 0; feed < Feeds; feed++)
        {
            foreach (var positions in _feeds[feed])
            {
                pendingSamples += positions.DiskSamples;
                _storedBytes[feed] += positions.DiskBytes;
            }
        }
        _counters.Restore(_cursors.RestoreLedger(), pendingSamples);
    }

    private void OfferOutput(SealedBlock block, LaneFeed positions)
    {
        _storedBytes[(int)Feed.Outputs] += block.Bytes.Length;
        if (positions.DiskBlocks == 0 && FitsMemory(block))
        {
            positions.Enqueue(new QueuedBlock(block, block.End) { StoredAt = block.End });
            return;
        }
        _stored[(int)Feed.Outputs].Stored(positions, block.End.Lsn);
        positions.CountOnDisk(block, block.End, block.End);
    }

    private void OfferRaw(SealedBlock block, LaneFeed positions, long nowMs)
    {
        if (positions.DiskBlocks == 0 && FitsMemory(block))
        {
            positions.Enqueue(new QueuedBlock(block, block.End));
            return;
        }
        if (!TrySpillMemory(block.Lane, nowMs) || !TryAppend(block, _inputLogId, nowMs, out var lsn))
        {
            // The log's own guard for free space refuses new samples soon; until then these are the ones that go.
            _counters.Dropped(DropReason.DiskError, block.SampleCount);
            _hasUnsavedLoss = true;
            positions.GivenUp(block.End, IsUnderWay(Feed.Raw, block.Lane));
            return;
        }
        _stored[(int)Feed.Raw].Stored(positions, lsn);
        positions.CountOnDisk(block, new LogPosition(lsn, 0), block.End);
    }

    private bool FitsMemory(SealedBlock block)
    {
        var used = MemoryBytes;
        return used == 0 || used + block.Bytes.Length <= _commonBytes
            || MemoryBytesOf(block.Lane) + block.Bytes.Length <= _laneOwnBytes;
    }

    private bool TrySpill(QueuedBlock block, LaneFeed positions, long nowMs)
    {
        if (block.StoredAt != default)
        {
            return true;
        }
        if (!TryAppend(block.Block, _inputLogId, nowMs, out var lsn))
        {
            return false;
        }
        block.StoredAt = new LogPosition(lsn, 0);
        positions.MarkStored(block);
        return true;
    }

    private bool TryAppend(SealedBlock block, Guid logId, long nowMs, out long lsn)
    {
        lsn = 0;
        // Behind this record no crash brings back what was given up before it: its count must survive, too.
        if (_hasUnsavedLoss && !TrySaveLedger())
        {
            return false;
        }
        var stored = new StoredBlock(block, logId, Refusal.None, 0, "", 0);
        stored.WriteHead(_head);
        var outcome = _spill.Append(stored.RecordHeader(nowMs), _head.Written.Span, block.Bytes.Span, out lsn);
        if (outcome != AppendOutcome.Written)
        {
            return false;
        }
        _storedBytes[(int)Feed.Raw] += block.Bytes.Length;
        return true;
    }

    /// <summary>Brings the next block of the lane that is not too old into memory.</summary>
    private bool TryLoadHead(int lane, Feed feed, long nowMs)
    {
        var positions = Of(feed, lane);
        while (positions.HasWork)
        {
            if (!TryLoad(lane, feed, nowMs))
            {
                return false;
            }
            if (!positions.Waiting.TryPeek(out var head))
            {
                continue;
            }
            if (!IsExpired(head, nowMs))
            {
                return true;
            }
            DropHead(lane, feed, DropReason.QueueAge);
        }
        return false;
    }

    private bool TryLoad(int lane, Feed feed, long nowMs)
    {
        var positions = Of(feed, lane);
        if (positions.Waiting.Count > 0)
        {
            return true;
        }
        if (nowMs < _readAgainAtMs)
        {
            return false;
        }
        if (!_stored[(int)feed].TryRefill(lane, HasRoom))
        {
            _readAgainAtMs = _stored[(int)feed].Failure is null ? 0 : nowMs + ReadRetryMs;
            return false;
        }
        if (positions.Waiting.Count == 0)
        {
            // The log has been read to its end: the rest was damaged, or cut off by the log's own bound.
            var (samples, sizeBytes) = positions.LoseUnread(IsUnderWay(feed, lane));
            _storedBytes[(int)feed] -= sizeBytes;
            _counters.Dropped(DropReason.LostOnDisk, samples);
            TrySaveDone(lane, feed, positions);
        }
        return true;
    }

    private bool HasRoom(LaneFeed positions) =>
        positions.WaitingBytes < _laneRoomBytes && MemoryBytes < _config.QueueMemoryBytes;

    /// <summary>How much of the output log stands behind what waits here, by the share of its records.</summary>
    private double PinnedBytes()
    {
        var (first, next) = (_outputLog.FirstLsn, _outputLog.NextLsn);
        var needed = long.MaxValue;
        for (var lane = 0; lane < Lanes; lane++)
        {
            var underWay = IsUnderWay(Feed.Outputs, lane) ? _underWay[lane] : null;
            needed = Math.Min(needed, Of(Feed.Outputs, lane).NeedsStoredFrom(underWay));
        }
        return needed >= next || next <= first
            ? 0 : _outputLog.SizeBytes * ((double)(next - Math.Max(needed, first)) / (next - first));
    }

    private void Forget(QueuedBlock block)
    {
        if (block.StoredAt != default)
        {
            _storedBytes[(int)block.Block.Feed] -= block.SizeBytes;
        }
    }

    /// <summary>The ledger first: a position that speaks of more than it would lose a count in a crash.</summary>
    private bool TrySaveDone(int lane, Feed feed, LaneFeed positions) =>
        TrySaveLedger() && _cursors.SaveDone(lane, feed, positions);

    private bool TrySaveLedger()
    {
        if (!_cursors.SaveLedger(_counters.Totals()))
        {
            return false;
        }
        _hasUnsavedLoss = false;
        return true;
    }
}
