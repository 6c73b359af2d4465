using System.Text;
using Millrace.Configuration;
using Millrace.Delivery;
using Millrace.Ingest;
using Millrace.Pipeline;
using Millrace.TestKit;
using Millrace.Tests.Configuration;
using Millrace.Web;

namespace Millrace.Tests.Web;

/// <summary>A whole gateway without HTTP, threads or a real clock, with one fake backend per destination.</summary>
internal sealed class GatewayRig : IDisposable
{
    private static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private static readonly TimeSpan Step = TimeSpan.FromMilliseconds(100);

    private readonly ManualTimeProvider _time = new(Start);
    private readonly MillraceConfig _config;

    public GatewayRig(string configText)
    {
        _config = LoadedConfig.Good(configText);
        (State, Endpoints) = Build();
        CatchUp();
    }

    public FaultyDisk Disk { get; } = new(seed: 1);

    public Dictionary<string, FakeBackend> Backends { get; } = [];

    public IngestCounters Ingest { get; } = new();

    /// <summary>What the process as a whole says.</summary>
    public string? Refusal { get; set; }

    public GatewayState State { get; private set; }

    public StatusEndpoints Endpoints { get; private set; }

    public RunningPipeline Pipeline => State.Pipeline;

    public long NowMs => _time.GetUtcNow().ToUnixTimeMilliseconds();

    public string Page => Endpoints.Metrics();

    /// <summary>Sends lines of the Prometheus text format; <c>NOW</c> in them is the time in milliseconds.</summary>
    public PushResult Push(string lines) => Pipeline.Ingest.Push(
        Encoding.UTF8.GetBytes(lines.Replace("NOW", $"{NowMs}", StringComparison.Ordinal) + "\n"),
        new BodyEncoding(BodyProtocol.PrometheusText, BodyCompression.None), out _);

    public void Run(TimeSpan span)
    {
        for (var end = _time.GetUtcNow() + span; _time.GetUtcNow() < end;)
        {
            _time.Advance(Step);
            Pipeline.Tick();
            foreach (var destination in Pipeline.Destinations)
            {
                Send(destination);
            }
        }
    }

    /// <summary>A graceful stop, and a new start that has not begun to replay.</summary>
    public async Task RestartAsync()
    {
        await Pipeline.StopAsync();
        (State, Endpoints) = Build();
    }

    public void CatchUp() => Pipeline.StartAsync(CancellationToken.None).IsCompletedSuccessfully.ShouldBeTrue();

    public void Dispose()
    {
        foreach (var destination in Pipeline.Destinations)
        {
            destination.Dispose();
        }
        Pipeline.InputLog?.Dispose();
        Pipeline.OutputLog.Dispose();
    }

    private void Send(Destination destination)
    {
        if (!Backends.TryGetValue(destination.Name, out var backend))
        {
            Backends[destination.Name] = backend = new FakeBackend(BackendKind.VictoriaMetrics);
        }
        while (destination.TryTakeDue(NowMs, out var sending))
        {
            destination.Complete(sending, backend.Receive(sending, NowMs).Result, NowMs);
        }
    }

    private (GatewayState State, StatusEndpoints Endpoints) Build()
    {
        var state = new GatewayState
        {
            Pipeline = PipelineBuilder.Build(
                _config, new PipelineEnvironment { Disk = Disk, Time = _time, Random = new Random(1) }),
            Config = _config,
            Ingest = Ingest,
            StartedAt = Start,
            Time = _time,
            NotReady = () => Refusal,
        };
        return (state, new StatusEndpoints(state));
    }
}
