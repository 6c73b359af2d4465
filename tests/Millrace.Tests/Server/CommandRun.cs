using System.IO;
using Millrace.Configuration;
using Millrace.Server.Commands;

namespace Millrace.Tests.Server;

/// <summary>Runs <c>millrace</c> in process, with files in a directory of its own.</summary>
internal sealed class CommandRun : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("millrace-command-").FullName;

    public string Output { get; private set; } = "";

    public string Error { get; private set; } = "";

    /// <summary>What <c>serve</c> was asked to run.</summary>
    public MillraceConfig? Served { get; private set; }

    public bool ServedDemo { get; private set; }

    public string File(string name, string text)
    {
        var path = Path.Combine(_directory, name);
        System.IO.File.WriteAllText(path, text);
        return path;
    }

    public async Task<int> RunAsync(params string[] args)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        var code = await CommandLineRoot.RunAsync(args, output, error, (config, _, demo, _) =>
        {
            (Served, ServedDemo) = (config, demo);
            return Task.FromResult(7);
        });
        Output = output.ToString().ReplaceLineEndings("\n").Replace(_directory + "/", "", StringComparison.Ordinal);
        Error = error.ToString().ReplaceLineEndings("\n").Replace(_directory + "/", "", StringComparison.Ordinal);
        return code;
    }

    public void Dispose() => Directory.Delete(_directory, recursive: true);
}
