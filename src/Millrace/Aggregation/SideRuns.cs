using System.Runtime.InteropServices;
using Millrace.Memory;

namespace Millrace.Aggregation;

/// <summary>
/// The runs of those few series of a window that have several. Every order of arrival inside the lateness leads to
/// the same sum of increases, unless a late sample is the only witness of a reset:
/// <list type="bullet">
/// <item>below its run's first value: the value before it is forgotten, so the increase may be too low by what the
/// run had gained until then; counted as ambiguous;</item>
/// <item>between two runs where samples were forgotten when a run fell apart: it may hide a reset; counted;</item>
/// <item>between its run's values: nothing can tell.</item>
/// </list>
/// </summary>
/// <remarks>
/// A counter that was reset once has two runs, of which nothing but their ends is known: 48 bytes, in a column of their
/// own. After a restart of all its targets a window has that for each series. Whatever needs more is a list.
/// </remarks>
internal sealed class SideRuns(Column<Run> rows, ResetPolicy resets)
{
    private const int MaxRunsPerSeries = 4096;

    /// <summary>For so many series the memory stays when none needs it.</summary>
    private const int MaxKept = 4096;

    /// <summary>Where a pair should stand: the series has a list.</summary>
    private const int InList = -1;

    private struct Pair
    {
        public Run First;   // of a free one, LastOffset is the next free one
        public Run Second;  // all zero: there is one run so far
    }

    private readonly List<SideRun> _changing = new(3);  // a pair that is being changed
    private readonly SideRun[] _shown = new SideRun[2]; // a pair that is looked at
    private Dictionary<int, List<SideRun>> _lists = []; // by slot
    private Column<Pair> _pairs = new();
    private int _pairCount; // ever used
    private int _firstFree = -1;

    public int Count { get; private set; }

    /// <summary>The runs of a series that has several, until another one is asked for.</summary>
    public ReadOnlySpan<SideRun> this[int slot]
    {
        get
        {
            var place = rows[slot].LastOffset;
            if (place == InList)
            {
                return CollectionsMarshal.AsSpan(_lists[slot]);
            }
            ref var pair = ref _pairs[place];
            _shown[0] = new SideRun(pair.First, SideRun.NoStart);
            _shown[1] = new SideRun(pair.Second, SideRun.NoStart);
            return _shown.AsSpan(0, pair.Second.FirstOffset == 0 ? 1 : 2);
        }
    }

    /// <summary>The row of the series is ours until <see cref="Remove"/>.</summary>
    public void Start(int slot, in SideRun run) => Put(slot, new(in run));

    /// <summary>Leaves the row to the caller.</summary>
    public void Remove(int slot)
    {
        Free(slot);
        if (--Count > 0)
        {
            return;
        }
        if (_pairs.Capacity > MaxKept)
        {
            _pairs = new Column<Pair>();
            (_pairCount, _firstFree) = (0, -1);
        }
        if (_lists.Capacity > MaxKept)
        {
            _lists = [];
        }
    }

    /// <summary>Books a sample of a series with several runs.</summary>
    public Booking Add(
        int slot, int offset, double value, long startOffset, ref long ambiguousResets, out double oldValue)
    {
        var place = rows[slot].LastOffset;
        if (place == InList)
        {
            return Add(_lists[slot], offset, value, startOffset, ref ambiguousResets, out oldValue);
        }
        ref var last = ref _pairs[place].Second;
        if (last.FirstOffset != 0 && offset > last.LastOffset && value >= last.LastValue
            && startOffset <= last.LastOffset)
        {
            (last.LastOffset, last.LastValue, oldValue) = (offset, value, 0);
            return Booking.New;
        }
        _changing.Clear();
        _changing.AddRange(this[slot]);
        var booking = Add(_changing, offset, value, startOffset, ref ambiguousResets, out oldValue);
        Free(slot);
        Count--;
        Put(slot, CollectionsMarshal.AsSpan(_changing));
        return booking;
    }

    private Booking Add(
        List<SideRun> runs, int offset, double value, long startOffset, ref long ambiguousResets,
        out double oldValue)
    {
        oldValue = 0;
        var at = runs.Count - 1;
        while (at >= 0 && runs[at].Run.FirstOffset > offset)
        {
            at--;
        }
        if (at >= 0 && offset <= runs[at].Run.LastOffset)
        {
            return AddInside(runs, at, offset, value, ref ambiguousResets, out oldValue);
        }
        var isHiding = at + 1 < runs.Count && runs[at + 1].HidesBefore;
        ambiguousResets += isHiding ? 1 : 0;
        if (at >= 0)
        {
            ref var run = ref CollectionsMarshal.AsSpan(runs)[at].Run;
            if (value >= run.LastValue && startOffset <= run.LastOffset)
            {
                run.LastOffset = offset;
                run.LastValue = value;
                return Booking.New;
            }
        }
        if (at + 1 < runs.Count)
        {
            ref var later = ref CollectionsMarshal.AsSpan(runs)[at + 1];
            if (value <= later.Run.FirstValue && later.StartOffset <= offset)
            {
                later.Run.FirstOffset = offset;
                later.Run.FirstValue = value;
                later.StartOffset = Math.Max(later.StartOffset, startOffset);
                return Booking.New;
            }
        }
        Insert(runs, at + 1, new SideRun(new Run(offset, value), startOffset) { HidesBefore = isHiding });
        return Booking.New;
    }

    public void Write(SnapshotWriter writer)
    {
        writer.Write(Count);
        for (int slot = 0, left = Count; left > 0; slot++)
        {
            if (rows[slot].FirstOffset == Run.InSideTable)
            {
                writer.Write(slot);
                writer.WriteSpan(this[slot]);
                left--;
            }
        }
    }

    /// <summary>Behind the rows.</summary>
    public void Read(SnapshotReader reader)
    {
        for (var count = reader.ReadInt32(); count > 0; count--)
        {
            Put(reader.ReadInt32(), reader.ReadSpan<SideRun>());
        }
    }

    private void Put(int slot, ReadOnlySpan<SideRun> runs)
    {
        var place = InList;
        if (runs.Length <= 2 && runs[0].IsPlain && runs[^1].IsPlain)
        {
            place = NewPair();
            _pairs[place] = new Pair { First = runs[0].Run, Second = runs.Length == 2 ? runs[1].Run : default };
        }
        else
        {
            _lists.Add(slot, [.. runs]);
        }
        rows[slot] = new Run { FirstOffset = Run.InSideTable, LastOffset = place };
        Count++;
    }

    private int NewPair()
    {
        var place = _firstFree;
        if (place < 0)
        {
            _pairs.EnsureCapacity(_pairCount + 1);
            return _pairCount++;
        }
        _firstFree = _pairs[place].First.LastOffset;
        return place;
    }

    private void Free(int slot)
    {
        var place = rows[slot].LastOffset;
        if (place == InList)
        {
            _lists.Remove(slot);
            return;
        }
        _pairs[place].First.LastOffset = _firstFree;
        _firstFree = place;
    }

    /// <summary>
    /// A sample at an end of a run is a repeat. Between the run's values there is nothing to do. Above the last one a
    /// reset lies behind the sample, below the first one a reset lies before it: the run falls apart there.
    /// </summary>
    private Booking AddInside(
        List<SideRun> runs, int at, int offset, double value, ref long ambiguousResets, out double oldValue)
    {
        ref var side = ref CollectionsMarshal.AsSpan(runs)[at];
        ref var run = ref side.Run;
        oldValue = 0;
        var booking = Booking.New;
        if (run.IsEnd(offset))
        {
            var isHiddenFirst = side.HidesBefore && offset == run.FirstOffset;
            if (run.TryRepeat(offset, value, ref ambiguousResets, out booking, out oldValue))
            {
                ambiguousResets += isHiddenFirst && booking == Booking.Replaced ? 1 : 0;
                return booking;
            }
            run.FirstValue = value;
        }
        var last = run.LastValue;
        if (value > last)
        {
            // What followed the sample is forgotten, but not needed: it rose to the last value, after a reset, and
            // both together gained just that. A rollback in place of the reset gained less.
            ambiguousResets += CounterStep.IsRollback(value, last, resets) ? 1 : 0;
            var right = new SideRun(new Run(run.LastOffset, last), SideRun.NoStart) { HidesBefore = true };
            run.LastOffset = offset;
            run.LastValue = value;
            Insert(runs, at + 1, right);
        }
        else if (value < run.FirstValue)
        {
            ambiguousResets++;
            var right = new SideRun(run, SideRun.NoStart) { HidesBefore = true };
            right.Run.FirstOffset = offset;
            right.Run.FirstValue = value;
            run.LastOffset = run.FirstOffset;
            run.LastValue = run.FirstValue;
            Insert(runs, at + 1, right);
        }
        return booking;
    }

    /// <summary>
    /// Bounded: a gauge aggregated as a counter would otherwise keep every sample. Past the bound the older half of the
    /// runs becomes one that has the same increase; only a later out-of-order sample among them could tell.
    /// </summary>
    private void Insert(List<SideRun> runs, int at, in SideRun run)
    {
        runs.Insert(at, run);
        if (runs.Count <= MaxRunsPerSeries)
        {
            return;
        }
        var half = CollectionsMarshal.AsSpan(runs)[..(MaxRunsPerSeries / 2)];
        ref var first = ref half[0];
        ref readonly var last = ref half[^1];
        var gained = first.Run.LastValue - first.Run.FirstValue + first.Extra;
        for (var i = 1; i < half.Length; i++)
        {
            ref readonly var before = ref half[i - 1].Run;
            ref readonly var next = ref half[i];
            var from = !next.BeginsAfter(before.LastOffset, before.LastValue) ? before.LastValue
                : next.IsRollbackFrom(before.LastOffset, before.LastValue, resets) ? next.Run.FirstValue
                : 0;
            gained += next.Run.LastValue + next.Extra - from;
        }
        first.Run.LastOffset = last.Run.LastOffset;
        first.Run.LastValue = last.Run.LastValue;
        first.Extra = gained - (first.Run.LastValue - first.Run.FirstValue);
        runs.RemoveRange(1, half.Length - 1);
    }
}
