using System.Globalization;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Millrace.TestKit.Processes;

namespace Millrace.TestKit.Fleet;

/// <summary>
/// The fleet as real scrapers see it: one port, <c>/target/N/metrics</c> for each target, the values of the moment of
/// the scrape. A target that is not alive answers 503.
/// </summary>
public sealed class ScrapeTarget : IAsyncDisposable
{
    private readonly SimulatedFleet _fleet;
    private readonly TimeProvider _time;
    private readonly WebApplication _server;
    private readonly int _port = PeerProcess.FreePort();

    private ScrapeTarget(SimulatedFleet fleet, TimeProvider time)
    {
        _fleet = fleet;
        _time = time;
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls($"http://127.0.0.1:{_port}");
        _server = builder.Build();
        _server.MapGet("/target/{target:int}/metrics", AnswerAsync);
    }

    public static async Task<ScrapeTarget> StartAsync(SimulatedFleet fleet, TimeProvider? time = null)
    {
        var target = new ScrapeTarget(fleet, time ?? TimeProvider.System);
        await target._server.StartAsync();
        return target;
    }

    /// <summary>The sections of <c>prometheus.yml</c> (vmagent reads the same) that scrape the whole fleet.</summary>
    public string ScrapeConfig(TimeSpan interval)
    {
        var config = new StringBuilder();
        var duration = $"{interval.TotalMilliseconds}ms";
        config.Append(CultureInfo.InvariantCulture, $$"""
            global: {scrape_interval: {{duration}}, scrape_timeout: {{duration}}}
            scrape_configs:
            - job_name: fleet
              static_configs:

            """);
        for (var target = 0; target < _fleet.Options.Targets; target++)
        {
            config.Append(CultureInfo.InvariantCulture, $"""
                  - targets: ["127.0.0.1:{_port}"]
                    labels:
                      __metrics_path__: /target/{target}/metrics
                      instance: {SimulatedFleet.InstanceOf(target)}
                      job: {_fleet.JobOf(target)}

                """);
        }
        return config.ToString();
    }

    public async ValueTask DisposeAsync()
    {
        using var atOnce = new CancellationTokenSource(TimeSpan.FromMilliseconds(200));
        await _server.StopAsync(atOnce.Token);
        await _server.DisposeAsync();
    }

    private async Task AnswerAsync(HttpContext context, int target)
    {
        List<FleetSample> samples = [];
        if (target < _fleet.Options.Targets)
        {
            _fleet.AppendSamples(target, _fleet.TickAt(_time.GetUtcNow().ToUnixTimeMilliseconds()), samples);
        }
        if (samples.Count == 0)
        {
            context.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
            return;
        }
        context.Response.ContentType = "text/plain; version=0.0.4; charset=utf-8";
        await context.Response.WriteAsync(Exposition(samples));
    }

    private static string Exposition(List<FleetSample> samples)
    {
        var text = new StringBuilder();
        var lastName = "";
        foreach (var sample in samples)
        {
            var name = sample.Series.Labels[0].Value;
            if (name != lastName)
            {
                text.Append(CultureInfo.InvariantCulture,
                    $"# TYPE {name} {(sample.Series.IsCounter ? "counter" : "gauge")}\n");
                lastName = name;
            }
            // The scraper adds job and instance.
            var labels = SeriesText.Of(
                sample.Series.Labels, "__name__", SimulatedFleet.InstanceLabel, SimulatedFleet.JobLabel);
            text.Append(CultureInfo.InvariantCulture, $"{name}{labels} {sample.Value:R}\n");
        }
        return text.ToString();
    }
}
