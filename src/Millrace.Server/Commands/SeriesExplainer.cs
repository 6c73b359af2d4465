using System.IO;
using System.Linq;
using Millrace.Aggregation;
using Millrace.Aggregation.Outputs;
using Millrace.Configuration;
using Millrace.Delivery;
using Millrace.Model;
using Millrace.Relabeling;
using Millrace.Routing;

namespace Millrace.Server.Commands;

/// <summary>
/// Walks one series through the configuration in the order of the data path: global relabeling, routes, their
/// relabeling, the rules a route feeds, what is forwarded, and the relabeling of each destination.
/// </summary>
internal sealed class SeriesExplainer(MillraceConfig config, TextWriter output)
{
    /// <summary>Stands for the values of a label that only the samples tell.</summary>
    private static readonly string[] AnyValue = ["…"];

    public void Explain(LabelSet series)
    {
        output.WriteLine($"series {series}");
        if (Relabel("", "relabel_configs", config.RelabelConfigs, RelabelDialect.Prometheus, series) is not { } labels)
        {
            return;
        }
        var isTaken = false;
        for (var i = 0; i < config.Routes.Count; i++)
        {
            var route = config.Routes[i];
            if (!Parsed(route.Match).Matches(labels))
            {
                output.WriteLine($"route \"{route.Name}\": {route.Match} does not match");
                continue;
            }
            isTaken = true;
            output.WriteLine($"route \"{route.Name}\": {route.Match} matches");
            ExplainRoute(route, labels);
            if (!config.AllMatchingRoutes && i + 1 < config.Routes.Count)
            {
                output.WriteLine("later routes are not tried (route_mode: first)");
                break;
            }
        }
        if (!isTaken)
        {
            output.WriteLine("dropped: no route takes it");
        }
    }

    /// <summary>A selector of a loaded configuration, which the loader has parsed before.</summary>
    public static SeriesSelector Parsed(string selector) =>
        SeriesSelector.TryParse(selector, out var parsed, out var error)
        ? parsed
        : throw new InvalidOperationException($"The loader let the selector \"{selector}\" pass: {error}");

    private void ExplainRoute(RouteConfig route, LabelSet series)
    {
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
                isMatched |= ExplainRule(i, rule, labels, destinations);
            }
        }
        // As in vmagent, keep_input and drop_input mean something only beside rules.
        var isForwarded = !feedsRules || (isMatched ? route.KeepInput : !route.DropInput);
        var reason = !feedsRules ? "the route feeds no rule"
            : isMatched
            ? $"a rule matches and keep_input is {Word(route.KeepInput)}"
            : $"no rule matches and drop_input is {Word(route.DropInput)}";
        output.WriteLine($"  raw samples: {(isForwarded ? "forwarded" : "dropped")}, because {reason}");
        if (isForwarded)
        {
            Deliver("    ", labels, destinations);
        }
    }

    /// <summary>
    /// Whether the rule's selector matches; what its relabeling drops counts as matched, as in vmagent.
    /// </summary>
    private bool ExplainRule(int index, AggregationRuleConfig rule, LabelSet series,
        List<DestinationConfig> destinations)
    {
        var name = rule.Name.Length == 0 ? $"rule #{index}" : $"rule #{index} \"{rule.Name}\"";
        var matching = rule.Match?.FirstOrDefault(text => Parsed(text).Matches(series));
        if (rule.Match is not null && matching is null)
        {
            output.WriteLine($"  {name}: {string.Join(" or ", rule.Match)} does not match");
            return false;
        }
        output.WriteLine($"  {name}: {matching ?? "everything"} matches");
        var input = rule.DropInputLabels.Count == 0
            ? series
            : LabelSet.From(series.Labels.ToArray().Where(label => !rule.DropInputLabels.Contains(label.Name)));
        if (!input.Equals(series))
        {
            output.WriteLine($"    drop_input_labels: {input}");
        }
        if (Relabel("    ", "input_relabel_configs", rule.InputRelabelConfigs, RelabelDialect.VmAgent, input)
            is not { } relabeled)
        {
            return true;
        }
        var group = OutputNaming.Group(rule, relabeled);
        output.WriteLine($"    group {group}");
        foreach (var text in rule.Outputs)
        {
            var kind = OutputKind.Find(text)!;
            var values = kind.LabelValues.Count > 0 ? kind.LabelValues : kind.Label is null ? [""] : AnyValue;
            foreach (var value in values)
            {
                var result = OutputNaming.Output(rule, group, kind, value);
                output.WriteLine($"    feeds {result}");
                if (Relabel("      ", "output_relabel_configs", rule.OutputRelabelConfigs, RelabelDialect.VmAgent,
                    result) is { } written)
                {
                    Deliver("      ", written, destinations);
                }
            }
        }
        return true;
    }

    private void Deliver(string indent, LabelSet series, List<DestinationConfig> destinations)
    {
        if (destinations.Count == 0)
        {
            output.WriteLine($"{indent}dropped: the route names no destination");
        }
        foreach (var destination in destinations)
        {
            var relabeled = Relabel(indent, $"destination \"{destination.Name}\" relabel_configs",
                destination.RelabelConfigs, RelabelDialect.Prometheus, series);
            if (relabeled is not null)
            {
                output.WriteLine($"{indent}to destination \"{destination.Name}\" as {relabeled}");
            }
        }
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
            output.WriteLine($"{indent}{where} {step}");
        }
        if (trace.IsDropped)
        {
            output.WriteLine($"{indent}dropped by {where}");
        }
        if (trace.Output is not { } relabeled || dialect == RelabelDialect.VmAgent)
        {
            return trace.Output;
        }
        var labels = new LabelBuilder(relabeled);
        labels.RemoveInternalLabels();
        return labels.ToLabelSet();
    }

    private static string Word(bool value) => value ? "true" : "false";
}
