using Microsoft.Extensions.Logging;

namespace Millrace.Membership;

/// <summary>
/// Looks at a source of nodes again and again and tells of each new set, in the order of their versions, from one
/// place. What is decided is <see cref="MembershipSource"/>'s.
/// </summary>
internal sealed partial class MembershipWatch
{
    /// <summary>So that many gateways that start together do not ask together.</summary>
    private const double Jitter = 0.1;

    private static readonly TimeSpan LogInterval = TimeSpan.FromMinutes(5);

    private readonly string _destination;
    private readonly MembershipSource _membership;
    private readonly INodeSource _source;
    private readonly NodeSetConfig _config;
    private readonly TimeProvider _time;
    private readonly Random _random;
    private readonly Action<NodeSet> _changed;
    private readonly ILogger _logger;
    private readonly long _startedAt;
    private readonly long _startMs;
    private long? _loggedFailureAtMs;

    /// <param name="changed">Called with each new set before the next look.</param>
    /// <param name="random">Ours alone.</param>
    public MembershipWatch(
        string destination, MembershipSource membership, INodeSource source, NodeSetConfig config, TimeProvider time,
        Random random, Action<NodeSet> changed, ILogger logger)
    {
        (_destination, _membership, _source, _config) = (destination, membership, source, config);
        (_time, _random, _changed, _logger) = (time, random, changed, logger);
        _startedAt = time.GetTimestamp();
        _startMs = time.GetUtcNow().ToUnixTimeMilliseconds();
    }

    private long NowMs => _startMs + (long)_time.GetElapsedTime(_startedAt).TotalMilliseconds;

    /// <summary>Looks at once, and then until <paramref name="stop"/>. Ends without an exception.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            var beganAt = _time.GetTimestamp();
            if (await LookAsync(stop) is not { } lookup)
            {
                return;
            }
            var latencyMs = (long)_time.GetElapsedTime(beganAt).TotalMilliseconds;
            var changed = _membership.Observe(lookup, latencyMs, NowMs);
            Tell(lookup, changed);
            if (changed is not null)
            {
                _changed(changed);
            }
            var wait = _membership.WaitBeforeNextLook(NowMs) * (1 + (Jitter * _random.NextDouble()));
            await Task.Delay(wait, _time, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <returns>Null: we are to stop.</returns>
    private async Task<NodeLookup?> LookAsync(CancellationToken stop)
    {
        using var timeout = new CancellationTokenSource(_config.Timeout, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, stop);
        try
        {
            return await _source.LookAsync(either.Token);
        }
        catch (OperationCanceledException) when (timeout.IsCancellationRequested && !stop.IsCancellationRequested)
        {
            return NodeLookup.Failed(
                FormattableString.Invariant($"no answer within {_config.Timeout.TotalSeconds:0.###} s"));
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            return null;
        }
    }

    private void Tell(NodeLookup lookup, NodeSet? changed)
    {
        if (changed is not null)
        {
            var names = new List<string>(changed.Nodes.Count);
            foreach (var node in changed.Nodes)
            {
                names.Add(node.Name);
            }
            Log.Changed(_logger, _destination, changed.Nodes.Count, changed.Version, string.Join(", ", names));
        }
        if (lookup.Nodes.Count > 0)
        {
            _loggedFailureAtMs = null;
            return;
        }
        var now = NowMs;
        if (_loggedFailureAtMs is null || now - _loggedFailureAtMs >= LogInterval.TotalMilliseconds)
        {
            _loggedFailureAtMs = now;
            Log.Failed(_logger, _destination, _membership.Status.LastError ?? "", _membership.Current.Nodes.Count);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Information,
            "Destination '{Destination}' has {Count} nodes (set {Version}): {Names}.")]
        public static partial void Changed(ILogger logger, string destination, int count, long version, string names);

        [LoggerMessage(2, LogLevel.Warning,
            "The nodes of destination '{Destination}' cannot be found: {Error}. The {Count} known ones are kept.")]
        public static partial void Failed(ILogger logger, string destination, string error, int count);
    }
}
