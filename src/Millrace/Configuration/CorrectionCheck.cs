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
        RouteChain? chain = null;
        for (var i = 0; i < aggregation.Rules.Count; i++)
        {
            var rule = aggregation.Rules[i];
            if (rule.Late != LatePolicy.Correct || rule.Time == RuleTime.Arrival)
            {
                continue;
            }
            chain ??= new RouteChain(routes, [.. aggregation.Rules.Select(static one => one.Name)]);
            var reached = DestinationsOf(chain.RoutesOfOutputs(i), routes, destinations);
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

    private static List<DestinationConfig> DestinationsOf(
        IReadOnlyCollection<int> among, IReadOnlyList<RouteConfig> routes,
        IReadOnlyList<DestinationConfig> destinations)
    {
        var reached = new List<DestinationConfig>();
        foreach (var destination in destinations)
        {
            if (among.Any(route => routes[route].To?.Contains(destination.Name) ?? true))
            {
                reached.Add(destination);
            }
        }
        return reached;
    }
}
