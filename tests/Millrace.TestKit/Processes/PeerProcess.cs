using System.Diagnostics;
using System.Net;
using System.Net.Http;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Millrace.TestKit.Processes;

/// <summary>
/// A real process that a test talks to. Its output is kept for failure messages, and it is ended by its own id: nothing
/// that this object did not start is ever signalled.
/// </summary>
public sealed partial class PeerProcess : IAsyncDisposable
{
    private const int MaxOutputLines = 400;
    private const int SignalTerminate = 15;
    private const int SignalContinue = 18;
    private const int SignalStop = 19;
    private static readonly TimeSpan ReadyPollInterval = TimeSpan.FromMilliseconds(50);
    private static readonly HttpClient ReadyClient = new() { Timeout = TimeSpan.FromSeconds(2) };

    private readonly Process _process;
    private readonly Queue<string> _output = new();

    private PeerProcess(string name, Process process)
    {
        Name = name;
        _process = process;
    }

    public string Name { get; }

    public int Id => _process.Id;

    public bool HasExited => _process.HasExited;

    /// <summary>Only after the end.</summary>
    public int ExitCode => _process.ExitCode;

    /// <summary>The last lines of both output streams.</summary>
    public string Output
    {
        get
        {
            lock (_output)
            {
                return string.Join('\n', _output);
            }
        }
    }

    public static PeerProcess Start(string name, string executable, IEnumerable<string> arguments)
    {
        var start = new ProcessStartInfo(executable, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        var peer = new PeerProcess(name, new Process { StartInfo = start });
        peer._process.OutputDataReceived += (_, line) => peer.Keep(line.Data);
        peer._process.ErrorDataReceived += (_, line) => peer.Keep(line.Data);
        peer._process.Start();
        peer._process.BeginOutputReadLine();
        peer._process.BeginErrorReadLine();
        return peer;
    }

    /// <summary>Runs a command to its end; a command that takes longer is killed.</summary>
    public static async Task<(int ExitCode, string Output)> RunAsync(
        string executable, IEnumerable<string> arguments, TimeSpan timeout)
    {
        await using var peer = Start(executable, executable, arguments);
        using var deadline = new CancellationTokenSource(timeout);
        await peer._process.WaitForExitAsync(deadline.Token);
        return (peer.ExitCode, peer.Output);
    }

    /// <summary>A loopback port that nobody listens on at this moment.</summary>
    public static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    /// <summary>Returns when the address answers 2xx; throws when the process ends or never does.</summary>
    public async Task WaitReadyAsync(Uri url, TimeSpan timeout)
    {
        var clock = Stopwatch.StartNew();
        var last = "no answer";
        while (clock.Elapsed < timeout && !HasExited)
        {
            try
            {
                using var response = await ReadyClient.GetAsync(url);
                if (response.IsSuccessStatusCode)
                {
                    return;
                }
                last = $"status {(int)response.StatusCode}";
            }
            catch (Exception problem) when (problem is HttpRequestException or TaskCanceledException)
            {
                last = problem.Message;
            }
            await Task.Delay(ReadyPollInterval);
        }
        var state = HasExited ? $"ended with code {ExitCode}" : $"is not ready after {timeout}";
        throw new InvalidOperationException($"{Name} {state} ({url}: {last}).\n{Output}");
    }

    /// <summary>SIGSTOP: connections stay, and nothing is answered.</summary>
    public void Pause() => _ = Signal(_process.Id, SignalStop);

    public void Resume() => _ = Signal(_process.Id, SignalContinue);

    /// <summary>SIGKILL: the process gets no chance to say goodbye.</summary>
    public async Task Kill9Async()
    {
        if (!HasExited)
        {
            _process.Kill();
        }
        await _process.WaitForExitAsync();
    }

    /// <summary>SIGTERM, then the exit code. One that does not end in time is killed, which is an error.</summary>
    public async Task<int> TerminateAsync(TimeSpan timeout)
    {
        if (!HasExited)
        {
            _ = Signal(_process.Id, SignalTerminate);
        }
        using var deadline = new CancellationTokenSource(timeout);
        try
        {
            await _process.WaitForExitAsync(deadline.Token);
            return ExitCode;
        }
        catch (OperationCanceledException)
        {
            await Kill9Async();
            throw new InvalidOperationException($"{Name} did not end within {timeout} of SIGTERM.\n{Output}");
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Kill9Async();
        _process.Dispose();
    }

    private void Keep(string? line)
    {
        if (line is null)
        {
            return;
        }
        lock (_output)
        {
            if (_output.Count == MaxOutputLines)
            {
                _output.Dequeue();
            }
            _output.Enqueue(line);
        }
    }

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int Signal(int processId, int signal);
}
