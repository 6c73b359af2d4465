using System.Collections.Concurrent;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Security.Cryptography;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Millrace.TestKit.Processes;
using Millrace.TestKit.Simulation;

namespace Millrace.TestKit.Conformance;

/// <summary>
/// A backend on a loopback port that keeps what it is sent as remote write 1.0 in snappy. Each path <c>/N</c> is a
/// backend of its own, which can be told to refuse requests first.
/// </summary>
internal sealed class WriteSink : IAsyncDisposable
{
    private readonly ConcurrentDictionary<int, ConcurrentQueue<PlainSample>> _received = [];
    private readonly ConcurrentQueue<string> _problems = [];
    private readonly ConcurrentDictionary<int, ConcurrentQueue<WriteRefusal>> _refusals = [];
    private readonly ConcurrentQueue<WriteAttempt> _attempts = [];
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

    /// <summary>All requests so far to a backend, refused ones too, in their order.</summary>
    public IReadOnlyList<WriteAttempt> AttemptsAt(int number) =>
        [.. _attempts.Where(attempt => attempt.Backend == number)];

    /// <summary>Each of these is an answer to one of the next requests to a backend.</summary>
    public void Refuse(int number, params ReadOnlySpan<WriteRefusal> refusals)
    {
        var queue = _refusals.GetOrAdd(number, _ => new ConcurrentQueue<WriteRefusal>());
        foreach (var refusal in refusals)
        {
            queue.Enqueue(refusal);
        }
    }

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
        var refusal = Refusal(number, context.Request);
        var status = refusal?.Status ?? StatusCodes.Status204NoContent;
        _attempts.Enqueue(new WriteAttempt(
            number, LiveVmagent.NowMs, context.Request.Headers.ContentEncoding.ToString(),
            context.Request.QueryString.ToString(), Convert.ToHexString(SHA256.HashData(body.ToArray())), status));
        context.Response.StatusCode = status;
        if (refusal is not null)
        {
            if (refusal.RetryAfterSeconds > 0)
            {
                context.Response.Headers.RetryAfter =
                    refusal.RetryAfterSeconds.ToString(CultureInfo.InvariantCulture);
            }
            await context.Response.WriteAsync("refused");
            return;
        }
        try
        {
            var samples = PlainRemoteWrite.DecodeSnappy(body.ToArray());
            var queue = _received.GetOrAdd(number, _ => new ConcurrentQueue<PlainSample>());
            foreach (var sample in samples)
            {
                queue.Enqueue(sample);
            }
        }
        catch (Exception problem) when (problem is InvalidDataException or IndexOutOfRangeException
            or ArgumentException)
        {
            _problems.Enqueue($"{number}: {problem.Message}");
        }
    }

    private WriteRefusal? Refusal(int number, HttpRequest request)
    {
        if (!_refusals.TryGetValue(number, out var queue) || !queue.TryPeek(out var next)
            || (next.Encoding.Length > 0 && next.Encoding != request.Headers.ContentEncoding.ToString()))
        {
            return null;
        }
        queue.TryDequeue(out _);
        return next;
    }
}

/// <param name="Status">Of HTTP.</param>
/// <param name="RetryAfterSeconds">0: not said.</param>
/// <param name="Encoding">Only a request of this content encoding is refused so; empty: any.</param>
internal sealed record WriteRefusal(int Status, int RetryAfterSeconds = 0, string Encoding = "");

/// <summary>A request as it came to a <see cref="WriteSink"/>.</summary>
internal sealed record WriteAttempt(
    int Backend, long AtMs, string Encoding, string Query, string BodyHash, int Status);
