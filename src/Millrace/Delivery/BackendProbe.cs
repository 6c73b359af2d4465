using System.IO;
using System.Net.Http;
using System.Text;

namespace Millrace.Delivery;

/// <summary>What a backend does with a sample that comes twice.</summary>
internal enum RepeatHandling
{
    /// <summary>It could not be asked, or it is no VictoriaMetrics: those keep one value per series and time.</summary>
    Unknown,

    /// <summary>A VictoriaMetrics without deduplication: sums and counts over time see a repeat twice.</summary>
    KeepsRepeats,

    Deduplicates,
}

/// <summary>
/// Asks a VictoriaMetrics for its flags, at start. Its <c>/flags</c> lists only those that were set (1.145), so its own
/// metrics are read, where each flag stands with its value.
/// </summary>
internal static class BackendProbe
{
    private const string Flag = "flag{name=\"dedup.minScrapeInterval\", value=\"";
    private const int MaxMetricsBytes = 4 << 20;

    /// <summary>Longest first: what is left is the path prefix of the server.</summary>
    private static readonly string[] WritePaths =
        ["/prometheus/api/v1/write", "/prometheus/api/v1/push", "/api/v1/write", "/api/v1/push", "/write"];

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    /// <summary>
    /// Where the metrics of the server stand; null when the write address does not look like a VictoriaMetrics.
    /// </summary>
    public static Uri? MetricsUrl(Uri writeUrl)
    {
        foreach (var path in WritePaths)
        {
            if (writeUrl.AbsolutePath.EndsWith(path, StringComparison.Ordinal))
            {
                var prefix = writeUrl.AbsolutePath[..^path.Length];
                return new UriBuilder(writeUrl)
                {
                    Path = prefix + "/metrics",
                    Query = "",
                    Fragment = "",
                    UserName = "",
                    Password = "",
                }.Uri;
            }
        }
        return null;
    }

    public static async Task<RepeatHandling> AskAsync(
        DestinationConfig config, HttpClient client, TimeProvider time, CancellationToken stop)
    {
        if (MetricsUrl(config.Url) is not { } url)
        {
            return RepeatHandling.Unknown;
        }
        using var timeout = new CancellationTokenSource(Patience, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, stop);
        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, url);
            if (config.Headers.TryGetValue("Authorization", out var authorization))
            {
                request.Headers.TryAddWithoutValidation("Authorization", authorization);
            }
            using var response = await client.SendAsync(
                request, HttpCompletionOption.ResponseHeadersRead, either.Token);
            if (!response.IsSuccessStatusCode)
            {
                return RepeatHandling.Unknown;
            }
            await using var stream = await response.Content.ReadAsStreamAsync(either.Token);
            var text = new byte[MaxMetricsBytes];
            var length = await stream.ReadAtLeastAsync(text, text.Length, throwOnEndOfStream: false, either.Token);
            return Read(Encoding.UTF8.GetString(text, 0, length));
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            return RepeatHandling.Unknown;
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            return RepeatHandling.Unknown;
        }
    }

    /// <summary>A line as <c>flag{name="dedup.minScrapeInterval", value="1ms", is_set="true"} 1</c>.</summary>
    public static RepeatHandling Read(string metrics)
    {
        metrics = metrics.Replace("\",value=", "\", value=", StringComparison.Ordinal);
        var start = metrics.IndexOf(Flag, StringComparison.Ordinal);
        if (start < 0)
        {
            return RepeatHandling.Unknown;
        }
        var value = metrics.AsSpan(start + Flag.Length);
        var end = value.IndexOf('"');
        return (end < 0 ? value : value[..end]).IndexOfAnyInRange('1', '9') >= 0
            ? RepeatHandling.Deduplicates : RepeatHandling.KeepsRepeats;
    }

    /// <summary>What to tell the operator; null when all is well or nothing is known.</summary>
    public static string? Warning(string destination, RepeatHandling handling) =>
        handling == RepeatHandling.KeepsRepeats
            ? $"Destination '{destination}' is a VictoriaMetrics with -dedup.minScrapeInterval=0: a block that must be "
                + "sent twice (answer lost, crash) is stored twice, and count_over_time and sum_over_time show it. "
                + "Start it with -dedup.minScrapeInterval=1ms."
            : null;
}
