using System.Diagnostics;

namespace Millrace.Delivery;

/// <summary>A block in memory that waits or is under way.</summary>
internal sealed class QueuedBlock(SealedBlock block, LogPosition end)
{
    public SealedBlock Block { get; } = block;

    /// <summary>Its end in the present input or output log; zero for a spilled block of an earlier input log.</summary>
    public LogPosition End { get; } = end;

    /// <summary>
    /// Where it stands on disk: its record in the spill, or its place in the output log. Zero: only in memory.
    /// </summary>
    public LogPosition StoredAt { get; set; }

    /// <summary>The end of the last block given up before this one came; zero: none was.</summary>
    public LogPosition GivenUpBefore { get; set; }

    public long SizeBytes => Block.Bytes.Length;
}

/// <summary>
/// One feed of one lane: first the blocks in memory (<see cref="Waiting"/>), behind them the unread ones on disk
/// (<see cref="DiskBlocks"/>), so that order is kept. Holds facts and keeps them consistent; what to do is decided by
/// <see cref="DestinationQueue"/>.
/// </summary>
internal sealed class LaneFeed(Feed feed)
{
    public Queue<QueuedBlock> Waiting { get; } = new();

    public long WaitingBytes { get; private set; }

    public long WaitingSamples { get; private set; }

    /// <summary>Stored, not yet read into <see cref="Waiting"/>.</summary>
    public int DiskBlocks { get; private set; }

    public long DiskSamples { get; private set; }

    public long DiskBytes { get; private set; }

    /// <summary>Stored blocks up to here are in memory or gone; those behind it, up to the next, are unread.</summary>
    public LogPosition LoadedTo { get; private set; }

    public LogPosition StoredTo { get; private set; }

    /// <summary>The end, in the log that feeds us, of the last stored block.</summary>
    public LogPosition StoredEnd { get; private set; }

    /// <summary>The reader went past unread blocks of this lane, the first of them in this record.</summary>
    public long? SkippedAt { get; private set; }

    /// <summary>Everything up to here is delivered, parked or dropped.</summary>
    public LogPosition Done { get; private set; }

    /// <summary>The same for the spill's records.</summary>
    public long SpillDone { get; private set; }

    /// <summary>The block under way, as it is marked on disk; zero when there is none.</summary>
    public LogPosition MarkedEnd { get; private set; }

    /// <summary>The marked block's record in the spill; zero when it was never spilled.</summary>
    public long MarkedSpill { get; private set; }

    /// <summary>
    /// Parts of the marked block were sent one by one: a refusal of the whole says nothing about them.
    /// </summary>
    public bool MarkedAsSplit { get; private set; }

    // Blocks dropped behind the one under way: Done follows when that one is done.
    private LogPosition _droppedTo;
    private long _spillDroppedTo;

    /// <summary>The last block that was offered and neither memory nor disk could take.</summary>
    private LogPosition _givenUpTo;

    /// <summary>The last block that was ever only in memory.</summary>
    private LogPosition _memoryEnd;

    /// <summary>The feeding log holds nothing more for this lane up to here.</summary>
    private LogPosition _passedTo;

    public bool HasWork => Waiting.Count > 0 || DiskBlocks > 0;

    /// <summary>In memory and on disk.</summary>
    public long Samples => WaitingSamples + DiskSamples;

    public void Restore(LogPosition done, LogPosition markedEnd, bool markedAsSplit)
    {
        (Done, LoadedTo, MarkedEnd, MarkedAsSplit) = (done, done, markedEnd, markedAsSplit);
    }

    public void RestoreSpill(long done, long marked, bool markedAsSplit)
    {
        (SpillDone, MarkedSpill, LoadedTo) = (done, marked, new LogPosition(done, 0));
        MarkedAsSplit |= marked != 0 && markedAsSplit;
    }

    public void RaiseDone(LogPosition end) => Done = LogPosition.Max(Done, end);

    /// <summary>An earlier process was done with this record, and ended before it could say so.</summary>
    public void FoundDone(long spillLsn)
    {
        SpillDone = spillLsn;
        LoadedTo = new LogPosition(spillLsn, 0);
    }

    public void Enqueue(QueuedBlock block)
    {
        Waiting.Enqueue(block);
        WaitingBytes += block.SizeBytes;
        WaitingSamples += block.Block.SampleCount;
        block.GivenUpBefore = _givenUpTo;
        if (block.StoredAt != default)
        {
            MarkStored(block);
        }
        else
        {
            _memoryEnd = block.End;
        }
    }

    public QueuedBlock Dequeue()
    {
        var block = Waiting.Dequeue();
        WaitingBytes -= block.SizeBytes;
        WaitingSamples -= block.Block.SampleCount;
        return block;
    }

    /// <summary>The block is on disk now, and stays in memory as well.</summary>
    public void MarkStored(QueuedBlock block)
    {
        StoredTo = block.StoredAt;
        StoredEnd = LogPosition.Max(StoredEnd, block.End);
        LoadedTo = LogPosition.Max(LoadedTo, block.StoredAt);
    }

    /// <summary>The block is on disk only; its bytes are read when its turn comes.</summary>
    public void CountOnDisk(SealedBlock block, LogPosition storedAt, LogPosition end)
    {
        DiskBlocks++;
        DiskSamples += block.SampleCount;
        DiskBytes += block.Bytes.Length;
        StoredTo = storedAt;
        StoredEnd = LogPosition.Max(StoredEnd, end);
    }

    public void Loaded(QueuedBlock block)
    {
        DiskBlocks--;
        DiskSamples -= block.Block.SampleCount;
        DiskBytes -= block.SizeBytes;
        LoadedTo = block.StoredAt;
        Waiting.Enqueue(block);
        WaitingBytes += block.SizeBytes;
        WaitingSamples += block.Block.SampleCount;
        Debug.Assert(DiskBlocks >= 0);
    }

    public void Skip(long lsn) => SkippedAt = Math.Min(SkippedAt ?? long.MaxValue, lsn);

    public void ReaderIsAt(long lsn)
    {
        if (SkippedAt >= lsn)
        {
            SkippedAt = null;
        }
    }

    /// <summary>The rest on disk cannot be read any more.</summary>
    public (long Samples, long SizeBytes) LoseUnread(bool isUnderWay)
    {
        var lost = (DiskSamples, DiskBytes);
        (DiskBlocks, DiskSamples, DiskBytes, SkippedAt) = (0, 0, 0, null);
        LoadedTo = StoredTo;
        _droppedTo = LogPosition.Max(_droppedTo, StoredEnd);
        _spillDroppedTo = Math.Max(_spillDroppedTo, feed == Feed.Raw ? StoredTo.Lsn : 0);
        if (!isUnderWay)
        {
            CatchUp();
        }
        return lost;
    }

    public void Mark(QueuedBlock block)
    {
        MarkedEnd = block.End;
        MarkedSpill = feed == Feed.Raw ? block.StoredAt.Lsn : 0;
        MarkedAsSplit = false;
    }

    public void MarkAsSplit() => MarkedAsSplit = true;

    /// <summary>The marked block was in memory only and has a record in the spill now.</summary>
    public void MarkSpilled(long spillLsn) => MarkedSpill = spillLsn;

    /// <summary>True for the block that was under way when the process before us ended.</summary>
    public bool IsMarked(QueuedBlock block) =>
        (block.End != default && block.End == MarkedEnd)
        || (feed == Feed.Raw && block.StoredAt != default && block.StoredAt.Lsn == MarkedSpill);

    /// <summary>A block left the head of the lane behind the one under way, if there is one.</summary>
    public void Dropped(QueuedBlock block, bool isUnderWay)
    {
        _droppedTo = LogPosition.Max(_droppedTo, block.End);
        if (feed == Feed.Raw)
        {
            _spillDroppedTo = Math.Max(_spillDroppedTo, block.StoredAt.Lsn);
        }
        if (!isUnderWay)
        {
            CatchUp();
        }
    }

    public void Finished(QueuedBlock block)
    {
        Done = LogPosition.Max(Done, block.End);
        if (feed == Feed.Raw)
        {
            SpillDone = Math.Max(SpillDone, block.StoredAt.Lsn);
        }
        (MarkedEnd, MarkedSpill, MarkedAsSplit) = (default, 0, false);
        CatchUp();
    }

    /// <summary>
    /// The block is the lane's first, so what was given up before it is done with. A block is rebuilt after a crash
    /// from what is done to its own end: one that was given up in between would come back, in the place of the block
    /// that was sent, and that one would follow it as if it were new.
    /// </summary>
    public void Taken(QueuedBlock block) => Done = LogPosition.Max(Done, block.GivenUpBefore);

    /// <summary>A block that was offered is lost, behind all that waits.</summary>
    public void GivenUp(LogPosition end, bool isUnderWay)
    {
        _givenUpTo = end;
        Passed(end, isUnderWay);
    }

    public void Passed(LogPosition upTo, bool isUnderWay)
    {
        _passedTo = LogPosition.Max(_passedTo, upTo);
        if (!isUnderWay)
        {
            CatchUp();
        }
    }

    /// <summary>Where the feeding log has to go on after a crash.</summary>
    public LogPosition ResumeAt
    {
        get
        {
            var safe = LogPosition.Max(Done, StoredEnd);
            return _memoryEnd <= safe ? LogPosition.Max(safe, _passedTo) : safe;
        }
    }

    /// <summary>The first stored record that is still needed.</summary>
    public long NeedsStoredFrom(QueuedBlock? underWay)
    {
        if (underWay is not null && underWay.StoredAt != default)
        {
            return underWay.StoredAt.Lsn;
        }
        if (Waiting.TryPeek(out var head) && head.StoredAt != default)
        {
            return head.StoredAt.Lsn;
        }
        return DiskBlocks > 0 ? Math.Max(LoadedTo.Lsn, 1) : long.MaxValue;
    }

    private void CatchUp()
    {
        Done = LogPosition.Max(Done, _droppedTo);
        SpillDone = Math.Max(SpillDone, _spillDroppedTo);
        if (!HasWork)
        {
            Done = LogPosition.Max(Done, _passedTo);
        }
    }
}
