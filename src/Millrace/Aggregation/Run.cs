using Millrace.Memory;

namespace Millrace.Aggregation;

/// <summary>
/// A stretch of a counter without a reset, in one window: its first and its last sample. Times are milliseconds from
/// the window's start, 1 up to the interval; all zero is no run.
/// </summary>
internal struct Run
{
    /// <summary>In <see cref="FirstOffset"/>: the series has several runs in this window, kept in the side table.</summary>
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
}

/// <summary>A run of a series that has more than one in a window, or that began anew by its start timestamp.</summary>
internal struct SideRun
{
    public Run Run;

    /// <summary>The start timestamp of the counter where the sender gave one that matters; else 0.</summary>
    public long StartMs;
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

    public List<SideRun> this[int slot] => _runs[slot];

    public void Start(int slot, params ReadOnlySpan<SideRun> runs) => _runs.Add(slot, [.. runs]);

    public void Remove(int slot) => _runs.Remove(slot);

    /// <summary>Books a sample of a series with several runs.</summary>
    public Booking Add(
        int slot, int offset, double value, long startMs, ref long ambiguousResets, out double oldValue)
    {
        oldValue = 0;
        var runs = _runs[slot];
        var at = runs.Count - 1;
        while (at >= 0 && runs[at].Run.FirstOffset > offset)
        {
            at--;
        }
        if (at < 0)
        {
            AddBefore(runs, 0, offset, value, startMs);
            return Booking.New;
        }
        var side = runs[at];
        ref var run = ref side.Run;
        if (offset == run.LastOffset || offset == run.FirstOffset)
        {
            var booking = Runs.Repeat(ref run, offset, value, out oldValue);
            runs[at] = side;
            return booking;
        }
        if (offset > run.LastOffset)
        {
            var startsAnew = startMs > 0 && startMs != side.StartMs && value >= run.LastValue;
            if (value >= run.LastValue && !startsAnew)
            {
                run.LastOffset = offset;
                run.LastValue = value;
                runs[at] = side;
            }
            else if (at + 1 == runs.Count)
            {
                Insert(runs, at + 1, new SideRun { Run = new Run(offset, value), StartMs = startMs });
            }
            else
            {
                AddBefore(runs, at + 1, offset, value, startMs);
            }
            return Booking.New;
        }
        if (Runs.TrySplit(run, offset, value, out var left, out var right, ref ambiguousResets))
        {
            runs[at] = side with { Run = left };
            Insert(runs, at + 1, new SideRun { Run = right });
        }
        return Booking.New;
    }

    public void Write(SnapshotWriter writer)
    {
        writer.Write(_runs.Count);
        foreach (var (slot, runs) in _runs)
        {
            writer.Write(slot);
            writer.WriteSpan<SideRun>(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(runs));
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

    /// <summary>A sample between two runs, or before the first: it extends the later one or stands alone.</summary>
    private static void AddBefore(List<SideRun> runs, int later, int offset, double value, long startMs)
    {
        var side = runs[later];
        if (value <= side.Run.FirstValue && (startMs == 0 || side.StartMs == 0 || startMs == side.StartMs))
        {
            side.Run.FirstOffset = offset;
            side.Run.FirstValue = value;
            side.StartMs = Math.Max(side.StartMs, startMs);
            runs[later] = side;
            return;
        }
        Insert(runs, later, new SideRun { Run = new Run(offset, value), StartMs = startMs });
    }

    /// <summary>
    /// Bounded: a gauge aggregated as a counter would otherwise keep every sample. Past the bound the two oldest runs
    /// become one that has the same increase; only a later out-of-order sample between them could tell.
    /// </summary>
    private static void Insert(List<SideRun> runs, int at, SideRun run)
    {
        runs.Insert(at, run);
        if (runs.Count > MaxRunsPerSeries)
        {
            var first = runs[0].Run;
            var second = runs[1].Run;
            var increase = first.LastValue - first.FirstValue + Runs.Delta(first.LastValue, second.FirstValue)
                + (second.LastValue - second.FirstValue);
            // The values telescope from below the second run's end, so that what follows still joins there.
            runs[0] = runs[0] with
            {
                Run = new Run
                {
                    FirstOffset = first.FirstOffset,
                    LastOffset = second.LastOffset,
                    FirstValue = second.LastValue - increase,
                    LastValue = second.LastValue,
                },
            };
            runs.RemoveAt(1);
        }
    }
}

/// <summary>The arithmetic of runs.</summary>
internal static class Runs
{
    /// <summary>What a counter gained from one sample to the next: a decrease is a reset to zero in between.</summary>
    public static double Delta(double from, double to) => to >= from ? to - from : to;

    /// <summary>The sample at the first or last time of a run: the larger value stays.</summary>
    public static Booking Repeat(ref Run run, int offset, double value, out double oldValue)
    {
        oldValue = offset == run.LastOffset ? run.LastValue : run.FirstValue;
        if (!(value > oldValue))
        {
            return Booking.Repeat;
        }
        if (offset == run.LastOffset)
        {
            run.LastValue = value;
        }
        if (offset == run.FirstOffset)
        {
            // A run never falls: a first value above the last would be a reset that nobody saw.
            run.FirstValue = Math.Min(value, run.LastValue);
        }
        return Booking.Replaced;
    }

    /// <summary>
    /// A sample inside a run. Between its values there is nothing to do. Above the last one a reset lies behind it,
    /// below the first one a reset lies before it: the run falls apart there.
    /// </summary>
    public static bool TrySplit(
        in Run run, int offset, double value, out Run left, out Run right, ref long ambiguousResets)
    {
        left = run;
        right = default;
        if (value > run.LastValue)
        {
            left.LastOffset = offset;
            left.LastValue = value;
            right = new Run(run.LastOffset, run.LastValue);
            return true;
        }
        if (value < run.FirstValue)
        {
            ambiguousResets++;
            left = new Run(run.FirstOffset, run.FirstValue);
            right = run;
            right.FirstOffset = offset;
            right.FirstValue = value;
            return true;
        }
        return false;
    }
}
