using Millrace.Configuration;
using Millrace.Pipeline;
using Millrace.TestKit;
using Millrace.TestKit.Simulation;
using Millrace.Tests.Protocols;
using Millrace.Tests.Simulation;

namespace Millrace.Tests.Pipeline;

public sealed class PushAllocationTests
{
    /// <summary>
    /// Without a log and without anything to send: an entry of the request memory now and then, amortised growth of its
    /// tables left out by taking the best of several runs.
    /// </summary>
    private const long MostBytesPerRequest = 512;

    [Fact]
    public void A_body_of_known_series_allocates_nothing_per_sample()
    {
        var small = BytesOfPush(series: 10);
        var large = BytesOfPush(series: 1_000);
        small.ShouldBeLessThanOrEqualTo(MostBytesPerRequest);
        large.ShouldBeLessThanOrEqualTo(MostBytesPerRequest);
    }

    private static long BytesOfPush(int series)
    {
        const string Yaml = """
            log: {durability: memory}
            aggregation:
              rules:
              - {match: 'requests_total', interval: 1h, without: [pod], outputs: [total, rate_sum]}
              - {match: 'requests_total', interval: 1h, by: [pod], outputs: [sum_samples]}
            destinations:
            - {name: storage, remote_write: {url: 'http://127.0.0.1:1/'}}
            """;
        var config = ConfigLoader.Load("test.yml", _ => null, path => path == "test.yml" ? Yaml : null).Config!;
        var time = new SimulationClock();
        var pipeline = PipelineBuilder.Build(config with { Log = config.Log with { Path = "/data" } },
            new PipelineEnvironment { Disk = new FaultyDisk(1), Time = time, Random = new Random(1), Workers = 0 });
        pipeline.StartAsync(CancellationToken.None).IsCompletedSuccessfully.ShouldBeTrue();
        var encoding = new BodyEncoding(BodyProtocol.RemoteWriteV1, BodyCompression.Snappy);
        var bodies = new Queue<byte[]>();
        for (var i = 0; i < 20; i++)
        {
            bodies.Enqueue(Body(series, time.TrueMs + i));
        }
        PushStatus Push() => pipeline.Ingest.Push(bodies.Dequeue(), encoding, out _).Status;
        Push().ShouldBe(PushStatus.Accepted);
        Push();
        Push();
        var (status, bytes) = Allocations.Of(Push);
        status.ShouldBe(PushStatus.Accepted);
        pipeline.Engine.Ledger.Total.Aggregated.ShouldBe(9L * series);
        return bytes;
    }

    private static byte[] Body(int series, long timestampMs)
    {
        var samples = new List<PlainSample>();
        for (var i = 0; i < series; i++)
        {
            var labels = PlainSeries.Of((PlainSeries.MetricName, "requests_total"), ("pod", $"pod-{i}"));
            samples.Add(new PlainSample(labels, timestampMs, i));
        }
        return PlainRemoteWrite.Encode(samples);
    }
}
