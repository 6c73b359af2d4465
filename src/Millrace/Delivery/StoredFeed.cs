using Millrace.Log;

namespace Millrace.Delivery;

/// <summary>Records of the spill that a power loss left without those before them; the input log has both.</summary>
internal readonly record struct SpillGap(long FromLsn, long ToLsn);

/// <summary>
/// Reads the stored blocks of one feed back into its lanes: the spill (raw) or the output log.
/// </summary>
/// <remarks>
/// One reader serves all lanes. It goes forward until the lane that asked has a block, and gives the others what it meets
/// as far as they have room. A full lane does not stop it (another lane's backend answers may depend on that): the
/// place is noted, and the reader goes back there when the lane asks. Lanes that move at about the same pace share one pass;
/// a lane left far behind costs re-reading, never order.
/// </remarks>
internal sealed class StoredFeed(
    Feed feed, RecordLog log, string destination, Guid inputLogId, LaneFeed[] lanes) : IDisposable
{
    /// <summary>How much one call reads at most: it runs under the destination's lock.</summary>
    private const long ReadBudgetBytes = 16 << 20;

    private readonly List<SpillGap> _gaps = [];
    private LogReader? _reader;

    /// <summary>Why the log could not be read; null when all is well. What it holds is not given up for that.</summary>
    public string? Failure { get; private set; }

    private long NextLsn => _reader?.NextLsn ?? 0;

    /// <summary>Counts what an earlier process left in the output log, without keeping it.</summary>
    public void FindOutputs(long fromLsn)
    {
        using var reader = log.OpenReader(fromLsn);
        while (reader.TryRead(out var record))
        {
            foreach (var (block, at) in OutputsOf(record))
            {
                if (at > lanes[block.Lane].Done)
                {
                    lanes[block.Lane].CountOnDisk(block, at, at);
                }
            }
        }
        Failure = reader.Failure;
    }

    /// <summary>
    /// Counts what an earlier process left in the spill. Of what was not synced a power loss may have taken records out of
    /// the middle. The input log still has those, and with them all that follows: so the spill ends where the first one
    /// is missing. A gap in what was synced is damage, and what stands behind it is kept.
    /// </summary>
    /// <param name="syncedLsn">Records below it were synced.</param>
    /// <param name="gaps">What earlier calls found: records that are not to be read.</param>
    /// <returns>What is not to be read from now on besides; null when nothing is missing.</returns>
    public SpillGap? FindSpilled(long syncedLsn, IEnumerable<SpillGap> gaps)
    {
        _gaps.AddRange(gaps);
        using var reader = log.OpenReader(log.FirstLsn);
        while (reader.TryRead(out var record))
        {
            if (record.MissingBefore > 0 && record.Lsn > syncedLsn && !IsInGap(record.Lsn))
            {
                var gap = new SpillGap(record.Lsn, log.NextLsn);
                _gaps.Add(gap);
                return gap;
            }
            FindSpilled(record);
        }
        Failure = reader.Failure;
        return null;
    }

    /// <summary>Reads on until the lane has a block in memory; false when it took more than one call may read.</summary>
    /// <param name="hasRoom">Whether a lane other than the asking one may get another block.</param>
    public bool TryRefill(int lane, Predicate<LaneFeed> hasRoom)
    {
        var asking = lanes[lane];
        SeekFor(asking);
        var budgetBytes = ReadBudgetBytes;
        while (asking.Waiting.Count == 0 && asking.DiskBlocks > 0)
        {
            if (budgetBytes <= 0)
            {
                return false;
            }
            if (!_reader!.TryRead(out var record))
            {
                Failure = _reader.Failure;
                return Failure is null;
            }
            budgetBytes -= record.Payload.Length;
            if (feed == Feed.Raw)
            {
                if (ReadSpilled(record) is { } spilled)
                {
                    Give(spilled.Block, new LogPosition(record.Lsn, 0), EndOf(spilled), asking, hasRoom);
                }
                continue;
            }
            foreach (var (block, at) in OutputsOf(record))
            {
                Give(block, at, at, asking, hasRoom);
            }
        }
        Failure = null;
        return true;
    }

    /// <summary>A block was stored behind the reader's back, which may be past it already.</summary>
    public void Stored(LaneFeed lane, long lsn)
    {
        if (lsn < NextLsn)
        {
            lane.Skip(lsn);
        }
    }

    public void Dispose() => _reader?.Dispose();

    private void SeekFor(LaneFeed asking)
    {
        if (_reader is not null && asking.SkippedAt is null)
        {
            return;
        }
        var from = asking.SkippedAt ?? long.MaxValue;
        if (_reader is null)
        {
            foreach (var lane in lanes)
            {
                // The record itself may hold further blocks of the lane.
                from = Math.Min(from, lane.DiskBlocks > 0 ? lane.LoadedTo.Lsn : long.MaxValue);
            }
        }
        _reader?.Dispose();
        _reader = log.OpenReader(from);
        foreach (var lane in lanes)
        {
            lane.ReaderIsAt(from);
        }
    }

    private static void Give(
        SealedBlock block, LogPosition at, LogPosition end, LaneFeed asking, Predicate<LaneFeed> hasRoom, LaneFeed lane)
    {
        if (at <= lane.LoadedTo || at > lane.StoredTo || lane.SkippedAt is not null || lane.DiskBlocks == 0)
        {
            return;
        }
        if (lane != asking && !hasRoom(lane))
        {
            lane.Skip(at.Lsn);
            return;
        }
        // The record's bytes are the reader's; the block keeps its own.
        var kept = block with { Bytes = block.Bytes.ToArray() };
        lane.Loaded(new QueuedBlock(kept, end) { StoredAt = at });
    }

    private void Give(
        SealedBlock block, LogPosition at, LogPosition end, LaneFeed asking, Predicate<LaneFeed> hasRoom) =>
        Give(block, at, end, asking, hasRoom, lanes[block.Lane]);

    private void FindSpilled(in LogRecord record)
    {
        if (ReadSpilled(record) is not { } spilled)
        {
            return;
        }
        var lane = lanes[spilled.Block.Lane];
        var end = EndOf(spilled);
        if (record.Lsn <= lane.SpillDone)
        {
            // A power loss may keep the spill's position and take the input log's, which was written with it.
            lane.RaiseDone(end);
            return;
        }
        if (end != default && end <= lane.Done)
        {
            lane.FoundDone(record.Lsn);
            return;
        }
        lane.CountOnDisk(spilled.Block, new LogPosition(record.Lsn, 0), end);
    }

    private StoredBlock? ReadSpilled(in LogRecord record) =>
        !IsInGap(record.Lsn) && StoredBlock.TryRead(record) is { } spilled && spilled.Block.Lane < lanes.Length
            ? spilled : null;

    private bool IsInGap(long lsn)
    {
        foreach (var gap in _gaps)
        {
            if (lsn >= gap.FromLsn && lsn < gap.ToLsn)
            {
                return true;
            }
        }
        return false;
    }

    private LogPosition EndOf(StoredBlock spilled) => spilled.LogId == inputLogId ? spilled.Block.End : default;

    private List<(SealedBlock Block, LogPosition At)> OutputsOf(in LogRecord record)
    {
        var found = new List<(SealedBlock, LogPosition)>();
        if (record.Header.Type != RecordType.OutputGroup || !OutputGroup.TryRead(record.Payload, out var group, out _))
        {
            return found;
        }
        for (var i = 0; i < group.Blocks.Count; i++)
        {
            var output = group.Blocks[i];
            if (output.Lane >= lanes.Length || !string.Equals(output.Destination, destination, StringComparison.Ordinal))
            {
                continue;
            }
            var at = new LogPosition(record.Lsn, i);
            found.Add((new SealedBlock
            {
                Feed = Feed.Outputs,
                Lane = output.Lane,
                End = at,
                Bytes = output.Bytes,
                SampleCount = output.SampleCount,
                MinTimestampMs = output.MinTimestampMs,
                MaxTimestampMs = output.MaxTimestampMs,
                SealedAtMs = record.Header.ArrivalMs,
            }, at));
        }
        return found;
    }
}
