using System.Collections.Concurrent;
using System.Net;
using System.Net.Http;
using Millrace.Membership;
using Millrace.TestKit;

namespace Millrace.Tests.Membership;

public sealed class HealthProbeTests : IDisposable
{
    private readonly ManualTimeProvider _clock = new(DateTimeOffset.UnixEpoch);
    private readonly FakeNodes _nodes = new();
    private readonly Health _health = new(new HealthConfig { Path = "/-/healthy?x=1" });
    private readonly HealthProbe _probe;
    private int _changes;

    public HealthProbeTests() =>
        _probe = new HealthProbe(_health, _clock, new Random(1), () => Interlocked.Increment(ref _changes), _nodes);

    public void Dispose() => _probe.Dispose();

    [Fact]
    public async Task A_node_is_probed_each_second_beside_its_write_address()
    {
        _probe.SetNodes([NodeOf("a")]);
        _clock.Advance(TimeSpan.FromSeconds(10.1));
        _nodes.Asked.Count.ShouldBeInRange(10, 11);
        _nodes.Asked.ShouldAllBe(url => url == "http://a:8480/-/healthy?x=1");
        _health.View().ShouldHaveSingleItem().ProbeLatencyMs.ShouldBe(0);
        await _probe.StopAsync();
    }

    [Theory]
    [InlineData(FakeNodes.Refuses, 3)]
    [InlineData(FakeNodes.Silent, 4)]
    [InlineData(503, 3)]
    public async Task A_node_that_fails_is_down_and_comes_back(int behaviour, int withinSeconds)
    {
        _probe.SetNodes([NodeOf("a"), NodeOf("b"), NodeOf("c")]);
        _clock.Advance(TimeSpan.FromSeconds(5));
        _nodes.Behaviours["b"] = behaviour;
        _clock.Advance(TimeSpan.FromSeconds(withinSeconds));
        _health.Down.ShouldBe(["b"]);
        _nodes.Behaviours["b"] = 404; // such a page there is not, but a node
        _clock.Advance(TimeSpan.FromSeconds(12));
        _health.Down.ShouldBeEmpty();
        _changes.ShouldBe(2);
        await _probe.StopAsync();
    }

    [Fact]
    public async Task A_silent_node_has_one_probe_at_a_time()
    {
        _nodes.Behaviours["a"] = FakeNodes.Silent;
        _probe.SetNodes([NodeOf("a"), NodeOf("b")]);
        _clock.Advance(TimeSpan.FromSeconds(30));
        _nodes.MostAtOnce.ShouldBeLessThanOrEqualTo(2); // one of each node
        _health.View()[0].FailedProbes.ShouldBeInRange(29, 30);
        await _probe.StopAsync();
    }

    [Fact]
    public async Task Nodes_come_and_go_and_move()
    {
        _probe.SetNodes([NodeOf("a"), NodeOf("b")]);
        _clock.Advance(TimeSpan.FromSeconds(3));
        _probe.SetNodes([new Node("a", new Uri("http://moved:1/")), NodeOf("c")]);
        _nodes.Asked.Clear();
        _clock.Advance(TimeSpan.FromSeconds(3));
        _nodes.Asked.Distinct().Order(StringComparer.Ordinal)
            .ShouldBe(["http://c:8480/-/healthy?x=1", "http://moved:1/-/healthy?x=1"]);
        await _probe.StopAsync();
        _nodes.Asked.Clear();
        _clock.Advance(TimeSpan.FromSeconds(3));
        _probe.SetNodes([NodeOf("d")]);
        _clock.Advance(TimeSpan.FromSeconds(3));
        _nodes.Asked.ShouldBeEmpty();
    }

    [Fact]
    public async Task A_stop_does_not_wait_for_answers()
    {
        _nodes.Behaviours["a"] = FakeNodes.Silent;
        _probe.SetNodes([NodeOf("a")]);
        _clock.Advance(TimeSpan.FromSeconds(1.1));
        await _probe.StopAsync().WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        _health.View().ShouldHaveSingleItem().FailedProbes.ShouldBe(0);
    }

    private static Node NodeOf(string name) => new(name, new Uri($"http://{name}:8480/api/v1/write"));

    private sealed class FakeNodes : HttpMessageHandler
    {
        public const int Refuses = -1;
        public const int Silent = -2;
        private int _atOnce;

        public ConcurrentDictionary<string, int> Behaviours { get; } = new();

        public ConcurrentQueue<string> Asked { get; } = new();

        public int MostAtOnce { get; private set; }

        protected override async Task<HttpResponseMessage> SendAsync(
            HttpRequestMessage request, CancellationToken cancellationToken)
        {
            Asked.Enqueue(request.RequestUri!.ToString());
            MostAtOnce = Math.Max(MostAtOnce, ++_atOnce);
            try
            {
                switch (Behaviours.GetValueOrDefault(request.RequestUri.Host, 200))
                {
                    case Refuses:
                        throw new HttpRequestException("Connection refused");
                    case Silent:
                        // Not Task.Delay: when it is cancelled, others go on on another thread.
                        var never = new TaskCompletionSource<HttpResponseMessage>();
                        await using (cancellationToken.Register(() => never.TrySetCanceled(cancellationToken)))
                        {
                            return await never.Task;
                        }
                    case var status:
                        return new HttpResponseMessage((HttpStatusCode)status);
                }
            }
            finally
            {
                _atOnce--;
            }
        }
    }
}
