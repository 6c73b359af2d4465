using Millrace.Protocols.Compression;

namespace Millrace.Delivery;

/// <summary>
/// One address that a destination sends to, as we see it: which protocol it takes, how many requests it may have at
/// once, how old its samples may be. Most destinations have one; a sharded one has several, known by name, whatever
/// their address. Changed under the destination's lock; counters are read from any thread.
/// </summary>
internal sealed class BackendNode(string name, Uri url, DestinationConfig config, int maxRequests) : IDisposable
{
    /// <summary>
    /// After so many failures in a row the node is taken to be down, and its first answer wakes all its lanes.
    /// </summary>
    private const int FailuresWhenDown = 3;

    private CancellationTokenSource _givenUp = new();
    private int _requestsOut;
    private int _failuresInRow;
    private long _deliveredSamples;
    private long _failedRequests;

    /// <summary>Empty where the destination has no other.</summary>
    public string Name => name;

    public Uri Url { get; set; } = url;

    public ProtocolChoice Protocols { get; } = new(config.Protocol, Zstd.IsAvailable);

    public SendConcurrency Concurrency { get; } = new(maxRequests);

    public TimeBounds TimeBounds { get; } = new();

    /// <summary>It asked for rest until then.</summary>
    public long HoldUntilMs { get; private set; }

    public int RequestsOut => Volatile.Read(ref _requestsOut);

    public bool HasRoom => _requestsOut < Concurrency.Allowed;

    public bool MayTake(long nowMs) => HasRoom && nowMs >= HoldUntilMs;

    /// <summary>Ends the requests that are out now: their answers are not waited for.</summary>
    public CancellationToken GivenUp => _givenUp.Token;

    /// <summary>What it said last.</summary>
    public SendResult? LastAnswer { get; private set; }

    /// <summary>Since the start.</summary>
    public long DeliveredSamples => Interlocked.Read(ref _deliveredSamples);

    /// <summary>Requests without an answer, or with another than 2xx.</summary>
    public long FailedRequests => Interlocked.Read(ref _failedRequests);

    public LatencyHistogram Latency { get; } = new();

    public void Departed() => _requestsOut++;

    /// <summary>The request is not made after all.</summary>
    public void Withdrawn() => _requestsOut--;

    public void Answered(in SendResult result, long latencyMs)
    {
        _requestsOut--;
        LastAnswer = result;
        Latency.Observe(latencyMs);
        if (!result.IsSuccess)
        {
            Interlocked.Increment(ref _failedRequests);
        }
    }

    /// <returns>True when it had seemed to be down.</returns>
    public bool Took(BlockPart part, Refusal refusal, long latencyMs, long nowMs)
    {
        Concurrency.Succeeded(latencyMs, nowMs);
        var block = part.Block;
        Interlocked.Add(ref _deliveredSamples, block.SampleCount);
        if (block.SampleCount > 0)
        {
            // A block without samples goes out in the oldest protocol anyway and says nothing about the others.
            Protocols.Taken(part.Step, part.Downgrade);
        }
        if (refusal == Refusal.None && block.SampleCount > 0)
        {
            TimeBounds.Taken(block.MinTimestampMs, block.MaxTimestampMs, nowMs);
        }
        var seemedDown = _failuresInRow >= FailuresWhenDown;
        _failuresInRow = 0;
        return seemedDown;
    }

    public void Failed(long nowMs)
    {
        Concurrency.Failed(nowMs);
        _failuresInRow++;
    }

    /// <summary>It asked for rest as a whole, not for one lane.</summary>
    public void Hold(long untilMs) => HoldUntilMs = Math.Max(HoldUntilMs, untilMs);

    /// <summary>Nobody waits for it any longer: what is out to it fails now, and may be sent to another.</summary>
    public void GiveUp()
    {
        var givenUp = Interlocked.Exchange(ref _givenUp, new CancellationTokenSource());
        givenUp.Cancel();
        givenUp.Dispose();
    }

    public void Dispose() => _givenUp.Dispose();
}

/// <summary>The nodes of a destination, and which of them has a lane; null: nobody yet.</summary>
internal sealed record NodeAssignment(BackendNode[] Nodes, BackendNode?[] OfLane);
