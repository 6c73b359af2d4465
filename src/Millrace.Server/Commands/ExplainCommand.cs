using System.CommandLine;
using Millrace.Model;

namespace Millrace.Server.Commands;

/// <summary><c>millrace explain</c>: what a configuration makes of one series.</summary>
internal static class ExplainCommand
{
    public static Command Create()
    {
        var file = new Argument<string>("FILE") { Description = "The configuration file." };
        var series = new Argument<string>("SERIES") { Description = "A series, as 'name{label=\"value\"}'." };
        var window = new Option<string?>("--window")
        {
            Description = "SERIES is an output series: show what its point of this time was made of, from the log.",
            HelpName = "END",
        };
        var log = new Option<string?>("--log")
        {
            Description = "With --window: the gateway's log.path, if not that of FILE.",
            HelpName = "DIR",
        };
        var command = new Command("explain", "Show which rules a series meets and which series it feeds.")
        {
            file,
            series,
            window,
            log,
        };
        command.SetAction((parsed, stop) => Task.FromResult(Run(parsed, stop)));
        return command;

        int Run(ParseResult parsed, CancellationToken stop)
        {
            var error = parsed.InvocationConfiguration.Error;
            var config = CommandLineRoot.Load(parsed.GetValue(file)!, error);
            if (config is null)
            {
                return ExitCode.Usage;
            }
            if (!TryParseSeries(parsed.GetValue(series)!, out var labels, out var reason))
            {
                error.WriteLine($"\"{parsed.GetValue(series)}\" is not a series: {reason}");
                return ExitCode.Usage;
            }
            var output = parsed.InvocationConfiguration.Output;
            if (parsed.GetValue(window) is { } end)
            {
                return WindowExplainer.Explain(
                    config, parsed.GetValue(log) ?? config.Log.Path, labels, end, output, error, stop);
            }
            new SeriesExplainer(config, output).Explain(labels);
            return ExitCode.Ok;
        }
    }

    /// <summary>A series is a selector of which every matcher is an equality.</summary>
    public static bool TryParseSeries(string text, out LabelSet series, out string error)
    {
        series = LabelSet.Empty;
        if (!SeriesSelector.TryParse(text, out var selector, out error))
        {
            return false;
        }
        if (selector.Groups is not [var matchers])
        {
            error = "\"or\" chooses several: name one series";
            return false;
        }
        var labels = new List<Label>(matchers.Count);
        foreach (var matcher in matchers)
        {
            if (matcher.Operator != MatchOperator.Equal)
            {
                error = $"{matcher} chooses several: give label \"{matcher.Name}\" its value with =";
                return false;
            }
            labels.Add(new Label(matcher.Name, matcher.Value));
        }
        series = LabelSet.From(labels);
        error = series.Count == 0 ? "it has no labels: write a name, as in up{job=\"a\"}" : "";
        return series.Count > 0;
    }
}
