namespace Millrace.Aggregation;

/// <summary>
/// When a rule came into force, and how its windows lie: a rule in force is a rule and its clock. A rule begins at
/// the record of its configuration; the window then under way is seen in part only and is not emitted.
/// </summary>
internal readonly record struct RuleClock(long StartMs, long OffsetMs, long FirstWholeWindow)
{
    /// <summary>
    /// The windows that count as closed from the beginning. In event time the one under way at the start stays open,
    /// for the counters' bases; in arrival time what comes before the first boundary is held for the first whole
    /// window, as in vmagent.
    /// </summary>
    public long ClosedAtStart(AggregationRule rule) => FirstWholeWindow - (rule.IsArrivalTime ? 1 : 2);

    public static RuleClock StartAt(AggregationRule rule, long startMs)
    {
        var offset = rule.Config.NoAlignFlushToInterval ? PositiveRemainder(startMs, rule.IntervalMs) : 0;
        // The window that ends at or after the start was not seen from its first moment, unless it begins there.
        var begun = rule.WindowOf(startMs, offset);
        return new RuleClock(startMs, offset, begun + 1);
    }

    private static long PositiveRemainder(long value, long by) => ((value % by) + by) % by;
}
