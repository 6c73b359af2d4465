using System.Net.Http;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;

namespace Millrace.Delivery;

/// <summary>
/// Drives a destination: makes the requests that are due and tells it the answers. All decisions are the
/// destination's.
/// </summary>
internal sealed partial class DestinationPump : IDisposable
{
    /// <summary>
    /// After the stop answers are waited for so long; a request without one will be possibly repeated.
    /// </summary>
    private static readonly TimeSpan StopGrace = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan LogInterval = TimeSpan.FromSeconds(30);

    /// <summary>Work that is there and cannot be had yet is asked for so often.</summary>
    private const long ShortestWaitMs = 10;

    private const int MaxLoggedChars = 300;

    private readonly Destination _destination;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly RemoteWriteSender _sender;
    private readonly Channel<bool> _wake = Channel.CreateBounded<bool>(
        new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
    private readonly long _startedAt;
    private readonly long _startMs;
    private readonly Lock _logLock = new(); // covers the two below
    private readonly Dictionary<string, (long AtMs, int Suppressed)> _logged = new(StringComparer.Ordinal);
    private readonly Dictionary<BackendNode, WireProtocol> _loggedProtocols = [];

    /// <param name="handler">The connections; null: real ones.</param>
    public DestinationPump(
        Destination destination, TimeProvider time, ILogger logger, HttpMessageHandler? handler = null)
    {
        (_destination, _time, _logger) = (destination, time, logger);
        _sender = new RemoteWriteSender(destination.Config, time, handler);
        _startedAt = time.GetTimestamp();
        _startMs = time.GetUtcNow().ToUnixTimeMilliseconds();
        destination.BlockOffered = Wake;
    }

    /// <summary>
    /// The clock at the start and monotonic time since: retries do not hang on a clock that is set back.
    /// </summary>
    private long NowMs => _startMs + (long)_time.GetElapsedTime(_startedAt).TotalMilliseconds;

    /// <summary>Until <paramref name="stop"/>; then what is out may still be answered for a few seconds.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        using var abandon = new CancellationTokenSource();
        var requests = new List<Task>();
        while (!stop.IsCancellationRequested)
        {
            requests.RemoveAll(static request => request.IsCompletedSuccessfully);
            if (requests.Find(static request => request.IsFaulted) is { } broken)
            {
                await broken; // our bug: whoever runs us shall see it
            }
            while (!stop.IsCancellationRequested && _destination.TryTakeDue(NowMs, out var sending))
            {
                requests.Add(SendAsync(sending, abandon.Token));
            }
            await WaitAsync(stop);
        }
        _destination.BeginStop();
        abandon.CancelAfter(StopGrace);
        await Task.WhenAll(requests);
    }

    /// <summary>Called with each answer, or that there was none, and how long it took.</summary>
    public Action<BackendNode, SendResult, long>? Answered { get; init; }

    public void Dispose()
    {
        _destination.BlockOffered = null;
        _sender.Dispose();
    }

    private void Wake() => _wake.Writer.TryWrite(true);

    private async Task WaitAsync(CancellationToken stop)
    {
        var now = NowMs;
        var due = _destination.NextDueMs(now);
        using var wait = CancellationTokenSource.CreateLinkedTokenSource(stop);
        Task woken = _wake.Reader.WaitToReadAsync(wait.Token).AsTask();
        var delay = due == long.MaxValue
            ? Timeout.InfiniteTimeSpan
            : TimeSpan.FromMilliseconds(Math.Clamp(due - now, ShortestWaitMs, int.MaxValue));
        await Task.WhenAny(woken, Task.Delay(delay, _time, wait.Token));
        await wait.CancelAsync();
        await woken.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _wake.Reader.TryRead(out _);
    }

    private async Task SendAsync(Sending sending, CancellationToken abandon)
    {
        await Task.Yield(); // the loop goes on while a connection is made
        SendResult result;
        try
        {
            result = await _sender.SendAsync(sending, abandon);
        }
        catch (OperationCanceledException)
        {
            return; // without an answer: the mark on disk says so to the next start
        }
        try
        {
            var parkedBefore = _destination.DeadLetters.Added;
            var nowMs = NowMs;
            _destination.Complete(sending, result, nowMs);
            Answered?.Invoke(sending.Node, result, nowMs - sending.StartedAtMs);
            Tell(sending.Node, result, _destination.DeadLetters.Added - parkedBefore);
        }
        finally
        {
            Wake();
        }
    }

    private void Tell(BackendNode node, in SendResult result, long parked)
    {
        if (parked > 0 && IsDue("parked", out var more))
        {
            Log.Parked(_logger, _destination.Name, parked, result.StatusCode, Shown(result.Body), more);
        }
        var protocol = node.Protocols.Current;
        bool changed;
        lock (_logLock)
        {
            changed = _loggedProtocols.TryGetValue(node, out var before) && before != protocol;
            _loggedProtocols[node] = protocol;
        }
        if (changed)
        {
            Log.ProtocolChanged(_logger, _destination.Name, RemoteWriteSender.Masked(node.Url), protocol);
        }
        if (result is { Outcome: SendOutcome.Answered, StatusCode: < 300 })
        {
            return;
        }
        var what = result.Outcome == SendOutcome.Answered
            ? string.Create(System.Globalization.CultureInfo.InvariantCulture, $"status {result.StatusCode}")
            : result.Outcome.ToString();
        if (IsDue(node.Name + what, out more))
        {
            Log.SendFailed(
                _logger, _destination.Name, RemoteWriteSender.Masked(node.Url), what, Shown(result.Body), more);
        }
    }

    /// <summary>One line per kind and interval; the next one says how many it stands for.</summary>
    private bool IsDue(string kind, out int suppressed)
    {
        var now = NowMs;
        lock (_logLock)
        {
            var known = _logged.TryGetValue(kind, out var last);
            suppressed = last.Suppressed;
            if (known && now - last.AtMs < LogInterval.TotalMilliseconds)
            {
                _logged[kind] = (last.AtMs, last.Suppressed + 1);
                return false;
            }
            _logged[kind] = (now, 0);
            return true;
        }
    }

    /// <summary>One line, whatever the backend wrote.</summary>
    private static string Shown(string? text) => text is null ? "" : string.Create(
        Math.Min(text.Length, MaxLoggedChars), text, static (target, from) =>
        {
            for (var i = 0; i < target.Length; i++)
            {
                target[i] = char.IsControl(from[i]) ? ' ' : from[i];
            }
        });

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning,
            "Destination '{Destination}' at {Url} did not take a block: {What}. It said: {Text} "
            + "({Suppressed} more since the last line.)")]
        public static partial void SendFailed(
            ILogger logger, string destination, string url, string what, string text, int suppressed);

        [LoggerMessage(2, LogLevel.Warning,
            "Destination '{Destination}' refused {Blocks} blocks for good with status {Status}; they are in its "
            + "dead letters. It said: {Text} ({Suppressed} more since the last line.)")]
        public static partial void Parked(
            ILogger logger, string destination, long blocks, int status, string text, int suppressed);

        [LoggerMessage(3, LogLevel.Information,
            "Destination '{Destination}' at {Url} is spoken to as {Protocol} from now on.")]
        public static partial void ProtocolChanged(
            ILogger logger, string destination, string url, WireProtocol protocol);
    }
}
