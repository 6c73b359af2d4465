using Millrace.Configuration;
using Millrace.Delivery;

namespace Millrace.Server;

/// <summary>What a reload can change: rules, routes, relabeling and time windows. The rest needs a restart.</summary>
internal static class ReloadRules
{
    public static bool NeedsRestart(MillraceConfig running, MillraceConfig loaded, List<string> problems)
    {
        if (running.Server != loaded.Server)
        {
            problems.Add("server: changes need a restart");
        }
        if (running.Log != loaded.Log)
        {
            problems.Add("log: changes need a restart");
        }
        if (running.Ingest != loaded.Ingest)
        {
            problems.Add("ingest: changes need a restart");
        }
        if (running.Aggregation.TaskCount != loaded.Aggregation.TaskCount)
        {
            problems.Add("aggregation.tasks.count: fixed for a log, needs a restart and a new log.path");
        }
        if (running.Destinations.Count != loaded.Destinations.Count)
        {
            problems.Add("destinations: adding or removing one needs a restart");
            return true;
        }
        for (var i = 0; i < running.Destinations.Count; i++)
        {
            // Relabeling, rounding and who gets corrections are the pipeline's; the rest is the running destination's.
            var (before, after) = (running.Destinations[i], loaded.Destinations[i]);
            if (WithoutLists(before) != WithoutLists(after) || !SameHeaders(before.Headers, after.Headers)
                || !SameButNodes(before.Sharded, after.Sharded))
            {
                problems.Add(
                    $"destinations[{i}] (\"{after.Name}\"): changes other than relabel_configs, labels, "
                    + "significant_figures, round_digits, corrections and sharded.nodes need a restart");
            }
        }
        return problems.Count > 0;
    }

    private static readonly Dictionary<string, string> Empty = [];

    /// <summary>What records compare by value.</summary>
    private static DestinationConfig WithoutLists(DestinationConfig destination) =>
        destination with
        {
            RelabelConfigs = [],
            Corrections = false,
            Headers = Empty,
            SignificantFigures = 0,
            RoundDigits = 0,
            Sharded = null,
        };

    /// <summary>A list of nodes may change while we run.</summary>
    private static bool SameButNodes(ShardedConfig? a, ShardedConfig? b) =>
        a is null || b is null
            ? ReferenceEquals(a, b)
            : a.Placement == b.Placement && a.Health == b.Health
                && a.Nodes with { Nodes = [] } == b.Nodes with { Nodes = [] }
                && ShardedReader.KeyText(a) == ShardedReader.KeyText(b);

    private static bool SameHeaders(IReadOnlyDictionary<string, string> a, IReadOnlyDictionary<string, string> b)
    {
        if (a.Count != b.Count)
        {
            return false;
        }
        foreach (var (name, value) in a)
        {
            if (!b.TryGetValue(name, out var other) || other != value)
            {
                return false;
            }
        }
        return true;
    }
}
