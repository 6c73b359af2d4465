using System.IO;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Millrace.Telemetry;

namespace Millrace.Web;

/// <summary>
/// What can be looked at over HTTP: metrics, health, the status API and the page that shows it. Reads only.
/// </summary>
internal sealed class StatusEndpoints
{
    private const string PageName = "Millrace.Web.index.html";

    /// <summary>The page is one file: nothing is loaded from elsewhere, and no other site may frame it.</summary>
    private const string PagePolicy =
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
        + "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

    private readonly GatewayState _state;
    private readonly StatusReporter _reporter;
    private readonly MetricsPage _metrics;
    private readonly byte[] _page = ReadPage();

    public StatusEndpoints(GatewayState state)
    {
        _state = state;
        _reporter = new StatusReporter(state);
        _metrics = new MetricsPage(state.Pipeline, state.Ingest, state.Reloads, state.StartedAt, state.Time);
    }

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/", (RequestDelegate)PageAsync);
        routes.MapGet("/metrics", (RequestDelegate)MetricsAsync);
        routes.MapGet("/health", (RequestDelegate)HealthyAsync);
        routes.MapGet("/-/healthy", (RequestDelegate)HealthyAsync);
        routes.MapGet("/-/ready", (RequestDelegate)ReadyAsync);
        MapReport(routes, "pipeline", _reporter.Pipeline, StatusJson.Default.PipelineReport);
        MapReport(routes, "rules", _reporter.Rules, StatusJson.Default.IReadOnlyListRuleReport);
        MapReport(routes, "destinations", _reporter.Destinations, StatusJson.Default.IReadOnlyListDestinationReport);
        MapReport(routes, "sharding", _reporter.Sharding, StatusJson.Default.IReadOnlyListShardReport);
        routes.MapGet("/api/v1/status/config", (RequestDelegate)ConfigAsync);
        MapReport(routes, "reload", _reporter.Reload, StatusJson.Default.ReloadReport);
        MapReport(routes, "routes", _reporter.Routes, StatusJson.Default.IReadOnlyListRouteReport);
    }

    /// <summary>Takes input, or says why not. A gateway that replays takes input; it is not caught up yet.</summary>
    public (int Status, string Text) Readiness()
    {
        if (_state.WhyNotReady() is { } reason)
        {
            return (StatusCodes.Status503ServiceUnavailable, reason);
        }
        var replay = _state.Replay;
        return (StatusCodes.Status200OK, replay.IsDone ? "ready" : $"ready, replaying {replay.Percent} %");
    }

    public string Metrics() => _metrics.Write();

    private static void MapReport<T>(
        IEndpointRouteBuilder routes, string name, Func<T> make, JsonTypeInfo<T> type) =>
        routes.MapGet($"/api/v1/status/{name}", (RequestDelegate)(context =>
        {
            context.Response.ContentType = "application/json; charset=utf-8";
            context.Response.Headers.CacheControl = "no-store";
            return JsonSerializer.SerializeAsync(context.Response.Body, make(), type, context.RequestAborted);
        }));

    private Task PageAsync(HttpContext context)
    {
        context.Response.ContentType = "text/html; charset=utf-8";
        context.Response.ContentLength = _page.Length;
        context.Response.Headers.ContentSecurityPolicy = PagePolicy;
        context.Response.Headers.CacheControl = "no-cache";
        return context.Response.Body.WriteAsync(_page, context.RequestAborted).AsTask();
    }

    private Task MetricsAsync(HttpContext context)
    {
        context.Response.ContentType = ExpositionWriter.ContentType;
        return context.Response.WriteAsync(Metrics(), context.RequestAborted);
    }

    /// <summary>What decides about samples, as it stands in the log: without addresses, headers and secrets.</summary>
    private Task ConfigAsync(HttpContext context)
    {
        context.Response.ContentType = "text/plain; charset=utf-8";
        return context.Response.WriteAsync(_state.CurrentConfig.CanonicalText, context.RequestAborted);
    }

    private static Task HealthyAsync(HttpContext context) =>
        WriteTextAsync(context.Response, StatusCodes.Status200OK, "healthy");

    private Task ReadyAsync(HttpContext context)
    {
        var (status, text) = Readiness();
        return WriteTextAsync(context.Response, status, text);
    }

    private static Task WriteTextAsync(HttpResponse response, int status, string text)
    {
        response.StatusCode = status;
        response.ContentType = "text/plain; charset=utf-8";
        return response.WriteAsync(text + "\n");
    }

    private static byte[] ReadPage()
    {
        using var stream = typeof(StatusEndpoints).Assembly.GetManifestResourceStream(PageName)
            ?? throw new InvalidOperationException($"The resource {PageName} is missing from the assembly.");
        using var bytes = new MemoryStream();
        stream.CopyTo(bytes);
        return bytes.ToArray();
    }
}
