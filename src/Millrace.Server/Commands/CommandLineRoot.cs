using System.CommandLine;
using System.IO;
using Millrace.Configuration;
using Millrace.Model;

namespace Millrace.Server.Commands;

/// <summary>What the process returns; scripts rely on the numbers.</summary>
internal static class ExitCode
{
    public const int Ok = 0;

    /// <summary>Something failed while running.</summary>
    public const int Failure = 1;

    /// <summary>The command line or the configuration is wrong: trying again does not help.</summary>
    public const int Usage = 2;
}

/// <summary>The commands of <c>millrace</c>.</summary>
internal static class CommandLineRoot
{
    /// <summary>A stop is bounded by <c>server.shutdown_timeout</c>, not by the command line library.</summary>
    private static readonly TimeSpan TerminationTimeout = TimeSpan.FromHours(1);

    public static RootCommand Create(ServeCommand.Run run) => new(
        "Aggregates metrics in the stream, between the collectors and the time-series database.")
    {
        ServeCommand.Create(run),
        CheckCommand.Create(),
        ExplainCommand.Create(),
        RouteCommand.Create(),
        TryCommand.Create(),
        DeadLetterCommand.Create(),
        ConvertCommand.Create(),
        VersionCommand.Create(),
        CompletionCommand.Create(),
    };

    public static async Task<int> RunAsync(string[] args, TextWriter output, TextWriter error, ServeCommand.Run run)
    {
        var parsed = Create(run).Parse(args);
        var configuration = new InvocationConfiguration
        {
            Output = output,
            Error = error,
            ProcessTerminationTimeout = TerminationTimeout,
        };
        var code = await parsed.InvokeAsync(configuration);
        return parsed.Errors.Count > 0 ? ExitCode.Usage : code;
    }

    /// <summary>The configuration; null after its problems were written, one to a line.</summary>
    public static MillraceConfig? Load(string file, TextWriter error)
    {
        var result = ConfigLoader.LoadFile(file);
        WriteProblems(result.Problems, error);
        return result.Config;
    }

    public static void WriteProblems(IReadOnlyList<ConfigProblem> problems, TextWriter error)
    {
        foreach (var problem in problems)
        {
            var path = problem.Path.Length == 0 ? "" : $"{problem.Path}: ";
            error.WriteLine($"{problem.File}:{problem.Line}: {path}{problem.Message}");
        }
        if (problems.Count > 0)
        {
            error.WriteLine(problems.Count == 1 ? "1 problem" : $"{problems.Count} problems");
        }
    }
}
