using Millrace.Configuration;
using Millrace.Pipeline;
using Millrace.TestKit;
using Millrace.TestKit.Simulation;
using Millrace.Tests.Simulation;

namespace Millrace.Tests.Pipeline;

public sealed class LogOutageTests
{
    private readonly LogOutage _outage = new();

    [Fact]
    public void Lasts_from_the_first_refusal_to_the_next_acceptance()
    {
        _outage.Accepted(500);
        _outage.TryTake(out _, out _).ShouldBeFalse();
        _outage.Refused(1_000);
        _outage.Refused(5_000);
        _outage.IsUnderWay.ShouldBeTrue();
        _outage.Accepted(9_000);
        _outage.IsUnderWay.ShouldBeFalse();
        _outage.TryTake(out var lastedMs, out var endedMs).ShouldBeTrue();
        (lastedMs, endedMs).ShouldBe((8_000, 9_000));
        _outage.TryTake(out _, out _).ShouldBeFalse();
    }

    [Fact]
    public void Ends_when_nobody_tries_any_more_and_there_is_room()
    {
        _outage.Refused(1_000);
        _outage.EndIfQuiet(50_000, hasSpace: true);
        _outage.IsUnderWay.ShouldBeTrue();
        _outage.EndIfQuiet(70_000, hasSpace: false);
        _outage.IsUnderWay.ShouldBeTrue();
        _outage.EndIfQuiet(70_000, hasSpace: true);
        _outage.IsUnderWay.ShouldBeFalse();
    }

    [Fact]
    public void Closes_wait_while_the_disk_is_full_and_then_for_what_senders_kept()
    {
        const string Yaml = """
            aggregation:
              rules: [{match: requests_total, interval: 10s, allowed_lateness: 1s, outputs: [count_samples]}]
            destinations: [{name: storage, remote_write: {url: 'http://127.0.0.1:1/'}}]
            """;
        var time = new SimulationClock();
        var disk = new FaultyDisk(1);
        var config = ConfigLoader.Load("test.yml", _ => null, path => path == "test.yml" ? Yaml : null).Config!;
        config = config with { Log = config.Log with { Path = "/data", MinFreeBytes = 16 << 10 } };
        var pipeline = PipelineBuilder.Build(
            config, new PipelineEnvironment { Disk = disk, Time = time, Random = new Random(1) });
        pipeline.StartAsync(CancellationToken.None).IsCompletedSuccessfully.ShouldBeTrue();
        var startMs = time.TrueMs;

        PushStatus Push(long second)
        {
            var series = PlainSeries.Of((PlainSeries.MetricName, "requests_total"));
            return pipeline.Ingest.Push(
                PlainRemoteWrite.Encode([new PlainSample(series, startMs + second * 1_000, second)]),
                new BodyEncoding(BodyProtocol.RemoteWriteV1, BodyCompression.Snappy), out _).Status;
        }

        var kept = new List<long>();
        var closedAt = 0L;
        for (var second = 1; second < 80; second++)
        {
            time.Advance(1_000);
            disk.CapacityBytes = second is >= 15 and < 35 ? disk.UsedBytes + (8 << 10) : long.MaxValue;
            kept.Add(second);
            kept.RemoveAll(sample => second != 35 && Push(sample) == PushStatus.Accepted);
            pipeline.Tick();
            if (closedAt == 0 && pipeline.Engine.Emitter.LastEmitted.Values.Any(end => end >= startMs + 20_000))
            {
                closedAt = second;
            }
        }
        // 36: accepted again, after 21 seconds; so long closes wait.
        closedAt.ShouldBe(57);
        kept.ShouldBeEmpty();
        pipeline.Engine.Shards.Sum(shard => shard.Counters.LateSamples.Sum()).ShouldBe(0);
    }
}
