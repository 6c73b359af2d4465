using System.Collections.Concurrent;
using Millrace.Log;
using Millrace.Model;

namespace Millrace.Pipeline;

/// <summary>How a push ended.</summary>
internal enum PushStatus
{
    /// <summary>In the log, or known to be there from an equal request before.</summary>
    Accepted,
    Malformed,
    TooLarge,

    /// <summary>The gateway is starting: no configuration is in the log yet. Try again at once.</summary>
    NotReady,

    /// <summary>The disk of the log is full; try again later.</summary>
    DiskFull,

    /// <summary>The log has failed and takes nothing until a restart.</summary>
    Failed,
}

/// <param name="Status">What to answer.</param>
/// <param name="Written">What is in the log.</param>
/// <param name="RefusedSamples">Samples, histograms and exemplars of the body that are refused for good.</param>
/// <param name="Refusal">What to tell the sender when something was refused, or all.</param>
/// <param name="IsRepeat">An equal request was answered before.</param>
internal readonly record struct PushResult(
    PushStatus Status, WrittenCounts Written, int RefusedSamples = 0, string Refusal = "", bool IsRepeat = false);

/// <summary>
/// The path of a sample, up to the log and the workers:
/// (1) a repeated request is answered and not stored again, (2) decompress, decode and look up, in parallel,
/// (3) filter by time and deal to tasks and lanes, (4) append to the log, which fixes the order, (5) hand over to the
/// workers under the same lock, (6) wait until the durability asked for is reached.
/// Everything behind step 4 is a function of the log: <see cref="Replayer"/> repeats steps 2, 3 and 5 from it.
/// </summary>
internal sealed partial class IngestPipeline
{
    private const long MuchUnsyncedBytes = 8 << 20;

    private readonly RecordLog? _log;
    private readonly Durability _durability;
    private readonly Engine _engine;
    private readonly ArrivalClock _clock;
    private readonly ConcurrentBag<BodyDecoder> _decoders = [];
    private readonly Lock _appendLock = new(); // covers the order of the log, _requests and the flags
    private readonly RequestMemory _requests = new();
    private Generation _generation;
    private bool _isConfigured;
    private bool _isLive;
    private long _memoryLsn;
    private long _repeatedRequests;
    private long _acceptedRequests;
    private int _isSyncing;
    private readonly LogOutage _outage = new();

    /// <param name="log">The input log; null with <c>durability: memory</c>.</param>
    /// <param name="config">Of the log.</param>
    /// <param name="engine">What stands behind the log.</param>
    /// <param name="generation">The configuration that new records are decoded with.</param>
    /// <param name="clock">Stamps the records.</param>
    public IngestPipeline(
        RecordLog? log, LogConfig config, Engine engine, Generation generation, ArrivalClock clock)
    {
        (_log, _durability, _engine, _generation, _clock) = (log, config.Durability, engine, generation, clock);
    }

    public Engine Engine => _engine;

    /// <summary>The configuration that new records are decoded with; the engine's may still be an older one.</summary>
    public Generation Generation => Volatile.Read(ref _generation);

    /// <summary>The log has been replayed, and what is accepted goes straight to the workers.</summary>
    public bool IsLive => Volatile.Read(ref _isLive);

    public long RepeatedRequests => Interlocked.Read(ref _repeatedRequests);

    public long AcceptedRequests => Interlocked.Read(ref _acceptedRequests);

    public long NowMs => _clock.NowMs();

    /// <summary>Input that the log refuses, and senders keep.</summary>
    public LogOutage Outage => _outage;

    public async ValueTask<PushResult> PushAsync(ReadOnlyMemory<byte> body, BodyEncoding encoding)
    {
        var result = Push(body.Span, encoding, out var lsn);
        if (result.Status == PushStatus.Accepted && lsn > 0 && _durability == Durability.LogSynced
            && !await _log!.WaitSynced(lsn).ConfigureAwait(false))
        {
            return new PushResult(
                PushStatus.Failed, default, Refusal: $"the log could not be synced: {_log.Failure}");
        }
        return result;
    }

    /// <summary>All steps but the wait for a sync.</summary>
    public PushResult Push(ReadOnlySpan<byte> body, BodyEncoding encoding, out long lsn)
    {
        if (!Volatile.Read(ref _isConfigured))
        {
            // In the log it would stand before the configuration that it is to be decoded with.
            lsn = 0;
            return new PushResult(PushStatus.NotReady, default, Refusal: "the gateway is starting; try again");
        }
        var hash = StableHash.Hash128(body) ^ encoding.Number;
        if (TryAnswerRepeat(hash, out var result, out lsn))
        {
            return result;
        }
        var item = _engine.RentItem();
        while (true)
        {
            var outcome = Decode(body, encoding, item, out var error);
            if (outcome != DecodeOutcome.Ok)
            {
                _engine.ReturnItem(item);
                var status = outcome == DecodeOutcome.TooLarge ? PushStatus.TooLarge : PushStatus.Malformed;
                return new PushResult(status, default, Refusal: error);
            }
            if (item.Batch.IsEmpty)
            {
                _engine.ReturnItem(item);
                return new PushResult(PushStatus.Accepted, default);
            }
            item.ArrivalMs = _clock.NowMs();
            item.Batch.Stamp(item.ArrivalMs);
            item.Deal.Deal(item.Batch, item.ArrivalMs, item.Batch.Generation.TaskCount, _engine.Lanes.Length);
            if (TryAppend(body, encoding, hash, item, out result, out lsn))
            {
                return result;
            }
            // A new configuration came into force meanwhile: decide again under it.
        }
    }

    /// <summary>Appends a close record. False: the disk refused, the windows stay open.</summary>
    public bool TryClose(IReadOnlyList<(UInt128 Rule, long ThroughWindow)> closes, long nowMs)
    {
        lock (_appendLock)
        {
            return TryAppendLocked(CloseRecord.Header(nowMs), CloseRecord.Write(closes), out var lsn)
                && DoLocked(() =>
                {
                    _engine.HandOverClose(closes, lsn, nowMs);
                    FollowEngineLocked();
                });
        }
    }

    /// <summary>Appends a configuration record and brings it into force.</summary>
    public bool TryConfigure(Generation generation)
    {
        lock (_appendLock)
        {
            var nowMs = _clock.NowMs();
            var header = new RecordHeader { Type = RecordType.Configuration, FormatVersion = 1, ArrivalMs = nowMs };
            var text = System.Text.Encoding.UTF8.GetBytes(generation.Config.CanonicalText);
            if (!TryAppendLocked(header, text, out var lsn))
            {
                return false;
            }
            Volatile.Write(ref _generation, generation);
            Volatile.Write(ref _isConfigured, true);
            return DoLocked(() =>
            {
                _engine.HandOverConfiguration(generation, lsn, nowMs);
                FollowEngineLocked();
            });
        }
    }

    /// <summary>Appends a base marker; the workers write down their state when they reach it.</summary>
    public bool TryWriteBase(Func<long, BaseWriter> newWriter)
    {
        lock (_appendLock)
        {
            var nowMs = _clock.NowMs();
            var header = new RecordHeader { Type = RecordType.Base, FormatVersion = 1, ArrivalMs = nowMs };
            return TryAppendLocked(header, [], out var lsn)
                && DoLocked(() => _engine.HandOver(
                    new BaseItem(
                        newWriter(lsn), RulesNow(), _engine.ConfigurationsOfLanes(lsn), [.. _requests.All])
                    {
                        Lsn = lsn,
                        ArrivalMs = nowMs,
                    }));
        }
    }

    /// <summary>
    /// Seals blocks that have waited long enough, or all of them; completes when all workers are through.
    /// </summary>
    public Task FlushAsync(long nowMs, bool everything)
    {
        var item = new FlushItem(nowMs, everything);
        lock (_appendLock)
        {
            _engine.HandOver(item);
        }
        return item.Applied.Task;
    }

    /// <summary>
    /// Called by the replayer at the end of the log: <paramref name="replayRest"/> runs under the append lock, and what
    /// is accepted afterwards goes straight to the workers. False: it could not, and nothing has changed.
    /// </summary>
    public bool TryGoLive(Func<bool> replayRest)
    {
        lock (_appendLock)
        {
            if (!replayRest())
            {
                return false;
            }
            FollowEngineLocked();
            Volatile.Write(ref _isLive, true);
            return true;
        }
    }

    /// <summary>
    /// Remembers a request of before the start, or one that the replay comes to; false: it repeats an earlier one.
    /// </summary>
    public bool Remember(RememberedRequest request)
    {
        lock (_appendLock)
        {
            return _requests.Add(request);
        }
    }

    private DecodeOutcome Decode(ReadOnlySpan<byte> body, BodyEncoding encoding, BatchItem item, out string error)
    {
        if (!_decoders.TryTake(out var decoder))
        {
            decoder = new BodyDecoder();
        }
        var outcome = decoder.Decode(body, encoding, Generation, item.Batch, out error);
        _decoders.Add(decoder);
        return outcome;
    }

    private bool TryAnswerRepeat(UInt128 hash, out PushResult result, out long lsn)
    {
        lock (_appendLock)
        {
            return TryAnswerRepeatLocked(hash, out result, out lsn);
        }
    }

    private bool TryAnswerRepeatLocked(UInt128 hash, out PushResult result, out long lsn)
    {
        if (_requests.TryGet(hash, out var known))
        {
            Interlocked.Increment(ref _repeatedRequests);
            result = new PushResult(PushStatus.Accepted, known.Written, known.Refused, known.Refusal, IsRepeat: true);
            lsn = known.Lsn;
            return true;
        }
        result = default;
        lsn = 0;
        return false;
    }

    /// <summary>False only when the configuration changed since the batch was decoded.</summary>
    private bool TryAppend(
        ReadOnlySpan<byte> body, BodyEncoding encoding, UInt128 hash, BatchItem item,
        out PushResult result, out long lsn)
    {
        var batch = item.Batch;
        var header = new RecordHeader
        {
            Type = RecordType.Batch,
            FormatVersion = 1,
            Encoding = encoding.Number,
            ArrivalMs = item.ArrivalMs,
            RequestHash = batch.HasAllTimestamps ? hash : default,
        };
        item.SizeBytes = batch.SizeBytes;
        RememberedRequest taken;
        lock (_appendLock)
        {
            if (!ReferenceEquals(batch.Generation, _generation))
            {
                (result, lsn) = (default, 0);
                return false;
            }
            if (TryAnswerRepeatLocked(hash, out result, out lsn))
            {
                _engine.ReturnItem(item);
                return true;
            }
            var outcome = AppendLocked(header, body, out lsn);
            if (outcome != AppendOutcome.Written)
            {
                _engine.ReturnItem(item);
                _outage.Refused(_clock.NowMs());
                result = Refuse(outcome);
                return true;
            }
            _outage.Accepted(item.ArrivalMs);
            taken = RememberedRequest.Of(hash, item.ArrivalMs, lsn, batch);
            if (header.RequestHash != default)
            {
                _requests.Add(taken);
            }
            item.Lsn = lsn;
            item.IsForLanesOnly = false;
            if (_isLive)
            {
                _engine.HandOver(item, isHelped: true);
            }
            else
            {
                _engine.ReturnItem(item); // The replayer comes to it.
            }
        }
        // The samples are in this core's cache, and their sender waits for as long as its share takes: it cannot be
        // faster than the workers.
        _engine.Help();
        SyncMuch();
        Interlocked.Increment(ref _acceptedRequests);
        result = new PushResult(PushStatus.Accepted, taken.Written, taken.Refused, taken.Refusal);
        return true;
    }

    /// <summary>
    /// Under load the log is synced by its size, beside the regular sync by time. A power loss takes less, and pages of
    /// its file that are synced serve the next appends, where new ones would cost several times as much.
    /// </summary>
    private void SyncMuch()
    {
        if (_log is not null && _engine.HasThreads && _log.UnsyncedBytes >= MuchUnsyncedBytes
            && Interlocked.Exchange(ref _isSyncing, 1) == 0)
        {
            ThreadPool.UnsafeQueueUserWorkItem(
                static self =>
                {
                    self._log!.Sync(); // A failure stays in the log, where the next tick sees it.
                    Volatile.Write(ref self._isSyncing, 0);
                },
                this, preferLocal: false);
        }
    }

    private PushResult Refuse(AppendOutcome outcome) => outcome switch
    {
        AppendOutcome.DiskFull => new PushResult(
            PushStatus.DiskFull, default, Refusal: "the disk of the log is full; free space or lower log.max_bytes"),
        AppendOutcome.TooLarge => new PushResult(
            PushStatus.TooLarge, default, Refusal: "the body is larger than a record of the log may be"),
        _ => new PushResult(PushStatus.Failed, default, Refusal: $"the log has failed: {_log?.Failure}"),
    };

    private AppendOutcome AppendLocked(in RecordHeader header, ReadOnlySpan<byte> payload, out long lsn)
    {
        if (_log is null)
        {
            lsn = ++_memoryLsn;
            return AppendOutcome.Written;
        }
        return _log.Append(header, payload, out lsn, reserved: header.Type != RecordType.Batch);
    }

    private bool TryAppendLocked(in RecordHeader header, ReadOnlySpan<byte> payload, out long lsn) =>
        AppendLocked(header, payload, out lsn) == AppendOutcome.Written;

    private bool DoLocked(Action handOver)
    {
        if (_isLive)
        {
            handOver();
        }
        return true;
    }

    /// <summary>
    /// What is decoded from now on is for the rules in force: those of the configuration, and those retiring.
    /// </summary>
    private void FollowEngineLocked()
    {
        if (_isConfigured && !ReferenceEquals(_generation, _engine.Generation))
        {
            Volatile.Write(ref _generation, _engine.Generation);
        }
    }

    private RulesInForce RulesNow()
    {
        var rules = _engine.Rules;
        return rules with { ClosedThrough = [.. rules.ClosedThrough] };
    }
}
