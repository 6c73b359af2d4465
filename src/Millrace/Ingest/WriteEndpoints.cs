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
    private Task HandshakeAsync(HttpContext context)
    {
        if (context.Request.Query.ContainsKey("get_vm_proto_version"))
        {
            return context.Response.WriteAsync("1");
        }
        context.Response.Headers.Allow = "POST";
        return AnswerAsync(
            context, UnknownProtocol, StatusCodes.Status405MethodNotAllowed, "Use POST with a remote-write body.");
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
        if (context.Request.ContentLength > limits.MaxRequestBytes)
        {
            await AnswerTooLargeAsync(context, encoding).ConfigureAwait(false);
            return;
        }
        if (notAccepting() is { } reason)
        {
            await AnswerLaterAsync(context, encoding, StatusCodes.Status503ServiceUnavailable, reason)
                .ConfigureAwait(false);
            return;
        }
        if (!_gate.TryEnter())
        {
            await AnswerLaterAsync(context, encoding, StatusCodes.Status429TooManyRequests, _gate.TooManyRequests)
                .ConfigureAwait(false);
            return;
        }
        try
        {
            await TakeBodyAsync(context, encoding).ConfigureAwait(false);
        }
        catch (BadHttpRequestException e) when (!context.Response.HasStarted)
        {
            // The body grew past Kestrel's bound, came too slowly, or is not what HTTP allows: nothing was taken.
            await (e.StatusCode == StatusCodes.Status413PayloadTooLarge
                ? AnswerTooLargeAsync(context, encoding)
                : AnswerAsync(context, encoding, e.StatusCode, e.Message)).ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or OperationCanceledException)
        {
            // The sender went away: nobody reads an answer.
            counters.Answered(ProtocolNumber(encoding), IngestCounters.SenderGone, 0, 0);
            context.Abort();
        }
        finally
        {
            _gate.Leave();
        }
    }

    private async Task TakeBodyAsync(HttpContext context, BodyEncoding encoding)
    {
        using var body = new RequestBody(_gate, limits.MaxRequestBytes);
        switch (await body.ReadAsync(context.Request).ConfigureAwait(false))
        {
            case BodyReading.TooLarge:
                await AnswerTooLargeAsync(context, encoding).ConfigureAwait(false);
                break;
            case BodyReading.NoRoom:
                await AnswerLaterAsync(context, encoding, StatusCodes.Status429TooManyRequests, _gate.TooManyBytes)
                    .ConfigureAwait(false);
                break;
            default:
                var result = await PushAsync(body.Bytes, encoding).ConfigureAwait(false);
                await AnswerAsync(context, encoding, result, body.Length).ConfigureAwait(false);
                break;
        }
    }

    /// <summary>
    /// Some senders name one of snappy and zstd and send the other (vmagent, while it changes its mind): the body
    /// decides.
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
        switch (result.Status)
        {
            case PushStatus.Accepted when result.Refusal.Length == 0:
                TellWritten(context.Response, encoding, result.Written);
                context.Response.StatusCode = StatusCodes.Status204NoContent;
                counters.Answered(ProtocolNumber(encoding), StatusCodes.Status204NoContent, bodyBytes, 0);
                return Task.CompletedTask;
            case PushStatus.Accepted:
                TellWritten(context.Response, encoding, result.Written);
                counters.Answered(
                    ProtocolNumber(encoding), StatusCodes.Status400BadRequest, bodyBytes,
                    result.IsRepeat ? 0 : result.RefusedSamples);
                return WriteTextAsync(
                    context.Response, StatusCodes.Status400BadRequest,
                    $"{result.RefusedSamples} refused: {result.Refusal}. Stored: {result.Written.Samples} samples, "
                    + $"{result.Written.Histograms} histograms, {result.Written.Exemplars} exemplars.");
            case PushStatus.TooLarge:
                return AnswerAsync(context, encoding, StatusCodes.Status413PayloadTooLarge, result.Refusal);
            case PushStatus.Malformed:
                return AnswerAsync(context, encoding, StatusCodes.Status400BadRequest, result.Refusal);
            default:
                return AnswerLaterAsync(context, encoding, StatusCodes.Status503ServiceUnavailable, result.Refusal);
        }
    }

    /// <summary>Nothing was taken, and all of it may be taken later.</summary>
    private Task AnswerLaterAsync(HttpContext context, BodyEncoding encoding, int status, string text)
    {
        context.Response.Headers.RetryAfter =
            status == StatusCodes.Status429TooManyRequests ? BusyRetryAfter : DiskRetryAfter;
        return AnswerAsync(context, encoding, status, text);
    }

    private Task AnswerTooLargeAsync(HttpContext context, BodyEncoding encoding) =>
        AnswerAsync(
            context, encoding, StatusCodes.Status413PayloadTooLarge,
            $"The body is larger than ingest.max_request_bytes ({limits.MaxRequestBytes}) allows.");

    /// <summary>Nothing was taken.</summary>
    private Task AnswerAsync(HttpContext context, BodyEncoding encoding, int status, string text)
    {
        TellWritten(context.Response, encoding, default);
        return AnswerAsync(context, ProtocolNumber(encoding), status, text);
    }

    private Task AnswerAsync(HttpContext context, int protocol, int status, string text)
    {
        counters.Answered(protocol, status, 0, 0);
        return WriteTextAsync(context.Response, status, text);
    }

    /// <summary>Remote write 2.0 alone: a sender of 1.0 must not take the gateway for one that speaks 2.0.</summary>
    private static void TellWritten(HttpResponse response, BodyEncoding encoding, in WrittenCounts written)
    {
        if (encoding.Protocol == BodyProtocol.RemoteWriteV2)
        {
            var headers = response.Headers;
            headers["X-Prometheus-Remote-Write-Samples-Written"] = Text(written.Samples);
            headers["X-Prometheus-Remote-Write-Histograms-Written"] = Text(written.Histograms);
            headers["X-Prometheus-Remote-Write-Exemplars-Written"] = Text(written.Exemplars);
        }
    }

    private static Task WriteTextAsync(HttpResponse response, int status, string text)
    {
        response.StatusCode = status;
        response.ContentType = "text/plain; charset=utf-8";
        return response.WriteAsync(text + "\n");
    }

    private static int ProtocolNumber(BodyEncoding encoding) => (int)encoding.Protocol - 1;

    private static string Text(int count) => count.ToString(CultureInfo.InvariantCulture);
}
