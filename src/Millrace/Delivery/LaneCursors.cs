using System.IO;
using Millrace.Log;

namespace Millrace.Delivery;

/// <summary>
/// The positions and the ledger of a destination on disk: what a lane is done with and what it has under way, safe
/// against the death of the process as soon as a method returns.
/// </summary>
/// <remarks>
/// Three files, because positions mean something in their own log only, and a file empties itself when its log is
/// another one: <c>input.cursors</c> (raw blocks, input log), <c>outputs.cursors</c> (output log),
/// <c>spill.cursors</c> (the destination's own spill, and the ledger). Slots:
/// <code>
/// input, outputs   0: (1, lanes, 0)    per lane: (done LSN, done index, 0), then per lane:
///                  (LSN, index of the block under way, 1 if parts of it were sent one by one)
/// spill            0: (1, lanes, 0)    per lane: (done LSN, LSN under way, 1 if parts were sent), then the ledger:
///                  (delivered, parked, replayed), and the drop reasons three to a slot; then the spill itself:
///                  (synced LSN, 0, 0), and the gaps: (from LSN, to LSN, 0)
/// </code>
/// A mark at or below the done position is void, so that finishing a block is one write. The ledger is written before
/// the position: a process that dies between the two sends the block again, and the ledger counts it again.
/// </remarks>
internal sealed class LaneCursors : IDisposable
{
    private const int FirstLane = 1;
    private const int ReasonsPerSlot = 3;
    private const int LedgerSlots = 1 + (DestinationCounters.DropReasons + ReasonsPerSlot - 1) / ReasonsPerSlot;

    /// <summary>A gap is found once per power loss, and forgotten when the spill is past it.</summary>
    private const int MaxGaps = 8;

    private readonly CursorFile _input;
    private readonly CursorFile _outputs;
    private readonly CursorFile _spill;

    public LaneCursors(
        string folder, int lanes, Guid inputLogId, RecordLog outputLog, RecordLog spill, LogPosition rawStart,
        IDisk disk)
    {
        // The number of lanes is fixed when the folder is made: series keep their lane as long as blocks wait.
        _spill = CursorFile.Open(Path.Combine(folder, "spill.cursors"), SpillSlots(lanes), spill.Id, disk);
        var found = (int)_spill.Get(0).B;
        if (found > 0 && found != lanes)
        {
            lanes = found;
            _spill.Dispose();
            _spill = CursorFile.Open(Path.Combine(folder, "spill.cursors"), SpillSlots(lanes), spill.Id, disk);
        }
        Lanes = lanes;
        _input = CursorFile.Open(Path.Combine(folder, "input.cursors"), FirstLane + 2 * lanes, inputLogId, disk);
        _outputs = CursorFile.Open(Path.Combine(folder, "outputs.cursors"), FirstLane + 2 * lanes, outputLog.Id, disk);
        Begin(_spill, lanes, default);
        Begin(_input, lanes, rawStart);
        // A new destination gets what comes from now on; history is sent by `millrace replay`.
        Begin(_outputs, lanes, new LogPosition(outputLog.NextLsn - 1, int.MaxValue));
    }

    public int Lanes { get; }

    public void Restore(int lane, LaneFeed raw, LaneFeed outputs)
    {
        Restore(_input, lane, raw);
        Restore(_outputs, lane, outputs);
        var spilled = _spill.Get(FirstLane + lane);
        var isMarked = spilled.B > spilled.A;
        raw.RestoreSpill(spilled.A, isMarked ? spilled.B : 0, isMarked && spilled.C != 0);
    }

    public LedgerTotals RestoreLedger()
    {
        var first = FirstLane + Lanes;
        var totals = _spill.Get(first);
        var dropped = new long[DestinationCounters.DropReasons];
        for (var reason = 0; reason < dropped.Length; reason++)
        {
            var slot = _spill.Get(first + 1 + reason / ReasonsPerSlot);
            dropped[reason] = (reason % ReasonsPerSlot) switch { 0 => slot.A, 1 => slot.B, _ => slot.C };
        }
        return new LedgerTotals(totals.A, totals.B, totals.C, dropped);
    }

    /// <summary>The block is about to be sent, or parts of it are.</summary>
    /// <returns>False when the disk refused it.</returns>
    public bool SaveMark(int lane, Feed feed, LaneFeed positions)
    {
        var file = feed == Feed.Raw ? _input : _outputs;
        var isSplit = positions.MarkedAsSplit ? 1 : 0;
        var marked = positions.MarkedEnd;
        return (marked == default || file.Set(FirstLane + Lanes + lane, marked.Lsn, marked.Index, isSplit))
            && (positions.MarkedSpill == 0
                || _spill.Set(FirstLane + lane, positions.SpillDone, positions.MarkedSpill, isSplit));
    }

    public bool SaveDone(int lane, Feed feed, LaneFeed positions)
    {
        var slot = FirstLane + lane;
        var saved = Set(feed == Feed.Raw ? _input : _outputs, slot, positions.Done.Lsn, positions.Done.Index, 0);
        if (feed == Feed.Raw && _spill.Get(slot).A != positions.SpillDone)
        {
            saved &= _spill.Set(slot, positions.SpillDone, positions.MarkedSpill, positions.MarkedAsSplit ? 1 : 0);
        }
        return saved;
    }

    public bool SaveLedger(in LedgerTotals totals)
    {
        var first = FirstLane + Lanes;
        var saved = Set(_spill, first, totals.Delivered, totals.Parked, totals.Replayed);
        for (var slot = 0; slot < LedgerSlots - 1; slot++)
        {
            var reason = slot * ReasonsPerSlot;
            saved &= Set(
                _spill, first + 1 + slot,
                Reason(totals, reason), Reason(totals, reason + 1), Reason(totals, reason + 2));
        }
        return saved;
    }

    /// <summary>Records of the spill below it were synced.</summary>
    public long SpillSyncedLsn
    {
        get => _spill.Get(SpillSlot).A;
        set => Set(_spill, SpillSlot, value, 0, 0);
    }

    public IEnumerable<SpillGap> SpillGaps()
    {
        for (var slot = SpillSlot + 1; slot <= SpillSlot + MaxGaps; slot++)
        {
            var gap = _spill.Get(slot);
            if (gap.B > 0)
            {
                yield return new SpillGap(gap.A, gap.B);
            }
        }
    }

    /// <summary>In the place of one that the spill is past, or of the oldest.</summary>
    public void AddSpillGap(SpillGap gap)
    {
        var oldest = SpillSlot + 1;
        for (var slot = oldest + 1; slot <= SpillSlot + MaxGaps; slot++)
        {
            oldest = _spill.Get(slot).B < _spill.Get(oldest).B ? slot : oldest;
        }
        _spill.Set(oldest, gap.FromLsn, gap.ToLsn, 0);
    }

    /// <summary>After it the positions survive power loss.</summary>
    public bool Sync() => _spill.Sync() & _input.Sync() & _outputs.Sync();

    public void Dispose()
    {
        _spill.Dispose();
        _input.Dispose();
        _outputs.Dispose();
    }

    private static int SpillSlots(int lanes) => FirstLane + lanes + LedgerSlots + 1 + MaxGaps;

    private int SpillSlot => FirstLane + Lanes + LedgerSlots;

    private static void Begin(CursorFile file, int lanes, LogPosition start)
    {
        if (file.Get(0).A != 0)
        {
            return;
        }
        for (var lane = 0; lane < lanes && start != default; lane++)
        {
            file.Set(FirstLane + lane, start.Lsn, start.Index, 0);
        }
        // Synced, and before anything is taken: a beginning forgotten would be made again at a later place.
        if (!file.Sync() || !file.Set(0, 1, lanes, 0) || !file.Sync())
        {
            throw new LogOpenException("The positions of a destination cannot be written. Check its disk.");
        }
    }

    private void Restore(CursorFile file, int lane, LaneFeed feed)
    {
        var slot = file.Get(FirstLane + lane);
        var done = new LogPosition(slot.A, (int)slot.B);
        var mark = file.Get(FirstLane + Lanes + lane);
        var marked = new LogPosition(mark.A, (int)mark.B);
        feed.Restore(done, marked > done ? marked : default, marked > done && mark.C != 0);
    }

    private static long Reason(in LedgerTotals totals, int reason) =>
        reason < totals.Dropped.Length ? totals.Dropped[reason] : 0;

    /// <summary>Spares the write when nothing changed.</summary>
    private static bool Set(CursorFile file, int slot, long a, long b, long c) =>
        file.Get(slot) == new CursorPosition(a, b, c) || file.Set(slot, a, b, c);
}
