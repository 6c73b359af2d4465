using System.Runtime.CompilerServices;
using Millrace.Memory;

namespace Millrace.Aggregation;

/// <summary>
/// Which samples of a series that several replicas send are counted: those of one of them, chosen for each series in
/// the order of the log. The first replica seen is chosen. Another one takes over when its newest sample is more than
/// two gaps ahead of the chosen one's last, a gap being the time between two samples of the chosen replica.
///
/// The taker's samples since the chosen one's last are held, a handful, and counted when it takes over: nothing that it
/// saw is missing. It stays until it falls behind itself. Samples of two replicas are never mixed in one stretch of
/// time, so values that differ a little do not look like counter resets. At the seam they might: the taker's first
/// sample is left out if it is below its predecessor's last, by less than a gap behind it, and its own did not fall.
/// </summary>
internal sealed class ReplicaFilter(HaConfig config)
{
    /// <summary>
    /// Samples held of a series: two gaps have room for three of a replica that scrapes as often. Of one that scrapes
    /// more often the newest stay. One sample lets as many go at the most.
    /// </summary>
    public const int MaxHeld = 4;

    private const int GapsUntilFailover = 2;

    /// <summary>
    /// The gap follows what is seen by these shares: slower upwards, where a scrape may be missing, and never by more
    /// than its own length, where the replica may have been away.
    /// </summary>
    private const int GrowthShare = 8;
    private const int ShrinkShare = 4;

    private struct Sample
    {
        public long TimeMs;
        public double Value;
        public long StartMs;
    }

    [InlineArray(MaxHeld)]
    private struct HeldSamples
    {
        private Sample _first;
    }

    private struct SeriesRow
    {
        public bool HasChosen;
        public uint Chosen;
        public long LastMs;         // the chosen replica's newest sample
        public double LastValue;
        public long FromMs;         // up to here its predecessor was chosen
        public long GapMs;          // 0: not known
        public uint Other;          // the replica whose samples are held
        public bool HasOtherBefore;
        public double OtherBefore;  // its value before the held ones
        public int HeldCount;
        public HeldSamples Held;    // in the order of time, all newer than the chosen one's last
    }

    private readonly Column<SeriesRow> _series = new();
    private readonly long _failoverMs = (long)config.FailoverTimeout.TotalMilliseconds;

    /// <summary>A series takes a slot.</summary>
    public void Begin(int slot, ShardCounters counters)
    {
        _series.EnsureCapacity(slot + 1);
        counters.ReplicaDropped += _series[slot].HeldCount;
        _series[slot] = default;
    }

    /// <summary>
    /// Adds to <paramref name="counted"/> what counts because of the next sample: nothing, it, or more.
    /// </summary>
    public void Filter(
        PendingSamples samples, int index, long arrivalMs, PendingSamples counted, ShardCounters counters) =>
        Filter(
            samples.Slots[index], samples.Replicas[index], samples.TimesMs[index], samples.Values[index],
            samples.StartsMs[index], arrivalMs, counted, counters);

    public void Filter(
        int slot, uint replica, long timeMs, double value, long startMs, long arrivalMs, PendingSamples counted,
        ShardCounters counters)
    {
        var sample = new Sample { TimeMs = timeMs, Value = value, StartMs = startMs };
        ref var series = ref _series[slot];
        if (!series.HasChosen)
        {
            series.HasChosen = true;
            series.Chosen = replica;
            series.FromMs = long.MinValue;
            series.LastMs = sample.TimeMs;
            series.LastValue = sample.Value;
            Count(slot, sample, counted);
        }
        else if (series.Chosen != replica)
        {
            if (!TryHold(ref series, replica, sample, arrivalMs, counters))
            {
                counters.ReplicaDropped++;
            }
            else if (sample.TimeMs - series.LastMs > LimitMs(series))
            {
                TakeOver(slot, ref series, counted, counters);
            }
        }
        else if (sample.TimeMs > series.FromMs)
        {
            Follow(ref series, sample, arrivalMs, counters);
            Count(slot, sample, counted);
        }
        else
        {
            counters.ReplicaDropped++; // For that time its predecessor was chosen.
        }
    }

    /// <summary>Whether a sample of that time is held.</summary>
    public bool Holds(int slot, long timeMs)
    {
        ref var series = ref _series[slot];
        for (var i = 0; i < series.HeldCount; i++)
        {
            if (series.Held[i].TimeMs == timeMs)
            {
                return true;
            }
        }
        return false;
    }

    public void Write(SnapshotWriter writer, int seriesCount)
    {
        for (var slot = 0; slot < seriesCount; slot++)
        {
            WriteSeries(writer, slot);
        }
    }

    public void Read(SnapshotReader reader, int seriesCount)
    {
        _series.EnsureCapacity(seriesCount);
        for (var slot = 0; slot < seriesCount; slot++)
        {
            ReadSeries(reader, slot);
        }
    }

    public void WriteSeries(SnapshotWriter writer, int slot)
    {
        ref var series = ref _series[slot];
        writer.Write(series.HasChosen ? 1 : 0);
        writer.Write(series.Chosen);
        writer.Write(series.LastMs);
        writer.Write(series.LastValue);
        writer.Write(series.FromMs);
        writer.Write(series.GapMs);
        writer.Write(series.Other);
        writer.Write(series.HasOtherBefore ? 1 : 0);
        writer.Write(series.OtherBefore);
        writer.Write(series.HeldCount);
        for (var i = 0; i < series.HeldCount; i++)
        {
            writer.Write(series.Held[i].TimeMs);
            writer.Write(series.Held[i].Value);
            writer.Write(series.Held[i].StartMs);
        }
    }

    public void ReadSeries(SnapshotReader reader, int slot)
    {
        ref var series = ref _series[slot];
        series.HasChosen = reader.ReadInt32() != 0;
        series.Chosen = reader.Read<uint>();
        series.LastMs = reader.ReadInt64();
        series.LastValue = reader.ReadDouble();
        series.FromMs = reader.ReadInt64();
        series.GapMs = reader.ReadInt64();
        series.Other = reader.Read<uint>();
        series.HasOtherBefore = reader.ReadInt32() != 0;
        series.OtherBefore = reader.ReadDouble();
        series.HeldCount = reader.ReadInt32();
        for (var i = 0; i < series.HeldCount; i++)
        {
            series.Held[i] = new Sample
            {
                TimeMs = reader.ReadInt64(),
                Value = reader.ReadDouble(),
                StartMs = reader.ReadInt64(),
            };
        }
    }

    private long LimitMs(in SeriesRow series) =>
        series.GapMs == 0 ? _failoverMs : GapsUntilFailover * series.GapMs;

    /// <summary>The chosen replica goes on.</summary>
    private void Follow(ref SeriesRow series, in Sample sample, long arrivalMs, ShardCounters counters)
    {
        // A sample from far ahead counts, but it does not say that its replica is ahead of the others.
        var aheadMs = arrivalMs + _failoverMs;
        if (sample.TimeMs > aheadMs && series.LastMs <= aheadMs)
        {
            return;
        }
        var wasAhead = series.LastMs > aheadMs && sample.TimeMs <= aheadMs;
        if (sample.TimeMs <= series.LastMs && !wasAhead)
        {
            return;
        }
        if (!wasAhead)
        {
            MeasureGap(ref series, sample.TimeMs - series.LastMs);
        }
        series.LastMs = sample.TimeMs;
        series.LastValue = double.IsNaN(sample.Value) ? series.LastValue : sample.Value;
        var passed = 0;
        while (passed < series.HeldCount && series.Held[passed].TimeMs <= sample.TimeMs)
        {
            passed++;
        }
        Drop(ref series, passed, counters);
    }

    private void MeasureGap(ref SeriesRow series, long gapMs)
    {
        if (series.GapMs == 0)
        {
            series.GapMs = Math.Min(gapMs, _failoverMs);
            return;
        }
        var change = Math.Min(gapMs - series.GapMs, series.GapMs);
        series.GapMs += change / (change > 0 ? GrowthShare : ShrinkShare);
    }

    /// <summary>
    /// Keeps a sample of another replica that is ahead of the chosen one's last; false: it is dropped.
    /// </summary>
    private bool TryHold(
        ref SeriesRow series, uint replica, in Sample sample, long arrivalMs, ShardCounters counters)
    {
        var aheadMs = arrivalMs + _failoverMs;
        if (sample.TimeMs > aheadMs && series.LastMs <= aheadMs)
        {
            return false;
        }
        if (sample.TimeMs <= series.LastMs)
        {
            if (series.HeldCount == 0)
            {
                series.HasOtherBefore &= replica == series.Other;
                series.Other = replica;
                SetOtherBefore(ref series, sample.Value);
            }
            return false;
        }
        if (replica != series.Other)
        {
            // Of several others the one is watched that comes first, unless it stays behind itself.
            if (series.HeldCount > 0
                && sample.TimeMs - series.Held[series.HeldCount - 1].TimeMs <= LimitMs(series))
            {
                return false;
            }
            Drop(ref series, series.HeldCount, counters);
            series.Other = replica;
            series.HasOtherBefore = false;
        }
        if (series.HeldCount == MaxHeld)
        {
            Drop(ref series, 1, counters);
        }
        var at = series.HeldCount++;
        for (; at > 0 && series.Held[at - 1].TimeMs > sample.TimeMs; at--)
        {
            series.Held[at] = series.Held[at - 1];
        }
        series.Held[at] = sample;
        return true;
    }

    private void TakeOver(int slot, ref SeriesRow series, PendingSamples counted, ShardCounters counters)
    {
        counters.ReplicaFailovers++;
        var first = 0;
        if (series.HeldCount > 1 && series.Held[0].Value < series.LastValue
            && (!series.HasOtherBefore || series.Held[0].Value >= series.OtherBefore)
            && series.Held[0].TimeMs - series.LastMs < LimitMs(series) / GapsUntilFailover)
        {
            first = 1; // Read a moment before the predecessor read its last value, whatever the timestamps say.
            counters.ReplicaDropped++;
        }
        (series.Chosen, series.Other) = (series.Other, series.Chosen);
        series.FromMs = series.LastMs;
        SetOtherBefore(ref series, series.LastValue);
        for (var i = 0; i < series.HeldCount; i++)
        {
            ref readonly var held = ref series.Held[i];
            series.LastMs = held.TimeMs;
            series.LastValue = double.IsNaN(held.Value) ? series.LastValue : held.Value;
            if (i >= first)
            {
                Count(slot, held, counted);
            }
        }
        series.HeldCount = 0;
    }

    /// <summary>The oldest held samples are not needed any more.</summary>
    private static void Drop(ref SeriesRow series, int count, ShardCounters counters)
    {
        if (count == 0)
        {
            return;
        }
        counters.ReplicaDropped += count;
        SetOtherBefore(ref series, series.Held[count - 1].Value);
        for (var i = count; i < series.HeldCount; i++)
        {
            series.Held[i - count] = series.Held[i];
        }
        series.HeldCount -= count;
    }

    private static void SetOtherBefore(ref SeriesRow series, double value)
    {
        series.HasOtherBefore |= !double.IsNaN(value);
        series.OtherBefore = double.IsNaN(value) ? series.OtherBefore : value;
    }

    private static void Count(int slot, in Sample sample, PendingSamples counted) =>
        counted.Add(slot, sample.TimeMs, sample.Value, sample.StartMs);
}
