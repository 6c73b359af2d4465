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
    private RulesInForce _rules;
    private long _handedOverLsn;

    /// <summary>Where each configuration began, as far back as some lane may have to go.</summary>
    private readonly List<(long Lsn, Generation Generation)> _configurations = [];

    public Engine(
        Generation generation, IReadOnlyList<Destination> destinations, Emitter emitter, int workers, TimeProvider time)
    {
        _rules = new RulesInForce(generation, [], []);
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

    /// <summary>Told by the first worker, in log order.</summary>
    public FamilyBook Families { get; } = new();

    public int WorkerCount => _workers.Length;

    /// <summary>The configuration of the records handed over last.</summary>
    public Generation Generation => Rules.Generation;

    /// <summary>
    /// The rules of that configuration and the retiring ones; windows up to which a close was handed over.
    /// </summary>
    public RulesInForce Rules => Volatile.Read(ref _rules);

    /// <summary>
    /// The end of a rule's last closed window, for those who look on; null for a rule that is not in force.
    /// </summary>
    public long? ClosedThroughMs(AggregationRule rule)
    {
        var rules = Rules;
        var i = Array.IndexOf(rules.Generation.RulesInForce, rule);
        return i >= 0 && i < rules.Terms.Length
            ? rule.EndOf(Volatile.Read(ref rules.ClosedThrough[i]), rules.Terms[i].Clock.OffsetMs)
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
        // Two dozen cover all connections; what a burst made beyond that is left to the collector.
        if (_items.Count < 24 && !item.Batch.IsOversized)
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

    /// <summary>A configuration record: see <see cref="RuleHandover"/>.</summary>
    public void HandOverConfiguration(Generation generation, long lsn, long arrivalMs)
    {
        var rules = RuleHandover.Apply(Rules, generation, arrivalMs);
        _configurations.Add((lsn, generation));
        Bring(rules, lsn, arrivalMs);
    }

    /// <summary>A close record: the windows of the rules named by their keys, up to one each.</summary>
    public void HandOverClose(IReadOnlyList<(UInt128 Rule, long ThroughWindow)> closes, long lsn, long arrivalMs)
    {
        var rules = Rules;
        var known = new List<(int, long)>(closes.Count);
        List<(UInt128 Taker, long FromMs)>? takers = null;
        foreach (var (key, throughWindow) in closes)
        {
            var rule = RuleHandover.NumberOf(rules.Generation, key);
            if (rule >= 0 && throughWindow > rules.ClosedThrough[rule])
            {
                AddTakers(rules, rule, ref takers);
                Volatile.Write(ref rules.ClosedThrough[rule], throughWindow);
                known.Add((rule, throughWindow));
            }
        }
        if (known.Count == 0)
        {
            return;
        }
        var item = new CloseItem(known, rules.Generation) { Lsn = lsn, ArrivalMs = arrivalMs };
        foreach (var (taker, fromMs) in takers ?? [])
        {
            item.Takers.Add((taker, fromMs));
            Emitter.Derivations.Begin(taker, fromMs);
        }
        HandOver(item);
        if (RuleHandover.LetGo(rules) is { } left)
        {
            Bring(left, lsn, arrivalMs);
        }
    }

    /// <summary>The rules that wait for what a close of a rule gives, from its first window on.</summary>
    private static void AddTakers(RulesInForce rules, int rule, ref List<(UInt128 Taker, long FromMs)>? takers)
    {
        foreach (var taker in rules.Generation.Chain.Takers(rule))
        {
            var all = rules.Generation.RulesInForce;
            (takers ??= []).Add((
                all[taker].Key, all[rule].EndOf(rules.ClosedThrough[rule] + 1, rules.Terms[rule].Clock.OffsetMs)));
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
        return Generation;
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
        var generation = Rules.Generation;
        foreach (var (lsn, text) in state.ConfigurationsOfLanes)
        {
            _configurations.Add((lsn, compile(text) ?? generation));
        }
        Volatile.Write(ref _rules, state.Rules.Restore(generation, compile));
        foreach (var worker in _workers)
        {
            worker.Begin(Rules);
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
            Families.Read(reader);
        }
        for (var task = reader.ReadInt32(); task >= 0; task = reader.ReadInt32())
        {
            var rule = RuleHandover.NumberOf(Rules.Generation, reader.Read<UInt128>());
            _workers[task % _workers.Length].Restore(task, rule, reader);
        }
    }

    private void Bring(RulesInForce rules, long lsn, long arrivalMs)
    {
        Volatile.Write(ref _rules, rules);
        HandOver(new ConfigurationItem(rules with { ClosedThrough = [.. rules.ClosedThrough] })
        {
            Lsn = lsn,
            ArrivalMs = arrivalMs,
        });
    }

    /// <summary>True while threads run: a caller must then wait for room instead of going on.</summary>
    public bool HasThreads => _hasThreads;
}
