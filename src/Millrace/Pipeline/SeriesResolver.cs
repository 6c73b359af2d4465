using Millrace.Aggregation;
using Millrace.Configuration;
using Millrace.Delivery;
using Millrace.Filtering;
using Millrace.Model;
using Millrace.Protocols;
using Millrace.Relabeling;
using Millrace.Routing;

namespace Millrace.Pipeline;

/// <summary>What was decided for a series not seen before.</summary>
internal readonly record struct ResolvedSeries(
    SeriesFate Fate,
    int Route,
    List<(int Rule, int Task, RuleSeries Series)> Aggregates,
    List<(int Lane, byte[] Labels)> Forwards)
{
    /// <summary>Deduplicators that take the series; the label blocks are what they pass on.</summary>
    public List<(int Rule, int Task, UInt128 Key, byte[] Labels, uint Replica)> Deduplications { get; init; } = [];

    /// <summary>Lanes that carry the histograms and exemplars of a series whose samples are deduplicated.</summary>
    public List<(int Lane, byte[] Labels)> ExtraForwards { get; init; } = [];
    /// <summary>Taken by rules that a reload has removed or replaced; null: there are none.</summary>
    public IReadOnlyList<RetiringSeries>? Retiring { get; init; }
}

/// <summary>
/// The slow path of a sample, once per series: global relabeling, route, the rules that take it, the lanes that carry
/// it. Pure: the same series gets the same answer in every process under the same configuration.
/// </summary>
internal sealed partial class SeriesResolver
{
    private sealed record Route(
        RouteConfig Config, SeriesSelector Match, Relabeler Relabeling, int[] Rules, int[] Destinations);

    /// <summary>What came to routes behind others: a series that comes by two ways comes once.</summary>
    private sealed class Passage
    {
        private readonly HashSet<(int Route, LabelSet Series)> _passed = [];

        public bool TryPass(int route, LabelSet series) => _passed.Add((route, series));
    }

    private readonly MillraceConfig _config;
    private readonly AggregationRule[] _rules;
    private readonly Relabeler _relabeling;
    private readonly Route[] _routes;
    private readonly IReadOnlyList<DestinationConfig> _destinations;
    private readonly Deduplicators _deduplicators;
    private readonly Relabeler[] _destinationRelabeling;
    private readonly int[] _firstLane;
    private readonly LanePlan[] _lanePlans;

    public SeriesResolver(MillraceConfig config, AggregationRule[] rules, IReadOnlyList<DestinationConfig> destinations)
    {
        _config = config;
        _rules = rules;
        _relabeling = Compile(config.RelabelConfigs);
        _deduplicators = new Deduplicators(config);
        _destinations = [.. Configured(config, destinations)];
        _destinationRelabeling = new Relabeler[destinations.Count];
        _firstLane = new int[destinations.Count];
        _lanePlans = new LanePlan[destinations.Count];
        var lanes = 0;
        for (var i = 0; i < destinations.Count; i++)
        {
            _destinationRelabeling[i] = Compile(_destinations[i].RelabelConfigs);
            _firstLane[i] = lanes;
            _lanePlans[i] = new LanePlan(_destinations[i], destinations[i].Lanes);
            lanes += destinations[i].Lanes;
        }
        Chain = new RouteChain(config.Routes, NamesOf(rules, config.Aggregation.Rules.Count));
        _routes = new Route[config.Routes.Count];
        for (var i = 0; i < _routes.Length; i++)
        {
            _routes[i] = CompileRoute(i, config.Routes[i], destinations);
        }
    }

    /// <summary>How routes and rules stand behind each other.</summary>
    public RouteChain Chain { get; }

    /// <summary>By route.</summary>
    public IEnumerable<TimeWindowFilter> TimeWindows
    {
        get
        {
            foreach (var route in _routes)
            {
                yield return new TimeWindowFilter(route.Config.TimeWindow ?? _config.TimeWindow);
            }
        }
    }

    /// <summary>Decides what becomes of a series. Allocates: it runs once per series and configuration.</summary>
    public ResolvedSeries Resolve(IEnumerable<Label> labels)
    {
        var nothing = new ResolvedSeries(SeriesFate.None, 0, [], []);
        if (!TryRelabel(_relabeling, LabelSet.From(labels), out var series))
        {
            return nothing with { Fate = SeriesFate.Relabeled };
        }
        var resolved = nothing with { Fate = SeriesFate.NoRoute };
        var isFirst = true;
        var passage = Chain.IsEmpty ? null : new Passage();
        foreach (var i in Chain.Heads)
        {
            if (!_routes[i].Match.Matches(series))
            {
                continue;
            }
            var fate = Take(i, series, passage, resolved);
            if (isFirst || fate == SeriesFate.None)
            {
                resolved = resolved with { Fate = fate, Route = isFirst ? i : resolved.Route };
            }
            isFirst = false;
            if (!_config.AllMatchingRoutes)
            {
                break;
            }
        }
        return resolved;
    }

    /// <summary>Whether a rule's output has the labels with which its destination sends it.</summary>
    public bool IsPlaced(int rule) => _rules[rule].Config.IsDeduplicator && _deduplicators.IsOfDestination(rule);

    /// <summary>The destination is declared to take a second value for a timestamp.</summary>
    public bool TakesCorrections(int destination) => _destinations[destination].Corrections;

    /// <summary>How the destination of the name rounds values.</summary>
    public ValueRounding RoundingOf(string destination)
    {
        foreach (var config in _destinations)
        {
            if (string.Equals(config.Name, destination, StringComparison.Ordinal))
            {
                return new ValueRounding(config.SignificantFigures, config.RoundDigits);
            }
        }
        return ValueRounding.Off;
    }

    /// <summary>The labels with which a destination sends a series; false: it drops the series.</summary>
    public bool TryPlace(int destination, LabelSet series, out LabelSet sent)
    {
        if (!TryRelabel(_destinationRelabeling[destination], series, out sent))
        {
            return false;
        }
        sent = _lanePlans[destination].LabelsOf(sent);
        return true;
    }

    /// <summary>The lanes of a destination that carry a series with the labels that are sent.</summary>
    public LanePlan LanesOf(int destination) => _lanePlans[destination];

    private SeriesFate Take(int number, LabelSet series, Passage? passage, in ResolvedSeries resolved)
    {
        var route = _routes[number];
        if (!TryRelabel(route.Relabeling, series, out series))
        {
            return SeriesFate.Relabeled;
        }
        var scratch = new LabelBuilder();
        var isMatched = false;
        foreach (var rule in route.Rules)
        {
            var verdict = _rules[rule].TryTake(series, scratch, out var taken);
            isMatched |= verdict != RuleVerdict.NoMatch;
            if (verdict == RuleVerdict.Taken)
            {
                var task = _rules[rule].TaskOf(taken, _config.Aggregation.TaskCount);
                resolved.Aggregates.Add((rule, task, taken));
            }
        }
        if (Forwards(route, isMatched))
        {
            foreach (var destination in route.Destinations)
            {
                if (TryPlace(destination, series, out var sent))
                {
                    Forward(number, destination, sent, series, resolved);
                }
            }
            foreach (var next in FollowersOf(number, series))
            {
                if (passage!.TryPass(next, series))
                {
                    Take(next, series, passage, resolved);
                }
            }
        }
        return resolved.Aggregates.Count + resolved.Deduplications.Count + resolved.Forwards.Count == 0
            ? SeriesFate.Unused
            : SeriesFate.None;
    }

    private void Forward(
        int route, int destination, LabelSet sent, LabelSet series, in ResolvedSeries resolved)
    {
        var deduplicator = _deduplicators.RuleOf(route, _destinations[destination]);
        var labels = LabelBlock.Encode(sent);
        var plan = _lanePlans[destination];
        for (var copy = 0; copy < plan.Copies; copy++)
        {
            (deduplicator < 0 ? resolved.Forwards : resolved.ExtraForwards).Add(
                (_firstLane[destination] + plan.LaneOf(sent, copy), labels));
        }
        if (deduplicator < 0 || resolved.Deduplications.Exists(other => other.Rule == deduplicator))
        {
            return; // Nothing to do, or done by another destination of the route.
        }
        var identity = WithoutDroppedLabels(_deduplicators.RuleOf(route), series);
        if (_deduplicators.IsOfDestination(deduplicator))
        {
            identity = TryPlace(destination, identity, out var relabeled)
                ? WithoutDroppedLabels(deduplicator, relabeled)
                : LabelSet.Empty;
        }
        if (identity.Count == 0)
        {
            return; // Nothing is left to send.
        }
        // Series of a target stay in one task, and so together in the blocks that it gives.
        var task = LaneKey.StableLaneOf(identity, _config.Aggregation.TaskCount);
        // One array for both where they are equal: they are kept once.
        resolved.Deduplications.Add((
            deduplicator, task, identity.StableKey(), identity.Equals(sent) ? labels : LabelBlock.Encode(identity),
            _rules[deduplicator].ReplicaOf(series)));
    }

    private LabelSet WithoutDroppedLabels(int deduplicator, LabelSet series) =>
        deduplicator < 0 ? series : _rules[deduplicator].WithoutDroppedLabels(series);

    /// <summary>vmagent's truth table of keepInput and dropInput; without rules everything goes on.</summary>
    private static bool Forwards(Route route, bool isMatched) =>
        route.Rules.Length == 0
        || (isMatched ? route.Config.KeepInput : !route.Config.DropInput);

    private Route CompileRoute(int number, RouteConfig config, IReadOnlyList<DestinationConfig> destinations)
    {
        if (!SeriesSelector.TryParse(config.Match, out var match, out var error))
        {
            throw new ArgumentException($"match \"{config.Match}\" of route \"{config.Name}\": {error}");
        }
        var to = new List<int>();
        for (var i = 0; i < destinations.Count; i++)
        {
            // A destination of an older configuration may be gone, and a new one unknown to it.
            var name = destinations[i].Name;
            if (Find(_config, name) is not null && (config.To is null || Contains(config.To, name)))
            {
                to.Add(i);
            }
        }
        return new Route(config, match, Compile(config.RelabelConfigs), Chain.Rules(number), [.. to]);
    }

    private static bool TryRelabel(Relabeler relabeler, LabelSet series, out LabelSet relabeled)
    {
        relabeled = series;
        if (relabeler.IsEmpty)
        {
            return true;
        }
        var labels = new LabelBuilder(series);
        if (!relabeler.Apply(labels))
        {
            return false;
        }
        // As after vmagent's remote-write relabeling: what begins with __ was for the rules alone.
        labels.RemoveInternalLabels();
        relabeled = labels.ToLabelSet();
        return relabeled.Count > 0;
    }

    private static Relabeler Compile(IReadOnlyList<RelabelConfig> configs)
    {
        var problems = new List<ConfigProblem>();
        var relabeler = Relabeler.Compile(configs, problems);
        return problems.Count == 0 ? relabeler : throw new ArgumentException(problems[0].ToString());
    }

    /// <summary>
    /// Under a configuration of an earlier time a destination has what that says of it, or nothing.
    /// </summary>
    private static IEnumerable<DestinationConfig> Configured(
        MillraceConfig config, IReadOnlyList<DestinationConfig> destinations)
    {
        foreach (var destination in destinations)
        {
            yield return Find(config, destination.Name) ?? new DestinationConfig { Name = destination.Name };
        }
    }

    private static DestinationConfig? Find(MillraceConfig config, string name)
    {
        foreach (var destination in config.Destinations)
        {
            if (destination.Name == name)
            {
                return destination;
            }
        }
        return null;
    }

    private static bool Contains(IReadOnlyList<string> names, string name)
    {
        foreach (var candidate in names)
        {
            if (candidate == name)
            {
                return true;
            }
        }
        return false;
    }
}
