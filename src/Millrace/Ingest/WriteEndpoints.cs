using System.Globalization;
using System.IO;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Millrace.Pipeline;

namespace Millrace.Ingest;

/// <summary>
/// The HTTP endpoints that take samples: remote write 1.0 and 2.0 and VictoriaMetrics' protocol, and Prometheus text.
/// The usual request of a known sender does not come here: <see cref="ReceiveLoop"/> reads it from the socket.
/// </summary>
internal sealed class WriteEndpoints(WriteIntake intake)
{
    public const string SamplesWritten = "X-Prometheus-Remote-Write-Samples-Written";
    public const string HistogramsWritten = "X-Prometheus-Remote-Write-Histograms-Written";
    public const string ExemplarsWritten = "X-Prometheus-Remote-Write-Exemplars-Written";
    public const string ImportPath = "/api/v1/import/prometheus";

    private const int UnknownProtocol = 3;

    public static readonly string[] WritePaths = ["/api/v1/write", "/api/v1/push", "/api/v1/receive"];

    public void Map(IEndpointRouteBuilder routes)
    {
        foreach (var path in WritePaths)
        {
            routes.MapPost(path, (RequestDelegate)WriteAsync);
            routes.MapGet(path, (RequestDelegate)HandshakeAsync);
        }
        routes.MapPost(ImportPath, (RequestDelegate)ImportAsync);
    }

    /// <summary>Older vmagents ask whether their own protocol is spoken.</summary>
    private Task HandshakeAsync(HttpContext context)
    {
        if (context.Request.Query.ContainsKey("get_vm_proto_version"))
        {
            return context.Response.WriteAsync("1");
        }
        context.Response.Headers.Allow = "POST";
        return RefuseAsync(
            context, UnknownProtocol, StatusCodes.Status405MethodNotAllowed, "Use POST with a remote-write body.");
    }

    private Task WriteAsync(HttpContext context)
    {
        if (context.Request.Query.ContainsKey("get_vm_proto_version"))
        {
            return HandshakeAsync(context);
        }
        var request = context.Request;
        return RequestFormat.TryReadRemoteWrite(
            request.ContentType, request.Headers.ContentEncoding.ToString(), out var encoding, out var refusal)
            ? TakeAsync(context, encoding)
            : RefuseAsync(context, UnknownProtocol, StatusCodes.Status415UnsupportedMediaType, refusal);
    }

    private Task ImportAsync(HttpContext context) =>
        RequestFormat.TryReadText(
            context.Request.Headers.ContentEncoding.ToString(), out var encoding, out var refusal)
            ? TakeAsync(context, encoding)
            : AnswerAsync(
                context, intake.Refused(encoding, StatusCodes.Status415UnsupportedMediaType, refusal));

    private async Task TakeAsync(HttpContext context, BodyEncoding encoding)
    {
        if (!intake.TryEnter(encoding, context.Request.ContentLength, out var refusal))
        {
            await AnswerAsync(context, refusal).ConfigureAwait(false);
            return;
        }
        try
        {
            await TakeBodyAsync(context, encoding).ConfigureAwait(false);
        }
        catch (BadHttpRequestException e) when (!context.Response.HasStarted)
        {
            // The body grew past Kestrel's bound, came too slowly, or is not what HTTP allows: nothing was taken.
            var answer = e.StatusCode == StatusCodes.Status413PayloadTooLarge
                ? intake.TooLarge(encoding)
                : intake.Refused(encoding, e.StatusCode, e.Message);
            await AnswerAsync(context, answer).ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or OperationCanceledException)
        {
            intake.SenderGone(encoding);
            context.Abort();
        }
        finally
        {
            intake.Leave();
        }
    }

    private async Task TakeBodyAsync(HttpContext context, BodyEncoding encoding)
    {
        using var body = new RequestBody(intake.Gate, intake.MaxRequestBytes);
        var answer = await body.ReadAsync(context.Request).ConfigureAwait(false) switch
        {
            BodyReading.TooLarge => intake.TooLarge(encoding),
            BodyReading.NoRoom => intake.NoRoom(encoding),
            _ => await intake.TakeAsync(body.Bytes, encoding).ConfigureAwait(false),
        };
        await AnswerAsync(context, answer).ConfigureAwait(false);
    }

    private Task RefuseAsync(HttpContext context, int protocol, int status, string text)
    {
        intake.Counters.Answered(protocol, status, 0, 0);
        return AnswerAsync(context, new WriteAnswer(status, text));
    }

    private static Task AnswerAsync(HttpContext context, in WriteAnswer answer)
    {
        var response = context.Response;
        var headers = response.Headers;
        response.StatusCode = answer.Status;
        if (answer.Written is { } written)
        {
            headers[SamplesWritten] = Text(written.Samples);
            headers[HistogramsWritten] = Text(written.Histograms);
            headers[ExemplarsWritten] = Text(written.Exemplars);
        }
        if (answer.RetryAfter is { } retryAfter)
        {
            headers.RetryAfter = retryAfter;
        }
        if (answer.Text.Length == 0)
        {
            return Task.CompletedTask;
        }
        response.ContentType = "text/plain; charset=utf-8";
        return response.WriteAsync(answer.Text + "\n");
    }

    private static string Text(int count) => count.ToString(CultureInfo.InvariantCulture);
}
