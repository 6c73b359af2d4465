using Millrace.Memory;

namespace Millrace.Aggregation;

/// <summary>
/// What deduplication holds back of one open window in event time: per series and dedup interval the sample with the
/// largest time, of equal times the larger value. So it does not matter in which order samples came. Entries of a
/// series are chained from its newest dedup interval to its oldest: in order, a sample finds its place at once.
/// </summary>
internal sealed class DedupWindow(int intervalMs)
{
    private const int NoEntry = 0;

    /// <summary>Times count from the window's start, as in runs.</summary>
    private struct Entry
    {
        public int Offset;
        public int Next; // an older dedup interval; number + 1, as in _heads
        public double Value;
    }

    private readonly Column<int> _heads = new();    // by series slot
    private readonly Column<Entry> _entries = new();
    private readonly Column<long> _startsMs = new(); // by entry; empty until some sample has one
    private int _count;

    public bool Holds(int slot) => _heads[slot] != NoEntry;

    public void Reserve(int seriesCount) => _heads.EnsureCapacity(seriesCount);

    /// <summary>False when a sample was lost by it: this one, or one that was held before.</summary>
    public bool TryHold(int slot, int offset, double value, long startMs)
    {
        var interval = IntervalOf(offset);
        ref var place = ref _heads[slot];
        while (place != NoEntry && IntervalOf(_entries[place - 1].Offset) > interval)
        {
            place = ref _entries[place - 1].Next;
        }
        if (place != NoEntry && IntervalOf(_entries[place - 1].Offset) == interval)
        {
            Compete(place - 1, offset, value, startMs);
            return false;
        }
        var older = place;
        place = ++_count;
        // Not before: a column that grows may move what the reference above points to.
        _entries.EnsureCapacity(_count);
        _entries[_count - 1] = new Entry { Offset = offset, Value = value, Next = older };
        SetStart(_count - 1, startMs);
        return true;
    }

    /// <summary>
    /// The first entry of a series, in the order of time; -1 when there is none. From here on
    /// <see cref="Take"/> leads from one to the next, and the series is not held any more.
    /// </summary>
    public int Begin(int slot)
    {
        var newest = _heads[slot];
        _heads[slot] = NoEntry;
        var reversed = NoEntry;
        while (newest != NoEntry)
        {
            ref var next = ref _entries[newest - 1].Next;
            (newest, reversed, next) = (next, newest, reversed);
        }
        return reversed - 1;
    }

    /// <summary>Returns the series' next entry, or -1.</summary>
    public int Take(int entry, out int offset, out double value, out long startMs)
    {
        ref var taken = ref _entries[entry];
        (offset, value) = (taken.Offset, taken.Value);
        startMs = StartOf(entry);
        return taken.Next - 1;
    }

    /// <summary>When every series was taken.</summary>
    public void Clear()
    {
        for (var entry = 0; entry < Math.Min(_count, _startsMs.Capacity); entry++)
        {
            _startsMs[entry] = 0;
        }
        _count = 0;
    }

    public void Write(SnapshotWriter writer, int seriesCount)
    {
        for (var slot = 0; slot < seriesCount; slot++)
        {
            writer.Write(_heads[slot]);
        }
        writer.Write(_count);
        for (var entry = 0; entry < _count; entry++)
        {
            writer.Write(_entries[entry]);
            writer.Write(StartOf(entry));
        }
    }

    public void Read(SnapshotReader reader, int seriesCount)
    {
        Reserve(seriesCount);
        for (var slot = 0; slot < seriesCount; slot++)
        {
            _heads[slot] = reader.ReadInt32();
        }
        _count = reader.ReadInt32();
        _entries.EnsureCapacity(_count);
        for (var entry = 0; entry < _count; entry++)
        {
            _entries[entry] = reader.Read<Entry>();
            SetStart(entry, reader.ReadInt64());
        }
    }

    /// <summary>Intervals end at their last millisecond, as windows do: (start, end].</summary>
    private int IntervalOf(int offset) => (offset - 1) / intervalMs;

    private void Compete(int entry, int offset, double value, long startMs)
    {
        ref var held = ref _entries[entry];
        if (offset > held.Offset
            || (offset == held.Offset && SampleOrder.IsLarger(value, startMs, held.Value, StartOf(entry))))
        {
            held.Offset = offset;
            held.Value = value;
            SetStart(entry, startMs);
        }
    }

    private long StartOf(int entry) => entry < _startsMs.Capacity ? _startsMs[entry] : 0;

    private void SetStart(int entry, long startMs)
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
}
