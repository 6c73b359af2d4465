namespace Millrace.Aggregation;

/// <summary>Windows from the first to the last, both included.</summary>
internal readonly record struct WindowRange(long First, long Last);

/// <summary>
/// A rule in force: its clock, and the windows for which it answers. A rule that was removed or replaced answers up to
/// its last window; one that came back before that goes on with its state, and leaves out the windows for which
/// another version answered.
/// </summary>
internal sealed record RuleTerm(RuleClock Clock)
{
    /// <summary>No last window.</summary>
    public const long Unlimited = long.MaxValue;

    public long LastWindow { get; init; } = Unlimited;

    /// <summary>Ascending, without touching each other; those long closed are gone.</summary>
    public IReadOnlyList<WindowRange> Pauses { get; init; } = [];

    /// <summary>
    /// The key of the version that answers until this one begins, or goes on: should this one be replaced before that,
    /// it never was. 0: there is none.
    /// </summary>
    public UInt128 Predecessor { get; init; }

    public bool IsRetiring => LastWindow != Unlimited;

    /// <summary>The last close that means something: while its last windows are corrected, the rule goes on.</summary>
    public long LastClose(AggregationRule rule) => IsRetiring ? LastWindow + rule.CorrectedWindows : Unlimited;

    public bool Serves(AggregationRule rule, long window) =>
        window >= Clock.FirstBookedWindow(rule) && window <= LastWindow && !IsPaused(window);

    /// <summary>The last window up to one for which the rule answers; null if there is none.</summary>
    public long? LastServedUpTo(AggregationRule rule, long window)
    {
        window = Math.Min(window, LastWindow);
        for (var i = Pauses.Count - 1; i >= 0; i--)
        {
            if (window >= Pauses[i].First && window <= Pauses[i].Last)
            {
                window = Pauses[i].First - 1;
            }
        }
        return window >= Clock.FirstBookedWindow(rule) ? window : null;
    }

    /// <summary>In force again from a window on.</summary>
    public RuleTerm ResumeAt(long window, long finalThrough)
    {
        var pauses = new List<WindowRange>();
        foreach (var pause in Pauses)
        {
            if (pause.Last > finalThrough && pause.First <= LastWindow)
            {
                pauses.Add(pause);
            }
        }
        if (window > LastWindow + 1)
        {
            pauses.Add(new WindowRange(LastWindow + 1, window - 1));
        }
        return this with { LastWindow = Unlimited, Pauses = pauses };
    }

    private bool IsPaused(long window)
    {
        foreach (var pause in Pauses)
        {
            if (window >= pause.First && window <= pause.Last)
            {
                return true;
            }
        }
        return false;
    }
}
