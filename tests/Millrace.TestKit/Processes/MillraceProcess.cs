using System.IO;
using System.Net.Http;

namespace Millrace.TestKit.Processes;

/// <summary>
/// The executable under test. Address and data folder stay over restarts: <see cref="StartAsync"/> again with the same
/// configuration is a restart.
/// </summary>
public sealed class MillraceProcess : IAsyncDisposable
{
    private static readonly TimeSpan ReadyTimeout = TimeSpan.FromSeconds(60);
    private static readonly SemaphoreSlim ProbeLock = new(1);
    private static string? _whyMissing;
    private static bool _probed;

    private readonly TemporaryFolder _folder = new("millrace");
    private readonly HttpClient _http = new() { Timeout = TimeSpan.FromSeconds(10) };
    private readonly int _port = PeerProcess.FreePort();
    private PeerProcess? _process;

    public Uri BaseUrl => new($"http://127.0.0.1:{_port}/");

    public Uri WriteUrl => new(BaseUrl, "api/v1/write");

    public string DataPath => _folder.File("data");

    public string ConfigPath => _folder.File("millrace.yml");

    public PeerProcess Process => _process ?? throw new InvalidOperationException("Millrace was not started.");

    /// <summary>Why the gateway cannot be run here, or null when it can.</summary>
    public static async Task<string?> WhyMissingAsync()
    {
        await ProbeLock.WaitAsync();
        try
        {
            if (!_probed)
            {
                _whyMissing = await ProbeAsync();
                _probed = true;
            }
            return _whyMissing;
        }
        finally
        {
            ProbeLock.Release();
        }
    }

    /// <summary>
    /// Starts with these sections; <c>server</c> and <c>log</c> are added. <paramref name="logOptions"/> goes into the
    /// latter, such as <c>, durability: log_synced</c>.
    /// </summary>
    public Task StartAsync(string configText, string logOptions = "")
    {
        File.WriteAllText(ConfigPath, $$"""
            server: {listen: "127.0.0.1:{{_port}}"}
            log: {path: "{{DataPath}}"{{logOptions}}}
            {{configText}}
            """);
        return RestartAsync();
    }

    /// <summary>Starts again with the file and the data that the last start left.</summary>
    public async Task RestartAsync()
    {
        if (_process is { HasExited: false })
        {
            throw new InvalidOperationException("Millrace is running: end it first.");
        }
        _process = PeerProcess.Start("millrace", Executable(), ["serve", "--config", ConfigPath]);
        await _process.WaitReadyAsync(new Uri(BaseUrl, "-/ready"), ReadyTimeout);
    }

    /// <summary>Another command of the executable, beside the running gateway.</summary>
    public static Task<(int ExitCode, string Output)> RunAsync(params string[] args) =>
        PeerProcess.RunAsync(Executable(), args, TimeSpan.FromSeconds(30));

    public Task Kill9Async() => Process.Kill9Async();

    /// <summary>A graceful stop; returns the exit code.</summary>
    public Task<int> TerminateAsync() => Process.TerminateAsync(TimeSpan.FromSeconds(30));

    public async Task<MetricsText> ScrapeAsync() =>
        new(await _http.GetStringAsync(new Uri(BaseUrl, "metrics")));

    public async ValueTask DisposeAsync()
    {
        if (_process is not null)
        {
            await _process.DisposeAsync();
        }
        _http.Dispose();
        _folder.Dispose();
    }

    /// <summary>The build beside the tests, which is never older than they are; else the published one.</summary>
    private static string Executable()
    {
        if (Environment.GetEnvironmentVariable("MILLRACE_EXE") is { Length: > 0 } configured)
        {
            return configured;
        }
        var built = Path.Combine(AppContext.BaseDirectory, "millrace");
        return File.Exists(built) ? built : Path.Combine(Peers.RepositoryRoot(), "artifacts", "millrace", "millrace");
    }

    private static async Task<string?> ProbeAsync()
    {
        var executable = Executable();
        if (!File.Exists(executable))
        {
            return $"\"{executable}\" is missing: build the solution, or ./run --build";
        }
        var (exitCode, output) = await PeerProcess.RunAsync(executable, ["serve", "--help"], TimeSpan.FromSeconds(20));
        return exitCode == 0 && output.Contains("--config", StringComparison.Ordinal)
            ? null
            : $"\"{executable}\" has no command \"serve\" yet";
    }
}
