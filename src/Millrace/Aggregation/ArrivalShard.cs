using System.Runtime.InteropServices;
using Millrace.Aggregation.Exemplars;
using Millrace.Aggregation.Histograms;
using Millrace.Aggregation.Outputs;
using Millrace.Memory;

namespace Millrace.Aggregation;

/// <summary>
/// A shard in arrival time: vmagent's arithmetic. Every sample belongs to the window under way when it arrives, its
/// own timestamp only orders the samples of a series. Windows are cut by the close records, so a replay gives the
/// same answer. Semantics follow vmagent 1.150: reference in docs/compatibility.md.
/// </summary>
internal sealed partial class ArrivalShard : RuleShard
{
    [Flags]
    private enum Marks : uint
    {
        None = 0,
        IsInWindow = 1u << 31,
        HasLast = 1u << 30,

        /// <summary>It stands for all series of a group that have no state: no counter.</summary>
        IsShared = 1u << 29,

        /// <summary>A sample of it was used.</summary>
        WasUsed = 1u << 28,
    }

    /// <summary>What every output needs of a series: 28 bytes. All zero is a free slot.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    private struct SeriesRow(int group, Marks marks)
    {
        private const uint GroupMask = (1u << 28) - 1; // as many groups do not fit into any memory

        private uint _bits = (uint)marks | (uint)(group + 1);
        public int UsedOffset; // arrival of the last sample that was used, in _usedTimes
        public int LastOffset; // timestamp of the last sample, in _lastTimes
        public double LastValue;
        public double Increase;

        /// <summary>-1: the slot is free.</summary>
        public readonly int Group => (int)(_bits & GroupMask) - 1;

        public readonly bool Has(Marks marks) => (_bits & (uint)marks) != 0;

        public void Set(Marks marks) => _bits |= (uint)marks;

        public void Clear(Marks marks) => _bits &= ~(uint)marks;
    }

    private struct RateRow
    {
        public long SinceMs;    // timestamp of the last sample before this window
        public double Increase; // without first samples, since then
    }

    /// <summary>The last sample of the window by its time; of several at that time the one that came last.</summary>
    private struct LastSample
    {
        public bool HasValue;
        public long TimeMs;
        public double Value;
    }

    private readonly Column<SeriesRow> _series = new();
    private readonly Column<double> _withoutFirst = new();    // increase without first samples; these three are
    private readonly Column<RateRow> _rates = new();          // empty where no output needs them
    private readonly Column<LastSample> _lastSamples = new();
    private readonly NarrowTimes _usedTimes;
    private readonly NarrowTimes _lastTimes;
    private readonly WindowState _window;
    private readonly DedupBuffer? _dedup;
    private readonly bool _usesSamples;
    private readonly bool _usesRates;
    private readonly bool _ignoresFirst;

    public ArrivalShard(AggregationRule rule, RuleClock clock)
        : base(rule, clock)
    {
        _usesSamples = Array.Exists(rule.Outputs, output => output.UsesSamples);
        _usesRates = Array.Exists(rule.Outputs, output => output.UsesRates);
        _ignoresFirst = Array.Exists(rule.Outputs, output => output.IgnoresFirstSamples);
        _usedTimes = new NarrowTimes(clock.StartMs);
        _lastTimes = new NarrowTimes(clock.StartMs);
        _window = new WindowState(rule);
        _dedup = rule.DedupMs > 0 ? new DedupBuffer() : null;
        _histograms = rule.TakesHistograms ? new HistogramBook(rule, clock) : null;
    }

    public override void Add(PendingSamples samples, long arrivalMs, ShardScratch scratch)
    {
        Counters.Samples += samples.Count;
        if (_dedup is not null)
        {
            Hold(_dedup, samples, arrivalMs, scratch);
            return;
        }
        BookAll(samples, arrivalMs, scratch);
    }

    private void BookAll(PendingSamples samples, long arrivalMs, ShardScratch scratch)
    {
        var accepted = 0;
        var windowStartMs = Rule.EndOf(ClosedThrough, Clock.OffsetMs);
        for (var i = 0; i < Math.Min(PendingSamples.Prefetched, samples.Count); i++)
        {
            _series.Prefetch(samples.Slots[i]);
        }
        for (var i = 0; i < samples.Count; i++)
        {
            if (i + PendingSamples.Prefetched < samples.Count)
            {
                _series.Prefetch(samples.Slots[i + PendingSamples.Prefetched]);
            }
            var value = samples.Values[i];
            var timeMs = samples.TimesMs[i];
            if (double.IsNaN(value))
            {
                Counters.NotANumber++;
                continue;
            }
            if (Rule.Config.IgnoreOldSamples && timeMs < windowStartMs)
            {
                Counters.CountLate(arrivalMs - timeMs);
                continue;
            }
            var slot = samples.Slots[i];
            ref var series = ref _series[slot];
            Groups.Touch(series.Group, arrivalMs);
            series.Set(Marks.IsInWindow);
            if (!Rule.HasCounters || series.Has(Marks.IsShared)
                || TryAddCounterSample(slot, ref series, timeMs, value, arrivalMs))
            {
                Use(slot, ref series, arrivalMs);
            }
            if (Rule.UsesLastSamples)
            {
                ref var last = ref _lastSamples[slot];
                if (!last.HasValue || timeMs >= last.TimeMs)
                {
                    last = new LastSample { HasValue = true, TimeMs = timeMs, Value = value };
                }
            }
            scratch.Groups[accepted] = series.Group;
            scratch.Values[accepted] = value;
            scratch.TimesMs[accepted++] = timeMs;
        }
        if (_usesSamples && accepted > 0)
        {
            _window.AddSamples(
                scratch.Groups.AsSpan(0, accepted),
                scratch.Values.AsSpan(0, accepted),
                scratch.TimesMs.AsSpan(0, accepted));
        }
    }

    public override void Close(long throughWindow, ShardScratch scratch, List<WindowPart> parts)
    {
        while (ClosedThrough < throughWindow)
        {
            var endMs = Rule.EndOf(ClosedThrough + 1, Clock.OffsetMs);
            if (_dedup is { Count: > 0 } && DedupEndMs(_dedup) <= endMs)
            {
                BookSurvivors(_dedup, scratch);
            }
            BookHeldHistograms(endMs);
            if (Groups.AliveCount == 0 && _dedup is not { Count: > 0 } && _heldHistograms.Count == 0)
            {
                ExemplarBook.Finish(_window, sent: 0, Counters);
                ClosedThrough = throughWindow;
                break;
            }
            if (_window.Histograms is not null)
            {
                _histograms!.Sweep(_window, isBooked: true, Groups, Counters);
            }
            Sweep(scratch, endMs);
            var part = NewPart(ClosedThrough + 1);
            Groups.Emit(_window, part, IsEmitted(ClosedThrough + 1), Counters);
            parts.Add(part);
            ExemplarBook.Finish(_window, Groups.TakeSentExemplars(), Counters);
            _window.Histograms = null;
            ClosedThrough++;
        }
    }

    public override void Write(SnapshotWriter writer)
    {
        base.Write(writer);
        for (var slot = 0; slot < Series.SlotCount; slot++)
        {
            ref var series = ref _series[slot];
            // Offsets depend on when the origin moved last; times do not.
            writer.Write(series with { UsedOffset = 0, LastOffset = 0 });
            writer.Write(UsedMs(slot, series));
            writer.Write(LastMs(slot, series));
            if (_ignoresFirst)
            {
                writer.Write(_withoutFirst[slot]);
            }
            if (_usesRates)
            {
                writer.Write(_rates[slot]);
            }
            if (Rule.UsesLastSamples)
            {
                writer.Write(_lastSamples[slot]);
            }
        }
        _window.Write(writer, Series.SlotCount, Groups.RowCount);
        _dedup?.Write(writer, Series.SlotCount);
        WriteHistograms(writer);
    }

    public override void Read(SnapshotReader reader)
    {
        base.Read(reader);
        EnsureCapacity();
        _usedTimes.Move(Rule.EndOf(ClosedThrough, Clock.OffsetMs));
        _lastTimes.Move(Rule.EndOf(ClosedThrough, Clock.OffsetMs));
        for (var slot = 0; slot < Series.SlotCount; slot++)
        {
            ref var series = ref _series[slot];
            series = reader.Read<SeriesRow>();
            SetUsedMs(slot, ref series, reader.ReadInt64());
            SetLastMs(slot, ref series, reader.ReadInt64());
            if (_ignoresFirst)
            {
                _withoutFirst[slot] = reader.ReadDouble();
            }
            if (_usesRates)
            {
                _rates[slot] = reader.Read<RateRow>();
            }
            if (Rule.UsesLastSamples)
            {
                _lastSamples[slot] = reader.Read<LastSample>();
            }
        }
        _window.Read(reader, Series.SlotCount, Groups.RowCount);
        _dedup?.Read(reader, Series.SlotCount);
        ReadHistograms(reader);
    }

    protected override void AddSeries(int slot, int group, uint target)
    {
        EnsureCapacity();
        _series[slot] = new SeriesRow(group, target == EventSeries.SharedTarget ? Marks.IsShared : Marks.None);
        if (_ignoresFirst)
        {
            _withoutFirst[slot] = 0;
        }
        if (_usesRates)
        {
            _rates[slot] = default;
        }
        if (Rule.UsesLastSamples)
        {
            _lastSamples[slot] = default;
        }
        _window.Reserve(Series.SlotCount, Groups.RowCount);
        _dedup?.Reserve(Series.SlotCount);
    }

    protected override int GroupOf(int slot) => _series[slot].Group;

    protected override WindowState? WindowOfExemplar(long timeMs, long arrivalMs) => _window;

    private void EnsureCapacity()
    {
        _series.EnsureCapacity(Series.SlotCount);
        _withoutFirst.EnsureCapacity(_ignoresFirst ? Series.SlotCount : 0);
        _rates.EnsureCapacity(_usesRates ? Series.SlotCount : 0);
        _lastSamples.EnsureCapacity(Rule.UsesLastSamples ? Series.SlotCount : 0);
    }

    private long UsedMs(int slot, in SeriesRow series) =>
        series.Has(Marks.WasUsed) ? _usedTimes.TimeOf(slot, series.UsedOffset) : 0;

    private long LastMs(int slot, in SeriesRow series) =>
        series.Has(Marks.HasLast) ? _lastTimes.TimeOf(slot, series.LastOffset) : 0;

    /// <summary>Until when the series is known without further samples.</summary>
    private long DeadlineMs(int slot, in SeriesRow series) =>
        series.Has(Marks.WasUsed) ? UsedMs(slot, series) + Rule.StalenessMs : 0;

    private void Use(int slot, ref SeriesRow series, long arrivalMs)
    {
        if (!series.Has(Marks.WasUsed) || arrivalMs > UsedMs(slot, series))
        {
            series.Set(Marks.WasUsed);
            SetUsedMs(slot, ref series, arrivalMs);
        }
    }

    /// <summary>Does nothing where no sample was used.</summary>
    private void SetUsedMs(int slot, ref SeriesRow series, long timeMs)
    {
        if (series.Has(Marks.WasUsed))
        {
            series.UsedOffset = _usedTimes.OffsetOf(slot, timeMs);
        }
    }

    /// <summary>Does nothing where there is no last sample.</summary>
    private void SetLastMs(int slot, ref SeriesRow series, long timeMs)
    {
        if (series.Has(Marks.HasLast))
        {
            series.LastOffset = _lastTimes.OffsetOf(slot, timeMs);
        }
    }

    private long DedupEndMs(DedupBuffer dedup) => dedup.Interval * Rule.DedupMs + Clock.OffsetMs;

    /// <summary>
    /// Dedup intervals go by arrival, too. The first one begins at the first whole window's start: what came before
    /// waits for its end, as in vmagent.
    /// </summary>
    private void Hold(DedupBuffer dedup, PendingSamples samples, long arrivalMs, ShardScratch scratch)
    {
        var firstMs = Rule.EndOf(Clock.FirstWholeWindow - 1, Clock.OffsetMs);
        var interval = Rule.DedupIntervalOf(Math.Max(arrivalMs, firstMs + 1), Clock.OffsetMs);
        if (interval > dedup.Interval)
        {
            BookSurvivors(dedup, scratch);
            dedup.Interval = interval;
        }
        // Of two threads that append, the later may carry the earlier arrival: the interval does not go back.
        var oldMs = DedupEndMs(dedup) - Rule.DedupMs;
        for (var i = 0; i < samples.Count; i++)
        {
            var timeMs = samples.TimesMs[i];
            if (double.IsNaN(samples.Values[i]))
            {
                Counters.NotANumber++;
            }
            else if (Rule.Config.IgnoreOldSamples && timeMs < oldMs)
            {
                Counters.CountLate(arrivalMs - timeMs);
            }
            else
            {
                var isNew = dedup.TryHold(samples.Slots[i], timeMs, samples.Values[i], samples.StartsMs[i]);
                Counters.DedupDropped += isNew ? 0 : 1;
            }
        }
    }

    /// <summary>The dedup interval ends: for the rule its survivors arrive now.</summary>
    private void BookSurvivors(DedupBuffer dedup, ShardScratch scratch)
    {
        var survivors = scratch.Survivors;
        var endMs = DedupEndMs(dedup);
        for (var slot = 0; dedup.Count > 0; slot++)
        {
            if (!dedup.Holds(slot))
            {
                continue;
            }
            dedup.Take(slot, out var timeMs, out var value, out var startMs);
            survivors.Add(slot, timeMs, value, startMs);
            if (survivors.Count == PendingSamples.Capacity)
            {
                BookAll(survivors, endMs, scratch);
                survivors.Count = 0;
            }
        }
        BookAll(survivors, endMs, scratch);
        survivors.Count = 0;
    }

    /// <summary>False: it is older than the last one, and so does not prolong the life of its series.</summary>
    private bool TryAddCounterSample(int slot, ref SeriesRow series, long timeMs, double value, long arrivalMs)
    {
        // vmagent compares deadlines in whole seconds.
        var isKnown = series.Has(Marks.HasLast) && DeadlineMs(slot, series) / 1000 >= arrivalMs / 1000;
        if (isKnown && timeMs < LastMs(slot, series))
        {
            Counters.OutOfOrder++;
            return false;
        }
        if (isKnown)
        {
            Counters.CounterResets += value < series.LastValue ? 1 : 0;
            var delta = Runs.Delta(series.LastValue, value);
            series.Increase += delta;
            if (_ignoresFirst)
            {
                _withoutFirst[slot] += delta;
            }
            if (_usesRates)
            {
                _rates[slot].Increase += delta;
            }
        }
        else
        {
            if (Rule.Config.FirstSample != FirstSample.Zero
                && arrivalMs / 1000 >= (Clock.StartMs / 1000) + (Rule.IgnoreFirstSampleMs / 1000))
            {
                series.Increase += value;
            }
            if (_usesRates)
            {
                _rates[slot] = new RateRow { SinceMs = timeMs };
            }
        }
        series.Set(Marks.HasLast);
        SetLastMs(slot, ref series, timeMs);
        series.LastValue = value;
        return true;
    }

    private void Sweep(ShardScratch scratch, long endMs)
    {
        MoveOrigins(endMs);
        var count = 0;
        for (var slot = 0; slot < Series.SlotCount; slot++)
        {
            ref var series = ref _series[slot];
            if (series.Group < 0)
            {
                continue;
            }
            // A sample from before the first boundary may be stale at the first close, up to two intervals later; so
            // may the last one that was used, where older ones went on coming.
            var isStale = endMs > DeadlineMs(slot, series);
            if (series.Has(Marks.IsShared))
            {
                series.Clear(Marks.IsInWindow); // of series without a state nothing is known
            }
            else if (series.Has(Marks.IsInWindow))
            {
                scratch.Series[count++] = Finish(slot, ref series, isStale);
                if (count == scratch.Series.Length)
                {
                    AddSeries(scratch.Series);
                    count = 0;
                }
            }
            if (isStale && _dedup?.Holds(slot) != true && !_heldHistograms.ContainsKey(slot))
            {
                _histograms?.Forget(slot);
                Groups.Leave(series.Group);
                Series.Remove(slot);
                _usedTimes.Forget(slot);
                _lastTimes.Forget(slot);
                series = default;
            }
        }
        AddSeries(scratch.Series.AsSpan(0, count));
    }

    private void MoveOrigins(long nowMs)
    {
        if (!_usedTimes.MustMove(nowMs))
        {
            return;
        }
        var byMs = _usedTimes.Move(nowMs);
        _lastTimes.Move(nowMs);
        for (var slot = 0; slot < Series.SlotCount; slot++)
        {
            ref var series = ref _series[slot];
            series.UsedOffset = series.Has(Marks.WasUsed) ? _usedTimes.Moved(slot, series.UsedOffset, byMs) : 0;
            series.LastOffset = series.Has(Marks.HasLast) ? _lastTimes.Moved(slot, series.LastOffset, byMs) : 0;
        }
    }

    private void AddSeries(ReadOnlySpan<SeriesWindow> series)
    {
        foreach (var output in _window.Outputs)
        {
            output.AddSeries(series);
        }
    }

    private SeriesWindow Finish(int slot, ref SeriesRow series, bool isStale)
    {
        var lastMs = LastMs(slot, series);
        var finished = new SeriesWindow
        {
            Group = series.Group,
            Increase = series.Increase,
            Rate = double.NaN,
            LastMs = lastMs,
            LastValue = series.LastValue,
            Labels = LabelsOf(slot),
        };
        if (_ignoresFirst)
        {
            finished.IncreasePrometheus = _withoutFirst[slot];
            _withoutFirst[slot] = 0;
        }
        if (_usesRates)
        {
            ref var rate = ref _rates[slot];
            var spanMs = lastMs - rate.SinceMs;
            if (series.Has(Marks.HasLast) && spanMs > 0 && !isStale)
            {
                finished.Rate = rate.Increase / (spanMs / 1000.0);
            }
            rate = new RateRow { SinceMs = lastMs };
        }
        if (Rule.UsesLastSamples)
        {
            finished.LastValue = _lastSamples[slot].Value;
            _lastSamples[slot] = default;
        }
        series.Clear(Marks.IsInWindow);
        series.Increase = 0;
        return finished;
    }
}
