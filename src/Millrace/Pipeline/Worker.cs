using Millrace.Aggregation;
using Millrace.Memory;

namespace Millrace.Pipeline;

/// <summary>
/// Owns some tasks and some lanes, and applies to them what the log says, in its order. One thread at a time: one that
/// just handed over samples (<see cref="Help"/>), which finds them in its cache and need not wake anybody; the worker's
/// own; or, in a simulation, the caller's.
/// </summary>
internal sealed class Worker
{
    /// <summary>Records that one call of <see cref="Help"/> applies, besides the first.</summary>
    private const int MaxHelped = 8;

    /// <summary>Asked for ahead: about as many as the processor fetches at once.</summary>
    private const int PrefetchedTargets = 16;

    private readonly int _index;
    private readonly int _workerCount;
    private readonly Engine _engine;
    private readonly ShardScratch _scratch = new();
    private readonly Stack<PendingSamples> _pending = new();
    private readonly List<RuleShard> _touched = [];

    // State, touched by the worker's thread; shards are read by the page and the metrics.
    private RuleShard?[]?[] _tasks = [];     // by task, then by rule in force
    private RulesInForce _rules;             // its own closes
    private long _appliedLsn;

    // Side of the queue.
    private readonly object _signal = new(); // covers _queue, _isApplying and _isStopping
    private readonly Queue<LogItem> _queue = new();
    private bool _isApplying; // by whoever set it: only they touch the state
    private bool _isStopping;
    private Thread? _thread;

    public Worker(int index, int workerCount, Engine engine, Generation generation)
    {
        _index = index;
        _workerCount = workerCount;
        _engine = engine;
        _rules = new RulesInForce(generation, [], []);
    }

    /// <summary>The shards of the rules in force, for those who look on from other threads.</summary>
    public IEnumerable<RuleShard> Shards
    {
        get
        {
            foreach (var shards in _tasks)
            {
                foreach (var shard in shards ?? [])
                {
                    if (shard is not null)
                    {
                        yield return shard;
                    }
                }
            }
        }
    }

    public int QueueLength
    {
        get
        {
            lock (_signal)
            {
                return _queue.Count;
            }
        }
    }

    /// <summary>Starts the worker's own thread; without it <see cref="Enqueue"/> applies on the caller's.</summary>
    public void StartThread()
    {
        _thread = new Thread(Run) { IsBackground = true, Name = $"worker {_index}" };
        _thread.Start();
    }

    /// <param name="item">Behind those of before.</param>
    /// <param name="isHelped">The caller will <see cref="Help"/>: the worker's own thread need not wake up.</param>
    public void Enqueue(LogItem item, bool isHelped)
    {
        if (_thread is null)
        {
            ApplyShare(item);
            return;
        }
        lock (_signal)
        {
            _queue.Enqueue(item);
            if (!isHelped && _queue.Count == 1)
            {
                Monitor.Pulse(_signal);
            }
        }
    }

    /// <summary>
    /// Applies what is queued on the caller's thread, unless somebody is at it, who will then come to all of it.
    /// Samples only, and not without end: the rest is left to the worker's thread.
    /// </summary>
    public void Help()
    {
        if (_thread is null)
        {
            return;
        }
        LogItem? item;
        lock (_signal)
        {
            if (_isApplying || !_queue.TryPeek(out item) || item is not BatchItem)
            {
                return; // Whoever enqueued something else has woken the thread.
            }
            _isApplying = true;
        }
        for (var left = MaxHelped; ; left--)
        {
            try
            {
                ApplyShare(item);
            }
            catch (Exception e)
            {
                // On the worker's thread it would end the process, too: half a record is applied.
                Environment.FailFast("A worker failed.", e);
            }
            lock (_signal)
            {
                _queue.Dequeue();
                if (left > 0 && _queue.TryPeek(out item) && item is BatchItem)
                {
                    continue;
                }
                _isApplying = false;
                if (_queue.Count > 0 || _isStopping)
                {
                    Monitor.Pulse(_signal);
                }
                return;
            }
        }
    }

    /// <summary>Applies what is queued and ends the thread.</summary>
    public void Stop()
    {
        lock (_signal)
        {
            _isStopping = true;
            Monitor.Pulse(_signal);
        }
        _thread?.Join();
        _thread = null;
    }

    private void Run()
    {
        while (true)
        {
            LogItem item;
            lock (_signal)
            {
                while (_isApplying || _queue.Count == 0)
                {
                    if (_isStopping && !_isApplying)
                    {
                        return;
                    }
                    Monitor.Wait(_signal);
                }
                _isApplying = true;
                item = _queue.Peek();
            }
            ApplyShare(item);
            lock (_signal)
            {
                _queue.Dequeue();
                _isApplying = false;
            }
        }
    }

    private void ApplyShare(LogItem item)
    {
        switch (item)
        {
            case BatchItem batch:
                Apply(batch);
                break;
            case CloseItem close:
                Apply(close);
                break;
            case FlushItem flush:
                Flush(flush);
                break;
            case BaseItem write:
                write.Writer.WritePart(_index, WriteState);
                break;
            case ConfigurationItem configuration:
                Apply(configuration);
                break;
            default:
                throw new InvalidOperationException($"A worker does not know the item {item.GetType().Name}.");
        }
        _appliedLsn = Math.Max(_appliedLsn, item.Lsn);
        if (item.FinishShare())
        {
            _engine.Finish(item);
        }
    }

    private void Apply(BatchItem item)
    {
        if (!item.IsForLanesOnly)
        {
            if (_index == 0)
            {
                _engine.Ledger.Book(item.Deal.Ledger);
                _engine.Families.Tell(item.Batch.Metadata);
            }
            for (var task = _index; task < _tasks.Length; task += _workerCount)
            {
                var samples = item.Deal.ForTask(task);
                if (samples.Length > 0)
                {
                    Apply(item, task, samples);
                }
            }
        }
        if (!item.IsForLanesOnly)
        {
            ApplyExtras(item);
        }
        var lanes = _engine.Lanes;
        for (var lane = _index; lane < lanes.Length; lane += _workerCount)
        {
            var samples = item.Deal.ForLane(lane);
            if (samples.Length > 0)
            {
                lanes[lane].Add(item, samples);
            }
        }
        for (var number = 0; number < item.Batch.Metadata.Count; number++)
        {
            _engine.AddMetadata(item, number, _index);
        }
    }

    /// <summary>
    /// Fills the samples of one task into its shards, each shard's in the order of the log. Targets and series lie
    /// anywhere in memory: each is asked for some samples before it is looked at.
    /// </summary>
    private void Apply(BatchItem item, int task, ReadOnlySpan<TaskSample> samples)
    {
        var cache = item.Batch.Cache;
        var hasReplicas = cache.HasReplicas;
        var shards = _tasks[task] ??= new RuleShard?[_rules.Terms.Length];
        for (var i = 0; i < Math.Min(PrefetchedTargets, samples.Length); i++)
        {
            cache.PrefetchAggregate(samples[i].Target);
        }
        for (var i = 0; i < samples.Length; i++)
        {
            if (i + PrefetchedTargets < samples.Length)
            {
                cache.PrefetchAggregate(samples[i + PrefetchedTargets].Target);
            }
            ref readonly var sample = ref samples[i];
            ref var target = ref cache.Aggregate(sample.Target);
            var rule = cache.Place(target.Group).Rule;
            var shard = shards[rule] ?? NewShard(task, rule);
            shard.PrefetchSeries(target.SlotHint);
            var pending = shard.Pending ?? Lend(shard);
            var at = pending.Count++;
            pending.Targets[at] = sample.Target;
            pending.TimesMs[at] = sample.TimeMs;
            pending.Values[at] = sample.Value;
            pending.StartsMs[at] = sample.StartMs;
            if (hasReplicas)
            {
                pending.Replicas[at] = cache.ReplicaOf(sample.Target);
            }
            if (at + 1 == PendingSamples.Capacity)
            {
                Take(shard, pending, item);
            }
        }
        foreach (var shard in _touched)
        {
            var pending = shard.Pending!;
            if (pending.Count > 0)
            {
                Take(shard, pending, item);
            }
            shard.Pending = null;
            _pending.Push(pending);
        }
        _touched.Clear();
    }

    private void Take(RuleShard shard, PendingSamples pending, BatchItem item)
    {
        var cache = item.Batch.Cache;
        for (var i = 0; i < pending.Count; i++)
        {
            ref var target = ref cache.Aggregate(pending.Targets[i]);
            var slot = target.SlotHint;
            if (!shard.HoldsSeries(slot, target.SeriesKey))
            {
                target.SlotHint = slot = SlotOf(shard, cache, pending.Targets[i]);
            }
            pending.Slots[i] = slot;
        }
        shard.Take(pending, item.ArrivalMs, _scratch);
        pending.Count = 0;
    }

    private void ApplyExtras(BatchItem item)
    {
        var cache = item.Batch.Cache;
        foreach (ref readonly var dealt in item.Deal.Extras)
        {
            if (dealt.Task % _workerCount != _index)
            {
                continue;
            }
            var shards = _tasks[dealt.Task] ??= new RuleShard?[_rules.Terms.Length];
            ref var target = ref cache.Aggregate(dealt.Target);
            var rule = cache.Place(target.Group).Rule;
            var shard = shards[rule] ?? NewShard(dealt.Task, rule);
            if (!shard.HoldsSeries(target.SlotHint, target.SeriesKey))
            {
                target.SlotHint = SlotOf(shard, cache, dealt.Target);
            }
            var extra = item.Batch.Extras[dealt.Extra];
            var bytes = item.Batch.BytesOf(extra);
            if (extra.IsExemplar)
            {
                shard.AddExemplar(target.SlotHint, dealt.TimeMs, extra.Value, bytes, item.ArrivalMs);
                continue;
            }
            var replica = cache.HasReplicas ? cache.ReplicaOf(dealt.Target) : 0;
            shard.TakeHistogram(target.SlotHint, replica, dealt.TimeMs, bytes, item.ArrivalMs, _scratch);
        }
    }

    private static int SlotOf(RuleShard shard, SeriesCache cache, int aggregate)
    {
        ref var target = ref cache.Aggregate(aggregate);
        if (shard is DedupShard deduplicator)
        {
            return deduplicator.SlotOf(target.SeriesKey, cache.BlockOf(aggregate));
        }
        var group = cache.Group(target.Group);
        return shard.SlotOf(target.SeriesKey, group.Key, group.Labels, cache.TargetOf(aggregate), group.InputLabels);
    }

    private PendingSamples Lend(RuleShard shard)
    {
        if (!_pending.TryPop(out var pending))
        {
            pending = new PendingSamples();
        }
        _touched.Add(shard);
        return shard.Pending = pending;
    }

    private RuleShard NewShard(int task, int rule)
    {
        var term = _rules.Terms[rule];
        var shard = RuleShard.Create(_rules.Generation.RulesInForce[rule], term.Clock, _rules.ClosedThrough[rule]);
        shard.Term = term;
        return _tasks[task]![rule] = shard;
    }

    private void Apply(CloseItem item)
    {
        if (_index == 0)
        {
            item.Families = _engine.Families.Now;
        }
        for (var i = 0; i < item.Closes.Count; i++)
        {
            var (rule, throughWindow) = item.Closes[i];
            if (throughWindow <= _rules.ClosedThrough[rule])
            {
                continue; // The first close of a window wins.
            }
            _rules.ClosedThrough[rule] = throughWindow;
            for (var task = _index; task < _tasks.Length; task += _workerCount)
            {
                if (_tasks[task]?[rule] is { } shard)
                {
                    var parts = new List<WindowPart>();
                    shard.Close(throughWindow, _scratch, parts);
                    item.Parts[i][task] = parts;
                }
            }
        }
    }

    /// <summary>Rules that stay keep their shards; those of others go.</summary>
    private void Apply(ConfigurationItem item)
    {
        var rules = item.Rules with { ClosedThrough = [.. item.Rules.ClosedThrough] };
        var numberBefore = new int[rules.Terms.Length];
        for (var i = 0; i < numberBefore.Length; i++)
        {
            numberBefore[i] = rules.Generation.IsFinished(i) ? -1
                : RuleHandover.NumberOf(_rules.Generation, rules.Generation.RulesInForce[i].Key);
        }
        var tasks = new RuleShard?[]?[rules.Generation.TaskCount];
        for (var task = 0; task < _tasks.Length; task++)
        {
            if (_tasks[task] is not { } shardsBefore)
            {
                continue;
            }
            var shards = tasks[task] = new RuleShard?[numberBefore.Length];
            for (var i = 0; i < shards.Length; i++)
            {
                if (numberBefore[i] >= 0 && shardsBefore[numberBefore[i]] is { } shard)
                {
                    shard.Term = rules.Terms[i];
                    shards[i] = shard;
                }
            }
        }
        (_tasks, _rules) = (tasks, rules);
    }

    /// <summary>The part of a base that this worker owns: any number of workers can take it over.</summary>
    private void WriteState(SnapshotWriter writer)
    {
        writer.Write(_index == 0 ? 1 : 0);
        if (_index == 0)
        {
            _engine.Ledger.Write(writer);
            _engine.Families.Write(writer);
        }
        for (var task = _index; task < _tasks.Length; task += _workerCount)
        {
            for (var rule = 0; rule < (_tasks[task]?.Length ?? 0); rule++)
            {
                if (_tasks[task]![rule] is { } shard)
                {
                    writer.Write(task);
                    writer.Write(_rules.Generation.RulesInForce[rule].Key);
                    shard.Write(writer);
                }
            }
        }
        writer.Write(-1);
    }

    /// <summary>Begins with the configuration of a base. Before the thread starts.</summary>
    public void Begin(RulesInForce rules)
    {
        _rules = rules with { ClosedThrough = [.. rules.ClosedThrough] };
        _tasks = new RuleShard?[]?[rules.Generation.TaskCount];
    }

    /// <summary>Takes over a shard of a base.</summary>
    public void Restore(int task, int rule, SnapshotReader reader)
    {
        _tasks[task] ??= new RuleShard?[_rules.Terms.Length];
        NewShard(task, rule).Read(reader);
    }

    private void Flush(FlushItem item)
    {
        var lanes = _engine.Lanes;
        for (var lane = _index; lane < lanes.Length; lane += _workerCount)
        {
            lanes[lane].Flush(item.NowMs, item.Everything, _appliedLsn);
        }
    }
}
