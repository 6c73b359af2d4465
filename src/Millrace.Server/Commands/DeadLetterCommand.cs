using System.CommandLine;
using System.Globalization;
using System.IO;
using Millrace.Configuration;
using Millrace.Delivery;
using Millrace.Log;

namespace Millrace.Server.Commands;

/// <summary><c>millrace deadletter</c>: what backends refused for good, and what is to become of it.</summary>
internal static class DeadLetterCommand
{
    private const int MaxTextChars = 160;
    private const int MaxSamplesShown = 20;

    public static Command Create() => new("deadletter", "Look at what backends refused for good, and decide about it.")
    {
        Look("list", "Show which blocks wait, and why they were refused.", 100, List),
        Look("show", "Show the series and samples of blocks.", 20, Show),
        Decide("replay", "Send blocks again, in the order in which they were refused.", LetterFate.Wanted),
        Decide("drop", "Give blocks up.", LetterFate.Discarded),
    };

    private delegate void Print(IEnumerable<DeadLetter> letters, LetterState state, int limit, TextWriter output);

    private static Command Look(string name, string description, int defaultLimit, Print print)
    {
        var options = new LetterOptions();
        var limit = new Option<int>("--limit")
        {
            Description = name == "list" ? "Blocks to print of each destination." : "Series to print of each block.",
            DefaultValueFactory = _ => defaultLimit,
        };
        var command = new Command(name, description) { options.Config, options.Destination, options.Lsn, limit };
        command.SetAction((parsed, _) =>
        {
            var (output, error) = (parsed.InvocationConfiguration.Output, parsed.InvocationConfiguration.Error);
            if (options.Read(parsed, error) is not { } chosen)
            {
                return Task.FromResult(ExitCode.Usage);
            }
            foreach (var (destination, folder) in chosen.Folders)
            {
                try
                {
                    using var letters = Directory.Exists(folder)
                        ? DeadLetters.OpenReadOnly(folder, new SystemDisk()) : null;
                    var state = letters?.State ?? default;
                    output.WriteLine($"destination \"{destination}\": {Text(state)}");
                    print(letters?.Read(chosen.Range) ?? [], state, parsed.GetValue(limit), output);
                }
                catch (LogOpenException e)
                {
                    error.WriteLine(e.Message);
                    return Task.FromResult(ExitCode.Failure);
                }
            }
            return Task.FromResult(ExitCode.Ok);
        });
        return command;
    }

    private static Command Decide(string name, string description, LetterFate fate)
    {
        var options = new LetterOptions();
        var all = new Option<bool>("--all") { Description = "All blocks that wait." };
        var command = new Command(name, description) { options.Config, options.Destination, options.Lsn, all };
        command.SetAction(async (parsed, stop) =>
        {
            var (output, error) = (parsed.InvocationConfiguration.Output, parsed.InvocationConfiguration.Error);
            if (options.Read(parsed, error) is not { } chosen)
            {
                return ExitCode.Usage;
            }
            if (parsed.GetValue(all) == chosen.NamesLsn)
            {
                error.WriteLine(
                    "say which blocks: --lsn 7, --lsn 7-12, or --all; `millrace deadletter list` shows them");
                return ExitCode.Usage;
            }
            if (chosen.NamesLsn && chosen.Folders.Count > 1)
            {
                error.WriteLine("numbers are those of one destination: name it with --destination");
                return ExitCode.Usage;
            }
            var settler = new LetterSettler(chosen.Config, output, error);
            var code = ExitCode.Ok;
            foreach (var (destination, folder) in chosen.Folders)
            {
                code = Math.Max(code, await settler.SettleAsync(destination, folder, fate, chosen.Range, stop));
            }
            return code;
        });
        return command;
    }

    private static void List(IEnumerable<DeadLetter> letters, LetterState state, int limit, TextWriter output)
    {
        var printed = 0;
        foreach (var letter in letters)
        {
            if (printed++ >= limit)
            {
                output.WriteLine("  … (--limit shows more)");
                return;
            }
            Head(letter, output);
        }
    }

    private static void Show(IEnumerable<DeadLetter> letters, LetterState state, int limit, TextWriter output)
    {
        foreach (var letter in letters)
        {
            Head(letter, output);
            var lines = LetterText.SeriesOf(letter.Letter.Block.Bytes.Span, limit, MaxSamplesShown, out var count);
            foreach (var line in lines)
            {
                output.WriteLine($"    {line}");
            }
            if (count > lines.Count)
            {
                output.WriteLine($"    … {count - lines.Count} more series (--limit shows more)");
            }
        }
    }

    private static void Head(DeadLetter letter, TextWriter output)
    {
        var (stored, block) = (letter.Letter, letter.Letter.Block);
        var lost = stored.LostSamples == block.SampleCount
            ? $"{block.SampleCount} samples" : $"{stored.LostSamples} of {block.SampleCount} samples";
        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"  {letter.Lsn}  {TrialReport.Time(letter.AtMs)}  status {stored.StatusCode}, "
            + $"{LetterText.NameOf(stored.Refusal)}: {lost}, {TrialReport.Time(block.MinTimestampMs)} to "
            + $"{TrialReport.Time(block.MaxTimestampMs)}{(letter.IsWanted ? ", to be sent again" : "")}"));
        if (stored.Text.Length > 0)
        {
            output.WriteLine($"      {LetterText.OneLine(stored.Text.Trim(), MaxTextChars)}");
        }
    }

    private static string Text(LetterState state)
    {
        var wanted = state.Wanted > 0 ? $", {state.Wanted} of them to be sent again" : "";
        var totals = state.Totals;
        var gone = totals == default
            ? "" : $"; before: {totals.Replayed} samples replayed, {totals.Discarded} dropped, {totals.Evicted} gone "
                + "at the bound";
        return $"{state.Letters} blocks wait, {state.Samples} samples, {state.Bytes} bytes{wanted}{gone}";
    }
}

/// <summary>Which letters a command is about.</summary>
internal sealed class LetterOptions
{
    public Option<string> Config { get; } = new("--config")
    {
        Description = "The gateway's configuration file.",
        HelpName = "FILE",
        Required = true,
    };

    public Option<string?> Destination { get; } = new("--destination")
    {
        Description = "Of this destination only.",
        HelpName = "NAME",
    };

    public Option<string?> Lsn { get; } = new("--lsn")
    {
        Description = "Of this number, or of a range as 7-12.",
        HelpName = "N[-M]",
    };

    /// <summary>Null after the problem was written.</summary>
    public ChosenLetters? Read(ParseResult parsed, TextWriter error)
    {
        var range = LetterRange.All;
        if (parsed.GetValue(Lsn) is { } lsn && !LetterRange.TryParse(lsn, out range))
        {
            error.WriteLine($"--lsn: \"{lsn}\" is no number and no range such as 7-12");
            return null;
        }
        if (CommandLineRoot.Load(parsed.GetValue(Config)!, error) is not { } config)
        {
            return null;
        }
        var folders = new List<(string, string)>();
        var name = parsed.GetValue(Destination);
        foreach (var destination in config.Destinations)
        {
            if (name is null || destination.Name == name)
            {
                folders.Add((destination.Name, Path.Combine(
                    config.Log.Path, "destinations", destination.Name, DeadLetters.FolderName)));
            }
        }
        if (folders.Count == 0)
        {
            error.WriteLine($"--destination: \"{name}\" is not in the configuration");
            return null;
        }
        return new ChosenLetters(config, folders, range, parsed.GetValue(Lsn) is not null);
    }
}

/// <param name="Config">The gateway's.</param>
/// <param name="Folders">Of the destinations that are meant.</param>
/// <param name="Range">All, if none was named.</param>
/// <param name="NamesLsn">One was.</param>
internal sealed record ChosenLetters(
    MillraceConfig Config, IReadOnlyList<(string Destination, string Folder)> Folders, LetterRange Range,
    bool NamesLsn);
