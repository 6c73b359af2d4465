using System.Globalization;
using System.Net.Http;
using System.Text.Json;

namespace Millrace.TestKit.Processes;

/// <summary>A real single-node VictoriaMetrics with an empty store.</summary>
public sealed class VictoriaMetricsServer : IAsyncDisposable
{
    private const string EndOfTime = "2200-01-01T00:00:00Z";

    private readonly TemporaryFolder _folder = new("victoria-metrics");
    private readonly HttpClient _http = new() { Timeout = TimeSpan.FromSeconds(60) };
    private readonly PeerProcess _process;
    private readonly Uri _base;

    private VictoriaMetricsServer(TimeSpan deduplication)
    {
        var port = PeerProcess.FreePort();
        _base = new Uri($"http://127.0.0.1:{port}/");
        List<string> arguments =
        [
            $"-httpListenAddr=127.0.0.1:{port}",
            $"-storageDataPath={_folder.Path}",
            "-retentionPeriod=10y",
            "-memory.allowedBytes=512MB",
            "-loggerLevel=WARN",
        ];
        if (deduplication > TimeSpan.Zero)
        {
            arguments.Add($"-dedup.minScrapeInterval={(long)deduplication.TotalMilliseconds}ms");
        }
        _process = Peers.Start(Peers.VictoriaMetrics, arguments);
    }

    public Uri WriteUrl => new(_base, "api/v1/write");

    /// <summary>Without deduplication every repeat is stored, and so can be seen.</summary>
    public static async Task<VictoriaMetricsServer> StartAsync(TimeSpan deduplication = default)
    {
        var server = new VictoriaMetricsServer(deduplication);
        await server._process.WaitReadyAsync(new Uri(server._base, "health"), TimeSpan.FromSeconds(30));
        return server;
    }

    /// <summary>Everything stored of the series that match, raw.</summary>
    public async Task<IReadOnlyList<StoredSeries>> ExportAsync(string selector)
    {
        // Samples become visible a second after they came in, or at this call.
        await _http.GetStringAsync(new Uri(_base, "internal/force_flush"));
        // Without an end it leaves out what is younger than its clock of whole seconds.
        var query = $"api/v1/export?match[]={Uri.EscapeDataString(selector)}&start=0&end={EndOfTime}";
        var answer = await _http.GetStringAsync(new Uri(_base, query));
        List<StoredSeries> series = [];
        foreach (var line in answer.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            series.Add(StoredSeries.FromExportLine(line));
        }
        return series;
    }

    /// <summary>The single value of an instant query; null when there is none.</summary>
    public async Task<double?> QueryAsync(string expression, DateTimeOffset at)
    {
        var seconds = (at.ToUnixTimeMilliseconds() / 1000.0).ToString(CultureInfo.InvariantCulture);
        var query = $"api/v1/query?query={Uri.EscapeDataString(expression)}&time={seconds}&nocache=1";
        using var document = JsonDocument.Parse(await _http.GetStringAsync(new Uri(_base, query)));
        var result = document.RootElement.GetProperty("data").GetProperty("result");
        return result.GetArrayLength() == 0 ? null : StoredSeries.Number(result[0].GetProperty("value")[1]);
    }

    public async ValueTask DisposeAsync()
    {
        await _process.DisposeAsync();
        _http.Dispose();
        _folder.Dispose();
    }
}
