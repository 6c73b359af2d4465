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
    private struct SeriesRow
    {
        public int Group;
        public bool IsInWindow;
        public bool HasLast;
        public bool IsShared;    // stands for all series of a group that have no state: no counter
        public long LastMs;      // timestamp of the last sample
        public double LastValue;
        public long DeadlineMs;  // arrival of the last sample that was used + staleness
        public long RateSinceMs; // timestamp of the last sample before this window
        public double Increase;
        public double IncreasePrometheus;
        public double RateIncrease; // IncreasePrometheus since RateSinceMs
    }

    /// <summary>The last sample of the window by its time; of several at that time the one that came last.</summary>
    private struct LastSample
    {
        public bool HasValue;
        public long TimeMs;
        public double Value;
    }

    private readonly Column<SeriesRow> _series = new();
    private readonly Column<LastSample> _lastSamples = new(); // empty where no output needs them
    private readonly WindowState _window;
    private readonly DedupBuffer? _dedup;
    private readonly bool _usesSamples;

    public ArrivalShard(AggregationRule rule, RuleClock clock)
        : base(rule, clock)
    {
        _usesSamples = Array.Exists(rule.Outputs, output => output.UsesSamples);
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
        for (var i = 0; i < samples.Count; i++)
        {
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
            ref var series = ref _series[samples.Slots[i]];
            Groups.Touch(series.Group, arrivalMs);
            series.IsInWindow = true;
            if (!Rule.HasCounters || series.IsShared || TryAddCounterSample(ref series, timeMs, value, arrivalMs))
            {
                series.DeadlineMs = Math.Max(series.DeadlineMs, arrivalMs + Rule.StalenessMs);
            }
            if (Rule.UsesLastSamples)
            {
                ref var last = ref _lastSamples[samples.Slots[i]];
                if (!last.HasValue || timeMs >= last.TimeMs)
                {
                    last = new LastSample { HasValue = true, TimeMs = timeMs, Value = value };
                }
            }
            scratch.Groups[accepted] = series.Group;
            scratch.Values[accepted] = value;
            scratch.TimesMs[accepted++] = timeMs;
        }
        if (!_usesSamples || accepted == 0)
        {
            return;
        }
        foreach (var output in _window.Outputs)
        {
            output.AddSamples(
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
            writer.Write(_series[slot]);
        }
        for (var slot = 0; slot < Series.SlotCount && Rule.UsesLastSamples; slot++)
        {
            writer.Write(_lastSamples[slot]);
        }
        _window.Write(writer, Series.SlotCount, Groups.RowCount);
        _dedup?.Write(writer, Series.SlotCount);
        WriteHistograms(writer);
    }

    public override void Read(SnapshotReader reader)
    {
        base.Read(reader);
        _series.EnsureCapacity(Series.SlotCount);
        for (var slot = 0; slot < Series.SlotCount; slot++)
        {
            _series[slot] = reader.Read<SeriesRow>();
        }
        if (Rule.UsesLastSamples)
        {
            _lastSamples.EnsureCapacity(Series.SlotCount);
            for (var slot = 0; slot < Series.SlotCount; slot++)
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
        _series.EnsureCapacity(Series.SlotCount);
        _series[slot] = new SeriesRow { Group = group, IsShared = target == EventSeries.SharedTarget };
        if (Rule.UsesLastSamples)
        {
            _lastSamples.EnsureCapacity(Series.SlotCount);
            _lastSamples[slot] = default;
        }
        _window.Reserve(Series.SlotCount, Groups.RowCount);
        _dedup?.Reserve(Series.SlotCount);
    }

    protected override int GroupOf(int slot) => _series[slot].Group;

    protected override WindowState? WindowOfExemplar(long timeMs, long arrivalMs) => _window;

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
    private bool TryAddCounterSample(ref SeriesRow series, long timeMs, double value, long arrivalMs)
    {
        // vmagent compares deadlines in whole seconds.
        var isKnown = series.HasLast && series.DeadlineMs / 1000 >= arrivalMs / 1000;
        if (isKnown && timeMs < series.LastMs)
        {
            Counters.OutOfOrder++;
            return false;
        }
        if (isKnown)
        {
            Counters.CounterResets += value < series.LastValue ? 1 : 0;
            var delta = Runs.Delta(series.LastValue, value);
            series.Increase += delta;
            series.IncreasePrometheus += delta;
            series.RateIncrease += delta;
        }
        else
        {
            if (Rule.Config.FirstSample != FirstSample.Zero
                && arrivalMs / 1000 >= (Clock.StartMs / 1000) + (Rule.IgnoreFirstSampleMs / 1000))
            {
                series.Increase += value;
            }
            series.RateSinceMs = timeMs;
            series.RateIncrease = 0;
        }
        series.HasLast = true;
        series.LastMs = timeMs;
        series.LastValue = value;
        return true;
    }

    private void Sweep(ShardScratch scratch, long endMs)
    {
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
            var isStale = endMs > series.DeadlineMs;
            if (series.IsShared)
            {
                series.IsInWindow = false; // of series without a state nothing is known
            }
            else if (series.IsInWindow)
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
                series = new SeriesRow { Group = -1 };
            }
        }
        AddSeries(scratch.Series.AsSpan(0, count));
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
        var spanMs = series.LastMs - series.RateSinceMs;
        var hasRate = series.HasLast && spanMs > 0 && !isStale;
        var finished = new SeriesWindow
        {
            Group = series.Group,
            Increase = series.Increase,
            IncreasePrometheus = series.IncreasePrometheus,
            Rate = hasRate ? series.RateIncrease / (spanMs / 1000.0) : double.NaN,
            LastMs = series.LastMs,
            LastValue = series.LastValue,
            Labels = LabelsOf(slot),
        };
        if (Rule.UsesLastSamples)
        {
            finished.LastValue = _lastSamples[slot].Value;
            _lastSamples[slot] = default;
        }
        series.IsInWindow = false;
        series.Increase = 0;
        series.IncreasePrometheus = 0;
        series.RateIncrease = 0;
        series.RateSinceMs = series.LastMs;
        return finished;
    }
}
