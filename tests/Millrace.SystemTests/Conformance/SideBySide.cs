using System.Globalization;
using System.IO;
using System.Net.Http;
using Millrace.TestKit.Conformance;
using Millrace.TestKit.Processes;
using Millrace.TestKit.Simulation;

namespace Millrace.SystemTests.Conformance;

/// <summary>
/// A live vmagent with some flags, and the gateway with what <c>convert vmagent</c> makes of them; both get the same
/// requests and write to a backend each.
/// </summary>
internal sealed class SideBySide : IAsyncDisposable
{
    /// <summary>The numbers of the backends.</summary>
    public const int Vmagent = 0;
    public const int Millrace = 1;

    private const ulong StaleMarker = 0x7ff0000000000002;

    private readonly TemporaryFolder _folder = new("side-by-side");
    private readonly HttpClient _http = new() { Timeout = TimeSpan.FromSeconds(10) };
    private VmagentProcess? _vmagent;

    private SideBySide(WriteSink sink) => Sink = sink;

    public WriteSink Sink { get; }

    public MillraceProcess Gateway { get; } = new();

    public VmagentProcess Agent => _vmagent!;

    public static double Stale => BitConverter.UInt64BitsToDouble(StaleMarker);

    /// <param name="files">Name and text; <c>{name}</c> in a flag stands for the file's path.</param>
    /// <param name="query">Behind the URL of the backend.</param>
    /// <param name="flags">vmagent's, without addresses.</param>
    public static Task<SideBySide> StartAsync(
        IReadOnlyDictionary<string, string> files, string query, params string[] flags) =>
        StartAsync(files, urls: 1, query, flags);

    /// <param name="files">Name and text; <c>{name}</c> in a flag stands for the file's path.</param>
    /// <param name="urls">How many backends each of the two has; the next ones have numbers 2 larger.</param>
    /// <param name="query">Behind the URLs of the backends.</param>
    /// <param name="flags">vmagent's, without addresses.</param>
    public static async Task<SideBySide> StartAsync(
        IReadOnlyDictionary<string, string> files, int urls, string query, params string[] flags)
    {
        Needs.Peer(Peers.Vmagent);
        await Needs.GatewayAsync();
        var both = new SideBySide(await WriteSink.StartAsync());
        foreach (var (name, text) in files)
        {
            File.WriteAllText(both._folder.File(name), text);
            flags = [.. flags.Select(
                flag => flag.Replace($"{{{name}}}", both._folder.File(name), StringComparison.Ordinal))];
        }
        both._vmagent = await VmagentProcess.StartAsync(
            "", UrlsFrom(Vmagent), ["-remoteWrite.queues=1", .. flags]);
        var url = $"-remoteWrite.url={string.Join(',', UrlsFrom(Millrace))}";
        var (code, converted) = await MillraceProcess.RunAsync(["convert", "vmagent", url, .. flags]);
        code.ShouldBe(0, converted);
        await both.Gateway.StartAsync(converted);
        return both;

        List<Uri> UrlsFrom(int first) =>
            [.. Enumerable.Range(0, urls).Select(i => new Uri(both.Sink.UrlOf(first + 2 * i) + query))];
    }

    public Task PushAsync(params IReadOnlyList<PlainSample> samples)
    {
        var body = PlainRemoteWrite.Encode(samples);
        return Task.WhenAll(
            LiveVmagent.PushAsync(_http, Agent.WriteUrl, body), LiveVmagent.PushAsync(_http, Gateway.WriteUrl, body));
    }

    /// <summary>Waits until both backends have as many samples as they shall get, or it has taken too long.</summary>
    public async Task WaitForAsync(int atVmagents, int atMillraces, double seconds = 15)
    {
        for (var left = seconds; left > 0; left -= 0.1)
        {
            if (Sink.ReceivedBy(Vmagent).Count >= atVmagents && Sink.ReceivedBy(Millrace).Count >= atMillraces)
            {
                return;
            }
            await Task.Delay(TimeSpan.FromMilliseconds(100));
        }
    }

    /// <summary>What a backend got, as <c>series value</c>, with the time from an origin if one is given.</summary>
    public List<string> Received(int number, long? originMs = null) =>
        [.. Sink.ReceivedBy(number)
            .Select(sample => PlainSeriesText.TextOf(sample.Series) + " " + ValueOf(sample)
                + (originMs is { } origin ? $" @{sample.TimestampMs - origin}" : ""))
            .Order(StringComparer.Ordinal)];

    public async ValueTask DisposeAsync()
    {
        if (_vmagent is not null)
        {
            await _vmagent.DisposeAsync();
        }
        await Gateway.DisposeAsync();
        await Sink.DisposeAsync();
        _http.Dispose();
        _folder.Dispose();
    }

    private static string ValueOf(PlainSample sample) =>
        sample.Bits == (long)StaleMarker ? "stale" : sample.Value.ToString("R", CultureInfo.InvariantCulture);
}
