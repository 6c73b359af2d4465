using System.Globalization;
using System.IO;
using System.Net;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Millrace.TestKit.Simulation;

namespace Millrace.TestKit.Sharding;

/// <summary>How a <see cref="RecordingNode"/> behaves.</summary>
public enum NodeMood
{
    Well,

    /// <summary>Every answer comes late, that to a probe as well.</summary>
    Slow,

    /// <summary>Connections are accepted, and nothing is ever answered.</summary>
    BlackHole,

    /// <summary>What is written is taken; then the connection breaks.</summary>
    LosesAnswers,

    /// <summary>Writes get a status; probes are answered well.</summary>
    Refuses,

    /// <summary>Writes and probes get a status.</summary>
    Fails,
}

/// <param name="Mood">What is wrong, if anything.</param>
/// <param name="Status">Of HTTP, for what is refused.</param>
/// <param name="DelayMs">Before each answer.</param>
public sealed record NodeBehaviour(NodeMood Mood, int Status = 503, int DelayMs = 0)
{
    public static readonly NodeBehaviour Well = new(NodeMood.Well);

    internal string Query => string.Create(
        CultureInfo.InvariantCulture, $"?mood={Mood}&status={Status}&delayMs={DelayMs}");
}

/// <summary>
/// A backend for remote write 1.0 that has written what it takes to a file, with the time of arrival, before it
/// answers: so a kill takes nothing of what it has acknowledged. How it behaves is told by <c>POST /behave</c>, which
/// it always answers.
/// </summary>
public sealed class RecordingNode : IAsyncDisposable
{
    /// <summary>Stands at the end of each line: a write that a kill cut short can be told.</summary>
    internal const string LineEnd = "\t.";

    private readonly WebApplication _server;
    private readonly FileStream _file;
    private readonly Lock _fileLock = new(); // covers the order of arrivals in the file
    private NodeBehaviour _behaviour = NodeBehaviour.Well;

    private RecordingNode(int port, string path)
    {
        _file = new FileStream(path, FileMode.Append, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);
        // What a kill cut short ends here.
        _file.Write("\n"u8);
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(options => options.Listen(IPAddress.Loopback, port));
        _server = builder.Build();
        _server.MapGet("/health", ProbeAsync);
        _server.MapPost("/api/v1/write", TakeAsync);
        _server.MapPost("/behave", Behave);
        Url = new Uri($"http://127.0.0.1:{port}/api/v1/write");
    }

    public Uri Url { get; }

    public static async Task<RecordingNode> StartAsync(int port, string path)
    {
        var node = new RecordingNode(port, path);
        await node._server.StartAsync();
        return node;
    }

    public async ValueTask DisposeAsync()
    {
        using var atOnce = new CancellationTokenSource(TimeSpan.FromMilliseconds(200));
        await _server.StopAsync(atOnce.Token);
        await _server.DisposeAsync();
        await _file.DisposeAsync();
    }

    private void Behave(HttpContext context)
    {
        var query = context.Request.Query;
        _behaviour = new NodeBehaviour(
            Enum.Parse<NodeMood>(query["mood"].ToString()),
            int.Parse(query["status"].ToString(), CultureInfo.InvariantCulture),
            int.Parse(query["delayMs"].ToString(), CultureInfo.InvariantCulture));
    }

    private async Task ProbeAsync(HttpContext context)
    {
        var behaviour = _behaviour;
        await WaitAsync(behaviour, context);
        context.Response.StatusCode = behaviour.Mood == NodeMood.Fails ? behaviour.Status : StatusCodes.Status200OK;
    }

    private async Task TakeAsync(HttpContext context)
    {
        var behaviour = _behaviour;
        using var body = new MemoryStream();
        // Whether anybody still waits for the answer is not asked: what came is taken, as a real backend may do.
        await context.Request.Body.CopyToAsync(body, CancellationToken.None);
        await WaitAsync(behaviour, context);
        if (behaviour.Mood is NodeMood.Refuses or NodeMood.Fails)
        {
            context.Response.StatusCode = behaviour.Status;
            if (behaviour.Status == StatusCodes.Status429TooManyRequests)
            {
                context.Response.Headers.RetryAfter = "1";
            }
            await context.Response.WriteAsync("refused by a test");
            return;
        }
        Record(PlainRemoteWrite.DecodeSnappy(body.ToArray()));
        if (behaviour.Mood == NodeMood.LosesAnswers)
        {
            context.Abort();
            return;
        }
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static Task WaitAsync(NodeBehaviour behaviour, HttpContext context) => behaviour switch
    {
        { Mood: NodeMood.BlackHole } => Task.Delay(Timeout.InfiniteTimeSpan, context.RequestAborted),
        { DelayMs: > 0 } => Task.Delay(behaviour.DelayMs, CancellationToken.None),
        _ => Task.CompletedTask,
    };

    private void Record(List<PlainSample> samples)
    {
        lock (_fileLock)
        {
            // Monotonic and the same clock for all processes, so arrivals at several nodes have an order.
            var atTicks = TimeProvider.System.GetTimestamp();
            var atMs = TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds();
            var lines = new StringBuilder();
            foreach (var sample in samples)
            {
                lines.Append(
                    CultureInfo.InvariantCulture,
                    $"{atTicks}\t{atMs}\t{sample.TimestampMs}\t{sample.Bits}\t{sample.Series.Text}{LineEnd}\n");
            }
            _file.Write(Encoding.UTF8.GetBytes(lines.ToString()));
        }
    }
}
