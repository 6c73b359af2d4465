using System.Globalization;
using System.IO;
using System.Linq;
using System.Net.Http;
using System.Text;
using System.Text.Json;
using Millrace.Model;

namespace Millrace.TestKit.Processes;

/// <summary>
/// A real Prometheus with an empty store: a receiver of remote write, and, given something to scrape and where to send
/// it, a sender.
/// </summary>
public sealed class PrometheusServer : IAsyncDisposable
{
    private readonly TemporaryFolder _folder = new("prometheus");
    private readonly HttpClient _http = new() { Timeout = TimeSpan.FromSeconds(60) };
    private readonly PeerProcess _process;
    private readonly Uri _base;

    private PrometheusServer(string configText)
    {
        var port = PeerProcess.FreePort();
        _base = new Uri($"http://127.0.0.1:{port}/");
        var config = _folder.File("prometheus.yml");
        File.WriteAllText(config, configText);
        _process = Peers.Start(Peers.Prometheus,
        [
            $"--config.file={config}",
            $"--storage.tsdb.path={_folder.File("data")}",
            $"--web.listen-address=127.0.0.1:{port}",
            "--web.enable-remote-write-receiver",
            "--web.enable-lifecycle",
            "--enable-feature=exemplar-storage",
            "--log.level=warn",
        ]);
    }

    /// <summary>One of the <c>remote_write</c> section: remote write 1.0, or 2.0.</summary>
    public readonly record struct Target(Uri Url, bool Version2 = false);

    public Uri WriteUrl => new(_base, "api/v1/write");

    /// <summary>A receiver; <paramref name="globalConfig"/> may add sections such as <c>storage</c>.</summary>
    public static Task<PrometheusServer> StartReceiverAsync(string globalConfig = "") => StartAsync(globalConfig);

    /// <summary>A scraper that sends everything on at once; it begins to scrape 5 s after its start.</summary>
    public static Task<PrometheusServer> StartSenderAsync(string scrapeConfig, params ReadOnlySpan<Target> targets)
    {
        var config = new StringBuilder(scrapeConfig).Append("remote_write:\n");
        foreach (var target in targets)
        {
            var message = target.Version2 ? "io.prometheus.write.v2.Request" : "prometheus.WriteRequest";
            config.Append(CultureInfo.InvariantCulture, $$"""
                - url: {{target.Url}}
                  protobuf_message: {{message}}
                  queue_config: {batch_send_deadline: 200ms, min_backoff: 30ms, max_backoff: 1s}

                """);
        }
        return StartAsync(config.ToString());
    }

    /// <summary>The same server under another configuration.</summary>
    public async Task ReloadAsync(string configText)
    {
        File.WriteAllText(_folder.File("prometheus.yml"), configText);
        using var answer = await _http.PostAsync(new Uri(_base, "-/reload"), null);
        answer.EnsureSuccessStatusCode();
    }

    /// <summary>Stops scraping; what was scraped is sent on before the process ends.</summary>
    public Task<int> TerminateAsync() => _process.TerminateAsync(TimeSpan.FromSeconds(90));

    /// <summary>Everything stored in the last <paramref name="range"/> of the series that match, raw.</summary>
    public async Task<IReadOnlyList<StoredSeries>> ReadAsync(string selector, string range = "1h")
    {
        var query = $"api/v1/query?query={Uri.EscapeDataString($"{selector}[{range}]")}";
        return StoredSeries.FromQueryAnswer(await _http.GetStringAsync(new Uri(_base, query)));
    }

    /// <summary>The stored exemplars of series: a line each, <c>series: value label="text"</c>.</summary>
    public async Task<IReadOnlyList<string>> ReadExemplarsAsync(string selector, long fromMs, long toMs)
    {
        var query = FormattableString.Invariant(
            $"api/v1/query_exemplars?query={Uri.EscapeDataString(selector)}&start={fromMs / 1e3}&end={toMs / 1e3}");
        using var answer = JsonDocument.Parse(await _http.GetStringAsync(new Uri(_base, query)));
        var lines = new List<string>();
        foreach (var series in answer.RootElement.GetProperty("data").EnumerateArray())
        {
            var name = series.GetProperty("seriesLabels").GetProperty("__name__").GetString();
            foreach (var exemplar in series.GetProperty("exemplars").EnumerateArray())
            {
                var labels = TextsOf(exemplar.GetProperty("labels")).Select(label => $"{label.Key}={label.Value}");
                lines.Add($"{name}: {exemplar.GetProperty("value").GetString()} {string.Join(',', labels)}");
            }
        }
        return lines;
    }

    /// <summary>
    /// The targets once so many are known: their labels before relabeling, and after it as a series' text;
    /// <c>dropped</c> for those that relabeling dropped.
    /// </summary>
    public async Task<IReadOnlyList<(Dictionary<string, string> Discovered, string Labels)>> ReadTargetsAsync(int count)
    {
        var targets = new List<(Dictionary<string, string> Discovered, string Labels)>();
        for (var attempt = 0; targets.Count < count && attempt < 100; attempt++)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(200));
            using var answer = JsonDocument.Parse(await _http.GetStringAsync(new Uri(_base, "api/v1/targets")));
            var found = answer.RootElement.GetProperty("data");
            targets.Clear();
            foreach (var target in found.GetProperty("activeTargets").EnumerateArray())
            {
                var labels = new List<Label>();
                foreach (var (name, value) in TextsOf(target.GetProperty("labels")))
                {
                    labels.Add(new Label(name, value));
                }
                targets.Add((TextsOf(target.GetProperty("discoveredLabels")), LabelSet.From(labels).ToString()));
            }
            foreach (var target in found.GetProperty("droppedTargets").EnumerateArray())
            {
                targets.Add((TextsOf(target.GetProperty("discoveredLabels")), "dropped"));
            }
        }
        return targets.Count == count ? targets
            : throw new InvalidOperationException($"{targets.Count} targets of {count}.\n{_process.Output}");
    }

    private static Dictionary<string, string> TextsOf(JsonElement labels)
    {
        var texts = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var label in labels.EnumerateObject())
        {
            texts[label.Name] = label.Value.GetString()!;
        }
        return texts;
    }

    public async ValueTask DisposeAsync()
    {
        await _process.DisposeAsync();
        _http.Dispose();
        _folder.Dispose();
    }

    private static async Task<PrometheusServer> StartAsync(string configText)
    {
        var server = new PrometheusServer(configText);
        await server._process.WaitReadyAsync(new Uri(server._base, "-/ready"), TimeSpan.FromSeconds(30));
        return server;
    }
}
