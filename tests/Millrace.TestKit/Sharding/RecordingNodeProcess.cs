using System.IO;
using System.Net.Http;
using Millrace.TestKit.Processes;

namespace Millrace.TestKit.Sharding;

/// <summary>
/// A <see cref="RecordingNode"/> as a process of its own, which can be killed, paused, and started again where it was.
/// </summary>
public sealed class RecordingNodeProcess(string name) : IAsyncDisposable
{
    private static readonly TimeSpan ReadyTimeout = TimeSpan.FromSeconds(60);

    private readonly TemporaryFolder _folder = new("node");
    private readonly HttpClient _http = new() { Timeout = TimeSpan.FromSeconds(20) };
    private readonly int _port = PeerProcess.FreePort();
    private PeerProcess? _process;

    public string Name => name;

    public Uri Url => new($"http://127.0.0.1:{_port}/api/v1/write");

    private string RecordPath => _folder.File("record.txt");

    public async Task StartAsync()
    {
        if (_process is not null)
        {
            await _process.DisposeAsync();
        }
        var executable = Path.Combine(AppContext.BaseDirectory, "Millrace.RecordingNode");
        _process = PeerProcess.Start(name, executable, [$"{_port}", RecordPath]);
        await _process.WaitReadyAsync(new Uri(Url, "/health"), ReadyTimeout);
    }

    public Task Kill9Async() => _process!.Kill9Async();

    public void Pause() => _process!.Pause();

    public void Resume() => _process!.Resume();

    public async Task BehaveAsync(NodeBehaviour behaviour)
    {
        using var answer = await _http.PostAsync(new Uri(Url, "/behave" + behaviour.Query), null);
        answer.EnsureSuccessStatusCode();
    }

    /// <summary>What it took of samples whose timestamps are not before <paramref name="fromMs"/>.</summary>
    public List<Arrival> Read(long fromMs = 0) => Arrival.Read(name, RecordPath, fromMs);

    public async ValueTask DisposeAsync()
    {
        if (_process is not null)
        {
            await _process.DisposeAsync();
        }
        _http.Dispose();
        _folder.Dispose();
    }
}
