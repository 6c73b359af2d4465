using System.IO;
using Millrace.Aggregation;
using Millrace.Configuration;
using Millrace.Delivery;
using Millrace.Log;

namespace Millrace.Pipeline;

/// <summary>
/// A pipeline at work: replays, then ticks. Every tick closes the windows that are due, seals blocks that have waited
/// long enough, brings the logs to disk, writes bases and lets go of what nobody needs any more. Ticks come from one
/// caller; nothing here is on the path of a sample.
/// </summary>
internal sealed class RunningPipeline
{
    private const long SyncMs = 200;
    private const long TrimMs = 1_000;
    internal const long LatenessMs = 10_000;

    private readonly MillraceConfig _config;
    private readonly PipelineEnvironment _environment;
    private readonly RecordLog? _input;
    private readonly RecordLog _output;
    private readonly ArrivalClock _clock;
    private readonly Dictionary<UInt128, ClosePolicy> _policies = [];
    private readonly string _basesFolder;
    private Generation? _policiesOf;
    private Task? _flush;
    private long _closesHeldUntilMs;
    private long _nextSyncMs;
    private long _nextTrimMs;
    private long _nextLatenessMs;
    private long _lastBaseMs;
    private volatile Checkpoint? _checkpoint; // written by the emitter when a base is whole
    private volatile bool _baseIsUnderWay;

    private sealed record Checkpoint(long Lsn, long OutputLsn, long AppendedBytes);

    public RunningPipeline(
        MillraceConfig config, PipelineEnvironment environment, IngestPipeline pipeline, Replayer? replayer,
        ArrivalClock clock, RecordLog? input, RecordLog output, List<Destination> destinations, Base? state)
    {
        (_config, _environment, Ingest, Replayer) = (config, environment, pipeline, replayer);
        (_clock, _input, _output, Destinations) = (clock, input, output, destinations);
        _basesFolder = Path.Combine(config.Log.Path, "bases");
        _checkpoint = state is null ? null : new Checkpoint(state.Lsn, state.OutputLsn, 0);
        pipeline.Engine.Emitter.BaseFinished = FinishBase;
        pipeline.Engine.Emitter.Failed = environment.Failed;
        _lastBaseMs = clock.NowMs();
    }

    public IngestPipeline Ingest { get; }

    public Engine Engine => Ingest.Engine;

    public Replayer? Replayer { get; }

    public IReadOnlyList<Destination> Destinations { get; }

    /// <summary>Who gets what of the sharded ones among them.</summary>
    public IReadOnlyList<ShardedNodes> Sharded { get; init; } = [];

    public RecordLog? InputLog => _input;

    public RecordLog OutputLog => _output;

    /// <summary>Compiles a reloaded configuration for the running destinations.</summary>
    public required Func<MillraceConfig, Generation> NewGeneration { get; init; }

    /// <summary>When a process before this one last took input or closed windows; 0: never.</summary>
    public required long LastInputMs { get; init; }

    public long BasesWritten { get; private set; }

    public long BasesFailed { get; private set; }

    public long DroppedSegments { get; private set; }

    /// <summary>Until then closes wait: senders deliver what they kept while nothing was accepted.</summary>
    public long ClosesHeldUntilMs => Volatile.Read(ref _closesHeldUntilMs);

    /// <summary>The lateness now in force for a rule; null before its first close.</summary>
    public long? LatenessOf(AggregationRule rule)
    {
        lock (_policies)
        {
            return _policies.TryGetValue(rule.Key, out var policy) ? policy.LatenessMs : null;
        }
    }

    /// <summary>Begins, and catches up.</summary>
    public Task StartAsync(CancellationToken stop) => TryBegin() ? CatchUpAsync(stop) : Task.CompletedTask;

    /// <summary>
    /// Brings the configuration into force: from then on input is accepted. False: the log could not take it.
    /// </summary>
    public bool TryBegin()
    {
        if (Replayer is null)
        {
            Ingest.TryGoLive(static () => true);
        }
        if (!Ingest.TryConfigure(Ingest.Generation))
        {
            _environment.Failed("the configuration cannot be written to the log: is the disk full?");
            return false;
        }
        return true;
    }

    /// <summary>Brings the state up to the end of the log.</summary>
    public async Task CatchUpAsync(CancellationToken stop)
    {
        if (_environment.Workers > 0)
        {
            Engine.Start();
        }
        if (Replayer is not null)
        {
            if (!await Replayer.RunAsync(stop).ConfigureAwait(false))
            {
                _environment.Failed($"the log could not be replayed: {Replayer.Failure}");
                return;
            }
            if (LastInputMs > 0)
            {
                var nowMs = _clock.NowMs();
                HoldCloses(nowMs, nowMs - LastInputMs);
            }
        }
    }

    /// <summary>Called some ten times a second.</summary>
    public void Tick()
    {
        var nowMs = _clock.NowMs();
        if (Ingest.IsLive)
        {
            HoldClosesAfterOutage(nowMs);
            CloseWindows(nowMs);
            WriteBaseIfDue(nowMs);
            if (_flush is null or { IsCompleted: true })
            {
                _flush = Ingest.FlushAsync(nowMs, everything: false);
            }
        }
        if (!Engine.HasThreads)
        {
            Engine.Emitter.Pump();
        }
        if (nowMs >= _nextSyncMs)
        {
            _nextSyncMs = nowMs + SyncMs;
            Sync();
        }
        if (nowMs >= _nextTrimMs)
        {
            _nextTrimMs = nowMs + TrimMs;
            Trim(nowMs);
        }
    }

    /// <summary>Brings a changed configuration into force; false: the log could not take it.</summary>
    public bool TryReload(MillraceConfig config) => Ingest.TryConfigure(NewGeneration(config));

    /// <summary>
    /// The last step of a graceful stop, when nothing is accepted any more and the pumps have ended: seals, writes a
    /// base, so that the next start has nothing to replay, and closes the files.
    /// </summary>
    public async Task StopAsync()
    {
        if (Ingest.IsLive)
        {
            if (_input is not null && !_baseIsUnderWay)
            {
                WriteBase(_clock.NowMs());
            }
            await Ingest.FlushAsync(_clock.NowMs(), everything: false).ConfigureAwait(false);
        }
        if (Engine.HasThreads)
        {
            Engine.Stop();
        }
        else
        {
            Engine.Emitter.Pump();
        }
        _input?.Sync();
        _output.Sync();
        foreach (var destination in Destinations)
        {
            destination.Dispose();
        }
        _input?.Dispose();
        _output.Dispose();
    }

    /// <summary>Closes a rule's windows whose time has come: one record for all rules together.</summary>
    private void CloseWindows(long nowMs)
    {
        var rules = Engine.Rules;
        ForgetPolicies(rules.Generation);
        var isCatchingUp = nowMs < ClosesHeldUntilMs || Ingest.Outage.IsUnderWay;
        var observes = nowMs >= _nextLatenessMs;
        List<(UInt128, long)>? closes = null;
        for (var i = 0; i < rules.Terms.Length; i++)
        {
            if (rules.Generation.IsFinished(i))
            {
                continue;
            }
            var rule = rules.Generation.RulesInForce[i];
            var policy = PolicyOf(rule, rules.Terms[i].Clock);
            if (observes)
            {
                policy.Observe(LagsOf(rule));
            }
            var through = Math.Min(rules.Terms[i].LastClose(rule), policy.CloseThrough(
                nowMs, isCatchingUp, rules.Generation.Chain.ReadyThrough(rules, i, Engine.Emitter.Derivations)));
            if (through > rules.ClosedThrough[i])
            {
                (closes ??= []).Add((rule.Key, through));
            }
        }
        if (observes)
        {
            _nextLatenessMs = nowMs + LatenessMs;
        }
        if (closes is not null)
        {
            Ingest.TryClose(closes, nowMs);
        }
    }

    private ClosePolicy PolicyOf(AggregationRule rule, RuleClock clock)
    {
        var config = Engine.Generation.Config.Aggregation;
        lock (_policies)
        {
            if (!_policies.TryGetValue(rule.Key, out var policy) || !policy.IsFor(rule, clock, config))
            {
                policy = _policies[rule.Key] = new ClosePolicy(rule, clock, config);
            }
            return policy;
        }
    }

    /// <summary>Those of rules that are no longer in force.</summary>
    private void ForgetPolicies(Generation generation)
    {
        if (ReferenceEquals(generation, _policiesOf))
        {
            return;
        }
        _policiesOf = generation;
        lock (_policies)
        {
            foreach (var key in _policies.Keys)
            {
                if (RuleHandover.NumberOf(generation, key) < 0)
                {
                    _policies.Remove(key);
                }
            }
        }
    }

    private IEnumerable<LagHistogram> LagsOf(AggregationRule rule)
    {
        foreach (var shard in Engine.ShardsOf(rule))
        {
            yield return shard.Counters.Lags;
        }
    }

    /// <summary>While the log refuses samples no window closes, and then as long again, as after a start.</summary>
    private void HoldClosesAfterOutage(long nowMs)
    {
        Ingest.Outage.EndIfQuiet(nowMs, _input?.HasSpace() ?? true);
        if (Ingest.Outage.TryTake(out var lastedMs, out var endedMs))
        {
            HoldCloses(endedMs, lastedMs);
        }
    }

    private void HoldCloses(long fromMs, long lastedMs)
    {
        var catchUpMs = (long)Ingest.Generation.Config.Aggregation.CatchUp.TotalMilliseconds;
        Volatile.Write(
            ref _closesHeldUntilMs, Math.Max(_closesHeldUntilMs, fromMs + Math.Min(lastedMs, catchUpMs)));
    }

    private void Sync()
    {
        if (_input is not null && !_input.Sync() && _input.Failure is { } inputFailure)
        {
            _environment.Failed($"the input log has failed: {inputFailure}");
        }
        if (!_output.Sync() && _output.Failure is { } outputFailure)
        {
            _environment.Failed($"the output log has failed: {outputFailure}");
        }
    }

    private void WriteBaseIfDue(long nowMs)
    {
        if (_input is null || _baseIsUnderWay)
        {
            return;
        }
        var bytesSince = _input.AppendedBytes - (_checkpoint?.AppendedBytes ?? 0);
        var bytesDue = Math.Min(_config.Log.BaseBytes, _config.Log.MaxBytes / 4);
        if (nowMs - _lastBaseMs >= (long)_config.Log.BaseInterval.TotalMilliseconds || bytesSince >= bytesDue)
        {
            WriteBase(nowMs);
        }
    }

    private void WriteBase(long nowMs)
    {
        _lastBaseMs = nowMs;
        _baseIsUnderWay = true;
        if (!Ingest.TryWriteBase(
            lsn => new BaseWriter(_basesFolder, lsn, Engine.WorkerCount, _environment.Disk)))
        {
            _baseIsUnderWay = false;
            BasesFailed++;
        }
    }

    /// <summary>On the emitter's thread, after every close before the base was finished.</summary>
    private void FinishBase(BaseItem item)
    {
        Engine.Emitter.Derivations.ForgetFound();
        var outputLsn = _output.NextLsn;
        // A base rests on both logs: what it speaks of must not be lost with the power while the base itself stays.
        var isWhole = _input!.SyncTo(Math.Max(item.Lsn, Ingest.LastDerivedLsn) + 1) && _output.SyncTo(outputLsn)
            && item.Writer.TryFinish(head => item.WriteHead(
                head, Engine.LanesNeedFromLsn(item.Lsn + 1), outputLsn, Engine.Emitter.LastEmitted));
        if (isWhole)
        {
            item.Writer.RemoveOthers();
            _checkpoint = new Checkpoint(item.Lsn, outputLsn, _input!.AppendedBytes);
            BasesWritten++;
        }
        else
        {
            BasesFailed++;
            var reason = item.Writer.Failure ?? "a log could not be synced";
            _environment.Warned($"a base could not be written, the next is tried later: {reason}");
        }
        _baseIsUnderWay = false;
    }

    /// <summary>Lets go of records that neither the newest base nor a destination needs.</summary>
    private void Trim(long nowMs)
    {
        foreach (var destination in Destinations)
        {
            if (!destination.Sync())
            {
                // It would take nothing more to disk. The input log has it all, and a start opens the files anew.
                _environment.Failed(
                    $"the files of destination '{destination.Name}' could not be synced: "
                    + (destination.DiskFailure ?? "its positions or dead letters"));
            }
        }
        if (_checkpoint is { } checkpoint)
        {
            _output.ReleaseBefore(Engine.OutputsNeededFromLsn(checkpoint.OutputLsn));
            _input!.ReleaseBefore(Engine.LanesNeedFromLsn(checkpoint.Lsn + 1));
        }
        else if (_input is null)
        {
            _output.ReleaseBefore(Engine.OutputsNeededFromLsn(long.MaxValue));
        }
        if (_input is null || _input.SizeBytes <= _config.Log.MaxBytes / 2)
        {
            return;
        }
        foreach (var destination in Destinations)
        {
            destination.SpillMemory(nowMs);
        }
        while (_input.SizeBytes > _config.Log.MaxBytes && _input.DropOldestSegment(out _))
        {
            DroppedSegments++;
            _environment.Warned(
                $"the input log passed log.max_bytes ({_config.Log.MaxBytes}); its oldest segment was dropped");
        }
    }
}
