using Millrace.Aggregation;
using Millrace.Delivery;
using Millrace.Routing;

namespace Millrace.Configuration;

/// <summary>Reads routes, and checks that what they name exists.</summary>
internal sealed class RouteReader
{
    private readonly IReadOnlyList<AggregationRuleConfig> _rules;
    private readonly List<string> _ruleNames = [];
    private readonly List<string> _destinationNames = [];

    public RouteReader(IReadOnlyList<AggregationRuleConfig> rules, IReadOnlyList<DestinationConfig> destinations)
    {
        _rules = rules;
        foreach (var rule in rules)
        {
            if (rule.Name.Length > 0)
            {
                _ruleNames.Add(rule.Name);
            }
        }
        foreach (var destination in destinations)
        {
            _destinationNames.Add(destination.Name);
        }
    }

    /// <summary>Never empty: without routes one takes everything.</summary>
    public IReadOnlyList<RouteConfig> ReadList(ConfigReader root)
    {
        var elements = root.Sequence("routes");
        var routes = new List<RouteConfig>(elements.Count);
        var readers = new List<ConfigReader>(elements.Count);
        var seen = new HashSet<string>(StringComparer.Ordinal);
        for (var i = 0; i < elements.Count; i++)
        {
            var reader = new ConfigReader(root.Context, elements[i], $"routes[{i}]");
            var route = ReadRoute(reader);
            if (!seen.Add(route.Name))
            {
                reader.Report("name", $"two routes are called \"{route.Name}\": give each its own name");
            }
            CheckInputs(reader, route, routes);
            routes.Add(route);
            readers.Add(reader);
        }
        CheckChain(readers, routes);
        return routes.Count == 0 ? [new RouteConfig()] : routes;
    }

    /// <summary>In one pass from top to bottom: so nothing can run in a circle of routes.</summary>
    private static void CheckInputs(ConfigReader reader, RouteConfig route, List<RouteConfig> above)
    {
        var names = above.ConvertAll(static one => one.Name);
        ReadNames(reader, "inputs", names, "route above this one that is called");
        if (route.Inputs.Count > 0 && route.TimeWindow is not null)
        {
            reader.Report("time_window", "what the inputs give was let in by their own time window: set it in the "
                + "route that takes what is received");
        }
    }

    /// <summary>A rule that stands in several routes may still come to take what it writes itself.</summary>
    private void CheckChain(List<ConfigReader> readers, List<RouteConfig> routes)
    {
        var chain = new RouteChain(routes, NamesOf(_rules));
        if (chain.IsEmpty)
        {
            return;
        }
        var last = routes.FindLastIndex(static route => route.Inputs.Count > 0);
        if (chain.Circle() is { } circle)
        {
            var at = routes.FindIndex(route => route.Inputs.Count > 0 && FeedsOneOf(routes, chain, route, circle));
            at = at < 0 ? last : at;
            readers[at].Report("inputs", $"rules would take what they write themselves: {Describe(circle)}; list under "
                + "aggregate which rules each route feeds");
            return;
        }
        if (chain.Depth() > RouteChain.MaxDepth)
        {
            readers[last].Report("inputs", $"{chain.Depth()} routes or rules stand behind each other, the most is "
                + $"{RouteChain.MaxDepth}: shorten the chain");
        }
    }

    private static bool FeedsOneOf(
        List<RouteConfig> routes, RouteChain chain, RouteConfig route, IReadOnlyList<int> rules)
    {
        foreach (var fed in chain.Rules(routes.IndexOf(route)))
        {
            foreach (var rule in rules)
            {
                if (rule == fed)
                {
                    return true;
                }
            }
        }
        return false;
    }

    private string Describe(IReadOnlyList<int> rules)
    {
        var texts = new List<string>();
        foreach (var rule in rules)
        {
            var config = _rules[rule];
            texts.Add(config.Name.Length > 0 ? $"\"{config.Name}\"" : $"{config.File}:{config.Line}");
        }
        return string.Join(" → ", texts);
    }

    private static List<string> NamesOf(IReadOnlyList<AggregationRuleConfig> rules)
    {
        var names = new List<string>(rules.Count);
        foreach (var rule in rules)
        {
            names.Add(rule.Name);
        }
        return names;
    }

    private RouteConfig ReadRoute(ConfigReader reader)
    {
        var defaults = new RouteConfig();
        var aggregates = reader.Find("aggregate");
        var named = aggregates is { Kind: ConfigNodeKind.Sequence }
            ? ReadNames(reader, "aggregate", _ruleNames, "rule")
            : null;
        var route = new RouteConfig
        {
            Name = ReadName(reader, defaults.Name),
            Inputs = reader.Texts("inputs") ?? [],
            Match = ReadMatch(reader) ?? defaults.Match,
            RelabelConfigs = RelabelReader.Read(reader, "relabel_configs"),
            Aggregate = aggregates is { Kind: ConfigNodeKind.Sequence }
                ? named!.Count > 0
                : ReadAggregate(reader, defaults.Aggregate),
            AggregateRules = named is { Count: > 0 } ? named : null,
            KeepInput = reader.Flag("keep_input", false),
            DropInput = reader.Flag("drop_input", false),
            To = reader.Find("to") is null ? null : ReadNames(reader, "to", _destinationNames, "destination"),
            TimeWindow = reader.Find("time_window") is null
                ? null
                : ConfigFileReader.ReadTimeWindow(reader.Mapping("time_window")),
        };
        CheckKeptNames(reader, route);
        reader.Finish();
        return route;
    }

    private static bool ReadAggregate(ConfigReader reader, bool fallback)
    {
        if (reader.Find("aggregate") is { Kind: not ConfigNodeKind.Sequence } value
            && ConfigReader.AsBoolean(value) is null)
        {
            reader.Report("aggregate", $"must be true, false or a list of rule names, but {value.Describe()} stands "
                + "here");
            return fallback;
        }
        return reader.Flag("aggregate", fallback);
    }

    public static string ReadName(ConfigReader reader, string fallback)
    {
        if (reader.Text("name") is not { } name)
        {
            return fallback;
        }
        if (name.Length is 0 or > 128)
        {
            reader.Report("name", $"\"{name}\" has {name.Length} characters: a name has 1 to 128");
        }
        return name;
    }

    private static string? ReadMatch(ConfigReader reader)
    {
        if (reader.Find("match") is { Kind: ConfigNodeKind.Sequence })
        {
            reader.Report("match", "a route has one selector, but a list stands here: join them with \" or \" "
                + "inside the braces, or write a route for each");
            return null;
        }
        return RelabelReader.ReadSelectors(reader, "match") is [var selector] ? selector : null;
    }

    private static IReadOnlyList<string> ReadNames(ConfigReader reader, string key, List<string> known, string kind)
    {
        var names = reader.Texts(key) ?? [];
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var name in names)
        {
            if (!seen.Add(name))
            {
                reader.Report(key, $"{kind} \"{name}\" is listed twice: remove one");
            }
            else if (!known.Contains(name))
            {
                var hint = ConfigReader.DidYouMean(name, known);
                hint = hint.Length > 0 ? hint : ": name one that is defined";
                reader.Report(key, $"there is no {kind} \"{name}\"{hint}");
            }
        }
        return names;
    }

    /// <summary>
    /// As vmagent refuses: an aggregate under the name of the raw series that is forwarded beside it.
    /// </summary>
    private void CheckKeptNames(ConfigReader reader, RouteConfig route)
    {
        if (!route.KeepInput || !route.Aggregate)
        {
            return;
        }
        foreach (var rule in _rules)
        {
            if (!rule.KeepMetricNames || (route.AggregateRules is { } names && !Contains(names, rule.Name)))
            {
                continue;
            }
            reader.Report("keep_input", $"rule {rule.File}:{rule.Line} has keep_metric_names: its output would stand "
                + "under the name of the raw series kept here; set one of the two to false");
        }
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
