using System.CommandLine;
using System.IO;
using Millrace.Configuration;
using Millrace.Log;
using Millrace.Pipeline;

namespace Millrace.Server.Commands;

/// <summary><c>millrace try</c>: what rules would have made of what came in lately, read from the log.</summary>
internal static class TryCommand
{
    private const string FileName = "try.yml";

    private static readonly string[] Formats = ["table", "json", "csv"];

    public static Command Create()
    {
        var rules = new Argument<string>("RULES") { Description = "A rule file, or a configuration." };
        var last = new Option<string>("--last")
        {
            Description = "How much of the log, back from its newest record.",
            HelpName = "DURATION",
            DefaultValueFactory = static _ => "10m",
        };
        var configFile = new Option<string?>("--config")
        {
            Description = "The gateway's configuration: its log, relabeling and routes.",
            HelpName = "FILE",
        };
        var log = new Option<string?>("--log") { Description = "The gateway's log.path.", HelpName = "DIR" };
        var format = new Option<string>("--format")
        {
            Description = "How to print.",
            DefaultValueFactory = static _ => Formats[0],
        };
        format.AcceptOnlyFromAmong(Formats);
        var limit = new Option<int>("--limit")
        {
            Description = "Output series to print of each window.",
            DefaultValueFactory = static _ => 10,
        };
        var command = new Command("try", "Show what rules would have made of what came in lately.")
        {
            rules, last, configFile, log, format, limit,
        };
        command.SetAction((parsed, stop) =>
        {
            var (output, error) = (parsed.InvocationConfiguration.Output, parsed.InvocationConfiguration.Error);
            if (!ConfigQuantity.TryParsePrometheusDuration(parsed.GetValue(last)!, out var time))
            {
                error.WriteLine($"--last: \"{parsed.GetValue(last)}\" is no duration: write it as 10m or 1h30m");
                return Task.FromResult(ExitCode.Usage);
            }
            var config = Load(parsed.GetValue(rules)!, parsed.GetValue(configFile), error);
            if (config is null)
            {
                return Task.FromResult(ExitCode.Usage);
            }
            var folder = parsed.GetValue(log) ?? config.Log.Path;
            try
            {
                using var opened = RecordLog.OpenReadOnly(Path.Combine(folder, "input"), new SystemDisk());
                var trial = new RuleTrial(opened, config, Math.Max(0, parsed.GetValue(limit)), TimeProvider.System);
                trial.Run(time, stop);
                new TrialReport(trial, output).Write(parsed.GetValue(format)!);
                return Task.FromResult(trial.Records > 0 ? ExitCode.Ok : ExitCode.Failure);
            }
            catch (LogOpenException e)
            {
                error.WriteLine(e.Message);
                return Task.FromResult(ExitCode.Failure);
            }
        });
        return command;
    }

    /// <summary>The rules in their surroundings; null after the problems were written.</summary>
    private static MillraceConfig? Load(string rulesFile, string? configFile, TextWriter error)
    {
        var loaded = IsRuleFile(rulesFile) ? ConfigLoader.Load(
            FileName, Environment.GetEnvironmentVariable, file => file == FileName ? Around(rulesFile)
                : ConfigLoader.ReadFile(file))
            : ConfigLoader.LoadFile(rulesFile);
        CommandLineRoot.WriteProblems(loaded.Problems, error);
        if (loaded.Config is not { } rules || configFile is null)
        {
            return loaded.Config;
        }
        return CommandLineRoot.Load(configFile, error) is not { } config ? null : config with
        {
            Aggregation = config.Aggregation with { Rules = rules.Aggregation.Rules },
            // Routes may name rules that are not here: those that feed any feed these, but not with what these write.
            Routes = [.. System.Linq.Enumerable.Select(
                config.Routes, static route => route with
                {
                    AggregateRules = route.AggregateRules is [] ? [] : null,
                    Aggregate = route.Aggregate && route.Inputs.Count == 0,
                })],
        };
    }

    /// <summary>vmagent's files are a list at the top, a configuration is a mapping.</summary>
    private static bool IsRuleFile(string file)
    {
        foreach (var line in (ConfigLoader.ReadFile(file) ?? "").Split('\n'))
        {
            var text = line.Trim();
            if (text.Length > 0 && text[0] != '#' && text != "---")
            {
                return text[0] is '-' or '[';
            }
        }
        return false;
    }

    private static string Around(string rulesFile) => $$"""
        aggregation: {rule_files: ['{{Path.GetFullPath(rulesFile).Replace("'", "''", StringComparison.Ordinal)}}']}
        destinations:
        - name: none
          remote_write: {url: 'http://127.0.0.1:1/'}
        """;
}
