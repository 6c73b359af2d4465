using System.Linq;
using Millrace.Aggregation;
using Millrace.Delivery;
using Millrace.Routing;

namespace Millrace.Configuration;

/// <summary>A rule that corrects windows needs somebody to tell.</summary>
internal static class CorrectionCheck
{
    public static void Run(
        ConfigContext context, AggregationConfig aggregation, IReadOnlyList<RouteConfig> routes,
        IReadOnlyList<DestinationConfig> destinations)
    {
        foreach (var rule in aggregation.Rules)
        {
            if (rule.Late != LatePolicy.Correct || rule.Time == RuleTime.Arrival)
            {
                continue;
            }
            var reached = DestinationsOf(rule, routes, destinations);
            if (reached.Count > 0 && !reached.Exists(static destination => destination.Corrections))
            {
                var names = string.Join(", ", reached.Select(static destination => $"\"{destination.Name}\""));
                context.Problems.Add(new(rule.File, rule.Line, $"{rule.Path}.late",
                    $"\"correct\" writes a second value for a timestamp, but no destination of the rule ({names}) is "
                    + "declared to take one: set corrections: true there if the backend does (VictoriaMetrics with "
                    + "-dedup.minScrapeInterval shows rising values, Prometheus refuses all), or write late: carry"));
            }
        }
    }

    /// <summary>Of all routes that feed the rule.</summary>
    private static List<DestinationConfig> DestinationsOf(
        AggregationRuleConfig rule, IReadOnlyList<RouteConfig> routes, IReadOnlyList<DestinationConfig> destinations)
    {
        var reached = new List<DestinationConfig>();
        foreach (var destination in destinations)
        {
            foreach (var route in routes)
            {
                var isFed = route.Aggregate && (route.AggregateRules?.Contains(rule.Name) ?? true);
                if (isFed && (route.To?.Contains(destination.Name) ?? true))
                {
                    reached.Add(destination);
                    break;
                }
            }
        }
        return reached;
    }
}
