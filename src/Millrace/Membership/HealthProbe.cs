using System.IO;
using System.Net.Http;

namespace Millrace.Membership;

/// <summary>
/// Probes each node over HTTP, one probe at a time, and tells <see cref="Health"/> what came of it. What it means is
/// for that to decide.
/// </summary>
internal sealed class HealthProbe : IDisposable
{
    private static readonly TimeSpan Shortest = TimeSpan.FromMilliseconds(1);

    private readonly Health _health;
    private readonly TimeProvider _time;
    private readonly Random _random;
    private readonly Action _changed;
    private readonly HttpClient _client;
    private readonly long _startedAt;
    private readonly long _startMs;
    private readonly Lock _lock = new(); // covers the probed nodes and whether we stop
    private readonly Dictionary<string, Probing> _probed = new(StringComparer.Ordinal);
    private readonly CancellationTokenSource _stopping = new();
    private bool _isStopped;

    /// <param name="changed">Called after <see cref="Health.Down"/> has changed by a probe, from any thread.</param>
    /// <param name="random">Ours alone.</param>
    /// <param name="handler">The connections; null: our own. Disposed with us.</param>
    public HealthProbe(
        Health health, TimeProvider time, Random random, Action changed, HttpMessageHandler? handler = null)
    {
        (_health, _time, _random, _changed) = (health, time, random, changed);
        _startedAt = time.GetTimestamp();
        _startMs = time.GetUtcNow().ToUnixTimeMilliseconds();
        _client = new HttpClient(handler ?? new SocketsHttpHandler
        {
            UseProxy = false,
            AllowAutoRedirect = false,
            UseCookies = false,
            // Else an attempt that leads nowhere outlives its probe, and the next ones wait for it.
            ConnectTimeout = health.Config.Timeout,
            // A connection that lives says little of whether new ones can be made, and of what the name now means.
            PooledConnectionLifetime = TimeSpan.FromSeconds(10),
        })
        {
            Timeout = Timeout.InfiniteTimeSpan,
            MaxResponseContentBufferSize = 1 << 16,
        };
    }

    /// <summary>The time that <see cref="Health"/> is told: for those who tell it of requests, too.</summary>
    public long NowMs => _startMs + (long)_time.GetElapsedTime(_startedAt).TotalMilliseconds;

    /// <summary>From now on these nodes are probed, and known to <see cref="Health"/>.</summary>
    /// <returns>True when <see cref="Health.Down"/> has changed by it.</returns>
    public bool SetNodes(IReadOnlyList<Node> nodes)
    {
        var names = new Dictionary<string, Node>(nodes.Count, StringComparer.Ordinal);
        lock (_lock)
        {
            var changed = _health.SetNodes(nodes);
            foreach (var node in nodes)
            {
                names[node.Name] = node;
            }
            foreach (var (name, probing) in _probed)
            {
                if (_isStopped || !names.TryGetValue(name, out var node) || node.Url != probing.Url)
                {
                    probing.Stop.Cancel();
                    _probed.Remove(name);
                }
            }
            foreach (var node in nodes)
            {
                if (!_isStopped && !_probed.ContainsKey(node.Name))
                {
                    var stop = CancellationTokenSource.CreateLinkedTokenSource(_stopping.Token);
                    // Never zero: the first probe must not begin on our thread, under our lock.
                    var firstWait = Shortest + (_health.Config.Interval * _random.NextDouble());
                    _probed[node.Name] = new Probing(node.Url, stop, RunAsync(node, firstWait, stop));
                }
            }
            return changed;
        }
    }

    /// <summary>Ends all probes and waits for them.</summary>
    public async Task StopAsync()
    {
        var running = new List<Task>();
        lock (_lock)
        {
            _isStopped = true;
            foreach (var probing in _probed.Values)
            {
                running.Add(probing.Task);
            }
            _probed.Clear();
        }
        await _stopping.CancelAsync();
        await Task.WhenAll(running);
    }

    public void Dispose()
    {
        lock (_lock)
        {
            _isStopped = true;
            _probed.Clear();
        }
        _stopping.Cancel();
        _stopping.Dispose();
        _client.Dispose();
    }

    /// <summary>One probe after the other; the next begins an interval after the last one began.</summary>
    private async Task RunAsync(Node node, TimeSpan firstWait, CancellationTokenSource stopSource)
    {
        using (stopSource)
        {
            var stop = stopSource.Token;
            var url = new Uri(node.Url, _health.Config.Path);
            var wait = firstWait;
            while (true)
            {
                await Task.Delay(wait, _time, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                if (stop.IsCancellationRequested)
                {
                    return; // A node that is gone is not asked once more.
                }
                var beganAt = _time.GetTimestamp();
                if (await ProbeAsync(url, beganAt, stop) is not { } signal)
                {
                    return;
                }
                if (_health.Observe(node.Name, signal, NowMs))
                {
                    _changed();
                }
                wait = _health.Config.Interval - _time.GetElapsedTime(beganAt);
                wait = wait < TimeSpan.Zero ? TimeSpan.Zero : wait;
            }
        }
    }

    /// <returns>Null: we are to stop, and know nothing.</returns>
    private async Task<HealthSignal?> ProbeAsync(Uri url, long beganAt, CancellationToken stop)
    {
        using var timeout = new CancellationTokenSource(_health.Config.Timeout, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, stop);
        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, url);
            using var response = await _client.SendAsync(
                request, HttpCompletionOption.ResponseHeadersRead, either.Token);
            return HealthSignal.OfProbe(
                (int)response.StatusCode, (long)_time.GetElapsedTime(beganAt).TotalMilliseconds);
        }
        catch (Exception) when (stop.IsCancellationRequested)
        {
            return null;
        }
        catch (Exception e) when (e is OperationCanceledException or HttpRequestException or IOException)
        {
            return HealthSignal.ProbeUnanswered;
        }
    }

    private sealed record Probing(Uri Url, CancellationTokenSource Stop, Task Task);
}
