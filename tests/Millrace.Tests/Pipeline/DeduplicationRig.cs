using Millrace.Configuration;
using Millrace.Delivery;
using Millrace.Pipeline;
using Millrace.TestKit;
using Millrace.TestKit.Simulation;
using Millrace.Tests.Simulation;

namespace Millrace.Tests.Pipeline;

/// <summary>A pipeline on a manual clock and a disk; backends take everything at once.</summary>
internal sealed class DeduplicationRig
{
    /// <summary>The clock's start: a boundary of all intervals of the tests.</summary>
    public const long T0 = 1_767_607_200_000;

    private readonly SimulationClock _time = new();
    private MillraceConfig _config;
    private FaultyDisk _disk = new(1);
    private int _starts;

    public DeduplicationRig(string yaml)
    {
        _config = Load(yaml);
        Pipeline = Start();
    }

    public RunningPipeline Pipeline { get; private set; }

    /// <summary>What was sent, with the destination's name in front; times count from <see cref="T0"/>.</summary>
    public List<string> Sent { get; } = [];

    public List<byte[]> Bodies { get; } = [];

    /// <summary>Time goes on to so long after T0.</summary>
    public void GoTo(long ms)
    {
        _time.Advance(ms - (_time.TrueMs - T0));
        Pipeline.Tick();
        Send();
    }

    public void Push(params ReadOnlySpan<(string Series, long TimeMs, double Value)> samples)
    {
        var plain = new List<PlainSample>();
        foreach (var (series, timeMs, value) in samples)
        {
            plain.Add(new PlainSample(SeriesOf(series), T0 + timeMs, value));
        }
        Push(PlainRemoteWrite.Encode(plain), new(BodyProtocol.RemoteWriteV1, BodyCompression.Snappy));
    }

    public void Push(byte[] body, BodyEncoding encoding) =>
        Pipeline.Ingest.Push(body, encoding, out _).Status.ShouldBe(PushStatus.Accepted);

    public void Kill()
    {
        _disk = _disk.Crash(CrashKind.Kill);
        Pipeline = Start();
    }

    public void StopAndStart()
    {
        foreach (var destination in Pipeline.Destinations)
        {
            destination.BeginStop();
            destination.FinishStop(Pipeline.Ingest.NowMs);
        }
        Pipeline.StopAsync().IsCompletedSuccessfully.ShouldBeTrue();
        Pipeline = Start();
    }

    public void Reload(string yaml)
    {
        _config = Load(yaml);
        Pipeline.TryReload(_config).ShouldBeTrue();
    }

    private static MillraceConfig Load(string yaml)
    {
        var loaded = ConfigLoader.Load("test.yml", _ => null, path => path == "test.yml" ? yaml : null);
        loaded.Problems.ShouldBeEmpty();
        return loaded.Config! with { Log = loaded.Config!.Log with { Path = "/data" } };
    }

    private RunningPipeline Start()
    {
        var pipeline = PipelineBuilder.Build(_config, new PipelineEnvironment
        {
            Disk = _disk,
            Time = _time,
            Random = new Random(++_starts),
            Workers = 0,
        });
        pipeline.StartAsync(CancellationToken.None).IsCompletedSuccessfully.ShouldBeTrue();
        return pipeline;
    }

    private void Send()
    {
        foreach (var destination in Pipeline.Destinations)
        {
            while (destination.TryTakeDue(Pipeline.Ingest.NowMs, out var sending))
            {
                Bodies.Add(sending.Body.ToArray());
                foreach (var sample in Decode(sending))
                {
                    Sent.Add(FormattableString.Invariant(
                        $"{destination.Config.Name}: {Text(sample.Series)} {sample.Value} @{sample.TimestampMs - T0}"));
                }
                destination.Complete(sending, SendResult.Status(204), Pipeline.Ingest.NowMs);
            }
        }
    }

    private static List<PlainSample> Decode(Sending sending)
    {
        try
        {
            return PlainRemoteWrite.DecodeSnappy(sending.Body.Span);
        }
        catch (System.IO.InvalidDataException)
        {
            return []; // Exemplars, start timestamps: the test looks at the body.
        }
    }

    private static PlainSeries SeriesOf(string text)
    {
        var labels = new List<KeyValuePair<string, string>> { new(PlainSeries.MetricName, text.Split('{')[0]) };
        foreach (var label in text.Contains('{') ? text.Split('{')[1].TrimEnd('}').Split(',') : [])
        {
            labels.Add(new(label.Split('=')[0], label.Split('=')[1]));
        }
        return new PlainSeries(labels);
    }

    private static string Text(PlainSeries series)
    {
        var labels = string.Join(',', series.Labels.Where(label => label.Key != PlainSeries.MetricName)
            .Select(label => $"{label.Key}={label.Value}"));
        return labels.Length == 0 ? series.Name : $"{series.Name}{{{labels}}}";
    }
}
