using System.Runtime.InteropServices;
using Millrace.Memory;

namespace Millrace.Aggregation;

/// <summary>
/// A stretch of a counter without a reset, in one window: its first and its last sample. Times are milliseconds from
/// the window's start, 1 up to the interval; all zero is no run.
/// </summary>
internal struct Run
{
    /// <summary>
    /// In <see cref="FirstOffset"/>: the series has several runs in this window, kept in the side table.
    /// </summary>
    public const int InSideTable = -1;

    public int FirstOffset;
    public int LastOffset;
    public double FirstValue;
    public double LastValue;

    public Run(int offset, double value)
    {
        FirstOffset = offset;
        LastOffset = offset;
        FirstValue = value;
        LastValue = value;
    }

    public readonly bool IsEnd(int offset) => offset == FirstOffset || offset == LastOffset;

    /// <summary>
    /// A sample at the run's first or last time: the larger value stays. False, and nothing changed, if the run falls
    /// apart because its first value would be above its last: there was a reset that nobody saw. There may be one,
    /// too, if the first value rises above values that followed it and were forgotten.
    /// </summary>
    public bool TryRepeat(
        int offset, double value, ref long ambiguousResets, out Booking booking, out double oldValue)
    {
        oldValue = offset == LastOffset ? LastValue : FirstValue;
        booking = value > oldValue ? Booking.Replaced : Booking.Repeat;
        if (booking == Booking.Repeat)
        {
            return true;
        }
        if (offset == LastOffset)
        {
            LastValue = value;
            FirstValue = offset == FirstOffset ? value : FirstValue;
            return true;
        }
        if (value > LastValue)
        {
            return false;
        }
        FirstValue = value;
        ambiguousResets++;
        return true;
    }
}

/// <summary>A run of a series that has more than one in a window, or that began anew by its start timestamp.</summary>
internal struct SideRun(Run run, long startOffset)
{
    /// <summary>
    /// In <see cref="StartOffset"/>: the sender gave no start timestamp, or one that does not matter.
    /// </summary>
    public const long NoStart = long.MinValue;

    public Run Run = run;

    /// <summary>When the counter began, in milliseconds from the window's start.</summary>
    public long StartOffset = startOffset;

    /// <summary>What the counter gained inside the run beyond last - first: not 0 only where runs became one.</summary>
    public double Extra;

    private long _hidesBefore; // a whole word: padding would make snapshots of equal states differ

    /// <summary>Samples between the run before and this one may have been forgotten.</summary>
    public bool HidesBefore
    {
        readonly get => _hidesBefore != 0;
        init => _hidesBefore = value ? 1 : 0;
    }

    /// <summary>Whether the counter was reset between a sample and the beginning of this run.</summary>
    public readonly bool BeginsAfter(long offset, double value) => StartOffset > offset || Run.FirstValue < value;

    /// <summary>Whether the run begins at a lower value without having been reset.</summary>
    public readonly bool IsRollbackFrom(long offset, double value, ResetPolicy resets) =>
        StartOffset <= offset && CounterStep.IsRollback(value, Run.FirstValue, resets);
}

/// <summary>What booking a sample told.</summary>
internal enum Booking
{
    New,

    /// <summary>The time is known and the value is not larger: nothing changed.</summary>
    Repeat,

    /// <summary>The time is known and the larger value took the place of the old one.</summary>
    Replaced,
}

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
internal sealed class SideRuns(ResetPolicy resets)
{
    private const int MaxRunsPerSeries = 4096;

    private const int MaxSpare = 4096;

    private readonly Stack<List<SideRun>> _spare = new();
    private List<SideRun>?[] _runs = []; // by slot: after a restart of all its targets a window has them for each

    public int Count { get; private set; }

    public ReadOnlySpan<SideRun> this[int slot] => CollectionsMarshal.AsSpan(_runs[slot]);

    public void Start(int slot, in SideRun run)
    {
        if (!_spare.TryPop(out var runs))
        {
            runs = new List<SideRun>(2);
        }
        runs.Add(run);
        Put(slot, runs);
    }

    public void Remove(int slot)
    {
        var runs = _runs[slot]!;
        _runs[slot] = null;
        Count--;
        if (runs.Count <= 4 && _spare.Count < MaxSpare)
        {
            runs.Clear();
            _spare.Push(runs);
        }
    }

    /// <summary>Books a sample of a series with several runs.</summary>
    public Booking Add(
        int slot, int offset, double value, long startOffset, ref long ambiguousResets, out double oldValue)
    {
        oldValue = 0;
        var runs = _runs[slot]!;
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
        for (var slot = 0; slot < _runs.Length; slot++)
        {
            if (_runs[slot] is { } runs)
            {
                writer.Write(slot);
                writer.WriteSpan<SideRun>(CollectionsMarshal.AsSpan(runs));
            }
        }
    }

    public void Read(SnapshotReader reader)
    {
        for (var count = reader.ReadInt32(); count > 0; count--)
        {
            var slot = reader.ReadInt32();
            Put(slot, [.. reader.ReadSpan<SideRun>()]);
        }
    }

    private void Put(int slot, List<SideRun> runs)
    {
        if (slot >= _runs.Length)
        {
            Array.Resize(ref _runs, Math.Max(slot + 1, _runs.Length * 2));
        }
        _runs[slot] = runs;
        Count++;
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

/// <summary>The arithmetic of counters.</summary>
internal static class Runs
{
    /// <summary>What a counter gained from one sample to the next: a decrease is a reset to zero in between.</summary>
    public static double Delta(double from, double to) => to >= from ? to - from : to;
}
