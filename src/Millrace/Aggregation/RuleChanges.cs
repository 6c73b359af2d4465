namespace Millrace.Aggregation;

/// <summary>What a rule of a new configuration was in the one before.</summary>
internal enum RuleChange
{
    /// <summary>State and open windows go on.</summary>
    Unchanged,

    /// <summary>Another version of a rule of before, which it replaces at a window boundary.</summary>
    Changed,

    Added,
}

/// <summary>
/// Which rule of a configuration is which of the one before. Equal definitions are the same rule, wherever they stand
/// and whatever they are called. Of the others, a rule is a changed one if it has the name of one that is gone, or,
/// where one of the two has no name, the same selectors or all but the selectors.
/// A function of both lists: a replay decides alike.
/// </summary>
internal sealed class RuleChanges
{
    private const int None = -1;

    private readonly int[] _before;

    private RuleChanges(int[] before, bool[] isSame, List<int> removed) =>
        (_before, IsSame, Removed) = (before, isSame, removed);

    /// <summary>By new rule: the definition is that of the rule before.</summary>
    private bool[] IsSame { get; }

    /// <summary>Numbers of old rules that are neither unchanged nor replaced.</summary>
    public IReadOnlyList<int> Removed { get; }

    public RuleChange Of(int rule) =>
        _before[rule] == None ? RuleChange.Added : IsSame[rule] ? RuleChange.Unchanged : RuleChange.Changed;

    /// <summary>The number of the rule before; -1 for an added one.</summary>
    public int Before(int rule) => _before[rule];

    public static RuleChanges Between(
        IReadOnlyList<AggregationRule> before, IReadOnlyList<AggregationRule> after)
    {
        var pairs = new int[after.Count];
        Array.Fill(pairs, None);
        var isTaken = new bool[before.Count];
        Pair(before, after, pairs, isTaken, static (old, rule) => old.Key == rule.Key);
        var isSame = Array.ConvertAll(pairs, static pair => pair != None);
        Pair(before, after, pairs, isTaken, static (old, rule) => rule.Config.Name.Length > 0
            && old.Config.Name == rule.Config.Name && HaveWindows(old, rule));
        Pair(before, after, pairs, isTaken, static (old, rule) =>
            MayBeSame(old, rule) && HaveSameSelectors(old.Config, rule.Config));
        Pair(before, after, pairs, isTaken, static (old, rule) =>
            MayBeSame(old, rule) && old.KeyWithoutMatch == rule.KeyWithoutMatch);
        var removed = new List<int>();
        for (var i = 0; i < before.Count; i++)
        {
            if (!isTaken[i])
            {
                removed.Add(i);
            }
        }
        return new RuleChanges(pairs, isSame, removed);
    }

    private static void Pair(
        IReadOnlyList<AggregationRule> before, IReadOnlyList<AggregationRule> after, int[] pairs, bool[] isTaken,
        Func<AggregationRule, AggregationRule, bool> belong)
    {
        for (var i = 0; i < after.Count; i++)
        {
            for (var old = 0; old < before.Count && pairs[i] == None; old++)
            {
                if (!isTaken[old] && belong(before[old], after[i]))
                {
                    pairs[i] = old;
                    isTaken[old] = true;
                }
            }
        }
    }

    /// <summary>
    /// A deduplicator has no windows to hand over: an old one ends with what it holds, a new one takes what comes.
    /// </summary>
    private static bool HaveWindows(AggregationRule old, AggregationRule rule) =>
        !old.Config.IsDeduplicator && !rule.Config.IsDeduplicator;

    /// <summary>Two names are two rules.</summary>
    private static bool MayBeSame(AggregationRule old, AggregationRule rule) =>
        HaveWindows(old, rule) && (old.Config.Name.Length == 0 || rule.Config.Name.Length == 0);

    private static bool HaveSameSelectors(AggregationRuleConfig a, AggregationRuleConfig b)
    {
        if (a.Match is null || b.Match is null)
        {
            return a.Match is null && b.Match is null;
        }
        if (a.Match.Count != b.Match.Count)
        {
            return false;
        }
        for (var i = 0; i < a.Match.Count; i++)
        {
            if (a.Match[i] != b.Match[i])
            {
                return false;
            }
        }
        return true;
    }
}
