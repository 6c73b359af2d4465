using Millrace.Aggregation;
using Millrace.Model;

namespace Millrace.Pipeline;

/// <summary>
/// Which rules in force take what other rules in force write. Whether a rule takes another's outputs is decided by the
/// routes of its own configuration, which knows the other by its key or, another version of it, by its name. Where it
/// does not know it, since the rule was removed, the other's own configuration decides: what a rule writes in its last
/// windows is not lost to those that stay. A function of the rules in force.
///
/// The routes of one configuration do not run in a circle, but those of two may have rules the other way round, where
/// each would wait for the other: a link that closes a circle is left out.
/// </summary>
internal sealed class RuleChain
{
    /// <summary>Rules that take a rule's outputs by one configuration.</summary>
    /// <param name="Resolver">Of the configuration.</param>
    /// <param name="Rule">The number of the rule there.</param>
    /// <param name="Takers">Number there, number in force.</param>
    private sealed record Link(SeriesResolver Resolver, int Rule, List<(int There, int InForce)> Takers);

    private static readonly RuleChain None = new([]);

    private readonly List<Link>[] _links;        // by rule in force
    private readonly SortedSet<int>[] _takers;   // by rule in force
    private readonly SortedSet<int>[] _upstream; // by rule in force

    private RuleChain(AggregationRule[] rules)
    {
        _links = Array.ConvertAll(rules, static _ => new List<Link>());
        _takers = Array.ConvertAll(rules, static _ => new SortedSet<int>());
        _upstream = Array.ConvertAll(rules, static _ => new SortedSet<int>());
    }

    public bool IsEmpty => _links.Length == 0;

    public static RuleChain Of(Generation generation)
    {
        if (!HasChains(generation))
        {
            return None;
        }
        var chain = new RuleChain(generation.RulesInForce);
        var numbers = new Dictionary<CompiledConfig, RuleNumbers>();
        var count = generation.RulesInForce.Length;
        for (var i = 0; i < count; i++)
        {
            // Retiring ones first: they finish as they began, and it is the others that take nothing of them.
            var taker = (generation.Rules.Length + i) % count;
            var behind = chain.Behind(taker);
            for (var rule = 0; rule < count; rule++)
            {
                if (rule != taker && !behind.Contains(rule)
                    && !generation.IsFinished(rule) && !generation.IsFinished(taker)
                    && !generation.RulesInForce[rule].Config.IsDeduplicator
                    && !generation.RulesInForce[taker].Config.IsDeduplicator)
                {
                    chain.LinkIfTaken(generation, rule, taker, numbers);
                }
            }
        }
        return chain;
    }

    /// <summary>Rules in force that may take what a rule writes.</summary>
    public IReadOnlyCollection<int> Takers(int rule) => IsEmpty ? [] : _takers[rule];

    /// <summary>The rules that take an output series, each with the labels as its route gives them.</summary>
    public void FindTakers(int rule, LabelSet series, List<(int Rule, LabelSet Series)> takers)
    {
        foreach (var link in _links[rule])
        {
            foreach (var (there, taken) in link.Resolver.ResolveOutput(link.Rule, series).Takers)
            {
                foreach (var taker in link.Takers)
                {
                    if (taker.There == there)
                    {
                        takers.Add((taker.InForce, taken));
                    }
                }
            }
        }
    }

    /// <summary>
    /// The last window of a rule that may be closed: all that other rules write up to its end must be in the log before
    /// it. Of another rule that is what ends before its next window that is open, or still under way to the log. In
    /// arrival time what comes after the close is of the next window, and nothing is waited for.
    /// </summary>
    public long ReadyThrough(RulesInForce rules, int rule, Derivations derivations)
    {
        var all = rules.Generation.RulesInForce;
        if (all[rule].IsArrivalTime)
        {
            return long.MaxValue;
        }
        // Also of rules that were let go with their last close.
        var untilMs = derivations.UnderWayFromMs(all[rule].Key);
        foreach (var upstream in IsEmpty ? [] : _upstream[rule])
        {
            var closedThrough = rules.ClosedThrough[upstream];
            if (closedThrough < rules.Terms[upstream].LastWindow)
            {
                untilMs = Math.Min(
                    untilMs, all[upstream].EndOf(closedThrough + 1, rules.Terms[upstream].Clock.OffsetMs));
            }
        }
        return untilMs == long.MaxValue ? long.MaxValue
            : all[rule].WindowOf(untilMs, rules.Terms[rule].Clock.OffsetMs) - 1;
    }

    private void LinkIfTaken(
        Generation generation, int rule, int taker, Dictionary<CompiledConfig, RuleNumbers> numbers)
    {
        var (ofTaker, takerThere) = generation.CompiledOf(taker);
        var config = ofTaker;
        var ruleThere = NumbersOf(ofTaker, numbers).Of(generation.RulesInForce[rule]);
        if (ruleThere < 0)
        {
            (config, ruleThere) = generation.CompiledOf(rule);
            takerThere = NumbersOf(config, numbers).Of(generation.RulesInForce[taker]);
        }
        if (takerThere < 0 || takerThere == ruleThere
            || !config.Resolver.Chain.Upstream(takerThere).Contains(ruleThere))
        {
            return;
        }
        var link = _links[rule].Find(one => ReferenceEquals(one.Resolver, config.Resolver) && one.Rule == ruleThere);
        if (link is null)
        {
            _links[rule].Add(link = new Link(config.Resolver, ruleThere, []));
        }
        link.Takers.Add((takerThere, taker));
        _takers[rule].Add(taker);
        _upstream[taker].Add(rule);
    }

    /// <summary>All rules that take what a rule writes, or what those write that take it, and so on.</summary>
    private HashSet<int> Behind(int rule)
    {
        var behind = new HashSet<int>();
        var open = new Stack<int>(_takers[rule]);
        while (open.TryPop(out var taker))
        {
            if (behind.Add(taker))
            {
                foreach (var next in _takers[taker])
                {
                    open.Push(next);
                }
            }
        }
        return behind;
    }

    private static bool HasChains(Generation generation)
    {
        var hasChains = !generation.Resolver.Chain.IsEmpty;
        foreach (var retiring in generation.Retiring)
        {
            hasChains |= !retiring.Source.Resolver.Chain.IsEmpty;
        }
        return hasChains;
    }

    private static RuleNumbers NumbersOf(CompiledConfig config, Dictionary<CompiledConfig, RuleNumbers> numbers)
    {
        if (!numbers.TryGetValue(config, out var found))
        {
            numbers.Add(config, found = new RuleNumbers(config));
        }
        return found;
    }

    /// <summary>Finds rules in a configuration.</summary>
    private sealed class RuleNumbers
    {
        private readonly Dictionary<UInt128, int> _byKey = [];
        private readonly Dictionary<string, int> _byName = new(StringComparer.Ordinal);

        public RuleNumbers(CompiledConfig config)
        {
            for (var i = 0; i < config.Config.Aggregation.Rules.Count; i++)
            {
                _byKey.TryAdd(config.Rules[i].Key, i);
                _byName.TryAdd(config.Rules[i].Config.Name, i);
            }
        }

        /// <summary>The rule itself, or one of its name; -1: there is none.</summary>
        public int Of(AggregationRule rule) =>
            _byKey.TryGetValue(rule.Key, out var number) ? number
            : rule.Config.Name.Length > 0 && _byName.TryGetValue(rule.Config.Name, out number) ? number
            : -1;
    }
}
