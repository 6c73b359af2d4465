using Millrace.Aggregation;

namespace Millrace.Pipeline;

/// <summary>Rules in force: what they answer for, and how far they are.</summary>
internal sealed record RulesInForce(Generation Generation, RuleTerm[] Terms, long[] ClosedThrough);

/// <summary>
/// What a configuration record does to the rules in force. Unchanged rules keep state, clock and open windows. A new
/// rule begins at its next window boundary. A changed one begins where the old version ends, which takes samples until
/// then and answers for the windows before; a removed one ends with the window under way. A rule that comes back before
/// its last window is closed goes on with its state. One that is replaced before it has begun never was: its successor
/// takes over from the version that answers. A function of the records before, so that a replay decides alike.
/// </summary>
internal sealed class RuleHandover
{
    private const int None = -1;

    private readonly RulesInForce _before;
    private readonly Generation _old;
    private readonly AggregationRule[] _rules;
    private readonly long _arrivalMs;

    // By old rule.
    private readonly bool[] _goesOn;
    private readonly long?[] _handsOverMs; // where its successor begins
    private readonly bool[] _isLeftAlone;  // what it made room for never began

    // By new rule and, behind them, by retiring rule.
    private readonly List<RuleTerm> _terms = [];
    private readonly List<long> _closedThrough = [];

    private RuleHandover(RulesInForce before, Generation generation, long arrivalMs)
    {
        (_before, _old, _rules, _arrivalMs) = (before, before.Generation, generation.Rules, arrivalMs);
        _goesOn = new bool[_old.RulesInForce.Length];
        _handsOverMs = new long?[_goesOn.Length];
        _isLeftAlone = new bool[_goesOn.Length];
    }

    /// <param name="before">The rules in force up to the record.</param>
    /// <param name="generation">The configuration of the record.</param>
    /// <param name="arrivalMs">Its arrival.</param>
    public static RulesInForce Apply(RulesInForce before, Generation generation, long arrivalMs)
    {
        var handover = new RuleHandover(before, generation, arrivalMs);
        handover.BringIn();
        var retiring = handover.SendOff();
        return new RulesInForce(
            generation.WithRetiring(retiring), [.. handover._terms], [.. handover._closedThrough]);
    }

    /// <summary>Rules whose last window is closed, and final, are let go; null: there are none.</summary>
    public static RulesInForce? LetGo(RulesInForce now)
    {
        var (generation, terms, closedThrough) = now;
        var isChanged = false;
        for (var i = generation.Rules.Length; i < terms.Length && generation.Retiring.Count > 0; i++)
        {
            if (!generation.IsFinished(i) && closedThrough[i] >= terms[i].LastClose(generation.RulesInForce[i]))
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

    private void BringIn()
    {
        var changes = RuleChanges.Between(_old.Rules, _rules);
        var leaving = Leaving(changes);
        for (var i = 0; i < _rules.Length; i++)
        {
            var known = NumberOf(_old, _rules[i].Key);
            if (known != None)
            {
                _goesOn[known] = true;
            }
        }
        for (var i = 0; i < _rules.Length; i++)
        {
            var replaced = changes.Of(i) == RuleChange.Changed ? changes.Before(i) : None;
            var predecessor = replaced == None ? leaving[i] : AnsweringFor(replaced);
            var known = NumberOf(_old, _rules[i].Key);
            if (known != None && (known < _old.Rules.Length || known == predecessor))
            {
                // Unchanged, or back before another version has begun.
                Add(_before.Terms[known] with { LastWindow = RuleTerm.Unlimited }, _before.ClosedThrough[known]);
                continue;
            }
            if (predecessor != None && _goesOn[predecessor])
            {
                predecessor = None;
            }
            long? fromMs = predecessor == None ? (IsAnsweredFor(_rules[i]) ? _arrivalMs : null)
                : replaced == None ? Math.Max(_arrivalMs, EndMs(predecessor, _before.Terms[predecessor].LastWindow))
                : EndMs(predecessor, WindowUnderWay(predecessor));
            Begin(_rules[i], known, predecessor, fromMs);
            if (replaced != None && predecessor != None)
            {
                _handsOverMs[predecessor] = EndMs(_rules[i], _terms[i].Clock, fromMs!.Value);
            }
        }
    }

    private void Begin(AggregationRule rule, int known, int predecessor, long? fromMs)
    {
        RuleTerm term;
        if (known == None)
        {
            term = new RuleTerm(fromMs is { } handoverMs ? RuleClock.Succeed(rule, _arrivalMs, handoverMs)
                : RuleClock.StartAt(rule, _arrivalMs));
        }
        else
        {
            var offsetMs = _before.Terms[known].Clock.OffsetMs;
            term = _before.Terms[known].ResumeAt(
                rule.WindowOf(fromMs ?? _arrivalMs, offsetMs) + 1,
                _before.ClosedThrough[known] - rule.CorrectedWindows);
        }
        var closedThrough = known == None ? term.Clock.ClosedAtStart(rule) : _before.ClosedThrough[known];
        Add(term with { Predecessor = predecessor == None ? default : _old.RulesInForce[predecessor].Key },
            closedThrough);
    }

    private void Add(RuleTerm term, long closedThrough)
    {
        _terms.Add(term);
        _closedThrough.Add(closedThrough);
    }

    /// <summary>The rules that are not in the new configuration and still have windows to answer for.</summary>
    private List<RetiringRule> SendOff()
    {
        var retiring = new List<RetiringRule>();
        for (var i = 0; i < _old.Rules.Length; i++)
        {
            if (!_goesOn[i] && !IsAnswering(i) && Predecessor(i) is var predecessor and not None)
            {
                _isLeftAlone[predecessor] = true;
            }
        }
        for (var i = 0; i < _old.RulesInForce.Length; i++)
        {
            if (_goesOn[i] || _old.IsFinished(i) || LastWindow(i) is not { } last
                || last + _old.RulesInForce[i].CorrectedWindows <= _before.ClosedThrough[i])
            {
                continue;
            }
            retiring.Add(i < _old.Rules.Length ? new RetiringRule(_old.Rules[i], _old.Compiled, i)
                : _old.Retiring[i - _old.Rules.Length]);
            Add(_before.Terms[i] with { LastWindow = last }, _before.ClosedThrough[i]);
        }
        return retiring;
    }

    /// <summary>The last window for which a rule answers that is not in the new configuration; null: none.</summary>
    private long? LastWindow(int i)
    {
        var (rule, term) = (_old.RulesInForce[i], _before.Terms[i]);
        if (rule.Config.IsDeduplicator)
        {
            // It hands nothing over: with the window under way it passes on what it holds, whenever it began.
            return term.IsRetiring ? term.LastWindow : WindowUnderWay(i);
        }
        if (_handsOverMs[i] is { } untilMs)
        {
            // Whole windows up to where the successor begins, also where that was planned otherwise before.
            var last = rule.WindowOf(untilMs + 1, term.Clock.OffsetMs) - 1;
            return (term with { LastWindow = RuleTerm.Unlimited }).LastServedUpTo(rule, last);
        }
        return term.IsRetiring && !_isLeftAlone[i] ? term.LastWindow : term.LastServedUpTo(rule, WindowUnderWay(i));
    }

    /// <summary>The version that answers now for an old rule: itself, or the one not yet relieved by it.</summary>
    private int AnsweringFor(int rule) =>
        IsAnswering(rule) ? rule
        : Predecessor(rule) is var predecessor and not None && IsAnswering(predecessor) ? predecessor : None;

    private bool IsAnswering(int rule) =>
        _before.Terms[rule].Serves(_old.RulesInForce[rule], WindowUnderWay(rule));

    /// <summary>A retiring one; one that has come back since is none.</summary>
    private int Predecessor(int rule) =>
        NumberOf(_old, _before.Terms[rule].Predecessor) is var number && number >= _old.Rules.Length ? number : None;

    /// <summary>
    /// By new rule: what it takes over from although no rule of the configuration before is like it, one that was
    /// removed and still answers. So no two versions of a rule answer for the same time.
    /// </summary>
    private int[] Leaving(RuleChanges changes)
    {
        var added = new List<int>();
        for (var i = 0; i < _rules.Length; i++)
        {
            if (changes.Of(i) == RuleChange.Added)
            {
                added.Add(i);
            }
        }
        var leaving = new List<int>();
        for (var i = _old.Rules.Length; i < _old.RulesInForce.Length; i++)
        {
            if (!_old.IsFinished(i) && !Array.Exists(_rules, rule => rule.Key == _old.RulesInForce[i].Key)
                && !MakesRoom(i))
            {
                leaving.Add(i);
            }
        }
        long EndOf(int i) => EndMs(i, _before.Terms[i].LastWindow);
        leaving.Sort((a, b) => EndOf(a) != EndOf(b) ? EndOf(b).CompareTo(EndOf(a)) : a.CompareTo(b));
        var pairs = RuleChanges.Between(
            leaving.ConvertAll(i => _old.RulesInForce[i]), added.ConvertAll(i => _rules[i]));
        var predecessors = new int[_rules.Length];
        Array.Fill(predecessors, None);
        for (var i = 0; i < added.Count; i++)
        {
            predecessors[added[i]] = pairs.Before(i) == None ? None : leaving[pairs.Before(i)];
        }
        return predecessors;
    }

    /// <summary>A rule of the configuration before waits for it to end.</summary>
    private bool MakesRoom(int retiring)
    {
        for (var i = 0; i < _old.Rules.Length; i++)
        {
            if (!IsAnswering(i) && Predecessor(i) == retiring)
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>
    /// A version of this name is on its way out, for another rule perhaps: the window under way is not written in part.
    /// </summary>
    private bool IsAnsweredFor(AggregationRule rule)
    {
        for (var i = _old.Rules.Length; i < _old.RulesInForce.Length; i++)
        {
            if (!_old.IsFinished(i) && _old.RulesInForce[i].Name == rule.Name && _old.RulesInForce[i].Key != rule.Key)
            {
                return true;
            }
        }
        return false;
    }

    private long WindowUnderWay(int rule) =>
        _old.RulesInForce[rule].WindowOf(_arrivalMs, _before.Terms[rule].Clock.OffsetMs);

    private long EndMs(int rule, long window) =>
        _old.RulesInForce[rule].EndOf(window, _before.Terms[rule].Clock.OffsetMs);

    /// <summary>A rule's boundary at or after a time.</summary>
    private static long EndMs(AggregationRule rule, RuleClock clock, long timeMs) =>
        rule.EndOf(rule.WindowOf(timeMs, clock.OffsetMs), clock.OffsetMs);
}
