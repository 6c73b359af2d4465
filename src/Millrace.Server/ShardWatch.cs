using Microsoft.Extensions.Logging;
using Millrace.Configuration;
using Millrace.Delivery;
using Millrace.Membership;

namespace Millrace.Server;

/// <summary>
/// Watches the nodes of a sharded destination, where they are found and whether they are well, and lets their tasks
/// follow.
/// </summary>
internal sealed partial class ShardWatch : IDisposable
{
    private static readonly TimeSpan MeasureInterval = TimeSpan.FromSeconds(10);

    private readonly ShardedNodes _nodes;
    private readonly TimeProvider _time;
    private readonly HealthProbe _probe;
    private readonly MembershipWatch? _membership;
    private readonly ILogger _log;
    private readonly Lock _logLock = new(); // covers the two below
    private IReadOnlySet<string> _loggedDown = new HashSet<string>();

    /// <param name="random">Ours alone.</param>
    public ShardWatch(ShardedNodes nodes, TimeProvider time, Random random, ILoggerFactory logs)
    {
        (_nodes, _time) = (nodes, time);
        _log = logs.CreateLogger("sharding");
        _probe = new HealthProbe(nodes.Health, time, new Random(random.Next()), HealthChanged);
        var (name, config) = (nodes.Destination.Name, nodes.Destination.Config.Sharded!.Nodes);
        if (NodeSources.Of(config, new SystemResolver(time), NodeSetReader.ParseFile) is { } source)
        {
            _membership = new MembershipWatch(
                name, nodes.Source, source, config, time, new Random(random.Next()), NodesChanged, _log);
        }
    }

    /// <summary>What was seen of a node while sending.</summary>
    public void Observe(BackendNode node, SendResult result, long latencyMs)
    {
        var signal = result.Outcome == SendOutcome.Answered
            ? HealthSignal.OfAnswer(result.StatusCode, result.RetryAfter is not null, latencyMs)
            : HealthSignal.Unreachable;
        if (_nodes.Health.Observe(node.Name, signal, _probe.NowMs))
        {
            HealthChanged();
        }
    }

    public async Task RunAsync(CancellationToken stop)
    {
        _nodes.NodesSet = set => _probe.SetNodes(set);
        _probe.SetNodes(_nodes.Source.Current.Nodes);
        await Task.WhenAll(_membership?.RunAsync(stop) ?? Task.CompletedTask, MeasureAsync(stop));
        await _probe.StopAsync();
    }

    public void Dispose()
    {
        _nodes.NodesSet = null;
        _probe.Dispose();
    }

    private async Task MeasureAsync(CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            _nodes.Measure(_probe.NowMs);
            await Task.Delay(MeasureInterval, _time, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private void NodesChanged(NodeSet set) => _nodes.SetNodes(set.Nodes, set.IsFallback);

    private void HealthChanged()
    {
        _nodes.HealthChanged();
        lock (_logLock)
        {
            var down = _nodes.Health.Down;
            foreach (var name in down)
            {
                if (!_loggedDown.Contains(name))
                {
                    Log.Down(_log, _nodes.Destination.Name, name, _nodes.Overlay?.Displaced ?? 0);
                }
            }
            foreach (var name in _loggedDown)
            {
                if (!down.Contains(name))
                {
                    Log.Up(_log, _nodes.Destination.Name, name);
                }
            }
            _loggedDown = down;
        }
    }

    private static partial class Log
    {
        [LoggerMessage(LogLevel.Warning,
            "Node {Node} of destination {Destination} is down: its tasks go to other nodes ({Displaced} are away from "
            + "home now).")]
        public static partial void Down(ILogger logger, string destination, string node, int displaced);

        [LoggerMessage(LogLevel.Information, "Node {Node} of destination {Destination} is back, with its tasks.")]
        public static partial void Up(ILogger logger, string destination, string node);
    }
}
