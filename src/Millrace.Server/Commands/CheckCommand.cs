using System.CommandLine;
using System.IO;
using System.Linq;
using System.Net.Http;
using Millrace.Aggregation;
using Millrace.Aggregation.Outputs;
using Millrace.Configuration;
using Millrace.Delivery;
using Millrace.Model;
using Millrace.Placement;
using Millrace.Routing;

namespace Millrace.Server.Commands;

/// <summary><c>millrace check</c>: every problem of a configuration, or what its rules will make.</summary>
internal static class CheckCommand
{
    private static readonly TimeSpan GatewayTimeout = TimeSpan.FromSeconds(10);

    public static Command Create()
    {
        var file = new Argument<string>("FILE") { Description = "The configuration file." };
        var diff = new Option<string?>("--diff")
        {
            Description = "Show what a reload from OLD to FILE changes. OLD: a file, or the URL of a running gateway.",
            HelpName = "OLD",
        };
        var command = new Command("check", "Report every problem of a configuration, or summarise its rules.")
        {
            file,
            diff,
        };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var (output, error) = (parsed.InvocationConfiguration.Output, parsed.InvocationConfiguration.Error);
            var config = CommandLineRoot.Load(parsed.GetValue(file)!, error);
            if (config is null)
            {
                return ExitCode.Usage;
            }
            if (parsed.GetValue(diff) is not { } old)
            {
                Write(parsed.GetValue(file)!, config, output);
                return ExitCode.Ok;
            }
            return await DiffAsync(old, config, output, error, cancellationToken);
        });
        return command;
    }

    private static async Task<int> DiffAsync(
        string old, MillraceConfig config, TextWriter output, TextWriter error, CancellationToken stop)
    {
        var isGateway = old.StartsWith("http://", StringComparison.Ordinal)
            || old.StartsWith("https://", StringComparison.Ordinal);
        var before = isGateway ? await LoadRunningAsync(old, error, stop) : CommandLineRoot.Load(old, error);
        if (before is null)
        {
            return isGateway ? ExitCode.Failure : ExitCode.Usage;
        }
        foreach (var line in ConfigDiff.Between(before, config).Lines())
        {
            output.WriteLine(line);
        }
        var problems = new List<string>();
        if (isGateway)
        {
            output.WriteLine("? server, log, ingest and destinations: a gateway tells only what decides about samples");
        }
        else if (ReloadRules.NeedsRestart(before, config, problems))
        {
            problems.ForEach(problem => output.WriteLine($"! {problem}"));
        }
        return ExitCode.Ok;
    }

    /// <summary>The configuration in force in a gateway; null after the problem was written.</summary>
    private static async Task<MillraceConfig?> LoadRunningAsync(string url, TextWriter error, CancellationToken stop)
    {
        using var client = new HttpClient { Timeout = GatewayTimeout };
        try
        {
            var text = await client.GetStringAsync($"{url.TrimEnd('/')}/api/v1/status/config", stop);
            var loaded = ConfigLoader.LoadCanonical(text);
            CommandLineRoot.WriteProblems(loaded.Problems, error);
            return loaded.Config;
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException or UriFormatException
            or InvalidOperationException)
        {
            error.WriteLine($"the gateway at \"{url}\" does not tell its configuration: {e.Message}");
            return null;
        }
    }

    private static void Write(string file, MillraceConfig config, TextWriter output)
    {
        var rules = config.Aggregation.Rules;
        output.WriteLine($"{file}: ok: {Count(rules.Count, "rule")}, {Count(config.Routes.Count, "route")}, "
            + Count(config.Destinations.Count, "destination"));
        var chain = new RouteChain(config.Routes, [.. rules.Select(static rule => rule.Name)]);
        for (var i = 0; i < rules.Count; i++)
        {
            WriteRule(i, rules[i], output);
            if (chain.Upstream(i).Count > 0)
            {
                output.WriteLine("  behind:   " + string.Join(", ", chain.Upstream(i).Select(other =>
                    rules[other].Name.Length > 0 ? rules[other].Name : $"rule #{other}")) + Waiting(rules[i]));
            }
        }
        if (config.Aggregation.DedupInterval is { Ticks: > 0 } dedup)
        {
            output.WriteLine($"forwarded samples: one per series and {ConfigQuantity.FormatDuration(dedup)} "
                + "(aggregation.dedup_interval)");
        }
        foreach (var destination in config.Destinations)
        {
            if (destination.DedupInterval > TimeSpan.Zero)
            {
                output.WriteLine($"destination \"{destination.Name}\": one forwarded sample per series and "
                    + ConfigQuantity.FormatDuration(destination.DedupInterval));
            }
            if (destination.Sharded is { } sharded)
            {
                WriteSharded(destination.Name, sharded, output);
            }
        }
    }

    /// <summary>Which rules of the aggregators behind it each node can finish alone.</summary>
    private static void WriteSharded(string name, ShardedConfig sharded, TextWriter output)
    {
        if (sharded.Scheme != ShardScheme.Tasks)
        {
            var nodes = Count(sharded.Nodes.Nodes.Count, "node");
            output.WriteLine($"destination \"{name}\": {nodes}, placed as others do");
            return;
        }
        output.WriteLine($"destination \"{name}\": {Count(sharded.Tasks.Count, "task")} by {KeyText(sharded.Tasks)}");
        for (var i = 0; i < sharded.Rules.Count; i++)
        {
            var rule = sharded.Rules[i];
            var title = $"  rule #{i}{(rule.Name.Length == 0 ? "" : $" \"{rule.Name}\"")} ({rule.File}:{rule.Line})";
            var parts = $"merged, a group has a part in up to {Count(sharded.Tasks.Count, "task")}";
            var own = RuleGrouping.DeriveKey([rule.Grouping], sharded.Tasks.Count, sharded.Tasks.Label);
            output.WriteLine(rule.Grouping.LocalityUnder(sharded.Tasks) switch
            {
                Locality.Local => $"{title}: local, each of its groups is in one task",
                Locality.LocalWhereLabeled =>
                    $"{title}: local but for series without any label of the key (missing: keep_key mends that)",
                _ when rule.Grouping.LocalityUnder(own) == Locality.Local =>
                    $"{title}: {parts}; local with the key {KeyText(own)}",
                _ => $"{title}: {parts}; no key makes it local",
            });
        }
    }

    private static string KeyText(TaskKeyConfig key)
    {
        var text = key.By is { } by
            ? string.Join(", ", key.Without is null ? by.Prepend(LabelSet.MetricName) : by)
            : key.Without is { } without
            ? without.Count > 0 ? $"all labels but {string.Join(", ", without)}" : "all labels"
            : $"{LabelSet.MetricName}, job, instance; without an instance by all labels";
        return key.By is { Count: 0 } && key.Without is null ? LabelSet.MetricName : text;
    }

    private static void WriteRule(int index, AggregationRuleConfig rule, TextWriter output)
    {
        var name = rule.Name.Length == 0 ? "" : $" \"{rule.Name}\"";
        output.WriteLine($"rule #{index}{name} ({rule.File}:{rule.Line})");
        output.WriteLine($"  match:    {(rule.Match is null ? "everything" : string.Join(" or ", rule.Match))}");
        output.WriteLine($"  outputs:  {string.Join(", ", rule.Outputs)}");
        foreach (var function in rule.Outputs)
        {
            output.WriteLine($"  writes:   {NameIn(rule)}{OutputNaming.Suffix(rule, OutputKind.Find(function)!)}");
        }
        output.WriteLine($"  interval: {rule.IntervalText}, {Time(rule)}");
        if (rule.CountCorrectedWindows() is > 0 and var windows)
        {
            output.WriteLine($"  late:     the last {Count((int)windows, "window")} written again where late samples "
                + "change them, to destinations with corrections: true");
        }
        if (rule.DedupInterval is { } dedup)
        {
            output.WriteLine($"  dedup:    one sample per series and {ConfigQuantity.FormatDuration(dedup)}");
        }
    }

    private static string Waiting(AggregationRuleConfig rule) =>
        rule.Time == RuleTime.Arrival ? "" : ", for whose points its windows wait";

    private static string Time(AggregationRuleConfig rule) => rule switch
    {
        { Time: RuleTime.Arrival } => "time of arrival: a point appears when its interval ends",
        { AllowedLateness: { } lateness } => $"event time: a point appears {ConfigQuantity.FormatDuration(lateness)} "
            + "after its window ends",
        _ => "event time: a point appears after its window ends and the lateness seen (auto: at most "
            + $"{rule.IntervalText})",
    };

    /// <summary>The metric's name where the selectors leave only one, a placeholder where they do not.</summary>
    private static string NameIn(AggregationRuleConfig rule)
    {
        if (rule.Without.Contains(LabelSet.MetricName))
        {
            return "";
        }
        string? only = null;
        foreach (var text in rule.Match ?? [])
        {
            foreach (var group in SeriesExplainer.Parsed(text).Groups)
            {
                var name = NameIn(group);
                if (name is null || (only is not null && only != name))
                {
                    return "<metric>";
                }
                only = name;
            }
        }
        return only ?? "<metric>";
    }

    private static string? NameIn(IReadOnlyList<LabelMatcher> group)
    {
        foreach (var matcher in group)
        {
            if (matcher is { Name: LabelSet.MetricName, Operator: MatchOperator.Equal })
            {
                return matcher.Value;
            }
        }
        return null;
    }

    private static string Count(int count, string word) => count == 1 ? $"1 {word}" : $"{count} {word}s";
}
