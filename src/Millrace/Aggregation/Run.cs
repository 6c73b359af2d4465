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
    /// apart because its first value would be above its last: there was a reset that nobody saw.
    /// </summary>
    public bool TryRepeat(int offset, double value, out Booking booking, out double oldValue)
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

    /// <summary>Whether the counter was reset between a sample and the beginning of this run.</summary>
    public readonly bool BeginsAfter(long offset, double value) => StartOffset > offset || Run.FirstValue < value;
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
/// the same sum of increases, unless a late sample is the only witness of a reset: below its run's first value that
/// shows and is counted as ambiguous, between the run's values nothing can tell.
/// </summary>
internal sealed class SideRuns
{
    private const int MaxRunsPerSeries = 4096;

    private readonly Dictionary<int, List<SideRun>> _runs = [];

    public int Count => _runs.Count;

    public ReadOnlySpan<SideRun> this[int slot] => CollectionsMarshal.AsSpan(_runs[slot]);

    public void Start(int slot, in SideRun run) => _runs.Add(slot, [run]);

    public void Remove(int slot) => _runs.Remove(slot);

    /// <summary>Books a sample of a series with several runs.</summary>
    public Booking Add(
        int slot, int offset, double value, long startOffset, ref long ambiguousResets, out double oldValue)
    {
        oldValue = 0;
        var runs = _runs[slot];
        var at = runs.Count - 1;
        while (at >= 0 && runs[at].Run.FirstOffset > offset)
        {
            at--;
        }
        if (at >= 0)
        {
            ref var run = ref CollectionsMarshal.AsSpan(runs)[at].Run;
            if (offset <= run.LastOffset)
            {
                return AddInside(runs, at, offset, value, ref ambiguousResets, out oldValue);
            }
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
        Insert(runs, at + 1, new SideRun(new Run(offset, value), startOffset));
        return Booking.New;
    }

    public void Write(SnapshotWriter writer)
    {
        writer.Write(_runs.Count);
        foreach (var (slot, runs) in _runs)
        {
            writer.Write(slot);
            writer.WriteSpan<SideRun>(CollectionsMarshal.AsSpan(runs));
        }
    }

    public void Read(SnapshotReader reader)
    {
        for (var count = reader.ReadInt32(); count > 0; count--)
        {
            var slot = reader.ReadInt32();
            _runs.Add(slot, [.. reader.ReadSpan<SideRun>()]);
        }
    }

    /// <summary>
    /// A sample at an end of a run is a repeat. Between the run's values there is nothing to do. Above the last one a
    /// reset lies behind the sample, below the first one a reset lies before it: the run falls apart there.
    /// </summary>
    private static Booking AddInside(
        List<SideRun> runs, int at, int offset, double value, ref long ambiguousResets, out double oldValue)
    {
        ref var side = ref CollectionsMarshal.AsSpan(runs)[at];
        ref var run = ref side.Run;
        oldValue = 0;
        var booking = Booking.New;
        if (run.IsEnd(offset))
        {
            if (run.TryRepeat(offset, value, out booking, out oldValue))
            {
                return booking;
            }
            run.FirstValue = value;
        }
        var last = run.LastValue;
        if (value > last)
        {
            var right = new SideRun(new Run(run.LastOffset, last), SideRun.NoStart);
            run.LastOffset = offset;
            run.LastValue = value;
            Insert(runs, at + 1, right);
        }
        else if (value < run.FirstValue)
        {
            ambiguousResets++;
            var right = new SideRun(run, SideRun.NoStart);
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
    private static void Insert(List<SideRun> runs, int at, in SideRun run)
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
            gained += half[i].Run.LastValue + half[i].Extra
                - (half[i].BeginsAfter(before.LastOffset, before.LastValue) ? 0 : before.LastValue);
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
