using System.Collections.Concurrent;
using System.IO;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Millrace.TestKit.Processes;
using Millrace.TestKit.Simulation;

namespace Millrace.TestKit.Conformance;

/// <summary>
/// A backend on a loopback port that keeps what it is sent as remote write 1.0 in snappy. Each path <c>/N</c> is a
/// backend of its own.
/// </summary>
internal sealed class WriteSink : IAsyncDisposable
{
    private readonly ConcurrentDictionary<int, ConcurrentQueue<PlainSample>> _received = [];
    private readonly ConcurrentQueue<string> _problems = [];
    private readonly WebApplication _server;
    private readonly int _port = PeerProcess.FreePort();

    private WriteSink()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls($"http://127.0.0.1:{_port}");
        _server = builder.Build();
        _server.MapPost("/{number:int}", TakeAsync);
    }

    /// <summary>Bodies that could not be read.</summary>
    public IReadOnlyCollection<string> Problems => _problems;

    public static async Task<WriteSink> StartAsync()
    {
        var sink = new WriteSink();
        await sink._server.StartAsync();
        return sink;
    }

    public Uri UrlOf(int number) => new($"http://127.0.0.1:{_port}/{number}");

    public IReadOnlyList<PlainSample> ReceivedBy(int number) =>
        _received.TryGetValue(number, out var samples) ? [.. samples] : [];

    /// <summary>Forgets what was received.</summary>
    public void Clear() => _received.Clear();

    public async ValueTask DisposeAsync()
    {
        using var atOnce = new CancellationTokenSource(TimeSpan.FromMilliseconds(200));
        await _server.StopAsync(atOnce.Token);
        await _server.DisposeAsync();
    }

    private async Task TakeAsync(HttpContext context, int number)
    {
        using var body = new MemoryStream();
        await context.Request.Body.CopyToAsync(body);
        try
        {
            var samples = PlainRemoteWrite.DecodeSnappy(body.ToArray());
            var queue = _received.GetOrAdd(number, _ => new ConcurrentQueue<PlainSample>());
            foreach (var sample in samples)
            {
                queue.Enqueue(sample);
            }
            context.Response.StatusCode = StatusCodes.Status204NoContent;
        }
        catch (Exception problem) when (problem is InvalidDataException or IndexOutOfRangeException
            or ArgumentException)
        {
            _problems.Enqueue($"{number}: {problem.Message}");
            context.Response.StatusCode = StatusCodes.Status204NoContent;
        }
    }
}
