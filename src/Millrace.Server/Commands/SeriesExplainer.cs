using System.IO;
using System.Linq;
using Millrace.Aggregation;
using Millrace.Aggregation.Outputs;
using Millrace.Configuration;
using Millrace.Delivery;
using Millrace.Model;
using Millrace.Relabeling;
using Millrace.Routing;
using Millrace.Web;

namespace Millrace.Server.Commands;

/// <summary>
/// Walks one series through the configuration in the order of the data path: global relabeling, routes, their
/// relabeling, the rules a route feeds, what is forwarded, the routes behind it that take that and what the rules
/// write, and the relabeling of each destination.
/// </summary>
internal sealed class SeriesExplainer(MillraceConfig config, TextWriter output)
{
    /// <summary>Stands for the values of a label that only the samples tell.</summary>
    private static readonly string[] AnyValue = ["…"];

    private readonly RouteChain _chain =
        new(config.Routes, [.. config.Aggregation.Rules.Select(static rule => rule.Name)]);

    private string _nesting = "";

    /// <summary>Where the tasks of sharded destinations are, by a running gateway.</summary>
    public IReadOnlyList<ShardReport> Reports { get; init; } = [];

    public void Explain(LabelSet series)
    {
        Write($"series {series}");
        if (Relabel("", "relabel_configs", config.RelabelConfigs, RelabelDialect.Prometheus, series) is not { } labels)
        {
            return;
        }
        if (!ExplainRoutes(_chain.Heads, labels, "raw samples"))
        {
            Write("dropped: no route takes it");
        }
    }

    /// <summary>Whether some route takes the series.</summary>
    private bool ExplainRoutes(int[] routes, LabelSet series, string what)
    {
        var isTaken = false;
        for (var i = 0; i < routes.Length; i++)
        {
            var route = config.Routes[routes[i]];
            if (!Parsed(route.Match).Matches(series))
            {
                Write($"route \"{route.Name}\": {route.Match} does not match");
                continue;
            }
            isTaken = true;
            Write($"route \"{route.Name}\": {route.Match} matches");
            ExplainRoute(routes[i], series, what);
            if (!config.AllMatchingRoutes && i + 1 < routes.Length)
            {
                Write("later routes are not tried (route_mode: first)");
                break;
            }
        }
        return isTaken;
    }

    /// <summary>What a route gives is input to the routes behind it.</summary>
    private void ExplainFollowers(int route, LabelSet series, string indent, string what)
    {
        if (_chain.Followers(route).Length == 0)
        {
            return;
        }
        var before = _nesting;
        _nesting += indent;
        if (!ExplainRoutes(_chain.Followers(route), series, what))
        {
            Write($"no route behind \"{config.Routes[route].Name}\" takes it");
        }
        _nesting = before;
    }

    /// <summary>A selector of a loaded configuration, which the loader has parsed before.</summary>
    public static SeriesSelector Parsed(string selector) =>
        SeriesSelector.TryParse(selector, out var parsed, out var error)
        ? parsed
        : throw new InvalidOperationException($"The loader let the selector \"{selector}\" pass: {error}");

    private void ExplainRoute(int number, LabelSet series, string what)
    {
        var route = config.Routes[number];
        if (Relabel("  ", "relabel_configs", route.RelabelConfigs, RelabelDialect.Prometheus, series) is not { } labels)
        {
            return;
        }
        var destinations = config.Destinations.Where(d => route.To is null || route.To.Contains(d.Name)).ToList();
        var (isMatched, feedsRules) = (false, false);
        for (var i = 0; i < config.Aggregation.Rules.Count; i++)
        {
            var rule = config.Aggregation.Rules[i];
            if (route.Aggregate && (route.AggregateRules is not { } names || names.Contains(rule.Name)))
            {
                feedsRules = true;
                isMatched |= ExplainRule(number, i, rule, labels, destinations);
            }
        }
        // As in vmagent, keep_input and drop_input mean something only beside rules.
        var isForwarded = !feedsRules || (isMatched ? route.KeepInput : !route.DropInput);
        var reason = !feedsRules ? "the route feeds no rule"
            : isMatched
            ? $"a rule matches and keep_input is {Word(route.KeepInput)}"
            : $"no rule matches and drop_input is {Word(route.DropInput)}";
        Write($"  {what}: {(isForwarded ? "forwarded" : "dropped")}, because {reason}");
        if (isForwarded)
        {
            ExplainForwarding(number, labels, destinations);
            ExplainFollowers(number, labels, "    ", what);
        }
    }

    /// <summary>Deduplication of a destination with an interval of its own comes behind its relabeling.</summary>
    private void ExplainForwarding(int route, LabelSet series, List<DestinationConfig> destinations)
    {
        var section = config.Aggregation;
        if (section.DedupInterval > TimeSpan.Zero)
        {
            series = ExplainDedup("    ", "aggregation", section.DedupInterval, section.DropInputLabels, series);
        }
        if (destinations.Count == 0)
        {
            Deliver("    ", route, series, destinations);
        }
        foreach (var destination in destinations)
        {
            var relabeled = Deliver("    ", route, series, [destination]);
            if (relabeled is not null && destination.DedupInterval > TimeSpan.Zero)
            {
                ExplainDedup("      ", $"destination \"{destination.Name}\"", destination.DedupInterval,
                    destination.DropInputLabels, relabeled);
            }
        }
    }

    private LabelSet ExplainDedup(
        string indent, string where, TimeSpan interval, IReadOnlyList<string> dropped, LabelSet series)
    {
        var kept = WithoutLabels(series, dropped);
        Write($"{indent}{where} dedup_interval {ConfigQuantity.FormatDuration(interval)}: one sample for "
            + $"each of {kept}");
        return kept;
    }

    private static LabelSet WithoutLabels(LabelSet series, IReadOnlyList<string> dropped) =>
        dropped.Count == 0
            ? series
            : LabelSet.From(series.Labels.ToArray().Where(label => !dropped.Contains(label.Name)));

    /// <summary>
    /// Whether the rule's selector matches; what its relabeling drops counts as matched, as in vmagent.
    /// </summary>
    private bool ExplainRule(
        int route, int index, AggregationRuleConfig rule, LabelSet series, List<DestinationConfig> destinations)
    {
        var name = rule.Name.Length == 0 ? $"rule #{index}" : $"rule #{index} \"{rule.Name}\"";
        var matching = rule.Match?.FirstOrDefault(text => Parsed(text).Matches(series));
        if (rule.Match is not null && matching is null)
        {
            Write($"  {name}: {string.Join(" or ", rule.Match)} does not match");
            return false;
        }
        Write($"  {name}: {matching ?? "everything"} matches");
        var input = WithoutLabels(series, rule.DropInputLabels);
        if (!input.Equals(series))
        {
            Write($"    drop_input_labels: {input}");
        }
        if (Relabel("    ", "input_relabel_configs", rule.InputRelabelConfigs, RelabelDialect.VmAgent, input)
            is not { } relabeled)
        {
            return true;
        }
        if (rule.DedupInterval is { } dedup)
        {
            Write($"    dedup_interval {ConfigQuantity.FormatDuration(dedup)}: one sample for each of "
                + $"{relabeled}");
        }
        var group = OutputNaming.Group(rule, relabeled);
        Write($"    group {group}");
        foreach (var text in rule.Outputs)
        {
            var kind = OutputKind.Find(text)!;
            var values = kind.LabelValues.Count > 0 ? kind.LabelValues : kind.Label is null ? [""] : AnyValue;
            foreach (var value in values)
            {
                var result = OutputNaming.Output(OutputNaming.Suffix(rule, kind), group, kind, value);
                Write($"    feeds {result}");
                if (Relabel("      ", "output_relabel_configs", rule.OutputRelabelConfigs, RelabelDialect.VmAgent,
                    result) is { } written)
                {
                    Deliver("      ", route, written, destinations);
                    ExplainFollowers(route, written, "      ", "output");
                }
            }
        }
        return true;
    }

    /// <returns>As the last destination gets it; null when that drops it.</returns>
    private LabelSet? Deliver(string indent, int route, LabelSet series, List<DestinationConfig> destinations)
    {
        LabelSet? last = null;
        if (destinations.Count == 0 && _chain.Followers(route).Length == 0)
        {
            Write($"{indent}dropped: the route names no destination");
        }
        foreach (var destination in destinations)
        {
            last = Relabel(indent, $"destination \"{destination.Name}\" relabel_configs",
                destination.RelabelConfigs, RelabelDialect.Prometheus, series);
            if (last is null)
            {
                continue;
            }
            IEnumerable<string> shard = [];
            if (destination.Sharded is not null)
            {
                var report = Reports.FirstOrDefault(report => report.Destination == destination.Name);
                shard = ShardExplainer.Explain(destination, last, report, out last);
            }
            Write($"{indent}to destination \"{destination.Name}\" as {last}");
            foreach (var line in shard)
            {
                Write($"{indent}  {line}");
            }
        }
        return last;
    }

    /// <summary>Shows each step; null when the series is dropped.</summary>
    private LabelSet? Relabel(string indent, string where, IReadOnlyList<RelabelConfig> rules, RelabelDialect dialect,
        LabelSet series)
    {
        if (rules.Count == 0)
        {
            return series;
        }
        var trace = RelabelTrace.Run(Relabeler.Compile(rules, [], dialect), series);
        foreach (var step in trace.Steps)
        {
            Write($"{indent}{where} {step}");
        }
        if (trace.IsDropped)
        {
            Write($"{indent}dropped by {where}");
        }
        if (trace.Output is not { } relabeled || dialect == RelabelDialect.VmAgent)
        {
            return trace.Output;
        }
        var labels = new LabelBuilder(relabeled);
        labels.RemoveInternalLabels();
        return labels.ToLabelSet();
    }

    private void Write(string line) => output.WriteLine(_nesting + line);

    private static string Word(bool value) => value ? "true" : "false";
}
