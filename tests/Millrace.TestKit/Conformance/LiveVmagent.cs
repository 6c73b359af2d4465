using System.IO;
using System.Net.Http;
using System.Net.Http.Headers;
using Millrace.TestKit.Processes;

namespace Millrace.TestKit.Conformance;

/// <summary>
/// A live vmagent with a list of tenants: each is a destination with aggregation rules of its own, which begin at a
/// chosen moment. That is done by reloading its file: an empty one has no rules, and an unchanged one goes on. So one
/// process plays many cases at once, as if each had one. Times are absolute.
/// </summary>
internal sealed class LiveVmagent : IAsyncDisposable
{
    /// <summary>The label by which a sample finds its tenant; it is removed before aggregation.</summary>
    public const string TenantLabel = "conformance_tenant";

    private readonly TemporaryFolder _folder;
    private readonly HttpClient _http = new() { Timeout = TimeSpan.FromSeconds(10) };
    private readonly VmagentProcess _process;

    private LiveVmagent(TemporaryFolder folder, VmagentProcess process, WriteSink sink)
    {
        (_folder, _process, Sink) = (folder, process, sink);
    }

    public WriteSink Sink { get; }

    /// <summary>A tenant's flags: keep and drop the input of rules.</summary>
    public readonly record struct Tenant(bool KeepInput = false, bool DropInput = false);

    public static async Task<LiveVmagent> StartAsync(IReadOnlyList<Tenant> tenants)
    {
        var sink = await WriteSink.StartAsync();
        var folder = new TemporaryFolder("live-vmagent");
        List<Uri> urls = [];
        List<string> arguments =
            ["-remoteWrite.forcePromProto=true", "-remoteWrite.queues=1", "-remoteWrite.showURL=true"];
        for (var i = 0; i < tenants.Count; i++)
        {
            urls.Add(sink.UrlOf(i));
            File.WriteAllText(RulesOf(folder, i), "");
            // A tenant alone takes everything as it is sent, without any relabeling.
            File.WriteAllText(folder.File($"tenant-{i}.yml"), tenants.Count == 1 ? "" : $$"""
                - {action: keep, source_labels: [{{TenantLabel}}], regex: "{{i}}"}
                - {action: labeldrop, regex: {{TenantLabel}}}
                """);
            arguments.Add($"-remoteWrite.urlRelabelConfig={folder.File($"tenant-{i}.yml")}");
            arguments.Add($"-remoteWrite.streamAggr.config={RulesOf(folder, i)}");
            arguments.Add($"-remoteWrite.streamAggr.keepInput={Flag(tenants[i].KeepInput)}");
            arguments.Add($"-remoteWrite.streamAggr.dropInput={Flag(tenants[i].DropInput)}");
        }
        var process = await VmagentProcess.StartAsync("", urls, arguments);
        return new LiveVmagent(folder, process, sink);
    }

    public static long NowMs => TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds();

    public static async Task WaitUntilAsync(long timeMs)
    {
        for (var left = timeMs - NowMs; left > 0; left = timeMs - NowMs)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(left));
        }
    }

    /// <summary>Writes a tenant's rules; they are in force after the next reload.</summary>
    public void Write(int tenant, string rulesYaml) => File.WriteAllText(RulesOf(_folder, tenant), rulesYaml);

    public Task ReloadAsync() => _process.ReloadAsync(_http);

    /// <summary>Sends a request of remote write 1.0.</summary>
    public Task PushAsync(byte[] body) => PushAsync(_http, _process.WriteUrl, body);

    public static async Task PushAsync(HttpClient http, Uri url, byte[] body)
    {
        using var content = new ByteArrayContent(body);
        content.Headers.ContentType = new MediaTypeHeaderValue("application/x-protobuf");
        content.Headers.ContentEncoding.Add("snappy");
        using var response = await http.PostAsync(url, content);
        response.EnsureSuccessStatusCode();
    }

    public async ValueTask DisposeAsync()
    {
        await _process.DisposeAsync();
        await Sink.DisposeAsync();
        _http.Dispose();
        _folder.Dispose();
    }

    private static string RulesOf(TemporaryFolder folder, int tenant) => folder.File($"rules-{tenant}.yml");

    private static string Flag(bool value) => value ? "true" : "false";
}
