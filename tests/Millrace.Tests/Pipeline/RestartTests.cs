using Millrace.Configuration;
using Millrace.Pipeline;
using Millrace.TestKit;
using Millrace.TestKit.Simulation;
using Millrace.Tests.Simulation;

namespace Millrace.Tests.Pipeline;

/// <summary>What the simulation found about starts and restarts, each by itself.</summary>
public sealed class RestartTests
{
    private const string Yaml = """
        aggregation:
          rules: [{match: 'requests_total', interval: 1h, without: [pod], outputs: [total]}]
        routes: [{name: all, keep_input: true}]
        destinations:
        - {name: storage, remote_write: {url: 'http://127.0.0.1:1/', protocol: prometheus_v1}, lanes: 1}
        """;

    private readonly SimulationClock _time = new();
    private readonly List<string> _failures = [];
    private readonly MillraceConfig _config;
    private FaultyDisk _disk = new(1);
    private int _starts;

    public RestartTests()
    {
        var config = ConfigLoader.Load("test.yml", _ => null, path => path == "test.yml" ? Yaml : null).Config!;
        _config = config with { Log = config.Log with { Path = "/data" } };
    }

    [Fact]
    public void Accepts_nothing_before_its_configuration_is_in_the_log()
    {
        Push(Build(), 1).Status.ShouldBe(PushStatus.NotReady);
        Push(Start(new FaultyDisk(2)), 1).Status.ShouldBe(PushStatus.Accepted);
    }

    [Fact]
    public void A_log_that_cannot_be_read_does_not_end_there()
    {
        Push(Start(_disk), 1);
        _disk = _disk.Crash(CrashKind.Kill);
        var pipeline = Build();
        _disk.FailNextReads(1);
        pipeline.StartAsync(CancellationToken.None).IsCompletedSuccessfully.ShouldBeTrue();
        pipeline.Ingest.IsLive.ShouldBeFalse();
        _failures.Single().ShouldContain("could not be replayed");
    }

    [Fact]
    public void A_request_repeated_during_the_replay_counts_once()
    {
        Push(Start(_disk), 1);
        _disk = _disk.Crash(CrashKind.Kill);
        var watched = new WatchedDisk(_disk);
        var pipeline = Build(watched);
        var repeat = new PushResult(PushStatus.Failed, default);
        var endLsn = pipeline.InputLog!.NextLsn;
        watched.Reading = () =>
        {
            if (pipeline.InputLog.NextLsn == endLsn + 1 && pipeline.Replayer!.NextLsn < endLsn)
            {
                repeat = Push(pipeline, 1);
            }
        };
        pipeline.StartAsync(CancellationToken.None).IsCompletedSuccessfully.ShouldBeTrue();
        repeat.Status.ShouldBe(PushStatus.Accepted);
        pipeline.Engine.Ledger.Total.Samples.ShouldBe(3);
        // And so it does in the next life.
        _disk = _disk.Crash(CrashKind.Kill);
        Start(_disk).Engine.Ledger.Total.Samples.ShouldBe(3);
    }

    [Fact]
    public void Closes_wait_as_long_as_nothing_was_taken_also_after_a_start_that_took_nothing()
    {
        Push(Start(_disk), 1);
        Crash(downtimeMs: 40_000);
        Build().TryBegin().ShouldBeTrue();
        Crash(downtimeMs: 5_000);

        var pipeline = Start(_disk);

        (pipeline.ClosesHeldUntilMs - pipeline.Ingest.NowMs).ShouldBe(45_000);
    }

    [Fact]
    public void Closes_wait_although_a_base_is_the_last_record()
    {
        var before = Start(_disk);
        Push(before, 1);
        before.StopAsync().IsCompletedSuccessfully.ShouldBeTrue();
        Crash(downtimeMs: 5_000);

        var pipeline = Start(_disk);

        (pipeline.ClosesHeldUntilMs - pipeline.Ingest.NowMs).ShouldBe(5_000);
    }

    [Fact]
    public void Ends_when_the_files_of_a_destination_cannot_be_synced()
    {
        var pipeline = Start(_disk);
        Push(pipeline, 1);
        pipeline.InputLog!.Sync().ShouldBeTrue();
        pipeline.OutputLog.Sync().ShouldBeTrue();
        _disk.FailNextSyncs(1);
        Tick(pipeline, 2_000);
        _failures.ShouldHaveSingleItem().ShouldContain("'storage' could not be synced");
    }

    [Fact]
    public void Times_in_the_log_only_rise_although_the_wall_clock_was_set_back()
    {
        var before = Start(_disk);
        _time.Advance(1_000);
        Push(before, 1);
        var lastMs = before.Ingest.NowMs;
        _disk = _disk.Crash(CrashKind.Kill);
        _time.WallOffset = TimeSpan.FromMinutes(-10);
        Build().Ingest.NowMs.ShouldBe(lastMs);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_block_whose_answer_was_lost_is_built_again_as_the_same_bytes(bool otherConfiguration)
    {
        var first = Start(_disk);
        Push(first, 1);
        Tick(first, 500);
        Push(first, 2, "requests_total");
        _disk = _disk.Crash(CrashKind.Kill);

        // The second life builds a block over what the first one logged and what it gets itself.
        var second = Start(_disk);
        Push(second, 3, "requests_total");
        Tick(second, 5_000);
        second.Destinations[0].TryTakeDue(second.Ingest.NowMs, out var lost).ShouldBeTrue();
        _disk = _disk.Crash(CrashKind.Kill);

        // In the third, a changed configuration makes each record of the old one bring a series cache of its own.
        var third = otherConfiguration ? Start(_disk, Load(Yaml + "\nroute_mode: all")) : Start(_disk);
        third.Destinations[0].TryTakeDue(third.Ingest.NowMs, out var again).ShouldBeTrue();
        again.IsRepeat.ShouldBeTrue();
        again.Body.ToArray().ShouldBe(lost.Body.ToArray());
    }

    private MillraceConfig Load(string yaml)
    {
        var config = ConfigLoader.Load("test.yml", _ => null, path => path == "test.yml" ? yaml : null).Config!;
        return config with { Log = _config.Log };
    }

    private RunningPipeline Start(FaultyDisk disk, MillraceConfig? config = null)
    {
        _disk = disk;
        var pipeline = Build(config: config);
        pipeline.StartAsync(CancellationToken.None).IsCompletedSuccessfully.ShouldBeTrue();
        pipeline.Ingest.IsLive.ShouldBeTrue();
        return pipeline;
    }

    private RunningPipeline Build(WatchedDisk? watched = null, MillraceConfig? config = null) =>
        PipelineBuilder.Build(config ?? _config, new PipelineEnvironment
        {
            Disk = watched is null ? _disk : watched,
            Time = _time,
            Random = new Random(++_starts),
            Workers = 0,
            Failed = _failures.Add,
        });

    private void Crash(long downtimeMs)
    {
        _disk = _disk.Crash(CrashKind.Kill);
        _time.Advance(downtimeMs);
    }

    private void Tick(RunningPipeline pipeline, long afterMs)
    {
        _time.Advance(afterMs);
        pipeline.Tick();
    }

    private PushResult Push(RunningPipeline pipeline, int number, string family = "")
    {
        var samples = new List<PlainSample>();
        foreach (var metric in new[] { "requests_total", "up", "down" })
        {
            var series = PlainSeries.Of((PlainSeries.MetricName, metric), ("pod", "a"));
            samples.Add(new PlainSample(series, 1_767_607_200_000 + number, number));
        }
        var body = family.Length == 0 ? PlainRemoteWrite.Encode(samples) : PlainRemoteWrite.Encode(samples, family);
        return pipeline.Ingest.Push(
            body, new BodyEncoding(BodyProtocol.RemoteWriteV1, BodyCompression.Snappy), out _);
    }
}
