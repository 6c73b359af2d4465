using Millrace.Aggregation;

namespace Millrace.Pipeline;

/// <summary>Rules in force: what they answer for, and how far they are.</summary>
internal sealed record RulesInForce(Generation Generation, RuleTerm[] Terms, long[] ClosedThrough);

/// <summary>
/// What a configuration record does to the rules in force. Unchanged rules keep state, clock and open windows. A new
/// rule begins at its next window boundary. A changed one begins where the old version ends, which takes samples until
/// then and answers for the windows before; a removed one ends with the window under way. A rule that comes back before
/// its last window is closed goes on with its state. A function of the records before, so that a replay decides alike.
/// </summary>
internal static class RuleHandover
{
    private const int None = -1;

    /// <param name="before">The rules in force up to the record.</param>
    /// <param name="generation">The configuration of the record.</param>
    /// <param name="arrivalMs">Its arrival.</param>
    public static RulesInForce Apply(RulesInForce before, Generation generation, long arrivalMs)
    {
        var old = before.Generation;
        var predecessors = PredecessorsOf(before, generation.Rules);
        var terms = new List<RuleTerm>();
        var closedThrough = new List<long>();
        var beginsMs = new long?[old.RulesInForce.Length]; // by old rule: where its successor takes over
        var goesOn = new bool[old.RulesInForce.Length];
        for (var i = 0; i < generation.Rules.Length; i++)
        {
            var rule = generation.Rules[i];
            var predecessor = predecessors[i];
            long? handoverMs = predecessor == None ? null
                : HandoverMs(old.RulesInForce[predecessor], before.Terms[predecessor], arrivalMs);
            var known = NumberOf(old, rule.Key);
            if (known == None)
            {
                var clock = handoverMs is { } fromMs ? RuleClock.Succeed(rule, arrivalMs, fromMs)
                    : RuleClock.StartAt(rule, arrivalMs);
                terms.Add(new RuleTerm(clock));
                closedThrough.Add(clock.ClosedAtStart(rule));
            }
            else
            {
                goesOn[known] = true;
                var term = before.Terms[known];
                closedThrough.Add(before.ClosedThrough[known]);
                terms.Add(!term.IsRetiring ? term : term.ResumeAt(
                    rule.WindowOf(handoverMs ?? arrivalMs, term.Clock.OffsetMs) + 1, before.ClosedThrough[known]));
            }
            if (handoverMs is { } endMs)
            {
                beginsMs[predecessor] = FirstMs(rule, terms[i], endMs);
            }
        }
        var retiring = new List<RetiringRule>();
        for (var i = 0; i < old.RulesInForce.Length; i++)
        {
            if (!goesOn[i] && TryRetire(before, i, beginsMs[i], arrivalMs) is { } term)
            {
                retiring.Add(
                    i < old.Rules.Length ? new RetiringRule(old.Rules[i], old.Compiled, i)
                    : old.Retiring[i - old.Rules.Length]);
                terms.Add(term);
                closedThrough.Add(before.ClosedThrough[i]);
            }
        }
        return new RulesInForce(generation.WithRetiring(retiring), [.. terms], [.. closedThrough]);
    }

    /// <summary>
    /// By new rule: the number of the rule that it replaces, one of the configuration before or, failing that, one that
    /// is on its way out, the one that answers longest. So no two versions of a rule answer for the same time.
    /// </summary>
    private static int[] PredecessorsOf(RulesInForce before, AggregationRule[] rules)
    {
        var old = before.Generation;
        var predecessors = new int[rules.Length];
        Array.Fill(predecessors, None);
        var changes = RuleChanges.Between(old.Rules, rules);
        var added = new List<int>();
        for (var i = 0; i < rules.Length; i++)
        {
            if (changes.Of(i) == RuleChange.Changed)
            {
                predecessors[i] = changes.Before(i);
            }
            else if (changes.Of(i) == RuleChange.Added)
            {
                added.Add(i);
            }
        }
        var leaving = new List<int>();
        for (var i = old.Rules.Length; i < old.RulesInForce.Length; i++)
        {
            if (!old.IsFinished(i) && !Array.Exists(rules, rule => rule.Key == old.RulesInForce[i].Key))
            {
                leaving.Add(i);
            }
        }
        long EndMs(int i) => old.RulesInForce[i].EndOf(before.Terms[i].LastWindow, before.Terms[i].Clock.OffsetMs);
        leaving.Sort((a, b) => EndMs(a) != EndMs(b) ? EndMs(b).CompareTo(EndMs(a)) : a.CompareTo(b));
        var late = RuleChanges.Between(
            leaving.ConvertAll(i => old.RulesInForce[i]), added.ConvertAll(i => rules[i]));
        for (var i = 0; i < added.Count; i++)
        {
            predecessors[added[i]] = late.Before(i) == None ? None : leaving[late.Before(i)];
        }
        return predecessors;
    }

    /// <summary>Up to when a rule answers that is replaced, or a retiring one anyway.</summary>
    private static long HandoverMs(AggregationRule rule, RuleTerm term, long arrivalMs) =>
        term.IsRetiring ? Math.Max(arrivalMs, rule.EndOf(term.LastWindow, term.Clock.OffsetMs))
        : term.NextBoundaryMs(rule, arrivalMs);

    /// <summary>Rules whose last window is closed are let go; null: there are none.</summary>
    public static RulesInForce? LetGo(RulesInForce now)
    {
        var (generation, terms, closedThrough) = now;
        var isChanged = false;
        for (var i = generation.Rules.Length; i < terms.Length && generation.Retiring.Count > 0; i++)
        {
            if (!generation.IsFinished(i) && closedThrough[i] >= terms[i].LastWindow)
            {
                generation = generation.WithFinished(i);
                isChanged = true;
            }
        }
        var count = generation.RulesInForce.Length;
        return isChanged ? new RulesInForce(generation, terms[..count], closedThrough[..count]) : null;
    }

    /// <summary>An unfinished rule of this definition.</summary>
    public static int NumberOf(Generation generation, UInt128 key)
    {
        for (var i = 0; i < generation.RulesInForce.Length; i++)
        {
            if (generation.RulesInForce[i].Key == key && !generation.IsFinished(i))
            {
                return i;
            }
        }
        return None;
    }

    /// <summary>Where the first window begins for which a rule answers that took over at a time.</summary>
    private static long FirstMs(AggregationRule rule, RuleTerm term, long handoverMs) =>
        rule.EndOf(rule.WindowOf(handoverMs, term.Clock.OffsetMs), term.Clock.OffsetMs);

    /// <summary>The term of a rule that is not in the new configuration; null: no window waits for it.</summary>
    private static RuleTerm? TryRetire(RulesInForce before, int number, long? successorMs, long arrivalMs)
    {
        var rule = before.Generation.RulesInForce[number];
        var term = before.Terms[number];
        if (term.IsRetiring)
        {
            return before.Generation.IsFinished(number) ? null : term;
        }
        var last = rule.WindowOf(arrivalMs, term.Clock.OffsetMs);
        if (rule.Config.IsDeduplicator)
        {
            return term with { LastWindow = last }; // It passes on what it holds, whenever it began.
        }
        if (successorMs is { } beginsMs)
        {
            // Up to where the successor begins: whole windows only.
            last = Math.Max(last, rule.WindowOf(beginsMs + 1, term.Clock.OffsetMs) - 1);
        }
        return term.LastServedUpTo(rule, last) is { } served && served > before.ClosedThrough[number]
            ? term with { LastWindow = served }
            : null;
    }
}
