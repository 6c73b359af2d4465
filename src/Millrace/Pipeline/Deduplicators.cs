using Millrace.Aggregation;
using Millrace.Configuration;
using Millrace.Delivery;

namespace Millrace.Pipeline;

/// <summary>
/// Which rules do standalone deduplication under a configuration: one for each route where
/// <c>aggregation.dedup_interval</c> is set, for what the route forwards as it came, and one for each destination with
/// a <c>dedup_interval</c> of its own, for what is forwarded there. They are numbered behind the rules of the
/// configuration, in this order. A destination's interval is a multiple of the section's, so that what would survive
/// both is what survives the longer one alone: a series takes only that.
/// </summary>
internal sealed class Deduplicators(MillraceConfig config)
{
    private const int None = -1;

    private readonly int _first = config.Aggregation.Rules.Count;

    /// <summary>The rules, in the order of their numbers.</summary>
    public static IEnumerable<AggregationRuleConfig> RulesOf(MillraceConfig config)
    {
        var section = config.Aggregation;
        if (IsOn(config))
        {
            foreach (var route in config.Routes)
            {
                yield return Rule(
                    $"dedup route {route.Name}", section.DedupInterval, section.DropInputLabels, section.Ha);
            }
        }
        foreach (var destination in config.Destinations)
        {
            if (HasOwn(destination))
            {
                yield return Rule(
                    $"dedup destination {destination.Name}", destination.DedupInterval, destination.DropInputLabels,
                    section.Ha);
            }
        }
    }

    public static bool IsOn(MillraceConfig config) => config.Aggregation.DedupInterval > TimeSpan.Zero;

    public static bool HasOwn(DestinationConfig destination) => destination.DedupInterval > TimeSpan.Zero;

    /// <summary>The rule that deduplicates what a route forwards to a destination; -1: none.</summary>
    public int RuleOf(int route, DestinationConfig destination)
    {
        if (!HasOwn(destination))
        {
            return RuleOf(route);
        }
        var number = _first + (IsOn(config) ? config.Routes.Count : 0);
        foreach (var other in config.Destinations)
        {
            if (other.Name == destination.Name)
            {
                return number;
            }
            number += HasOwn(other) ? 1 : 0;
        }
        return None;
    }

    /// <summary>The rule of the section's interval for what a route forwards; -1: none.</summary>
    public int RuleOf(int route) => IsOn(config) ? _first + route : None;

    /// <summary>
    /// Whether the rule is a destination's own: what it passes on has been relabeled for the destination before.
    /// </summary>
    public bool IsOfDestination(int rule) => rule >= _first + (IsOn(config) ? config.Routes.Count : 0);

    private static AggregationRuleConfig Rule(
        string name, TimeSpan interval, IReadOnlyList<string> dropInputLabels, HaConfig? ha) => new()
        {
            Name = name,
            Interval = interval,
            IntervalText = ConfigQuantity.FormatDuration(interval),
            DropInputLabels = dropInputLabels,
            Ha = ha,
            IsDeduplicator = true,
        };
}
