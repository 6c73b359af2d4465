namespace Millrace.Tests.Pipeline;

public sealed class StopFullTests
{
    /// <summary>What the logs leave free even for closes and outputs: a quarter of <c>log.min_free_bytes</c>.</summary>
    private const long MinFreeBytes = 64 << 20;

    private const string Yaml = """
        aggregation:
          catch_up: 0s
          rules:
          - {name: ra, match: m, interval: 10s, allowed_lateness: 1s, by: [pod], outputs: [sum_samples]}
        destinations:
        - name: storage
          remote_write: {url: 'http://127.0.0.1:1/', protocol: prometheus_v1}
        """;

    [Fact]
    public async Task A_stop_ends_where_the_disk_has_no_room_for_a_window_which_the_next_start_writes()
    {
        const int Series = 20_000;
        var rig = new ChainRig(Yaml) { Workers = 1 }.Start();
        rig.RunTo(10);
        var random = new Random(1);
        rig.Push([.. Enumerable.Range(0, Series).Select(_ => $"15 m{{pod={random.NextInt64():x16}}} 1")]);
        rig.RunTo(19);
        var capacityBytes = rig.Disk.CapacityBytes;
        // Room for the close record, and not for what it gives.
        rig.Disk.CapacityBytes = rig.Disk.UsedBytes + MinFreeBytes + 8_000;
        rig.Advance(3);
        rig.Pipeline.Tick();
        await rig.Pipeline.StopAsync().WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken);
        rig.Pipeline.Engine.Emitter.QueueLength.ShouldBeGreaterThan(0);
        rig.Pipeline.Engine.Emitter.EmittedWindows.ShouldBe(0);

        rig.Kill();
        rig.Disk.CapacityBytes = capacityBytes;
        rig.Start();
        rig.RunTo(25);
        rig.Points("storage").Count().ShouldBe(Series);
        rig.Stop();
    }
}
