using System.Collections.Concurrent;
using Millrace.Aggregation;
using Millrace.Delivery;
using Millrace.Memory;
using Millrace.Model;

namespace Millrace.Pipeline;

/// <summary>
/// Everything behind the log: workers with their tasks and lanes, and the emitter. Its state is a function of the
/// records handed over, in their order; live and replayed records take the same way. Without threads
/// (<see cref="Start"/> not called) each record is applied on the caller's thread: that is how the simulation runs.
/// </summary>
internal sealed class Engine
{
    private readonly Worker[] _workers;
    private readonly ConcurrentBag<BatchItem> _items = [];
    private readonly IReadOnlyList<Destination> _destinations;
    private readonly int[] _firstLane;
    private long _bytesInFlight;
    private int _helps;
    private bool _hasThreads;

    // Written by whoever hands over, one at a time; read by others.
    private Generation _generation;
    private RuleClock[] _clocks = [];
    private long[] _closedThrough = [];
    private long _handedOverLsn;

    /// <summary>Where each configuration began, as far back as some lane may have to go.</summary>
    private readonly List<(long Lsn, Generation Generation)> _configurations = [];

    public Engine(
        Generation generation, IReadOnlyList<Destination> destinations, Emitter emitter, int workers, TimeProvider time)
    {
        _generation = generation;
        _destinations = destinations;
        _firstLane = new int[destinations.Count];
        var lanes = new List<Lane>();
        for (var i = 0; i < destinations.Count; i++)
        {
            _firstLane[i] = lanes.Count;
            var config = destinations[i].Config;
            for (var lane = 0; lane < config.Lanes; lane++)
            {
                lanes.Add(new Lane(destinations[i], config, lane, time));
            }
        }
        Lanes = [.. lanes];
        Emitter = emitter;
        _workers = new Worker[workers];
        for (var i = 0; i < workers; i++)
        {
            _workers[i] = new Worker(i, workers, this, generation);
        }
    }

    public Lane[] Lanes { get; }

    public Emitter Emitter { get; }

    /// <summary>Booked by the first worker, in log order.</summary>
    public Ledger Ledger { get; } = new();

    public int WorkerCount => _workers.Length;

    /// <summary>The configuration of the records handed over last.</summary>
    public Generation Generation => Volatile.Read(ref _generation);

    public IReadOnlyList<RuleClock> Clocks => Volatile.Read(ref _clocks);

    /// <summary>By rule: the last window for which a close was handed over.</summary>
    public long ClosedThrough(int rule) => Volatile.Read(ref _closedThrough)[rule];

    /// <summary>
    /// The end of a rule's last closed window, for those who look on; null for a rule that is not in force.
    /// </summary>
    public long? ClosedThroughMs(AggregationRule rule)
    {
        // Another configuration may come into force meanwhile: what does not fit together is not shown.
        var (generation, clocks, closed) = (Generation, Clocks, Volatile.Read(ref _closedThrough));
        var i = Array.IndexOf(generation.Rules, rule);
        return i >= 0 && i < clocks.Count && i < closed.Length
            ? rule.EndOf(Volatile.Read(ref closed[i]), clocks[i].OffsetMs)
            : null;
    }

    public long HandedOverLsn => Volatile.Read(ref _handedOverLsn);

    /// <summary>Bytes of decoded batches handed over and not yet applied by every worker.</summary>
    public long BytesInFlight => Interlocked.Read(ref _bytesInFlight);

    /// <summary>The shards of all rules in all tasks.</summary>
    public IEnumerable<RuleShard> Shards
    {
        get
        {
            foreach (var worker in _workers)
            {
                foreach (var shard in worker.Shards)
                {
                    yield return shard;
                }
            }
        }
    }

    /// <summary>The shards of a rule in all tasks.</summary>
    public IEnumerable<RuleShard> ShardsOf(AggregationRule rule)
    {
        foreach (var shard in Shards)
        {
            if (shard.Rule.Key == rule.Key)
            {
                yield return shard;
            }
        }
    }

    /// <summary>From now on workers and emitter run on threads of their own.</summary>
    public void Start()
    {
        _hasThreads = true;
        Emitter.StartThread();
        foreach (var worker in _workers)
        {
            worker.StartThread();
        }
    }

    /// <summary>Applies what was handed over and ends the threads.</summary>
    public void Stop()
    {
        foreach (var worker in _workers)
        {
            worker.Stop();
        }
        Emitter.StopThread();
        _hasThreads = false;
    }

    public BatchItem RentItem()
    {
        if (!_items.TryTake(out var item))
        {
            item = new BatchItem();
        }
        return item;
    }

    public void ReturnItem(BatchItem item)
    {
        // A few dozen cover all connections; what a burst made beyond that is left to the collector.
        if (_items.Count < 64 && !item.Batch.IsOversized)
        {
            _items.Add(item);
        }
    }

    /// <summary>Hands a record to the workers. The caller holds the lock that fixes the order.</summary>
    /// <param name="item">The record.</param>
    /// <param name="isHelped">The caller will call <see cref="Help"/> when it has let go of the lock.</param>
    public void HandOver(LogItem item, bool isHelped = false)
    {
        if (item is BatchItem batch)
        {
            Interlocked.Add(ref _bytesInFlight, batch.SizeBytes);
        }
        if (item.Lsn > 0)
        {
            Volatile.Write(ref _handedOverLsn, item.Lsn);
        }
        item.Start(_workers.Length);
        foreach (var worker in _workers)
        {
            worker.Enqueue(item, isHelped);
        }
    }

    /// <summary>
    /// Applies samples that were handed over on the caller's thread. Two callers meet at different workers, mostly.
    /// </summary>
    public void Help()
    {
        var first = (uint)Interlocked.Increment(ref _helps);
        for (var i = 0u; i < _workers.Length; i++)
        {
            _workers[(first + i) % _workers.Length].Help();
        }
    }

    /// <summary>A configuration record: rules that stay keep their clock, new ones begin at its arrival time.</summary>
    public void HandOverConfiguration(Generation generation, long lsn, long arrivalMs)
    {
        var clocks = new RuleClock[generation.Rules.Length];
        var closedThrough = new long[clocks.Length];
        for (var i = 0; i < clocks.Length; i++)
        {
            var rule = generation.Rules[i];
            var before = Array.FindIndex(_generation.Rules, other => other.Key == rule.Key);
            var stays = before >= 0 && before < _clocks.Length;
            clocks[i] = stays ? _clocks[before] : RuleClock.StartAt(rule, arrivalMs);
            closedThrough[i] = stays ? _closedThrough[before] : clocks[i].ClosedAtStart(rule);
        }
        SetConfiguration(generation, clocks, closedThrough);
        _configurations.Add((lsn, generation));
        HandOver(new ConfigurationItem(generation, clocks) { Lsn = lsn, ArrivalMs = arrivalMs });
    }

    /// <summary>A close record: the windows of the rules named by their keys, up to one each.</summary>
    public void HandOverClose(IReadOnlyList<(UInt128 Rule, long ThroughWindow)> closes, long lsn, long arrivalMs)
    {
        var known = new List<(int, long)>(closes.Count);
        foreach (var (key, throughWindow) in closes)
        {
            var rule = Array.FindIndex(_generation.Rules, candidate => candidate.Key == key);
            if (rule >= 0 && throughWindow > _closedThrough[rule])
            {
                Volatile.Write(ref _closedThrough[rule], throughWindow);
                known.Add((rule, throughWindow));
            }
        }
        if (known.Count > 0)
        {
            HandOver(new CloseItem(known, _generation) { Lsn = lsn, ArrivalMs = arrivalMs });
        }
    }

    /// <summary>Called by the last worker that applied an item.</summary>
    public void Finish(LogItem item)
    {
        switch (item)
        {
            case BatchItem batch:
                Interlocked.Add(ref _bytesInFlight, -batch.SizeBytes);
                ReturnItem(batch);
                break;
            case FlushItem flush:
                flush.Applied.TrySetResult();
                break;
            case CloseItem or BaseItem:
                Emitter.Enqueue(item);
                break;
            default:
                break;
        }
    }

    /// <summary>Metadata goes to every destination, a family always on the same lane.</summary>
    public void AddMetadata(BatchItem item, int number, int worker)
    {
        var family = item.Batch.Metadata[number].Family;
        var hash = StableHash.Hash64(System.Text.Encoding.UTF8.GetBytes(family));
        for (var i = 0; i < _destinations.Count; i++)
        {
            var lane = _firstLane[i] + (int)(hash % (ulong)_destinations[i].Config.Lanes);
            if (lane % _workers.Length == worker)
            {
                Lanes[lane].AddMetadata(item, number);
            }
        }
    }

    /// <summary>The first record that some lane still needs, besides those behind <paramref name="lsn"/>.</summary>
    public long LanesNeedFromLsn(long lsn)
    {
        foreach (var lane in Lanes)
        {
            lsn = Math.Min(lsn, lane.NeededFromLsn);
        }
        foreach (var destination in _destinations)
        {
            lsn = Math.Min(lsn, destination.RawNeededFromLsn());
        }
        return lsn;
    }

    /// <summary>
    /// The configurations that lanes need besides the one in force at <paramref name="lsn"/>, if they go on from where
    /// they stand now; older ones are forgotten.
    /// </summary>
    public (long Lsn, Generation Generation)[] ConfigurationsOfLanes(long lsn)
    {
        var neededFromLsn = LanesNeedFromLsn(lsn);
        while (_configurations.Count > 1 && _configurations[1].Lsn <= neededFromLsn)
        {
            _configurations.RemoveAt(0);
        }
        return [.. _configurations];
    }

    /// <summary>The configuration in force at a record before the base that the engine goes on from.</summary>
    public Generation GenerationAt(long lsn)
    {
        for (var i = _configurations.Count - 1; i >= 0; i--)
        {
            if (_configurations[i].Lsn < lsn)
            {
                return _configurations[i].Generation;
            }
        }
        return _generation;
    }

    /// <summary>The first record of the output log that some destination still needs.</summary>
    public long OutputsNeededFromLsn(long lsn)
    {
        foreach (var destination in _destinations)
        {
            lsn = Math.Min(lsn, destination.OutputsNeededFromLsn());
        }
        return lsn;
    }

    /// <summary>Goes on from a base. Before anything is handed over.</summary>
    /// <param name="state">The base.</param>
    /// <param name="compile">From the text of a configuration; null if this release cannot read it.</param>
    public void Restore(Base state, Func<string, Generation?> compile)
    {
        foreach (var (lsn, text) in state.ConfigurationsOfLanes)
        {
            _configurations.Add((lsn, compile(text) ?? _generation));
        }
        SetConfiguration(_generation, state.Clocks, state.ClosedThrough);
        foreach (var worker in _workers)
        {
            worker.Begin(_generation, state.Clocks, state.ClosedThrough);
        }
        foreach (var part in state.OpenParts())
        {
            using (part)
            {
                RestorePart(part);
            }
        }
        Emitter.Restore(state.LastEmitted);
    }

    private void RestorePart(System.IO.Stream part)
    {
        using var reader = new SnapshotReader(part);
        if (reader.ReadInt32() == 1)
        {
            Ledger.Read(reader);
        }
        for (var task = reader.ReadInt32(); task >= 0; task = reader.ReadInt32())
        {
            var rule = reader.ReadInt32();
            _workers[task % _workers.Length].Restore(task, rule, reader);
        }
    }

    private void SetConfiguration(Generation generation, RuleClock[] clocks, long[] closedThrough)
    {
        Volatile.Write(ref _closedThrough, closedThrough);
        Volatile.Write(ref _clocks, clocks);
        Volatile.Write(ref _generation, generation);
    }

    /// <summary>True while threads run: a caller must then wait for room instead of going on.</summary>
    public bool HasThreads => _hasThreads;
}
