using System.CommandLine;
using System.IO;
using System.Net.Http;
using System.Text.Json;
using Millrace.Web;

namespace Millrace.Server.Commands;

/// <summary>
/// <c>millrace route</c>: where a series goes and why, down to the task and the node; by a running gateway's table, if
/// one is named.
/// </summary>
internal static class RouteCommand
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    public static Command Create()
    {
        var file = new Argument<string>("FILE") { Description = "The configuration file." };
        var series = new Argument<string>("SERIES") { Description = "A series, as 'name{label=\"value\"}'." };
        var gateway = new Option<string?>("--gateway")
        {
            Description = "A running gateway, as http://127.0.0.1:8480: its nodes and its table of tasks are used.",
            HelpName = "URL",
        };
        var command = new Command("route", "Show where a series goes and why, down to the task and the node.")
        {
            file,
            series,
            gateway,
        };
        command.SetAction((parsed, stop) => RunAsync(
            parsed.InvocationConfiguration, parsed.GetValue(file)!, parsed.GetValue(series)!, parsed.GetValue(gateway),
            stop));
        return command;
    }

    private static async Task<int> RunAsync(
        InvocationConfiguration console, string file, string series, string? gateway, CancellationToken stop)
    {
        if (CommandLineRoot.Load(file, console.Error) is not { } config)
        {
            return ExitCode.Usage;
        }
        if (!ExplainCommand.TryParseSeries(series, out var labels, out var reason))
        {
            console.Error.WriteLine($"\"{series}\" is not a series: {reason}");
            return ExitCode.Usage;
        }
        IReadOnlyList<ShardReport> reports = [];
        if (gateway is not null)
        {
            if (!Uri.TryCreate(gateway, UriKind.Absolute, out var url))
            {
                console.Error.WriteLine($"\"{gateway}\" is not a URL: write it as http://127.0.0.1:8480");
                return ExitCode.Usage;
            }
            try
            {
                reports = await AskAsync(url, stop);
            }
            catch (Exception e) when (e is HttpRequestException or JsonException or IOException
                || (e is OperationCanceledException && !stop.IsCancellationRequested))
            {
                console.Error.WriteLine($"{gateway} does not tell its tasks: {e.Message}");
                return ExitCode.Failure;
            }
        }
        new SeriesExplainer(config, console.Output) { Reports = reports }.Explain(labels);
        return ExitCode.Ok;
    }

    private static async Task<IReadOnlyList<ShardReport>> AskAsync(Uri gateway, CancellationToken stop)
    {
        using var client = new HttpClient { Timeout = Patience };
        await using var body = await client.GetStreamAsync(new Uri(gateway, "/api/v1/status/sharding"), stop);
        return await JsonSerializer.DeserializeAsync(body, StatusJson.Default.IReadOnlyListShardReport, stop) ?? [];
    }
}
