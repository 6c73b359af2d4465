using Millrace.Aggregation.Histograms;
using Millrace.Configuration;
using Millrace.Pipeline;
using Millrace.Protocols;
using Millrace.Protocols.Compression;
using Millrace.Protocols.RemoteWrite;
using Millrace.TestKit;
using Millrace.Tests.Aggregation.Histograms;
using Millrace.Tests.Protocols;
using Millrace.Tests.Simulation;

namespace Millrace.Tests.Pipeline;

/// <summary>Native histograms from a request to the block of a closed window, over a crash.</summary>
public sealed class HistogramPipelineTests
{
    private const string Yaml = """
        aggregation:
          catch_up: 0s
          rules:
          - {match: h, interval: 10s, by: [job], allowed_lateness: 1s, outputs: [sum_last, increase]}
          - {match: other, interval: 10s, by: [job], outputs: [max]}
        destinations:
        - {name: storage, remote_write: {url: 'http://127.0.0.1:1/', protocol: prometheus_v1}, lanes: 1}
        """;

    private readonly SimulationClock _time = new();
    private FaultyDisk _disk = new(1);
    private int _starts;

    [Fact]
    public void Histograms_are_aggregated_and_survive_a_crash()
    {
        var pipeline = Start();
        Push(pipeline, "h", ("a", 1_000), ("b", 2_000));
        Push(pipeline, "other", ("a", 1_000));
        pipeline.Engine.Ledger.Total.Histograms.ShouldBe(3);
        pipeline.Engine.Ledger.Total.DroppedExtras.ShouldBe(1, "max makes nothing of histograms");
        _disk = _disk.Crash(CrashKind.Kill);

        pipeline = Start();
        Push(pipeline, "h", ("b", 5_000));
        _time.Advance(12_000);
        pipeline.Tick();

        pipeline.Destinations[0].TryTakeDue(pipeline.Ingest.NowMs, out var sending).ShouldBeTrue();
        var lines = Decoded(sending.Body.Span);
        lines.Count.ShouldBe(6);
        lines[0].ShouldBe("series __name__=h:10s_by_job_sum_last,job=x");
        Shown(lines[1]).ShouldBe("0/0.001 count 8 sum 11 zero 2 [-2:2 -1:4] [] False Gauge");
        lines[2].ShouldBe("series __name__=h:10s_by_job_increase,job=x");
        Shown(lines[3]).ShouldBe("0/0.001 count 0 sum 0 zero 0 [] [] False Gauge");
        lines[4].ShouldStartWith("metadata h:10s_by_job_sum_last GaugeHistogram ");
        lines[5].ShouldStartWith("metadata h:10s_by_job_increase GaugeHistogram ");
    }

    private RunningPipeline Start()
    {
        var config = ConfigLoader.Load("test.yml", _ => null, path => path == "test.yml" ? Yaml : null).Config!;
        var pipeline = PipelineBuilder.Build(
            config with { Log = config.Log with { Path = "/data" } },
            new PipelineEnvironment
            {
                Disk = _disk,
                Time = _time,
                Random = new Random(++_starts),
                Workers = 0,
                Failed = failure => throw new InvalidOperationException(failure),
            });
        pipeline.StartAsync(CancellationToken.None).IsCompletedSuccessfully.ShouldBeTrue();
        return pipeline;
    }

    private void Push(RunningPipeline pipeline, string name, params (string Pod, long AfterMs)[] samples)
    {
        var startMs = _time.TrueMs - _time.ElapsedMs;
        var body = RemoteWriteBodies.V1(samples.Select(sample => new SeriesModel(
            SeriesModel.LabelsOf("__name__", name, "job", "x", "pod", sample.Pod))
        {
            Histograms = [(startMs + sample.AfterMs, 5.5)],
        }));
        pipeline.Ingest.Push(body, new BodyEncoding(BodyProtocol.RemoteWriteV1, BodyCompression.None), out _)
            .Status.ShouldBe(PushStatus.Accepted);
    }

    private static List<string> Decoded(ReadOnlySpan<byte> block)
    {
        Snappy.TryGetDecodedLength(block, out var length).ShouldBeTrue();
        var plain = new byte[length];
        Snappy.TryDecode(block, plain).ShouldBeTrue();
        var record = new RecordingSink.Record();
        var sink = new RecordingSink(record);
        RemoteWriteV1Decoder.TryDecode(plain, ref sink, DecodeLimits.Default, out var error).ShouldBeTrue(error);
        return record.Lines;
    }

    private static string Shown(string line)
    {
        var message = Convert.FromHexString(line.Split(' ')[2]);
        HistogramCodec.TryRead(message, 0, out var histogram).ShouldBeTrue();
        return Histograms.Text(histogram);
    }
}
