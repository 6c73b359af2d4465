using System.Globalization;
using Millrace.Configuration;
using Millrace.Delivery;
using Millrace.Pipeline;
using Millrace.TestKit;
using Millrace.TestKit.Conformance;
using Millrace.TestKit.Simulation;
using Millrace.Tests.Simulation;

namespace Millrace.Tests.Pipeline;

/// <summary>
/// A whole gateway without threads whose routes stand behind each other. Time is in seconds since a boundary of every
/// window, one second after which it starts. All that is delivered is kept, by destination.
/// </summary>
internal sealed class ChainRig
{
    private readonly SimulationClock _time = new();
    private readonly SortedDictionary<(string Destination, long TimeMs, string Series), double> _points = [];
    private readonly List<byte[]> _waiting = [];
    private readonly long _originMs;
    private RunningPipeline? _pipeline;
    private int _starts;
    private bool _lostPower;

    public ChainRig(string yaml, Func<MillraceConfig, MillraceConfig>? change = null)
    {
        _originMs = _time.TrueMs;
        _time.Advance(1_000);
        _change = change ?? (static config => config);
        Config = Load(yaml);
    }

    private readonly Func<MillraceConfig, MillraceConfig> _change;

    public FaultyDisk Disk { get; private set; } = new(1);

    public RunningPipeline Pipeline => _pipeline!;

    /// <summary>Threads beside the caller's; after each tick it waits until they have nothing left to do.</summary>
    public int Workers { get; init; }

    public MillraceConfig Config { get; private set; }

    public long OriginMs => _originMs;

    /// <summary>How it ends where the disk is told to halt.</summary>
    public CrashKind HaltKind { get; init; } = CrashKind.Kill;

    public double Second => _time.ElapsedMs / 1_000.0;

    /// <summary>Of samples in events: each destination's, "second series value" in order.</summary>
    public IEnumerable<string> Points(string destination) => _points
        .Where(point => point.Key.Destination == destination)
        .Select(point => string.Create(CultureInfo.InvariantCulture,
            $"{(point.Key.TimeMs - _originMs) / 1_000.0} {point.Key.Series} {point.Value:R}"));

    public IReadOnlyDictionary<(string Destination, long TimeMs, string Series), double> All => _points;

    public ChainRig Start()
    {
        _pipeline = PipelineBuilder.Build(Config, new PipelineEnvironment
        {
            Disk = Disk,
            Time = _time,
            Random = new Random(++_starts),
            Workers = Workers,
            Failed = static problem => throw new InvalidOperationException(problem),
        });
        _pipeline.StartAsync(CancellationToken.None).Wait(TimeSpan.FromSeconds(30)).ShouldBeTrue();
        _pipeline.Ingest.IsLive.ShouldBeTrue();
        return this;
    }

    public void Stop()
    {
        foreach (var destination in Pipeline.Destinations)
        {
            destination.BeginStop();
            destination.FinishStop(Pipeline.Ingest.NowMs);
        }
        Pipeline.StopAsync().Wait(TimeSpan.FromSeconds(30)).ShouldBeTrue();
    }

    /// <summary>The process is gone at once; the disk keeps what was written.</summary>
    public void Kill(CrashKind kind = CrashKind.Kill)
    {
        _lostPower |= kind != CrashKind.Kill;
        Disk = Disk.Crash(kind);
    }

    /// <summary>Time passes, and nothing is done.</summary>
    public void Advance(int seconds) => _time.Advance(seconds * 1_000L);

    public void Reload(string yaml)
    {
        Config = Load(yaml);
        Guarded(() => Pipeline.TryReload(Config).ShouldBeTrue());
    }

    /// <summary>Sends samples, each "seconds name{label=value,…} value", in one request.</summary>
    public void Push(params string[] samples) => Push(samples.Select(Read));

    public void Push(IEnumerable<(double Second, PlainSeries Series, double Value)> samples)
    {
        _waiting.Add(PlainRemoteWrite.Encode([.. samples.Select(sample =>
            new PlainSample(sample.Series, _originMs + (long)(sample.Second * 1_000), sample.Value))]));
        PushWaiting();
    }

    /// <summary>Ticks and delivery up to a time.</summary>
    public void RunTo(double second, long stepMs = 500)
    {
        while (_time.ElapsedMs < second * 1_000)
        {
            _time.Advance(Math.Min(stepMs, (long)(second * 1_000) - _time.ElapsedMs));
            Guarded(() =>
            {
                Pipeline.Tick();
                Settle();
                Deliver();
            });
            PushWaiting();
        }
    }

    public static (double Second, PlainSeries Series, double Value) Read(string sample)
    {
        var words = sample.Split(' ');
        var open = words[1].IndexOf('{', StringComparison.Ordinal);
        var labels = new List<(string, string)> { (PlainSeries.MetricName, open < 0 ? words[1] : words[1][..open]) };
        foreach (var pair in open < 0 ? [] : words[1][(open + 1)..^1].Split(','))
        {
            labels.Add((pair.Split('=')[0], pair.Split('=')[1]));
        }
        return (double.Parse(words[0], CultureInfo.InvariantCulture), PlainSeries.Of([.. labels]),
            double.Parse(words[2], CultureInfo.InvariantCulture));
    }

    /// <summary>A sender repeats what it got no answer for.</summary>
    private void PushWaiting()
    {
        for (var tries = 0; _waiting.Count > 0 && tries < 10; tries++)
        {
            Guarded(() =>
            {
                Pipeline.Ingest.Push(
                    _waiting[0], new BodyEncoding(BodyProtocol.RemoteWriteV1, BodyCompression.Snappy), out _)
                    .Status.ShouldBe(PushStatus.Accepted);
                _waiting.RemoveAt(0);
            });
        }
    }

    private void Guarded(Action action)
    {
        try
        {
            action();
        }
        catch (DiskHaltedException)
        {
            Kill(HaltKind);
            Start();
        }
    }

    private void Settle()
    {
        // Blocks of a tick are sealed by the flush behind it; what emitters append comes to workers again.
        for (var round = 0; Workers > 0 && round < 2; round++)
        {
            Pipeline.Ingest.FlushAsync(Pipeline.Ingest.NowMs, everything: false).Wait(TimeSpan.FromSeconds(30))
                .ShouldBeTrue();
            SpinWait.SpinUntil(() => Pipeline.Engine.Emitter.QueueLength == 0, TimeSpan.FromSeconds(30)).ShouldBeTrue();
        }
    }

    private void Deliver()
    {
        foreach (var destination in Pipeline.Destinations)
        {
            while (destination.TryTakeDue(Pipeline.Ingest.NowMs, out var sending))
            {
                foreach (var point in PlainRemoteWrite.DecodeSnappy(sending.Body.Span))
                {
                    var key = (destination.Name, point.TimestampMs, PlainSeriesText.TextOf(point.Series));
                    if (!_points.TryAdd(key, point.Value))
                    {
                        BitConverter.DoubleToInt64Bits(_points[key])
                            .ShouldBe(BitConverter.DoubleToInt64Bits(point.Value), $"{key}");
                        (sending.IsRepeat || _lostPower).ShouldBeTrue($"{key} came twice");
                    }
                }
                destination.Complete(sending, new SendResult { StatusCode = 204 }, Pipeline.Ingest.NowMs);
            }
        }
    }

    private MillraceConfig Load(string yaml)
    {
        var loaded = ConfigLoader.Load("test.yml", _ => null, path => path == "test.yml" ? yaml : null);
        loaded.Problems.ShouldBeEmpty();
        var config = loaded.Config!;
        return _change(config with
        {
            Log = config.Log with { Path = "/data" },
            Destinations =
                [.. config.Destinations.Select(one => one with { FlushInterval = TimeSpan.Zero, Lanes = 1 })],
        });
    }
}
