namespace Millrace.Aggregation;

/// <summary>
/// What a counter gained from one sample to the next, and since when: a counter that began in between, by its start
/// timestamp, gained everything after its start.
/// </summary>
internal readonly record struct CounterStep(double From, double To, long SinceMs, long TimeMs)
{
    public double Gain => To - From;

    public static CounterStep Between(
        long beforeMs, double before, long timeMs, double value, long? startMs, ResetPolicy resets)
    {
        if (startMs is { } start && start > beforeMs)
        {
            return new CounterStep(0, value, Math.Min(start, timeMs), timeMs);
        }
        var from = value >= before ? before : IsRollback(before, value, resets) ? value : 0;
        return new CounterStep(from, value, beforeMs, timeMs);
    }

    /// <summary>Whether a decrease is no reset: VictoriaMetrics' rule, less than an eighth of the value.</summary>
    public static bool IsRollback(double from, double to, ResetPolicy resets) =>
        resets == ResetPolicy.VictoriaMetrics && (from - to) * 8 < from;

    /// <summary>
    /// The part of the gain that belongs to the time up to a moment, if the counter rose evenly. It is a multiple of
    /// the last bit of the counter's value, as the increases are that it is taken from: so that these stay exact, and
    /// parts add up to the whole.
    /// </summary>
    public double GainUntil(long ms)
    {
        if (ms <= SinceMs)
        {
            return 0;
        }
        return ms >= TimeMs ? Gain : Round(Gain * ((double)(ms - SinceMs) / (TimeMs - SinceMs)));
    }

    /// <summary>The gain, but not more of it than belongs to so much time.</summary>
    public double GainWithin(long spanMs) =>
        TimeMs - SinceMs <= spanMs ? Gain : Round(Gain * ((double)spanMs / (TimeMs - SinceMs)));

    private double Round(double part)
    {
        var largest = Math.Max(Math.Abs(From), Math.Abs(To));
        var unit = Math.BitIncrement(largest) - largest;
        var rounded = Math.Round(part / unit) * unit;
        return double.IsFinite(rounded) && Math.Abs(rounded) <= Math.Abs(Gain) ? rounded : part;
    }
}
