using System.IO;
using System.Net.Http;

namespace Millrace.TestKit.Processes;

/// <summary>A real vmagent: scrapes, or accepts writes, and sends everything to the given addresses.</summary>
public sealed class VmagentProcess : IAsyncDisposable
{
    private readonly TemporaryFolder _folder = new("vmagent");
    private readonly PeerProcess _process;
    private readonly Uri _base;

    private VmagentProcess(string scrapeConfig, IEnumerable<Uri> writeUrls, IEnumerable<string> extraArguments)
    {
        var port = PeerProcess.FreePort();
        _base = new Uri($"http://127.0.0.1:{port}/");
        List<string> arguments =
        [
            $"-httpListenAddr=127.0.0.1:{port}",
            $"-remoteWrite.tmpDataPath={_folder.File("queue")}",
            "-remoteWrite.flushInterval=200ms",
            "-loggerLevel=WARN",
            .. extraArguments,
        ];
        if (scrapeConfig.Length > 0)
        {
            File.WriteAllText(_folder.File("scrape.yml"), scrapeConfig);
            arguments.Add($"-promscrape.config={_folder.File("scrape.yml")}");
        }
        foreach (var url in writeUrls)
        {
            arguments.Add($"-remoteWrite.url={url}");
        }
        _process = Peers.Start(Peers.Vmagent, arguments);
    }

    public Uri BaseUrl => _base;

    public Uri WriteUrl => new(_base, "api/v1/write");

    /// <summary>Relabeling and aggregation files are read again; one with an error changes nothing.</summary>
    public async Task ReloadAsync(HttpClient http)
    {
        using var response = await http.GetAsync(new Uri(_base, "-/reload"));
        response.EnsureSuccessStatusCode();
    }

    /// <summary>Whether a rule file is accepted; it ends by itself.</summary>
    public static async Task<(bool IsAccepted, string Output)> CheckRulesAsync(string rulesYaml)
    {
        using var folder = new TemporaryFolder("vmagent-check");
        File.WriteAllText(folder.File("rules.yml"), rulesYaml);
        var (code, output) = await Peers.RunAsync(
            Peers.Vmagent,
            [
                "-dryRun", $"-streamAggr.config={folder.File("rules.yml")}", "-remoteWrite.url=http://127.0.0.1:9/",
                $"-remoteWrite.tmpDataPath={folder.File("queue")}",
            ],
            TimeSpan.FromSeconds(20));
        return (code == 0, output);
    }

    /// <summary>
    /// Whether it is newer than 1.145: Debian's build does not tell its version, but 1.146 brought an output.
    /// </summary>
    public static async Task<bool> IsNewerThan145Async() =>
        (await CheckRulesAsync("[{interval: 1s, outputs: [sum_samples_total]}]")).IsAccepted;

    public static async Task<VmagentProcess> StartAsync(
        string scrapeConfig, IEnumerable<Uri> writeUrls, params IEnumerable<string> extraArguments)
    {
        var vmagent = new VmagentProcess(scrapeConfig, writeUrls, extraArguments);
        await vmagent._process.WaitReadyAsync(new Uri(vmagent._base, "health"), TimeSpan.FromSeconds(30));
        return vmagent;
    }

    /// <summary>Stops scraping; what is in memory is sent on before the process ends.</summary>
    public Task<int> TerminateAsync() => _process.TerminateAsync(TimeSpan.FromSeconds(60));

    public async ValueTask DisposeAsync()
    {
        await _process.DisposeAsync();
        _folder.Dispose();
    }
}
