namespace Millrace.Aggregation;

/// <summary>
/// A stretch of a counter without a reset, in one window: its first and its last sample. Times are milliseconds from
/// the window's start, 1 up to the interval; all zero is no run.
/// </summary>
internal struct Run
{
    /// <summary>
    /// In <see cref="FirstOffset"/>: the series has several runs in this window, kept by <see cref="SideRuns"/>, and
    /// <see cref="LastOffset"/> tells where.
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

    /// <summary>Nothing but its first and its last sample is known of it.</summary>
    public readonly bool IsPlain => StartOffset == NoStart && Extra == 0 && !HidesBefore;

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

/// <summary>The arithmetic of counters.</summary>
internal static class Runs
{
    /// <summary>What a counter gained from one sample to the next: a decrease is a reset to zero in between.</summary>
    public static double Delta(double from, double to) => to >= from ? to - from : to;
}
