using Millrace.Aggregation.Outputs;
using Millrace.Memory;

namespace Millrace.Aggregation;

/// <summary>
/// A shard in event time. A sample belongs to the window (start, end] of its own timestamp; per series and open
/// window there is one run, per series the base: the last counted sample of the closed windows. In order, a sample
/// overwrites the end of its run and touches no group. One linear sweep at the close turns runs into increases:
/// sum of (last - first) over the runs, and the deltas from base to first run and from run to run, which so belong to
/// the later window. The result does not depend on order or repetition (see <see cref="SideRuns"/>).
/// </summary>
internal sealed class EventShard : RuleShard
{
    private struct SeriesRow
    {
        public int Group;
        public bool HasBase;
        public long BaseMs;
        public double BaseValue;
    }

    private readonly Column<SeriesRow> _series = new();
    private readonly List<WindowState> _open = [];  // by window
    private readonly Stack<WindowState> _spare = new();
    private readonly bool _usesSamples;
    private readonly bool _hasSeriesOutputs;
    private WindowState? _latest; // the window of the last sample: mostly that of the next one

    public EventShard(AggregationRule rule, RuleClock clock)
        : base(rule, clock)
    {
        _usesSamples = Array.Exists(rule.Outputs, output => output.UsesSamples);
        _hasSeriesOutputs = Array.Exists(rule.Outputs, output => !output.UsesSamples);
    }

    public override void Add(PendingSamples samples, long arrivalMs, ShardScratch scratch)
    {
        Counters.Samples += samples.Count;
        Counters.Lags.Observe(arrivalMs - samples.TimesMs[0]);
        if (Rule.DedupMs > 0)
        {
            Hold(samples, arrivalMs);
            return;
        }
        BookAll(samples, arrivalMs, scratch);
    }

    private void BookAll(PendingSamples samples, long arrivalMs, ShardScratch scratch)
    {
        var ahead = Rule.WindowOf(arrivalMs, Clock.OffsetMs) + 1;
        var accepted = 0;
        WindowState? acceptedIn = null;
        for (var i = 0; i < samples.Count; i++)
        {
            var timeMs = samples.TimesMs[i];
            var value = samples.Values[i];
            if (double.IsNaN(value))
            {
                // A stale marker ends presence, which is judged by samples alone, and never the counter's chain.
                Counters.NotANumber++;
                continue;
            }
            var window = WindowFor(timeMs, ahead);
            if (window is null)
            {
                Refuse(timeMs, arrivalMs);
                continue;
            }
            var slot = samples.Slots[i];
            var booking = Book(window, slot, timeMs, value, samples.StartsMs[i], out var oldValue);
            if (booking != Booking.New)
            {
                Counters.Repeats++;
                if (_usesSamples && value != oldValue)
                {
                    ResolveConflict(window, _series[slot].Group, oldValue, value, timeMs);
                }
                continue;
            }
            if (!_usesSamples)
            {
                continue;
            }
            if (!ReferenceEquals(window, acceptedIn))
            {
                AddSamples(acceptedIn, scratch, accepted);
                acceptedIn = window;
                accepted = 0;
            }
            scratch.Groups[accepted] = _series[slot].Group;
            scratch.Values[accepted] = value;
            scratch.TimesMs[accepted++] = timeMs;
        }
        AddSamples(acceptedIn, scratch, accepted);
    }

    public override void Close(long throughWindow, ShardScratch scratch, List<WindowPart> parts)
    {
        while (ClosedThrough < throughWindow)
        {
            var window = ClosedThrough + 1;
            var state = _open.Count > 0 && _open[0].Window == window ? _open[0] : null;
            if (state is null && Groups.AliveCount == 0)
            {
                // Nothing happens before the next open window: a long absence costs no work.
                ClosedThrough = _open.Count > 0 ? Math.Min(throughWindow, _open[0].Window - 1) : throughWindow;
                continue;
            }
            var isBooked = window >= FirstBookedWindow;
            if (state is not null)
            {
                BookSurvivors(state, scratch);
                Sweep(state, scratch, isBooked);
            }
            if (isBooked)
            {
                var part = new WindowPart(Rule.EndOf(window, Clock.OffsetMs));
                Groups.Emit(state, part, IsEmitted(window), Counters);
                parts.Add(part);
            }
            if (state is not null)
            {
                _open.RemoveAt(0);
                _spare.Push(state);
                _latest = null;
            }
            ClosedThrough = window;
        }
        ForgetOldSeries(Rule.EndOf(ClosedThrough, Clock.OffsetMs));
    }

    public override void Write(SnapshotWriter writer)
    {
        base.Write(writer);
        for (var slot = 0; slot < Series.SlotCount; slot++)
        {
            writer.Write(_series[slot]);
        }
        writer.Write(_open.Count);
        foreach (var window in _open)
        {
            window.Write(writer, Series.SlotCount, Groups.RowCount);
        }
    }

    public override void Read(SnapshotReader reader)
    {
        base.Read(reader);
        _series.EnsureCapacity(Series.SlotCount);
        for (var slot = 0; slot < Series.SlotCount; slot++)
        {
            _series[slot] = reader.Read<SeriesRow>();
        }
        for (var count = reader.ReadInt32(); count > 0; count--)
        {
            var window = new WindowState(Rule);
            window.Read(reader, Series.SlotCount, Groups.RowCount);
            _open.Add(window);
        }
    }

    protected override void AddSeries(int slot, int group)
    {
        _series.EnsureCapacity(Series.SlotCount);
        _series[slot] = new SeriesRow { Group = group };
        foreach (var window in _open)
        {
            window.Reserve(Series.SlotCount, Groups.RowCount);
        }
    }

    /// <summary>Deduplication decides at the close of a window which of its samples count.</summary>
    private void Hold(PendingSamples samples, long arrivalMs)
    {
        var ahead = Rule.WindowOf(arrivalMs, Clock.OffsetMs) + 1;
        for (var i = 0; i < samples.Count; i++)
        {
            var timeMs = samples.TimesMs[i];
            if (double.IsNaN(samples.Values[i]))
            {
                Counters.NotANumber++;
                continue;
            }
            var window = WindowFor(timeMs, ahead);
            if (window is null)
            {
                Refuse(timeMs, arrivalMs);
                continue;
            }
            var isNew = window.Dedup!.TryHold(
                samples.Slots[i], (int)(timeMs - window.StartMs), samples.Values[i], samples.StartsMs[i]);
            Counters.DedupDropped += isNew ? 0 : 1;
        }
    }

    /// <summary>What deduplication held back of a window goes the way of samples, series by series.</summary>
    private void BookSurvivors(WindowState window, ShardScratch scratch)
    {
        if (window.Dedup is not { } dedup)
        {
            return;
        }
        var survivors = scratch.Survivors;
        var endMs = Rule.EndOf(window.Window, Clock.OffsetMs);
        for (var slot = 0; slot < Series.SlotCount; slot++)
        {
            for (var entry = dedup.Begin(slot); entry >= 0;)
            {
                var at = survivors.Count++;
                entry = dedup.Take(entry, out var offset, out survivors.Values[at], out survivors.StartsMs[at]);
                survivors.Slots[at] = slot;
                survivors.TimesMs[at] = window.StartMs + offset;
                if (at + 1 == PendingSamples.Capacity)
                {
                    BookAll(survivors, endMs, scratch);
                    survivors.Count = 0;
                }
            }
        }
        BookAll(survivors, endMs, scratch);
        survivors.Count = 0;
        dedup.Clear();
    }

    /// <summary>The open window of a time; null when it is closed or too far ahead.</summary>
    private WindowState? WindowFor(long timeMs, long ahead)
    {
        if (_latest is { } latest && timeMs > latest.StartMs && timeMs <= latest.StartMs + Rule.IntervalMs)
        {
            return latest;
        }
        var window = Rule.WindowOf(timeMs, Clock.OffsetMs);
        if (window <= ClosedThrough || window > ahead)
        {
            return null;
        }
        var at = _open.Count;
        while (at > 0 && _open[at - 1].Window >= window)
        {
            at--;
        }
        if (at == _open.Count || _open[at].Window != window)
        {
            if (!_spare.TryPop(out var state))
            {
                state = new WindowState(Rule);
            }
            var startMs = Rule.EndOf(window - 1, Clock.OffsetMs);
            _open.Insert(at, state.Open(window, startMs, Series.SlotCount, Groups.RowCount));
        }
        return _latest = _open[at];
    }

    private void Refuse(long timeMs, long arrivalMs)
    {
        if (Rule.WindowOf(timeMs, Clock.OffsetMs) <= ClosedThrough)
        {
            // Too late for its window. What a counter gained is not lost: it counts from the base on.
            Counters.CountLate(arrivalMs - timeMs);
        }
        else
        {
            Counters.TooFarAhead++;
        }
    }

    private Booking Book(
        WindowState window, int slot, long timeMs, double value, long startMs, out double oldValue)
    {
        ref var run = ref window.Runs[slot];
        var offset = (int)(timeMs - window.StartMs);
        var startOffset = startMs != 0 && Rule.HasCounters
            ? RelevantStart(window, slot, in run, offset, startMs - window.StartMs)
            : SideRun.NoStart;
        oldValue = 0;
        if (run.FirstOffset == 0)
        {
            run = new Run(offset, value);
            if (startOffset != SideRun.NoStart)
            {
                window.SideRuns.Start(slot, new SideRun(run, startOffset));
                run.FirstOffset = Run.InSideTable;
            }
            return Booking.New;
        }
        if (offset > run.LastOffset && run.FirstOffset > 0 && startOffset == SideRun.NoStart
            && (value >= run.LastValue || !Rule.HasCounters))
        {
            run.LastOffset = offset;
            run.LastValue = value;
            return Booking.New;
        }
        return BookUnusual(window, slot, offset, value, startOffset, out oldValue);
    }

    /// <summary>A decrease, a sample out of order, or a series that has several runs already.</summary>
    private Booking BookUnusual(
        WindowState window, int slot, int offset, double value, long startOffset, out double oldValue)
    {
        ref var run = ref window.Runs[slot];
        oldValue = 0;
        if (run.FirstOffset == Run.InSideTable)
        {
            return window.SideRuns.Add(
                slot, offset, value, startOffset, ref Counters.AmbiguousResets, out oldValue);
        }
        if (offset < run.LastOffset)
        {
            Counters.OutOfOrder++;
        }
        if (!Rule.HasCounters)
        {
            return BookGauge(ref run, offset, value, out oldValue);
        }
        if (run.IsEnd(offset))
        {
            if (run.TryRepeat(offset, value, out var booking, out oldValue))
            {
                return booking;
            }
        }
        else if (offset < run.FirstOffset && value <= run.FirstValue)
        {
            run.FirstOffset = offset;
            run.FirstValue = value;
            return Booking.New;
        }
        else if (offset > run.FirstOffset && offset < run.LastOffset
            && value >= run.FirstValue && value <= run.LastValue)
        {
            return Booking.New;
        }
        window.SideRuns.Start(slot, new SideRun(run, SideRun.NoStart));
        run.FirstOffset = Run.InSideTable;
        return window.SideRuns.Add(slot, offset, value, startOffset, ref Counters.AmbiguousResets, out oldValue);
    }

    /// <summary>
    /// The start timestamp if it can matter: the counter began after the sample before this one, as far as is known.
    /// All times are milliseconds from the window's start.
    /// </summary>
    private long RelevantStart(WindowState window, int slot, in Run run, int offset, long startOffset)
    {
        if (startOffset > offset)
        {
            return SideRun.NoStart;
        }
        if (run.FirstOffset == Run.InSideTable)
        {
            return startOffset;
        }
        long knownOffset = run.LastOffset;
        if (run.FirstOffset == 0)
        {
            // The base to be: the present one, or a sample in a window that is still open.
            ref var series = ref _series[slot];
            var baseMs = series.HasBase ? series.BaseMs : Rule.EndOf(ClosedThrough, Clock.OffsetMs);
            knownOffset = baseMs - window.StartMs;
        }
        return startOffset > knownOffset ? startOffset : SideRun.NoStart;
    }

    /// <summary>Without counters a run only tells which times are known: its ends.</summary>
    private static Booking BookGauge(ref Run run, int offset, double value, out double oldValue)
    {
        oldValue = offset == run.LastOffset ? run.LastValue : run.FirstValue;
        var isKnown = run.IsEnd(offset);
        if (isKnown && !(value > oldValue))
        {
            return Booking.Repeat;
        }
        if (offset == run.LastOffset)
        {
            run.LastValue = value;
        }
        if (offset <= run.FirstOffset)
        {
            run.FirstOffset = offset;
            run.FirstValue = value;
        }
        return isKnown ? Booking.Replaced : Booking.New;
    }

    private void AddSamples(WindowState? window, ShardScratch scratch, int count)
    {
        if (window is null || count == 0)
        {
            return;
        }
        foreach (var output in window.Outputs)
        {
            output.AddSamples(
                scratch.Groups.AsSpan(0, count), scratch.Values.AsSpan(0, count), scratch.TimesMs.AsSpan(0, count));
        }
    }

    /// <summary>Two values at one time: the larger one stays.</summary>
    private static void ResolveConflict(WindowState window, int group, double oldValue, double value, long timeMs)
    {
        foreach (var output in window.Outputs)
        {
            if (value > oldValue)
            {
                output.Replace(group, oldValue, value, timeMs);
            }
            else
            {
                output.Lose(group, value);
            }
        }
    }

    /// <summary>
    /// Turns the runs of a window into what its outputs need, moves the bases, and clears the window.
    /// </summary>
    private void Sweep(WindowState window, ShardScratch scratch, bool isBooked)
    {
        var count = 0;
        for (var slot = 0; slot < Series.SlotCount; slot++)
        {
            ref var run = ref window.Runs[slot];
            if (run.FirstOffset == 0)
            {
                continue;
            }
            scratch.Series[count++] = Finish(window, slot, in run);
            if (run.FirstOffset == Run.InSideTable)
            {
                window.SideRuns.Remove(slot);
            }
            run = default;
            if (count == scratch.Series.Length)
            {
                AddSeries(window, scratch.Series.AsSpan(0, count), isBooked);
                count = 0;
            }
        }
        AddSeries(window, scratch.Series.AsSpan(0, count), isBooked);
        if (!isBooked)
        {
            for (var group = 0; group < Groups.RowCount; group++)
            {
                foreach (var output in window.Outputs)
                {
                    output.Clear(group);
                }
            }
        }
    }

    private void AddSeries(WindowState window, ReadOnlySpan<SeriesWindow> series, bool isBooked)
    {
        if (!isBooked)
        {
            return;
        }
        foreach (ref readonly var one in series)
        {
            Groups.Touch(one.Group, one.LastMs);
        }
        if (_hasSeriesOutputs)
        {
            foreach (var output in window.Outputs)
            {
                output.AddSeries(series);
            }
        }
    }

    private SeriesWindow Finish(WindowState window, int slot, in Run run)
    {
        ref var series = ref _series[slot];
        var single = new SideRun(run, SideRun.NoStart);
        var runs = run.FirstOffset == Run.InSideTable
            ? window.SideRuns[slot]
            : new ReadOnlySpan<SideRun>(in single);
        var first = runs[0].Run;
        var last = runs[^1].Run;
        var finished = new SeriesWindow
        {
            Group = series.Group,
            FirstMs = window.StartMs + first.FirstOffset,
            LastMs = window.StartMs + last.LastOffset,
            FirstValue = first.FirstValue,
            LastValue = last.LastValue,
        };
        if (Rule.HasCounters)
        {
            FollowCounter(window, in series, runs, ref finished);
        }
        series.HasBase = true;
        series.BaseMs = finished.LastMs;
        series.BaseValue = finished.LastValue;
        return finished;
    }

    /// <summary>
    /// From the base along the runs. Between two resets a counter gains the difference of the ends, whatever lies
    /// between; it begins anew at 0. Rounded once, so that it does not show how the runs came to be.
    /// </summary>
    private void FollowCounter(
        WindowState window, in SeriesRow series, ReadOnlySpan<SideRun> runs, ref SeriesWindow finished)
    {
        var hasBase = series.HasBase && finished.FirstMs - series.BaseMs <= Rule.CounterMemoryMs;
        var gained = default(DoubleDouble);
        var fromValue = hasBase ? series.BaseValue : finished.FirstValue;
        var lastValue = fromValue;
        var lastOffset = hasBase ? series.BaseMs - window.StartMs : runs[0].Run.FirstOffset;
        foreach (ref readonly var run in runs)
        {
            if (run.BeginsAfter(lastOffset, lastValue))
            {
                Counters.CounterResets++;
                gained.Add(lastValue);
                gained.Add(-fromValue);
                fromValue = 0;
            }
            gained.Add(run.Extra);
            lastValue = run.Run.LastValue;
            lastOffset = run.Run.LastOffset;
        }
        gained.Add(lastValue);
        gained.Add(-fromValue);

        finished.IncreasePrometheus = gained.Value;
        if (!hasBase && CountsFirstSample(finished.FirstMs, runs[0].StartOffset))
        {
            gained.Add(finished.FirstValue);
        }
        finished.Increase = gained.Value;
        var spanMs = finished.LastMs - (hasBase ? series.BaseMs : finished.FirstMs);
        finished.Rate = spanMs > 0 ? finished.IncreasePrometheus / (spanMs / 1000.0) : double.NaN;
    }

    private bool CountsFirstSample(long firstMs, long startOffset) =>
        Rule.Config.FirstSample switch
        {
            FirstSample.Zero => false,
            FirstSample.Count => firstMs >= Clock.StartMs + Rule.IgnoreFirstSampleMs,
            _ => startOffset > 0,
        };

    /// <summary>Frees the series whose base no later sample can use. Judged by timestamps, at closes only.</summary>
    private void ForgetOldSeries(long closedMs)
    {
        for (var slot = 0; slot < Series.SlotCount; slot++)
        {
            ref var series = ref _series[slot];
            if (series.Group < 0 || (series.HasBase && series.BaseMs + Rule.CounterMemoryMs >= closedMs))
            {
                continue;
            }
            if (!IsInOpenWindow(slot))
            {
                Groups.Leave(series.Group);
                Series.Remove(slot);
                series = new SeriesRow { Group = -1 };
            }
        }
    }

    private bool IsInOpenWindow(int slot)
    {
        foreach (var window in _open)
        {
            if (window.Holds(slot))
            {
                return true;
            }
        }
        return false;
    }
}
