using System.Buffers;
using System.Buffers.Binary;
using System.Globalization;
using System.IO;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Millrace.Pipeline;

namespace Millrace.Ingest;

/// <summary>
/// The HTTP endpoints that take samples: remote write 1.0 and 2.0 and VictoriaMetrics' protocol, and Prometheus text.
/// Status codes: 204 everything is in the log (or was dropped by the configuration, counted); 400 the body is malformed
/// and had no effect, or some of its series are refused for good and the rest is in the log; 413 and 415; 429 and 503
/// come back later, with Retry-After, and nothing was taken.
/// </summary>
internal sealed class WriteEndpoints(
    IngestPipeline pipeline, IngestLimits limits, IngestCounters counters, Func<string?> notAccepting)
{
    private const uint ZstdMagic = 0xFD2FB528;
    private const string BusyRetryAfter = "1";
    private const string DiskRetryAfter = "10";
    private const int UnknownProtocol = 3;

    private readonly AdmissionGate _gate = new(limits, counters, pipeline.Engine);

    public void Map(IEndpointRouteBuilder routes)
    {
        foreach (var path in (string[])["/api/v1/write", "/api/v1/push", "/api/v1/receive"])
        {
            routes.MapPost(path, (RequestDelegate)WriteAsync);
            routes.MapGet(path, (RequestDelegate)HandshakeAsync);
        }
        routes.MapPost("/api/v1/import/prometheus", (RequestDelegate)ImportAsync);
    }

    /// <summary>Older vmagents ask whether their own protocol is spoken.</summary>
    private static Task HandshakeAsync(HttpContext context)
    {
        if (context.Request.Query.ContainsKey("get_vm_proto_version"))
        {
            return context.Response.WriteAsync("1");
        }
        context.Response.StatusCode = StatusCodes.Status405MethodNotAllowed;
        return context.Response.WriteAsync("Use POST with a remote-write body.\n");
    }

    private Task WriteAsync(HttpContext context)
    {
        if (context.Request.Query.ContainsKey("get_vm_proto_version"))
        {
            return HandshakeAsync(context);
        }
        return RequestFormat.TryReadRemoteWrite(context.Request, out var encoding, out var refusal)
            ? TakeAsync(context, encoding)
            : AnswerAsync(context, UnknownProtocol, StatusCodes.Status415UnsupportedMediaType, refusal);
    }

    private Task ImportAsync(HttpContext context) =>
        RequestFormat.TryReadText(context.Request, out var encoding, out var refusal)
            ? TakeAsync(context, encoding)
            : AnswerAsync(context, ProtocolNumber(encoding), StatusCodes.Status415UnsupportedMediaType, refusal);

    private async Task TakeAsync(HttpContext context, BodyEncoding encoding)
    {
        var protocol = ProtocolNumber(encoding);
        var declared = context.Request.ContentLength ?? 0;
        if (declared > limits.MaxRequestBytes)
        {
            await AnswerAsync(context, protocol, StatusCodes.Status413PayloadTooLarge, TooLargeText()).ConfigureAwait(false);
            return;
        }
        if (notAccepting() is { } reason)
        {
            context.Response.Headers.RetryAfter = DiskRetryAfter;
            await AnswerAsync(context, protocol, StatusCodes.Status503ServiceUnavailable, reason).ConfigureAwait(false);
            return;
        }
        if (!_gate.TryEnter(declared, out var refusal))
        {
            context.Response.Headers.RetryAfter = BusyRetryAfter;
            await AnswerAsync(context, protocol, StatusCodes.Status429TooManyRequests, refusal).ConfigureAwait(false);
            return;
        }
        var body = ArrayPool<byte>.Shared.Rent((int)Math.Max(declared, 4096));
        try
        {
            (body, var length) = await ReadBodyAsync(context.Request, body).ConfigureAwait(false);
            if (length < 0)
            {
                await AnswerAsync(context, protocol, StatusCodes.Status413PayloadTooLarge, TooLargeText())
                    .ConfigureAwait(false);
                return;
            }
            var result = await PushAsync(body.AsMemory(0, length), encoding).ConfigureAwait(false);
            await AnswerAsync(context, encoding, result, length).ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or BadHttpRequestException)
        {
            // The sender went away or broke the protocol in mid-body: nothing was taken, nobody reads the answer.
            counters.Answered(protocol, (e as BadHttpRequestException)?.StatusCode ?? 400, 0, 0);
            context.Response.StatusCode = (e as BadHttpRequestException)?.StatusCode ?? StatusCodes.Status400BadRequest;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(body);
            _gate.Leave(declared);
        }
    }

    /// <summary>Reads the body into a rented buffer; a length of -1: it is larger than allowed.</summary>
    private async Task<(byte[] Body, int Length)> ReadBodyAsync(HttpRequest request, byte[] body)
    {
        var length = 0;
        while (true)
        {
            if (length == body.Length)
            {
                if (length >= limits.MaxRequestBytes)
                {
                    return (body, -1);
                }
                var larger = ArrayPool<byte>.Shared.Rent((int)Math.Min(length * 2L, limits.MaxRequestBytes + 1));
                body.AsSpan(0, length).CopyTo(larger);
                ArrayPool<byte>.Shared.Return(body);
                body = larger;
            }
            var read = await request.Body.ReadAsync(body.AsMemory(length), request.HttpContext.RequestAborted)
                .ConfigureAwait(false);
            if (read == 0)
            {
                return (body, length > limits.MaxRequestBytes ? -1 : length);
            }
            length += read;
        }
    }

    /// <summary>
    /// Some senders name one of snappy and zstd and send the other (vmagent, while it changes its mind): the body decides.
    /// </summary>
    private async ValueTask<PushResult> PushAsync(ReadOnlyMemory<byte> body, BodyEncoding encoding)
    {
        var result = await pipeline.PushAsync(body, encoding).ConfigureAwait(false);
        if (result.Status != PushStatus.Malformed || encoding.Protocol == BodyProtocol.PrometheusText)
        {
            return result;
        }
        var isZstd = body.Length >= 4 && BinaryPrimitives.ReadUInt32LittleEndian(body.Span) == ZstdMagic;
        var actual = encoding with { Compression = isZstd ? BodyCompression.Zstd : BodyCompression.Snappy };
        if (actual == encoding)
        {
            return result;
        }
        var second = await pipeline.PushAsync(body, actual).ConfigureAwait(false);
        return second.Status == PushStatus.Malformed ? result : second;
    }

    private Task AnswerAsync(HttpContext context, BodyEncoding encoding, in PushResult result, int bodyBytes)
    {
        var response = context.Response;
        if (encoding.Protocol == BodyProtocol.RemoteWriteV2)
        {
            var headers = response.Headers;
            headers["X-Prometheus-Remote-Write-Samples-Written"] = Text(result.Written.Samples);
            headers["X-Prometheus-Remote-Write-Histograms-Written"] = Text(result.Written.Histograms);
            headers["X-Prometheus-Remote-Write-Exemplars-Written"] = Text(result.Written.Exemplars);
        }
        var protocol = ProtocolNumber(encoding);
        switch (result.Status)
        {
            case PushStatus.Accepted when result.Refusal.Length == 0:
                response.StatusCode = StatusCodes.Status204NoContent;
                counters.Answered(protocol, StatusCodes.Status204NoContent, bodyBytes, 0);
                return Task.CompletedTask;
            case PushStatus.Accepted:
                counters.Answered(protocol, StatusCodes.Status400BadRequest, bodyBytes, result.RefusedSamples);
                return WriteTextAsync(
                    response, StatusCodes.Status400BadRequest,
                    $"{result.RefusedSamples} refused: {result.Refusal}. Stored: {result.Written.Samples} samples, "
                    + $"{result.Written.Histograms} histograms, {result.Written.Exemplars} exemplars.");
            case PushStatus.TooLarge:
                return AnswerAsync(context, protocol, StatusCodes.Status413PayloadTooLarge, result.Refusal);
            case PushStatus.Malformed:
                return AnswerAsync(context, protocol, StatusCodes.Status400BadRequest, result.Refusal);
            default:
                response.Headers.RetryAfter =
                    result.Status == PushStatus.NotReady ? BusyRetryAfter : DiskRetryAfter;
                return AnswerAsync(context, protocol, StatusCodes.Status503ServiceUnavailable, result.Refusal);
        }
    }

    private Task AnswerAsync(HttpContext context, int protocol, int status, string text)
    {
        counters.Answered(protocol, status, 0, 0);
        return WriteTextAsync(context.Response, status, text);
    }

    private static Task WriteTextAsync(HttpResponse response, int status, string text)
    {
        response.StatusCode = status;
        response.ContentType = "text/plain; charset=utf-8";
        return response.WriteAsync(text + "\n");
    }

    private string TooLargeText() =>
        $"The body is larger than ingest.max_request_bytes ({limits.MaxRequestBytes}) allows.";

    private static int ProtocolNumber(BodyEncoding encoding) => (int)encoding.Protocol - 1;

    private static string Text(int count) => count.ToString(CultureInfo.InvariantCulture);
}
