using System.IO;

namespace Millrace.TestKit.Processes;

/// <summary>
/// The real peers that <c>scripts/peers.sh</c> unpacked. Each runs through the unpacked tree's own dynamic loader, so
/// that neither its newer libraries nor root nor a chroot is needed, and paths mean the same inside and outside.
/// </summary>
public static class Peers
{
    public const string VictoriaMetrics = "victoria-metrics";
    public const string Vmagent = "vmagent";
    public const string Vmalert = "vmalert";
    public const string Prometheus = "prometheus";
    public const string Promtool = "promtool";

    /// <summary>Why one of these cannot be run here, or null when all can.</summary>
    public static string? WhyMissing(params ReadOnlySpan<string> binaries)
    {
        if (Environment.GetEnvironmentVariable("MILLRACE_NO_PEERS") is { Length: > 0 })
        {
            return "MILLRACE_NO_PEERS is set";
        }
        if (Loader() is null)
        {
            return $"no peers in \"{Root()}\": run scripts/peers.sh as root";
        }
        foreach (var binary in binaries)
        {
            if (!File.Exists(BinaryPath(binary)))
            {
                return $"\"{BinaryPath(binary)}\" is missing: run scripts/peers.sh as root";
            }
        }
        return null;
    }

    public static PeerProcess Start(string binary, IEnumerable<string> arguments)
    {
        var command = CommandOf(binary);
        return PeerProcess.Start(binary, command[0], [.. command[1..], .. arguments]);
    }

    /// <summary>Runs a tool such as promtool to its end.</summary>
    public static Task<(int ExitCode, string Output)> RunAsync(
        string binary, IEnumerable<string> arguments, TimeSpan timeout)
    {
        var command = CommandOf(binary);
        return PeerProcess.RunAsync(command[0], [.. command[1..], .. arguments], timeout);
    }

    /// <summary>The same, for a tool that reads a file from its standard input.</summary>
    public static Task<(int ExitCode, string Output)> RunOnFileAsync(
        string binary, IEnumerable<string> arguments, string inputFile, TimeSpan timeout) =>
        PeerProcess.RunAsync(
            "/bin/sh",
            ["-c", "input=$1; shift; exec \"$@\" <\"$input\"", "sh", inputFile, .. CommandOf(binary), .. arguments],
            timeout);

    /// <summary>The repository's top folder, from wherever the tests were built.</summary>
    public static string RepositoryRoot()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Millrace.slnx")))
            {
                return folder.FullName;
            }
        }
        throw new InvalidOperationException($"No Millrace.slnx above \"{AppContext.BaseDirectory}\".");
    }

    private static string Root()
    {
        var peers = Environment.GetEnvironmentVariable("MILLRACE_PEERS") is { Length: > 0 } configured
            ? configured
            : Path.Combine(RepositoryRoot(), ".peers");
        return Path.Combine(peers, "sid");
    }

    private static string[] CommandOf(string binary)
    {
        var loader = Loader() ?? throw new InvalidOperationException($"No peers in \"{Root()}\".");
        return [loader, "--library-path", LibraryPath(), BinaryPath(binary)];
    }

    private static string BinaryPath(string binary) => Path.Combine(Root(), "usr", "bin", binary);

    private static string? Loader()
    {
        foreach (var folder in (string[])["lib64", "lib"])
        {
            var path = Path.Combine(Root(), folder);
            if (Directory.Exists(path) && Directory.GetFiles(path, "ld-linux-*.so.*") is [var loader, ..])
            {
                return loader;
            }
        }
        return null;
    }

    private static string LibraryPath() =>
        string.Join(':', Directory.GetDirectories(Path.Combine(Root(), "usr", "lib"), "*-linux-gnu*"));
}
