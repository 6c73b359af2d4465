using System.Net;
using System.Net.Http;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Millrace.Configuration;
using Millrace.Delivery;
using Millrace.Ingest;
using Millrace.Log;
using Millrace.Pipeline;
using Millrace.TestKit;
using Millrace.Tests.Configuration;

namespace Millrace.Tests.Ingest;

/// <summary>
/// The write endpoints behind a real Kestrel on the loopback, as the gateway hosts them, before a pipeline that does
/// everything on the thread of the request. Clock and disk are the test's.
/// </summary>
internal sealed class IngestHost : IAsyncDisposable
{
    public const string ConfigText = """
        time_window: {max_age: 3h, max_future: 5m}
        destinations:
        - name: storage
          remote_write: {url: "http://127.0.0.1:8428/api/v1/write", protocol: prometheus_v1}

        """;

    private static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private readonly ManualTimeProvider _time = new(Start);
    private readonly MillraceConfig _config;
    private readonly TimeSpan _slowness;
    private readonly bool _hasReceiveLoops;
    private WebApplication? _app;
    private bool _isDead;

    private IngestHost(string configText, FaultyDisk disk, TimeSpan slowness, bool hasReceiveLoops)
    {
        (_config, Disk, _slowness) = (LoadedConfig.Good(configText), disk, slowness);
        _hasReceiveLoops = hasReceiveLoops;
        Pipeline = PipelineBuilder.Build(
            _config, new PipelineEnvironment { Disk = disk, Time = _time, Random = new Random(1) });
    }

    public FaultyDisk Disk { get; }

    public RunningPipeline Pipeline { get; }

    public IngestCounters Counters { get; } = new();

    public HttpClient Http { get; } = new() { Timeout = TimeSpan.FromSeconds(20) };

    /// <summary>Why nothing is accepted, as the process says it.</summary>
    public string? Refusal { get; set; }

    /// <summary>A bug of ours: every request throws.</summary>
    public bool IsBroken { get; set; }

    public int Port { get; private set; }

    public Uri WriteUrl => Url("api/v1/write");

    public long NowMs => _time.GetUtcNow().ToUnixTimeMilliseconds();

    public RecordLog Log => Pipeline.InputLog.ShouldNotBeNull();

    /// <param name="configText">The configuration.</param>
    /// <param name="disk">What an earlier host has left.</param>
    /// <param name="slowness">How long a body may come slower than 240 bytes a second.</param>
    /// <param name="hasReceiveLoops">As the gateway; otherwise Kestrel alone takes every request.</param>
    public static async Task<IngestHost> StartAsync(
        string configText = ConfigText, FaultyDisk? disk = null, TimeSpan? slowness = null,
        bool hasReceiveLoops = true)
    {
        var host = new IngestHost(configText, disk ?? new FaultyDisk(seed: 1), slowness ?? TimeSpan.FromSeconds(30),
            hasReceiveLoops);
        await host.Pipeline.StartAsync(CancellationToken.None);
        await host.ListenAsync();
        return host;
    }

    public Uri Url(string path) => new($"http://127.0.0.1:{Port}/{path}");

    public void Advance(TimeSpan by) => _time.Advance(by);

    /// <summary>Everything that waits for the destination, as it would be sent, a line for each thing stored.</summary>
    public List<string> TakeStored()
    {
        Pipeline.Ingest.FlushAsync(NowMs, everything: true).IsCompletedSuccessfully.ShouldBeTrue();
        var stored = new StoredLines();
        var destination = Pipeline.Destinations.ShouldHaveSingleItem();
        while (destination.TryTakeDue(NowMs, out var sending))
        {
            stored.Add(sending);
            destination.Complete(sending, SendResult.Status(204), NowMs);
        }
        return stored.Lines;
    }

    public async Task<(int Status, string Text)> PostAsync(string path, byte[] body, params (string, string)[] headers)
    {
        using var response = await SendAsync(path, body, headers);
        return ((int)response.StatusCode, await response.Content.ReadAsStringAsync());
    }

    public async Task<HttpResponseMessage> SendAsync(string path, byte[] body, params (string, string)[] headers)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, Url(path)) { Content = new ByteArrayContent(body) };
        foreach (var (name, value) in headers)
        {
            request.Content.Headers.TryAddWithoutValidation(name, value).ShouldBeTrue();
        }
        return await Http.SendAsync(request);
    }

    /// <summary>Requests of one status, of any protocol.</summary>
    public long Answered(int status) => Enumerable.Range(0, IngestCounters.Protocols.Length)
        .Sum(protocol => Counters.Requests(protocol, Array.IndexOf(IngestCounters.Statuses, status)));

    /// <summary>Nothing of a request was taken, and nothing is left of it.</summary>
    public void ShouldBeUntouched(long nextLsn)
    {
        Log.NextLsn.ShouldBe(nextLsn);
        Pipeline.Engine.Ledger.Total.Samples.ShouldBe(0);
        TakeStored().ShouldBeEmpty();
        ShouldBeAtRest();
    }

    public void ShouldBeAtRest() =>
        (Counters.ConcurrentRequests, Counters.BytesBeingRead, Pipeline.Engine.BytesInFlight).ShouldBe((0, 0, 0));

    /// <summary>Requests end some time after their sender has left.</summary>
    public Task ShouldBecomeIdleAsync() =>
        ShouldBecomeAsync(() => (Counters.ConcurrentRequests, Counters.BytesBeingRead) == (0, 0));

    public async Task ShouldBecomeAsync(Func<bool> condition)
    {
        using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        while (!condition())
        {
            await Task.Delay(TimeSpan.FromMilliseconds(2), timeout.Token);
        }
    }

    /// <summary>As kill −9 does; returns the disk for the next start.</summary>
    public async Task<FaultyDisk> KillAsync()
    {
        _isDead = true;
        await DisposeAsync();
        return Disk.Crash(CrashKind.Kill);
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        if (_app is not null)
        {
            await _app.DisposeAsync();
        }
        if (_isDead)
        {
            return;
        }
        foreach (var destination in Pipeline.Destinations)
        {
            destination.Dispose();
        }
        Pipeline.InputLog?.Dispose();
        Pipeline.OutputLog.Dispose();
    }

    private string? NotAccepting() => IsBroken ? throw new InvalidOperationException("a bug") : Refusal;

    private async Task ListenAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        var intake = new WriteIntake(Pipeline.Ingest, _config.Ingest, Counters, NotAccepting);
        if (_hasReceiveLoops)
        {
            builder.Services.AddSingleton<IConnectionListenerFactory>(
                services => new ReceiveLoops(
                    intake, services.GetRequiredService<ILoggerFactory>(), TimeProvider.System, _slowness));
        }
        builder.WebHost.UseKestrelCore();
        builder.WebHost.ConfigureKestrel(options =>
        {
            options.Limits.MaxRequestBodySize = _config.Ingest.MaxRequestBytes + 1;
            options.Limits.MinRequestBodyDataRate = new MinDataRate(240, _slowness);
            options.Listen(IPAddress.Loopback, 0);
        });
        _app = builder.Build();
        new WriteEndpoints(intake).Map(_app);
        await _app.StartAsync();
        Port = new Uri(_app.Urls.ShouldHaveSingleItem()).Port;
    }
}
