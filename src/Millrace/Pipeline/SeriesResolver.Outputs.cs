using Millrace.Aggregation;
using Millrace.Model;
using Millrace.Relabeling;

namespace Millrace.Pipeline;

/// <summary>What becomes of an output series of a rule.</summary>
internal sealed class ResolvedOutput
{
    /// <summary>Destinations, each with the labels that its own relabeling begins with.</summary>
    public List<(int Destination, LabelSet Series)> Places { get; } = [];

    /// <summary>Rules that take it, each with the labels as its route gives them.</summary>
    public List<(int Rule, LabelSet Series)> Takers { get; } = [];
}

/// <summary>
/// The way of outputs: to the destinations of the routes that feed their rule, and to the routes that have one of those
/// among their inputs, which treat them as they treat samples.
/// </summary>
internal sealed partial class SeriesResolver
{
    /// <summary>
    /// The destinations of a rule's outputs: those of all routes that feed the rule, and of the routes behind them; of
    /// a deduplicator, those whose input it is.
    /// </summary>
    public SortedSet<int> DestinationsOf(int rule)
    {
        var destinations = new SortedSet<int>();
        foreach (var route in Chain.RoutesOfOutputs(rule))
        {
            destinations.UnionWith(_routes[route].Destinations);
        }
        for (var i = 0; i < _routes.Length; i++)
        {
            foreach (var destination in _routes[i].Destinations)
            {
                if (_deduplicators.RuleOf(i, _destinations[destination]) == rule)
                {
                    destinations.Add(destination);
                }
            }
        }
        return destinations;
    }

    /// <summary>Whether routes take what a rule writes.</summary>
    public bool IsChained(int rule)
    {
        for (var i = 0; i < _routes.Length && !Chain.IsEmpty; i++)
        {
            if (Chain.Followers(i).Length > 0 && Array.IndexOf(_routes[i].Rules, rule) >= 0)
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>Decides what becomes of an output series. Allocates: it runs once per series.</summary>
    public ResolvedOutput ResolveOutput(int rule, LabelSet series)
    {
        var resolved = new ResolvedOutput();
        var passage = new Passage();
        for (var i = 0; i < _routes.Length; i++)
        {
            if (Array.IndexOf(_routes[i].Rules, rule) >= 0)
            {
                GiveOutput(i, series, passage, resolved);
            }
        }
        return resolved;
    }

    private void GiveOutput(int number, LabelSet series, Passage passage, ResolvedOutput resolved)
    {
        foreach (var destination in _routes[number].Destinations)
        {
            if (!resolved.Places.Contains((destination, series)))
            {
                resolved.Places.Add((destination, series));
            }
        }
        foreach (var next in FollowersOf(number, series))
        {
            if (passage.TryPass(next, series))
            {
                TakeOutput(next, series, passage, resolved);
            }
        }
    }

    private void TakeOutput(int number, LabelSet series, Passage passage, ResolvedOutput resolved)
    {
        var route = _routes[number];
        if (!TryRelabel(route.Relabeling, series, out series))
        {
            return;
        }
        var scratch = new LabelBuilder();
        var isMatched = false;
        foreach (var rule in route.Rules)
        {
            var verdict = _rules[rule].TryTake(series, scratch, out _);
            isMatched |= verdict != RuleVerdict.NoMatch;
            if (verdict == RuleVerdict.Taken && !resolved.Takers.Contains((rule, series)))
            {
                resolved.Takers.Add((rule, series));
            }
        }
        if (Forwards(route, isMatched))
        {
            GiveOutput(number, series, passage, resolved);
        }
    }

    /// <summary>The routes behind a route that take a series, all or the first, as with what is received.</summary>
    private IEnumerable<int> FollowersOf(int route, LabelSet series)
    {
        foreach (var next in Chain.Followers(route))
        {
            if (_routes[next].Match.Matches(series))
            {
                yield return next;
                if (!_config.AllMatchingRoutes)
                {
                    yield break;
                }
            }
        }
    }

    private static string[] NamesOf(AggregationRule[] rules, int count)
    {
        var names = new string[count];
        for (var i = 0; i < count; i++)
        {
            names[i] = rules[i].Name;
        }
        return names;
    }
}
