using Millrace.Configuration;
using Millrace.Log;
using Millrace.Telemetry;

namespace Millrace.Web;

/// <summary>What a human should look at, and what to do about it: shown on the page as long as it is so.</summary>
internal static class StatusWarnings
{
    /// <summary>A log or queue that is so full wants attention before it drops.</summary>
    private const double NearlyFull = 0.8;

    /// <summary>Late samples are worth a word when they are more than this share.</summary>
    private const double ManyLate = 0.01;

    public static IReadOnlyList<string> Of(GatewayState state, LedgerReading ledger)
    {
        var warnings = new List<string>();
        AddLogs(state, warnings);
        AddConfiguration(state.Config, state.CurrentConfig, ledger, warnings);
        AddRules(state, warnings);
        AddDestinations(state, warnings);
        return warnings;
    }

    private static void AddLogs(GatewayState state, List<string> warnings)
    {
        var (pipeline, config) = (state.Pipeline, state.Config.Log);
        if (pipeline.InputLog is { } input && input.SizeBytes > config.MaxBytes * NearlyFull)
        {
            warnings.Add(
                $"The input log holds {Mebibytes(input.SizeBytes)} of {Mebibytes(config.MaxBytes)} MiB "
                + "(log.max_bytes): a destination that is behind pins it. At the bound its oldest segment is dropped.");
        }
        if (pipeline.DroppedSegments > 0)
        {
            warnings.Add(
                $"{pipeline.DroppedSegments} segments of the input log were dropped at log.max_bytes: "
                + "what a destination or a restart still needed of them is lost.");
        }
        if (state.Replay.Lost > 0)
        {
            warnings.Add($"{state.Replay.Lost} records of the log could not be read or used in the replay.");
        }
        if (pipeline.BasesFailed > 0)
        {
            warnings.Add($"{pipeline.BasesFailed} bases could not be written: a restart takes longer.");
        }
    }

    private static void AddConfiguration(
        MillraceConfig config, MillraceConfig current, LedgerReading ledger, List<string> warnings)
    {
        if (config.Log.Durability == Durability.Memory)
        {
            warnings.Add("There is no log (log.durability: memory): what is in memory dies with the process.");
        }
        if (config.Destinations.Count == 0)
        {
            warnings.Add("No destination is configured: nothing leaves. Add one under destinations.");
        }
        if (current.Aggregation.Rules.Count == 0)
        {
            warnings.Add("No aggregation rule is configured: samples are only forwarded.");
        }
        foreach (var (reason, samples) in ledger.Dropped)
        {
            if (reason == "no_route" && samples > 0)
            {
                warnings.Add(
                    $"{samples} samples matched no route and were dropped. A last route with match '{{}}' takes all.");
            }
        }
    }

    private static void AddRules(GatewayState state, List<string> warnings)
    {
        foreach (var rule in RuleReading.TakeAll(state.Pipeline))
        {
            if (rule.LateSamples > rule.Samples * ManyLate)
            {
                warnings.Add(
                    $"Rule \"{rule.Name}\": {rule.LateSamples} of {rule.Samples} samples came after their window had "
                    + "closed. Counters book them into the next window, other outputs leave them out; a longer "
                    + "allowed_lateness waits for them.");
            }
            if (rule.OverflowSeries + rule.OverflowSamples > 0)
            {
                warnings.Add(
                    $"Rule \"{rule.Name}\": its bounds are reached; {rule.OverflowGroups} overflow groups take what is "
                    + "beyond. Find the label that grows, or raise max_series or max_groups.");
            }
            if (rule.AmbiguousResets > 0)
            {
                warnings.Add(
                    $"Rule \"{rule.Name}\": {rule.AmbiguousResets} samples out of order look like counter resets that "
                    + "nobody else saw. Do several senders write the same series? Give each its own replica label.");
            }
        }
    }

    private static void AddDestinations(GatewayState state, List<string> warnings)
    {
        foreach (var destination in state.Pipeline.Destinations)
        {
            var counters = destination.Snapshot();
            if (StatusReporter.StateOf(destination) == "failing")
            {
                var answer = StatusReporter.AnswerText(destination.LastAnswer!.Value);
                warnings.Add(
                    $"Destination \"{destination.Name}\" fails: {answer}. "
                    + $"{counters.Pending} samples wait; they are kept up to queue.max_bytes and queue.max_age.");
            }
            if (destination.DiskFailure is { } failure)
            {
                warnings.Add($"The disk of destination \"{destination.Name}\" does not work: {failure}");
            }
            if (destination.DeadLetters.State is { Letters: > 0 } letters)
            {
                warnings.Add(
                    $"Destination \"{destination.Name}\" refused {letters.Samples} samples for good. They wait in its "
                    + "dead letters: `millrace deadletter list` shows why, `replay` sends them again.");
            }
            if (counters.Dropped > 0)
            {
                warnings.Add(
                    $"Destination \"{destination.Name}\" lost {counters.Dropped} samples: see the reasons beside it.");
            }
        }
    }

    private static long Mebibytes(long bytes) => bytes >> 20;
}
