using Millrace.Memory;

namespace Millrace.Aggregation;

/// <summary>
/// Standalone deduplication: of each series one sample per interval of its own time is passed on as it came, with its
/// timestamp. It is a rule whose only output is the surviving sample, so closes, bases and the output log serve it as
/// they serve aggregation, and what it holds survives a restart.
///
/// Nothing is lost by being late: a sample whose interval was closed is passed on at the next close, and so is one so
/// far ahead that its clock must be wrong. Samples of a series are chained from the newest interval to the oldest.
/// </summary>
internal sealed class DedupShard(AggregationRule rule, RuleClock clock) : RuleShard(rule, clock)
{
    private const int NoEntry = 0;

    /// <summary>A series without samples for longer is forgotten: Prometheus' look-back.</summary>
    private const long MinMemoryMs = 300_000;

    private struct SeriesRow
    {
        public int Head; // number of an entry + 1
        public bool IsUsed;
        public long LastArrivalMs;
    }

    private struct Entry
    {
        public long TimeMs;
        public double Value;
        public long StartMs;
        public int Next;
    }

    private readonly Column<SeriesRow> _series = new();
    private readonly Column<Entry> _entries = new();
    private readonly List<byte[]?> _labels = []; // label blocks, by series slot
    private int _entryCount;
    private int _firstFree; // chained like the entries of a series
    private long _latestArrivalMs;
    private long _intervalEndMs; // of the last sample: mostly that of the next one

    /// <summary>The slot of a series; <paramref name="labels"/> are kept when it is new.</summary>
    public int SlotOf(SeriesKey key, ReadOnlySpan<byte> labels)
    {
        var slot = Series.Find(key);
        if (slot < 0)
        {
            slot = AddSlot(key);
            _series.EnsureCapacity(Series.SlotCount);
            _series[slot] = new SeriesRow { IsUsed = true };
            while (_labels.Count < Series.SlotCount)
            {
                _labels.Add(null);
            }
            _labels[slot] = labels.ToArray();
        }
        return slot;
    }

    public override void Add(PendingSamples samples, long arrivalMs, ShardScratch scratch)
    {
        Counters.Samples += samples.Count;
        Counters.Lags.Observe(arrivalMs - samples.TimesMs[0]);
        _latestArrivalMs = Math.Max(_latestArrivalMs, arrivalMs);
        var closedMs = Rule.EndOf(ClosedThrough, Clock.OffsetMs);
        var aheadMs = Rule.EndOf(Rule.WindowOf(arrivalMs, Clock.OffsetMs) + 1, Clock.OffsetMs);
        for (var i = 0; i < samples.Count; i++)
        {
            var timeMs = samples.TimesMs[i];
            if (timeMs <= closedMs)
            {
                Counters.CountLate(arrivalMs - timeMs);
            }
            else if (timeMs > aheadMs)
            {
                Counters.TooFarAhead++;
            }
            ref var series = ref _series[samples.Slots[i]];
            series.LastArrivalMs = arrivalMs;
            Hold(ref series.Head, timeMs, samples.Values[i], samples.StartsMs[i]);
        }
    }

    public override void Close(long throughWindow, ShardScratch scratch, List<WindowPart> parts)
    {
        if (throughWindow <= ClosedThrough)
        {
            return;
        }
        ClosedThrough = throughWindow;
        var endMs = Rule.EndOf(throughWindow, Clock.OffsetMs);
        // A deduplicator that a reload took away ends with all that it holds.
        var dueMs = throughWindow >= Term.LastWindow ? long.MaxValue : endMs;
        // Of what was held when the last sample came, nothing true was further ahead.
        var aheadMs = Rule.EndOf(Rule.WindowOf(_latestArrivalMs, Clock.OffsetMs) + 1, Clock.OffsetMs);
        var forgottenMs = endMs - Math.Max(MinMemoryMs, 2 * Rule.IntervalMs);
        var part = new WindowPart(endMs);
        // In the order of slots, not of keys: series that came together stay together, and compress well.
        for (var slot = 0; slot < Series.SlotCount; slot++)
        {
            ref var series = ref _series[slot];
            if (series.Head != NoEntry)
            {
                Release(slot, ref series.Head, dueMs, aheadMs, part);
            }
            else if (series.IsUsed && series.LastArrivalMs < forgottenMs)
            {
                Series.Remove(slot);
                _labels[slot] = null;
                series = default;
            }
        }
        parts.Add(part);
        Counters.OutputSamples += part.Samples.Count;
    }

    public override void Write(SnapshotWriter writer)
    {
        base.Write(writer);
        writer.Write(_latestArrivalMs);
        for (var slot = 0; slot < Series.SlotCount; slot++)
        {
            ref var series = ref _series[slot];
            writer.Write(series.Head);
            writer.Write(series.LastArrivalMs);
            writer.WriteSpan<byte>(_labels[slot] ?? []);
        }
        writer.Write(_entryCount);
        writer.Write(_firstFree);
        for (var entry = 0; entry < _entryCount; entry++)
        {
            ref var held = ref _entries[entry];
            writer.Write(held.TimeMs);
            writer.Write(held.Value);
            writer.Write(held.StartMs);
            writer.Write(held.Next);
        }
    }

    public override void Read(SnapshotReader reader)
    {
        base.Read(reader);
        _latestArrivalMs = reader.ReadInt64();
        _series.EnsureCapacity(Series.SlotCount);
        for (var slot = 0; slot < Series.SlotCount; slot++)
        {
            ref var series = ref _series[slot];
            series.Head = reader.ReadInt32();
            series.LastArrivalMs = reader.ReadInt64();
            var labels = reader.ReadSpan<byte>();
            series.IsUsed = labels.Length > 0; // A series without labels is never taken.
            _labels.Add(series.IsUsed ? labels : null);
        }
        _entryCount = reader.ReadInt32();
        _firstFree = reader.ReadInt32();
        _entries.EnsureCapacity(_entryCount);
        for (var entry = 0; entry < _entryCount; entry++)
        {
            _entries[entry] = new Entry
            {
                TimeMs = reader.ReadInt64(),
                Value = reader.ReadDouble(),
                StartMs = reader.ReadInt64(),
                Next = reader.ReadInt32(),
            };
        }
    }

    protected override void AddSeries(int slot, int group, uint target) =>
        throw new InvalidOperationException("A deduplicator has no groups; its series come with their labels.");

    private void Hold(ref int head, long timeMs, double value, long startMs)
    {
        if (timeMs > _intervalEndMs || timeMs <= _intervalEndMs - Rule.IntervalMs)
        {
            _intervalEndMs = Rule.EndOf(Rule.WindowOf(timeMs, Clock.OffsetMs), Clock.OffsetMs);
        }
        ref var place = ref head;
        while (place != NoEntry && _entries[place - 1].TimeMs > _intervalEndMs)
        {
            place = ref _entries[place - 1].Next;
        }
        if (place == NoEntry || _entries[place - 1].TimeMs <= _intervalEndMs - Rule.IntervalMs)
        {
            Insert(ref place, new Entry { TimeMs = timeMs, Value = value, StartMs = startMs });
            return;
        }
        Counters.DedupDropped++;
        ref var held = ref _entries[place - 1];
        if (timeMs > held.TimeMs
            || (timeMs == held.TimeMs && SampleOrder.IsLarger(value, startMs, held.Value, held.StartMs)))
        {
            held = held with { TimeMs = timeMs, Value = value, StartMs = startMs };
        }
    }

    private void Insert(ref int place, Entry entry)
    {
        entry.Next = place;
        var number = _firstFree;
        if (number != NoEntry)
        {
            _firstFree = _entries[number - 1].Next;
        }
        else
        {
            number = ++_entryCount;
        }
        place = number; // Not later: a column that grows may move what the reference points to.
        _entries.EnsureCapacity(_entryCount);
        _entries[number - 1] = entry;
    }

    /// <summary>Passes on what is due of a series, in the order of time.</summary>
    private void Release(int slot, ref int head, long dueMs, long aheadMs, WindowPart part)
    {
        var first = part.Samples.Count;
        ref var place = ref head;
        while (place != NoEntry)
        {
            var number = place;
            ref var entry = ref _entries[number - 1];
            if (entry.TimeMs > dueMs && entry.TimeMs <= aheadMs)
            {
                place = ref entry.Next;
                continue;
            }
            part.Samples.Add(
                new OutputSample(Series.KeyOf(slot).ToUInt128(), _labels[slot]!, entry.Value, part.EndMs - entry.TimeMs)
                {
                    StartMs = entry.StartMs,
                });
            place = entry.Next;
            entry.Next = _firstFree;
            _firstFree = number;
        }
        part.Samples.Reverse(first, part.Samples.Count - first);
    }
}
