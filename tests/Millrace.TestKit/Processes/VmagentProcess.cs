using System.IO;

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

    public Uri WriteUrl => new(_base, "api/v1/write");

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
