using System.Runtime.InteropServices;
using Millrace.Memory;
using Millrace.Protocols;

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
        public int LastArrival; // in _arrivals
    }

    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    private struct Entry
    {
        public long TimeMs;
        public double Value;
        public int Next;
    }

    private readonly Column<SeriesRow> _series = new();
    private readonly Column<Entry> _entries = new();
    private readonly Column<long> _startsMs = new(); // by entry; empty until some sample has one
    private readonly List<StoredLabels> _labels = []; // by series slot; of a free one none
    private readonly NarrowTimes _arrivals = new(clock.StartMs);
    private int _entryCount;
    private int _heldCount; // of those that are not free
    private int _firstFree; // chained like the entries of a series
    private long _latestArrivalMs;
    private long _intervalEndMs; // of the last sample: mostly that of the next one

    /// <summary>
    /// The slot of a series. The labels are kept where the one who asks has them: what kept them before, a cache that
    /// was replaced or a base, can go.
    /// </summary>
    public int SlotOf(SeriesKey key, StoredLabels labels)
    {
        var slot = Series.Find(key);
        if (slot < 0)
        {
            slot = AddSlot(key);
            _series.EnsureCapacity(Series.SlotCount);
            _series[slot] = default;
            while (_labels.Count < Series.SlotCount)
            {
                _labels.Add(default);
            }
        }
        _labels[slot] = labels;
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
            series.LastArrival = _arrivals.OffsetOf(samples.Slots[i], arrivalMs);
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
        part.Samples.EnsureCapacity(Math.Min(_heldCount, Series.Count)); // mostly one of each
        MoveOrigin(endMs);
        // In the order of slots, not of keys: series that came together stay together, and compress well.
        for (var slot = 0; slot < Series.SlotCount; slot++)
        {
            ref var series = ref _series[slot];
            if (series.Head != NoEntry)
            {
                Release(slot, ref series.Head, dueMs, aheadMs, part);
            }
            else if (!_labels[slot].IsNone && LastArrivalMs(slot) < forgottenMs)
            {
                Series.Remove(slot);
                _labels[slot] = default;
                _arrivals.Forget(slot);
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
        byte[] buffer = [];
        for (var slot = 0; slot < Series.SlotCount; slot++)
        {
            writer.Write(_series[slot].Head);
            writer.Write(LastArrivalMs(slot));
            writer.WriteSpan(_labels[slot].Get(ref buffer));
        }
        writer.Write(_entryCount);
        writer.Write(_firstFree);
        for (var entry = 0; entry < _entryCount; entry++)
        {
            ref var held = ref _entries[entry];
            writer.Write(held.TimeMs);
            writer.Write(held.Value);
            writer.Write(StartMs(entry));
            writer.Write(held.Next);
        }
    }

    public override void Read(SnapshotReader reader)
    {
        base.Read(reader);
        _latestArrivalMs = reader.ReadInt64();
        _arrivals.Move(_latestArrivalMs);
        _series.EnsureCapacity(Series.SlotCount);
        for (var slot = 0; slot < Series.SlotCount; slot++)
        {
            ref var series = ref _series[slot];
            series.Head = reader.ReadInt32();
            var arrivalMs = reader.ReadInt64();
            var labels = reader.ReadSpan<byte>();
            var isUsed = labels.Length > 0; // A series without labels is never taken.
            series.LastArrival = isUsed ? _arrivals.OffsetOf(slot, arrivalMs) : 0;
            _labels.Add(isUsed ? labels : default(StoredLabels));
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
            };
            SetStartMs(entry, reader.ReadInt64());
            _entries[entry].Next = reader.ReadInt32();
        }
        _heldCount = _entryCount;
        for (var free = _firstFree; free != NoEntry; free = _entries[free - 1].Next)
        {
            _heldCount--;
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
            Insert(ref place, new Entry { TimeMs = timeMs, Value = value }, startMs);
            return;
        }
        Counters.DedupDropped++;
        ref var held = ref _entries[place - 1];
        if (timeMs > held.TimeMs
            || (timeMs == held.TimeMs && SampleOrder.IsLarger(value, startMs, held.Value, StartMs(place - 1))))
        {
            held = held with { TimeMs = timeMs, Value = value };
            SetStartMs(place - 1, startMs);
        }
    }

    private long StartMs(int entry) => entry < _startsMs.Capacity ? _startsMs[entry] : 0;

    private void SetStartMs(int entry, long startMs)
    {
        if (startMs != 0)
        {
            _startsMs.EnsureCapacity(entry + 1);
        }
        if (entry < _startsMs.Capacity)
        {
            _startsMs[entry] = startMs;
        }
    }

    private long LastArrivalMs(int slot) =>
        _labels[slot].IsNone ? 0 : _arrivals.TimeOf(slot, _series[slot].LastArrival);

    private void MoveOrigin(long nowMs)
    {
        if (!_arrivals.MustMove(nowMs))
        {
            return;
        }
        var byMs = _arrivals.Move(nowMs);
        for (var slot = 0; slot < Series.SlotCount; slot++)
        {
            ref var last = ref _series[slot].LastArrival;
            last = _labels[slot].IsNone ? 0 : _arrivals.Moved(slot, last, byMs);
        }
    }

    private void Insert(ref int place, Entry entry, long startMs)
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
        SetStartMs(number - 1, startMs);
        _heldCount++;
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
                new OutputSample(Series.KeyOf(slot).ToUInt128(), _labels[slot], entry.Value, part.EndMs - entry.TimeMs)
                {
                    StartMs = StartMs(number - 1),
                });
            place = entry.Next;
            entry.Next = _firstFree;
            _firstFree = number;
            _heldCount--;
        }
        part.Samples.Reverse(first, part.Samples.Count - first);
    }
}
