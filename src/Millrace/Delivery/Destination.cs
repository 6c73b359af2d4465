using System.Buffers;
using Millrace.Log;

namespace Millrace.Delivery;

/// <summary>
/// Where blocks go, as we see it: takes sealed blocks, gives them out as requests in the order of each lane, and
/// decides by the answers what becomes of them. Behind it is one backend, or several nodes of which each has some of
/// the lanes. Passive: no thread, no timer, no clock of its own; its pump (or a simulation) drives it with
/// <see cref="TryTakeDue"/> and <see cref="Complete"/>.
/// </summary>
/// <remarks>
/// <para><b>Nodes.</b> A block is sealed for its lane; which node gets it is looked up when it is sent. So what waits
/// moves with its lane (<see cref="Assign"/>), and its bytes and its place in the order stay what they are.</para>
/// <para><b>Order.</b> A lane has one block under way, and within it one request. Everything a refusal leads to
/// (another protocol, halves, a trimmed rest) happens inside the lane before its next block is taken. How many lanes
/// have a request out at once varies; which series are in which lane does not.</para>
/// <para><b>Ledger.</b> Samples are queued once, and leave once: delivered, parked, or dropped for a reason. What is
/// replayed from the dead letters comes in once more, and is counted apart. A part's
/// samples are counted with its answer; the position moves, on disk, when the whole block is accounted for.</para>
/// <para><b>Crash.</b> A block is marked on disk before it is first sent, so the next process knows which one may be in
/// the backend already; its refusal as a duplicate then means that it was taken.</para>
/// </remarks>
internal sealed partial class Destination : IDisposable
{
    private const double RetryJitter = 0.1;

    private readonly Lock _lock = new(); // covers everything below
    private readonly DestinationConfig _config;
    private readonly Random _random;
    private readonly DestinationQueue _queue;
    private readonly DeadLetters _deadLetters;
    private readonly RateLimit _rateLimit;
    private readonly BlockUnderWay?[] _underWay;
    private readonly BlockEncoding _encoding; // used outside of the lock, by the one who takes what is due
    private NodeAssignment _nodes;
    private int _nextLane;
    private int _requestsOut;
    private readonly long[] _samplesOfLane;
    private long _lastNowMs;
    private bool _isStopping;

    public Destination(DestinationConfig config, DestinationEnvironment environment)
    {
        _random = environment.Random;
        _queue = new DestinationQueue(config, environment, Counters);
        _deadLetters = new DeadLetters(config, environment);
        _encoding = new BlockEncoding(environment.MetadataOf);
        // The folder decides, not the file: series keep their lane as long as blocks may wait in it.
        _config = config with { Lanes = _queue.Lanes };
        if (config.Sharded is not null && _queue.Lanes != config.Lanes)
        {
            _queue.Dispose();
            _deadLetters.Dispose();
            throw new LogOpenException(
                $"Destination '{config.Name}' has {_queue.Lanes} queues in '{environment.Folder}', and its "
                + $"configuration makes {config.Lanes} (tasks.count times replicas). Another number is another way to "
                + "deal series: give the destination another name, and remove this one when it has drained.");
        }
        _rateLimit = new RateLimit(config.RateLimitBytes);
        _underWay = new BlockUnderWay?[_queue.Lanes];
        _samplesOfLane = new long[_queue.Lanes];
        var ofLane = new BackendNode?[_queue.Lanes];
        _nodes = new NodeAssignment([], ofLane);
        if (config.Sharded is null)
        {
            var only = new BackendNode("", config.Url, config, _queue.Lanes);
            Array.Fill(ofLane, only);
            _nodes = new NodeAssignment([only], ofLane);
        }
    }

    public string Name => _config.Name;

    /// <summary>With the number of lanes that is in force, see <see cref="Lanes"/>.</summary>
    public DestinationConfig Config => _config;

    /// <summary>
    /// As fixed when the destination's folder was made; a change in the configuration needs a new folder.
    /// </summary>
    public int Lanes => _queue.Lanes;

    public DestinationCounters Counters { get; } = new();

    public DeadLetters DeadLetters => _deadLetters;

    /// <summary>Called after a block was offered, outside of the lock.</summary>
    public Action? BlockOffered { get; set; }

    public LogPosition RawResumeAt(int lane) => Locked(() => _queue.RawResumeAt(lane));

    public LogPosition? RawSealAt(int lane) => Locked(() => _queue.RawSealAt(lane));

    public LogPosition OutputsResumeAt(int lane) => Locked(() => _queue.OutputsResumeAt(lane));

    /// <summary>The input log must keep its records from here on; moves with <see cref="Sync"/>.</summary>
    public long RawNeededFromLsn() => _queue.RawNeededFromLsn;

    public long OutputsNeededFromLsn() => _queue.OutputsNeededFromLsn;

    /// <summary>
    /// Highest record of the feeding log that we hold a position in: it must not give out LSNs below it again.
    /// </summary>
    public long HighestLsn(Feed feed) => Locked(() => _queue.HighestLsn(feed));

    /// <summary>Takes a block over. Never waits for the backend; on a full memory it writes to disk.</summary>
    public void Offer(SealedBlock block, long nowMs)
    {
        lock (_lock)
        {
            _lastNowMs = nowMs;
            if (_queue.Offer(block, nowMs))
            {
                _samplesOfLane[block.Lane] += block.SampleCount;
                EnforceBoundLocked(block.Feed, nowMs);
            }
        }
        BlockOffered?.Invoke();
    }

    /// <summary>
    /// The feeding log holds nothing for this lane up to here that was not offered. Without this call a lane that gets
    /// no samples would pin the log.
    /// </summary>
    public void Passed(Feed feed, int lane, LogPosition upTo)
    {
        lock (_lock)
        {
            _queue.Passed(feed, lane, upTo);
        }
    }

    /// <summary>The same for all lanes: outputs, after a group was offered.</summary>
    public void Passed(Feed feed, LogPosition upTo)
    {
        lock (_lock)
        {
            for (var lane = 0; lane < Lanes; lane++)
            {
                _queue.Passed(feed, lane, upTo);
            }
        }
    }

    /// <summary>
    /// A request to be made now, if there is one. The caller returns it to <see cref="Complete"/>. For one caller at a
    /// time.
    /// </summary>
    public bool TryTakeDue(long nowMs, out Sending sending)
    {
        while (true)
        {
            int lane;
            BlockPart part;
            WireProtocol protocol;
            lock (_lock)
            {
                if (!TryPickLocked(nowMs, out lane))
                {
                    sending = null!;
                    return false;
                }
                part = _underWay[lane]!.Parts.Peek();
                var protocols = part.Node!.Protocols;
                // Metadata alone cannot be said in 2.0, and its answer could not be told from a misreading.
                part.Step = part.Block.SampleCount == 0 ? protocols.Oldest : Math.Max(part.Step, protocols.Step);
                protocol = protocols.At(part.Step);
            }
            // The lane is ours until the answer: encoding does not hold up those who offer blocks.
            if (_encoding.TryEncode(part.Block.Bytes, protocol, out var body))
            {
                lock (_lock)
                {
                    sending = DepartLocked(lane, part, protocol, body, nowMs);
                }
                return true;
            }
            lock (_lock)
            {
                // The oldest protocol takes the bytes as they are, and the backend says what it thinks of them.
                part.Step++;
                _underWay[lane]!.IsOut = false;
                _requestsOut--;
                part.Node!.Withdrawn();
            }
        }
    }

    /// <summary>The answer, or that there was none.</summary>
    public void Complete(Sending sending, SendResult result, long nowMs)
    {
        lock (_lock)
        {
            var block = _underWay[sending.Lane];
            if (block is null || !block.IsOut || block.Parts.Peek() != sending.Part)
            {
                throw new InvalidOperationException(
                    $"Lane {sending.Lane} of destination '{Name}' was told an answer to a request it has not made.");
            }
            var latencyMs = Math.Max(0, nowMs - sending.StartedAtMs);
            _requestsOut--;
            block.IsOut = false;
            sending.Node.Answered(result, latencyMs);
            Counters.Answered(result, latencyMs);
            LastAnswer = result;
            ApplyLocked(sending, block, result, latencyMs, nowMs);
            if (block.Parts.Count == 0)
            {
                FinishLocked(sending.Lane);
                ReturnBytes(block, result);
            }
        }
    }

    /// <summary>When <see cref="TryTakeDue"/> may have something; MaxValue: not before an offer or an answer.</summary>
    public long NextDueMs(long nowMs)
    {
        lock (_lock)
        {
            var due = long.MaxValue;
            for (var lane = 0; lane < Lanes && !_isStopping; lane++)
            {
                if (_nodes.OfLane[lane] is not { HasRoom: true } node)
                {
                    continue;
                }
                if (_underWay[lane] is { } block)
                {
                    due = block.IsOut ? due : Math.Min(due, Math.Max(block.DueMs, node.HoldUntilMs));
                }
                else if (_queue.HasWork(lane))
                {
                    due = Math.Min(due, Math.Max(Math.Max(nowMs, _queue.ReadAgainAtMs), node.HoldUntilMs));
                }
            }
            return due == long.MaxValue ? due : Math.Max(due, _rateLimit.OpenAtMs);
        }
    }

    /// <summary>
    /// Who gets what the lanes have, from now on. What is out stays with the node that it was sent to until the answer,
    /// or until that node is given up.
    /// </summary>
    public void Assign(NodeAssignment nodes)
    {
        lock (_lock)
        {
            for (var lane = 0; lane < Lanes; lane++)
            {
                if (!ReferenceEquals(_nodes.OfLane[lane], nodes.OfLane[lane])
                    && _underWay[lane] is { IsOut: false } block)
                {
                    block.DueMs = 0; // The backoff was the other node's.
                }
            }
            _nodes = nodes;
        }
        BlockOffered?.Invoke();
    }

    /// <summary>
    /// Brings spill, dead letters and cursors to disk and then lets the logs go as far as that allows. Called every
    /// second or so, by one thread.
    /// </summary>
    /// <returns>False when a disk failed; the logs keep what they have.</returns>
    public bool Sync()
    {
        ReplaySome();
        (long, long) needed;
        lock (_lock)
        {
            // The output log also grows by what others offer.
            EnforceBoundLocked(Feed.Outputs, _lastNowMs);
            needed = _queue.Needed();
            _queue.SavePositions();
        }
        if (!(_queue.SyncFiles() & _deadLetters.Sync()))
        {
            return false;
        }
        lock (_lock)
        {
            _queue.PublishNeeded(needed);
        }
        return true;
    }

    /// <summary>Writes what waits in memory to the spill, so that the input log need not keep it.</summary>
    public bool SpillMemory(long nowMs)
    {
        lock (_lock)
        {
            return _queue.TrySpillMemory(nowMs);
        }
    }

    /// <summary>No new requests from now on; those that are out may still be answered.</summary>
    public void BeginStop()
    {
        lock (_lock)
        {
            _isStopping = true;
        }
    }

    /// <summary>After the answers came, or were not waited for any longer. What is left goes to disk.</summary>
    public StopReport FinishStop(long nowMs)
    {
        bool isSafe;
        int unanswered;
        lock (_lock)
        {
            _isStopping = true;
            isSafe = _queue.TrySpillMemory(nowMs);
            unanswered = _requestsOut;
        }
        isSafe &= Sync();
        return new StopReport(Snapshot().Pending, unanswered, isSafe);
    }

    /// <summary>The ledger as of one moment: it always balances.</summary>
    public CountersSnapshot Snapshot() => Locked(Counters.Snapshot);

    public int RequestsOut => Locked(() => _requestsOut);

    /// <summary>Samples that lanes were offered since the start, from the first lane on.</summary>
    public void SamplesOfLanes(Span<long> samples)
    {
        lock (_lock)
        {
            _samplesOfLane.AsSpan(0, samples.Length).CopyTo(samples);
        }
    }

    /// <summary>Samples that wait for each node; what waits for nobody yet is not in it.</summary>
    public Dictionary<BackendNode, long> PendingOfNodes()
    {
        lock (_lock)
        {
            var pending = new Dictionary<BackendNode, long>();
            foreach (var node in _nodes.Nodes)
            {
                pending[node] = 0;
            }
            for (var lane = 0; lane < Lanes; lane++)
            {
                if (_nodes.OfLane[lane] is { } node)
                {
                    pending[node] = pending.GetValueOrDefault(node) + _queue.PendingOf(lane);
                }
            }
            return pending;
        }
    }

    public IReadOnlyList<BackendNode> Nodes => Locked(() => _nodes.Nodes);

    /// <summary>Requests that may be under way at once, to all nodes together.</summary>
    public int ConcurrentLanes
    {
        get
        {
            lock (_lock)
            {
                var sum = 0;
                foreach (var node in _nodes.Nodes)
                {
                    sum += node.Concurrency.Allowed;
                }
                return sum;
            }
        }
    }

    /// <summary>Of the first node.</summary>
    public WireProtocol Protocol => Locked(() => _nodes.Nodes is [var first, ..] ? first.Protocols.Current : default);

    public long MemoryBytes => Locked(() => _queue.MemoryBytes);

    public long StoredBytes(Feed feed) => Locked(() => _queue.StoredBytes(feed));

    /// <summary>What the backend said last, for pages and logs.</summary>
    public SendResult? LastAnswer { get; private set; }

    /// <summary>Why the destination's disk does not work; null when it does.</summary>
    public string? DiskFailure => Locked(() => _queue.Failure);

    public void Dispose()
    {
        lock (_lock)
        {
            _queue.Dispose();
            _deadLetters.Dispose();
            foreach (var node in _nodes.Nodes)
            {
                node.Dispose();
            }
        }
    }

    private void EnforceBoundLocked(Feed feed, long nowMs)
    {
        while (_queue.IsOverBound(feed)
            && _queue.FindOldest(feed, nowMs, lane => _underWay[lane]!.IsOut) is { } oldest)
        {
            if (oldest.IsUnderWay)
            {
                AbandonLocked(oldest.Lane, DropReason.QueueFull);
            }
            else
            {
                _queue.DropHead(oldest.Lane, feed, DropReason.QueueFull);
            }
        }
    }

    private void AbandonLocked(int lane, DropReason reason)
    {
        while (_underWay[lane]!.Parts.TryPop(out var part))
        {
            Counters.Dropped(reason, part.Block.SampleCount);
        }
        FinishLocked(lane);
    }

    private bool TryPickLocked(long nowMs, out int picked)
    {
        picked = -1;
        _lastNowMs = nowMs;
        for (var i = 0; i < Lanes && !_isStopping && nowMs >= _rateLimit.OpenAtMs; i++)
        {
            var lane = (_nextLane + i) % Lanes;
            if (_nodes.OfLane[lane] is not { } node || !node.MayTake(nowMs))
            {
                continue;
            }
            // A block that turns out to be done (too old, budget spent) makes room for the lane's next one.
            while (TryBeginLocked(lane, nowMs) is { IsOut: false } block && block.DueMs <= nowMs)
            {
                if (!MayGoOutLocked(lane, block, nowMs))
                {
                    continue;
                }
                _nextLane = (lane + 1) % Lanes;
                _requestsOut++;
                node.Departed();
                block.Parts.Peek().GoesTo(node);
                block.IsOut = true;
                picked = lane;
                return true;
            }
        }
        return false;
    }

    private BlockUnderWay? TryBeginLocked(int lane, long nowMs)
    {
        if (_underWay[lane] is not null || !_queue.HasWork(lane) || _queue.TryTake(lane, nowMs) is not { } queued)
        {
            return _underWay[lane];
        }
        var repeated = _queue.IsPossiblyRepeated(lane, out var wasSplit);
        var block = new BlockUnderWay(queued) { IsPossiblyRepeated = repeated, IsMarked = repeated };
        // When parts of it were sent, a refusal of the whole as a duplicate does not speak for all of it.
        block.Parts.Push(new BlockPart(queued.Block, isRepeated: repeated && !wasSplit));
        return _underWay[lane] = block;
    }

    private bool MayGoOutLocked(int lane, BlockUnderWay block, long nowMs)
    {
        if (block.Failures > 0 && _queue.IsExpired(block.Queued, nowMs))
        {
            AbandonLocked(lane, DropReason.QueueAge);
            return false;
        }
        if (block.IsSplit && block.RequestsLeft-- <= 0)
        {
            while (block.Parts.TryPop(out var part))
            {
                ParkLocked(part, Refusal.Invalid, LastAnswer ?? default, part.Block.SampleCount, nowMs);
            }
            FinishLocked(lane);
            return false;
        }
        if (!block.IsMarked && !_queue.MarkUnderWay(lane))
        {
            // Without the mark a crash could not tell that the block may be in the backend.
            block.DueMs = nowMs + (long)_config.RetryMinInterval.TotalMilliseconds;
            return false;
        }
        block.IsMarked = true;
        return true;
    }

    private Sending DepartLocked(
        int lane, BlockPart part, WireProtocol protocol, ReadOnlyMemory<byte> body, long nowMs)
    {
        var block = _underWay[lane]!;
        if ((block.IsPossiblyRepeated || part.MayBeRepeated) && !block.RepeatIsCounted)
        {
            block.RepeatIsCounted = true;
            Counters.PossiblyRepeated(part.Block.SampleCount);
        }
        Counters.Sent(body.Length);
        _rateLimit.Take(body.Length, nowMs);
        return new Sending
        {
            Lane = lane,
            Protocol = protocol,
            Body = body,
            SampleCount = part.Block.SampleCount,
            IsRepeat = block.RepeatIsCounted,
            StartedAtMs = nowMs,
            Part = part,
            Node = part.Node!,
        };
    }

    private void ApplyLocked(Sending sending, BlockUnderWay block, in SendResult result, long latencyMs, long nowMs)
    {
        var part = sending.Part;
        var protocols = sending.Node.Protocols;
        var verdict = Verdict.Judge(result, new SendContext(
            sending.Protocol, protocols.IsProvenAt(part.Step), protocols.HasOlder(part.Step), part.IsRepeated,
            part.Block.SampleCount));
        if (verdict.Kind != VerdictKind.Retry)
        {
            block.Failures = 0;
        }
        switch (verdict.Kind)
        {
            case VerdictKind.Taken:
                block.Parts.Pop();
                Counters.Delivered(part.Block.SampleCount);
                Counters.Distribution.Observe(Math.Max(0, nowMs - part.Block.SealedAtMs));
                TakenLocked(part, verdict.Refusal, latencyMs, nowMs);
                break;
            case VerdictKind.TakenInPart:
                block.Parts.Pop();
                TakenInPartLocked(part, verdict.Refusal, result, nowMs);
                TakenLocked(part, verdict.Refusal, latencyMs, nowMs);
                break;
            case VerdictKind.Retry:
                RetryLocked(sending, block, result, nowMs);
                break;
            case VerdictKind.Downgrade:
                part.Step++;
                part.Downgrade = verdict.Refusal;
                break;
            case VerdictKind.Split:
                SplitLocked(sending.Lane, block, verdict.Refusal, result, nowMs);
                break;
            case VerdictKind.Trim:
                TrimLocked(sending.Lane, block, verdict.Refusal, result, nowMs);
                break;
            default:
                block.Parts.Pop();
                ParkLocked(part, verdict.Refusal, result, part.Block.SampleCount, nowMs);
                break;
        }
    }

    private void TakenLocked(BlockPart part, Refusal refusal, long latencyMs, long nowMs)
    {
        if (!part.Node!.Took(part, refusal, latencyMs, nowMs))
        {
            return;
        }
        var soonMs = nowMs + (long)_config.RetryMinInterval.TotalMilliseconds;
        for (var lane = 0; lane < Lanes; lane++)
        {
            if (_underWay[lane] is { } waiting && ReferenceEquals(_nodes.OfLane[lane], part.Node))
            {
                waiting.DueMs = Math.Min(waiting.DueMs, soonMs);
            }
        }
    }

    private void TakenInPartLocked(BlockPart part, Refusal refusal, in SendResult result, long nowMs)
    {
        var counts = result.Written ?? default;
        var samples = part.Block.SampleCount;
        var written = (int)Math.Clamp(counts.Samples + counts.Histograms, 0, samples);
        Counters.Delivered(written);
        if (written == samples)
        {
            return;
        }
        if (DropReasonOf(refusal) is { } reason)
        {
            Counters.Dropped(reason, samples - written);
            return;
        }
        ParkLocked(part, refusal, result, samples - written, nowMs);
    }

    private void RetryLocked(Sending sending, BlockUnderWay block, in SendResult result, long nowMs)
    {
        if (Verdict.MayHaveCommitted(result))
        {
            sending.Part.MayBeTaken();
        }
        Counters.Retried();
        sending.Node.Failed(nowMs);
        block.Failures++;
        block.WasRetried = true;
        if (!ReferenceEquals(_nodes.OfLane[sending.Lane], sending.Node))
        {
            block.DueMs = nowMs; // The lane has moved: its new node has done nothing wrong.
            return;
        }
        var (minMs, maxMs) = (_config.RetryMinInterval.TotalMilliseconds, _config.RetryMaxInterval.TotalMilliseconds);
        maxMs = Math.Max(minMs, maxMs);
        if (result.RetryAfter is { } asked)
        {
            var waitMs = (long)Math.Clamp(asked.TotalMilliseconds, minMs, maxMs);
            block.DueMs = nowMs + waitMs;
            sending.Node.Hold(nowMs + waitMs);
            return;
        }
        var backoffMs = Math.Min(minMs * Math.Pow(2, Math.Min(block.Failures - 1, 30)), maxMs);
        block.DueMs = nowMs + (long)(backoffMs * (1 + RetryJitter * _random.NextDouble()));
    }

    private void SplitLocked(int lane, BlockUnderWay block, Refusal refusal, in SendResult result, long nowMs)
    {
        var part = block.Parts.Pop();
        if (!BlockEditor.TrySplit(part.Block.Bytes.Span, out var first, out var second))
        {
            ParkLocked(part, refusal, result, part.Block.SampleCount, nowMs);
            return;
        }
        BeginPartsLocked(lane, block);
        block.Parts.Push(PartOf(part, second));
        block.Parts.Push(PartOf(part, first));
    }

    private void TrimLocked(int lane, BlockUnderWay block, Refusal refusal, in SendResult result, long nowMs)
    {
        var part = block.Parts.Pop();
        var samples = part.Block.SampleCount;
        var (fromMs, toMs) = part.Node!.TimeBounds.Learn(
            refusal, part.Block.MinTimestampMs, part.Block.MaxTimestampMs, nowMs);
        if (!BlockEditor.TryTrim(part.Block.Bytes.Span, fromMs, toMs, out var rest) || rest.SampleCount >= samples)
        {
            ParkLocked(part, refusal, result, samples, nowMs);
            return;
        }
        Counters.Dropped(DropReasonOf(refusal)!.Value, samples - rest.SampleCount);
        if (rest.SampleCount == 0)
        {
            return;
        }
        BeginPartsLocked(lane, block);
        block.Parts.Push(PartOf(part, rest, part.IsRepeated));
    }

    private void BeginPartsLocked(int lane, BlockUnderWay block)
    {
        block.IsSplit = true;
        _queue.MarkAsSplit(lane);
    }

    private void ParkLocked(BlockPart part, Refusal refusal, in SendResult result, int lostSamples, long nowMs)
    {
        if (_deadLetters.TryAdd(part.Block, refusal, result, lostSamples, nowMs))
        {
            Counters.Parked(lostSamples);
        }
        else
        {
            Counters.Dropped(DropReason.DeadLettersFailed, lostSamples);
        }
    }

    private void FinishLocked(int lane)
    {
        _underWay[lane] = null;
        _queue.Finish(lane);
    }

    private static void ReturnBytes(BlockUnderWay block, in SendResult result)
    {
        var whole = block.Queued.Block;
        if (whole.RentedBytes is { } rented && result.IsSuccess && !block.WasRetried && !block.IsSplit)
        {
            ArrayPool<byte>.Shared.Return(rented);
        }
    }

    private static BlockPart PartOf(BlockPart whole, in EditedBlock edited, bool isRepeated = false)
    {
        var block = whole.Block with
        {
            Bytes = edited.Bytes,
            RentedBytes = null,
            SampleCount = edited.SampleCount,
            MinTimestampMs = edited.MinTimestampMs,
            MaxTimestampMs = edited.MaxTimestampMs,
        };
        return new BlockPart(block, isRepeated, whole.Node) { Step = whole.Step, Downgrade = whole.Downgrade };
    }

    private static DropReason? DropReasonOf(Refusal refusal) => refusal switch
    {
        Refusal.Duplicate => DropReason.RefusedDuplicate,
        Refusal.OutOfOrder => DropReason.RefusedOutOfOrder,
        Refusal.TooOld => DropReason.RefusedTooOld,
        Refusal.TooFarAhead => DropReason.RefusedTooFarAhead,
        _ => null,
    };

    private T Locked<T>(Func<T> read)
    {
        lock (_lock)
        {
            return read();
        }
    }
}
