using System.Diagnostics;
using System.Globalization;
using Millrace.Membership;
using Millrace.TestKit.Processes;

namespace Millrace.SystemTests.EndToEnd;

/// <summary>Real nodes are killed and paused; the time until that is known is measured.</summary>
public sealed class NodeHealthTests(ITestOutputHelper output)
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(20);

    [Fact]
    public async Task Nodes_that_are_killed_or_paused_are_down_within_five_seconds_and_come_back()
    {
        Needs.Peer(Peers.VictoriaMetrics);
        await using var a = new VictoriaMetricsNode();
        await using var b = new VictoriaMetricsNode();
        await using var c = new VictoriaMetricsNode();
        await Task.WhenAll(a.StartAsync(), b.StartAsync(), c.StartAsync());
        var health = new Health(new HealthConfig());
        using var probe = new HealthProbe(health, TimeProvider.System, new Random(1), () => { });
        probe.SetNodes([a.Node("a"), b.Node("b"), c.Node("c")]);
        await Task.Delay(TimeSpan.FromSeconds(3), TestContext.Current.CancellationToken);
        health.View().ShouldAllBe(view => view.State == HealthState.Healthy && view.Probes >= 2);

        var clock = Stopwatch.StartNew();
        c.Process.Pause();
        await b.Process.Kill9Async();
        await WaitAsync("killed", () => !health.IsUp("b"), clock, TimeSpan.FromSeconds(5));
        await WaitAsync("paused", () => !health.IsUp("c"), clock, TimeSpan.FromSeconds(5));
        health.IsUp("a").ShouldBeTrue();

        clock.Restart();
        c.Process.Resume();
        await b.StartAsync();
        // What is left of ten seconds, and three good probes.
        await WaitAsync("both back", () => health.Down.Count == 0, clock, TimeSpan.FromSeconds(16));
        health.View().Select(view => view.Falls).ShouldBe([0, 1, 1]);
        await probe.StopAsync();
    }

    private async Task WaitAsync(string what, Func<bool> isSo, Stopwatch clock, TimeSpan most)
    {
        while (!isSo())
        {
            clock.Elapsed.ShouldBeLessThan(most, what);
            await Task.Delay(Poll, TestContext.Current.CancellationToken);
        }
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{what}: {clock.Elapsed.TotalSeconds:0.00} s"));
    }

    /// <summary>A VictoriaMetrics that can be started again where it was.</summary>
    private sealed class VictoriaMetricsNode : IAsyncDisposable
    {
        private readonly TemporaryFolder _folder = new("node");
        private readonly int _port = PeerProcess.FreePort();
        private PeerProcess? _process;

        public PeerProcess Process => _process ?? throw new InvalidOperationException("Not started.");

        public Node Node(string name) => new(name, new Uri($"http://127.0.0.1:{_port}/api/v1/write"));

        public async Task StartAsync()
        {
            if (_process is not null)
            {
                await _process.DisposeAsync();
            }
            _process = Peers.Start(Peers.VictoriaMetrics,
            [
                $"-httpListenAddr=127.0.0.1:{_port}", $"-storageDataPath={_folder.Path}",
                "-memory.allowedBytes=128MB", "-loggerLevel=WARN",
            ]);
            await _process.WaitReadyAsync(new Uri($"http://127.0.0.1:{_port}/health"), TimeSpan.FromSeconds(30));
        }

        public async ValueTask DisposeAsync()
        {
            if (_process is not null)
            {
                await _process.DisposeAsync();
            }
            _folder.Dispose();
        }
    }
}
