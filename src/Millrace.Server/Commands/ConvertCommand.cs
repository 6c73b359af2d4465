using System.CommandLine;
using Millrace.Configuration;
using Millrace.Model;

namespace Millrace.Server.Commands;

/// <summary>A converted configuration, and what could not be read of the old one.</summary>
internal sealed record Conversion(string Text, IReadOnlyList<ConfigProblem> Problems);

/// <summary>
/// <c>millrace convert</c>: another system's configuration as ours, on the standard output. What has no counterpart
/// stands there as a comment; what the result still lacks to be loaded is told on the standard error.
/// </summary>
internal static class ConvertCommand
{
    private const string ConvertedName = "converted.yml";

    public static Command Create()
    {
        return new Command("convert", "Print another system's configuration as one of Millrace.")
        {
            CreateVmAgent(),
            CreateStreamMetricsRoute(),
        };
    }

    private static Command CreateVmAgent()
    {
        var words = new Argument<string[]>("FILE")
        {
            Description = "Files of aggregation rules, files of command-line flags, and flags themselves behind --.",
            Arity = ArgumentArity.OneOrMore,
        };
        var command = new Command("vmagent", "Convert vmagent's rule files and command line.") { words };
        command.SetAction(parsed => Finish(
            new VmAgentConverter(ConfigLoader.ReadFile).Convert(parsed.GetValue(words)!),
            parsed.InvocationConfiguration));
        return command;
    }

    private static Command CreateStreamMetricsRoute()
    {
        var files = new Argument<string[]>("FILE") { Arity = ArgumentArity.OneOrMore };
        var command = new Command("stream-metrics-route", "Convert stream-metrics-route's files.") { files };
        command.SetAction(parsed => Finish(
            new StreamMetricsRouteConverter(ConfigLoader.ReadFile).Convert(parsed.GetValue(files)!),
            parsed.InvocationConfiguration));
        return command;
    }

    private static int Finish(Conversion conversion, InvocationConfiguration streams)
    {
        if (conversion.Problems.Count > 0)
        {
            CommandLineRoot.WriteProblems(conversion.Problems, streams.Error);
            return ExitCode.Usage;
        }
        streams.Output.Write(conversion.Text);
        var result = ConfigLoader.Load(ConvertedName, Environment.GetEnvironmentVariable,
            file => file == ConvertedName ? conversion.Text : ConfigLoader.ReadFile(file));
        if (result.Config is not null)
        {
            return ExitCode.Ok;
        }
        streams.Error.WriteLine("What was written does not load yet:");
        CommandLineRoot.WriteProblems(result.Problems, streams.Error);
        return ExitCode.Usage;
    }
}

/// <summary>Lines of YAML with their indentation.</summary>
internal sealed class YamlLines
{
    private readonly System.Text.StringBuilder _text = new();

    public void Add(int indent, string line) => _text.Append(' ', indent).Append(line).Append('\n');

    public void Add(int indent, string key, string? value)
    {
        if (value is not null)
        {
            Add(indent, $"{key}: {YamlText.Quote(value)}");
        }
    }

    /// <summary>A number or a size, which YAML must not take for text.</summary>
    public void AddNumber(int indent, string key, string? value)
    {
        if (value is not null)
        {
            Add(indent, $"{key}: {value}");
        }
    }

    public void AddElement(ConfigNode mapping, int indent) => _text.Append(YamlText.Element(mapping, indent));

    /// <summary>A list of mappings under a key; nothing when it is empty.</summary>
    public void AddList(int indent, string key, IReadOnlyList<ConfigNode> elements)
    {
        if (elements.Count == 0)
        {
            return;
        }
        Add(indent, $"{key}:");
        foreach (var element in elements)
        {
            AddElement(element, indent);
        }
    }

    public override string ToString() => _text.ToString();
}
