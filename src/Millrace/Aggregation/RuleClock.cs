namespace Millrace.Aggregation;

/// <summary>
/// When a rule came into force, and how its windows lie. A rule begins at the record of its configuration; the window
/// then under way is seen in part only and is not emitted.
/// </summary>
/// <param name="StartMs">Arrival of the configuration.</param>
/// <param name="OffsetMs">Window w ends at w·interval + offset.</param>
/// <param name="FirstWholeWindow">The first one seen from its first moment.</param>
/// <param name="IsSuccessor">Until then another version of the rule answers.</param>
internal readonly record struct RuleClock(
    long StartMs, long OffsetMs, long FirstWholeWindow, bool IsSuccessor = false)
{
    public static RuleClock StartAt(AggregationRule rule, long startMs)
    {
        var offset = rule.Config.NoAlignFlushToInterval ? PositiveRemainder(startMs, rule.IntervalMs) : 0;
        // The window that ends at or after the start was not seen from its first moment, unless it begins there.
        var begun = rule.WindowOf(startMs, offset);
        return new RuleClock(startMs, offset, begun + 1);
    }

    /// <summary>
    /// A new version of a rule: its windows begin at or after <paramref name="handoverMs"/>, up to which the old one
    /// answers.
    /// </summary>
    public static RuleClock Succeed(AggregationRule rule, long startMs, long handoverMs)
    {
        var offset = rule.Config.NoAlignFlushToInterval ? PositiveRemainder(handoverMs, rule.IntervalMs) : 0;
        return new RuleClock(startMs, offset, rule.WindowOf(handoverMs, offset) + 1, IsSuccessor: true);
    }

    /// <summary>
    /// The windows that count as closed from the beginning. In event time the one under way at the start stays open,
    /// for the counters' bases. In arrival time what comes before the first boundary is held for the first whole
    /// window, as in vmagent, unless an older version of the rule counts it.
    /// </summary>
    public long ClosedAtStart(AggregationRule rule) =>
        rule.IsArrivalTime && !IsSuccessor ? FirstWholeWindow - 1 : rule.WindowOf(StartMs, OffsetMs) - 1;

    /// <summary>
    /// The first window that counts: seen from its first moment, or, where the rule wants that, the one under way at
    /// its start. In arrival time what came before the first boundary is part of the first whole window anyway.
    /// </summary>
    public long FirstBookedWindow(AggregationRule rule) =>
        FirstWholeWindow - (rule.Config.EmitPartialWindows && !rule.IsArrivalTime && !IsSuccessor ? 1 : 0);

    private static long PositiveRemainder(long value, long by) => ((value % by) + by) % by;
}
