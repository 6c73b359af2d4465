using Millrace.Aggregation.Exemplars;
using Millrace.Aggregation.Histograms;
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
internal sealed partial class EventShard : RuleShard
{
    private readonly Column<EventSeries> _series = new();
    private readonly Column<double> _ahead = new(); // with gap: spread, what was booked of the increase after the base
    private readonly Dictionary<ulong, long> _targets = []; // scratch of FindKnownTargets
    private readonly List<WindowState> _open = [];  // by window
    private readonly Stack<WindowState> _spare = new();
    private readonly bool _usesSamples;
    private readonly bool _hasSeriesOutputs;
    private readonly HistogramBook? _histograms; // null where no output takes histograms
    private readonly bool _spreads;
    private readonly bool _asksTargets;
    private readonly bool _isPlain; // neither remembers samples nor bounds its series
    private readonly ShownWindows? _shown; // null: windows are given once
    private readonly bool _isCopy;
    private WindowState? _latest; // the window of the last sample: mostly that of the next one

    public EventShard(AggregationRule rule, RuleClock clock)
        : base(rule, clock)
    {
        _usesSamples = Array.Exists(rule.Outputs, output => output.UsesSamples);
        _hasSeriesOutputs = Array.Exists(rule.Outputs, output => !output.UsesSamples);
        _histograms = rule.TakesHistograms ? new HistogramBook(rule, clock) : null;
        _spreads = rule.HasCounters && rule.Config.Gap == GapPolicy.Spread;
        _asksTargets = rule.HasCounters && rule.Config.FirstSample == FirstSample.Auto;
        _isPlain = !rule.Config.RemembersSamples && rule.Config.MaxSeries == 0;
        _shown = rule.CorrectedWindows > 0 ? new ShownWindows() : null;
    }

    public override void Add(PendingSamples samples, long arrivalMs, ShardScratch scratch)
    {
        Counters.Samples += samples.Count;
        Counters.Lags.Observe(arrivalMs - samples.TimesMs[0]);
        if (_shown is not null)
        {
            NoteCorrecting(samples.TimesMs.AsSpan(0, samples.Count));
        }
        if (Rule.DedupMs > 0)
        {
            Hold(samples, arrivalMs, scratch);
            return;
        }
        BookAll(samples, arrivalMs, scratch);
    }

    private void BookAll(PendingSamples samples, long arrivalMs, ShardScratch scratch)
    {
        var ahead = WindowOf(arrivalMs) + 1;
        var accepted = 0;
        WindowState? acceptedIn = null;
        for (var i = 0; i < Math.Min(PendingSamples.Prefetched, samples.Count); i++)
        {
            _latest?.Runs.Prefetch(samples.Slots[i]);
        }
        for (var i = 0; i < samples.Count; i++)
        {
            if (i + PendingSamples.Prefetched < samples.Count)
            {
                _latest?.Runs.Prefetch(samples.Slots[i + PendingSamples.Prefetched]); // mostly that of all of them
            }
            var timeMs = samples.TimesMs[i];
            var value = samples.Values[i];
            if (double.IsNaN(value))
            {
                // A stale marker ends presence, which is judged by samples alone, and never the counter's chain.
                Counters.NotANumber++;
                if (Rule.UsesLastSamples && StaleMarkers.IsMarker(value))
                {
                    MarkGone(samples.Slots[i], timeMs, ahead);
                }
                continue;
            }
            var window = WindowFor(timeMs, ahead);
            if (window is null)
            {
                Refuse(samples, i, arrivalMs);
                continue;
            }
            var slot = samples.Slots[i];
            var startMs = samples.StartsMs[i];
            var booking = _isPlain
                ? Book(window, slot, timeMs, value, startMs, out var oldValue)
                : BookOther(window, slot, timeMs, value, startMs, out oldValue);
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

    public override void AddHistogram(int slot, long timeMs, ReadOnlySpan<byte> message, long arrivalMs)
    {
        Counters.Histograms++;
        if (_shown is not null)
        {
            NoteCorrecting(new ReadOnlySpan<long>(in timeMs));
        }
        if (_histograms is null || _series[slot].IsShared || !HistogramCodec.TryRead(message, 0, out var sample))
        {
            Counters.UnusedHistograms++;
            if (Rule.UsesLastSamples && HistogramCodec.IsStaleMarker(message))
            {
                MarkGone(slot, timeMs, WindowOf(arrivalMs) + 1);
            }
            return;
        }
        if (WindowFor(timeMs, WindowOf(arrivalMs) + 1) is not { } window)
        {
            if (WindowOf(timeMs) > ClosedThrough)
            {
                Counters.TooFarAhead++;
            }
            else
            {
                // What a counter gained counts from the base on, as with numbers.
                Counters.CountLate(arrivalMs - timeMs);
            }
            return;
        }
        if (Rule.DedupMs > 0)
        {
            window.Histograms ??= new HistogramWindow(Rule);
            window.Histograms.Reserve(Groups.RowCount);
            var isNew = window.Histograms.TryHold(
                slot, Rule.DedupIntervalOf(timeMs, Clock.OffsetMs), timeMs, sample);
            Counters.DedupDropped += isNew ? 0 : 1;
            return;
        }
        BookHistogram(window, slot, timeMs, sample);
    }

    private void BookHistogram(WindowState window, int slot, long timeMs, NativeHistogram sample)
    {
        var booking = _histograms!.Add(
            window, slot, _series[slot].Group, timeMs, sample, Groups.RowCount, Counters);
        Counters.Repeats += booking == Booking.New ? 0 : 1;
    }

    public override void Close(long throughWindow, ShardScratch scratch, List<WindowPart> parts)
    {
        if (_shown is null)
        {
            CloseThrough(throughWindow, scratch, parts);
        }
        else
        {
            CloseAndCorrect(throughWindow, scratch, parts);
        }
    }

    /// <param name="throughWindow">The last window to close.</param>
    /// <param name="scratch">The worker's.</param>
    /// <param name="parts">Takes what the windows give.</param>
    /// <param name="showsFrom">Earlier windows are closed in silence.</param>
    private void CloseThrough(
        long throughWindow, ShardScratch scratch, List<WindowPart> parts, long showsFrom = long.MinValue)
    {
        while (ClosedThrough < throughWindow)
        {
            var window = ClosedThrough + 1;
            var state = OpenAt(window);
            if (state is null && Groups.AliveCount == 0)
            {
                // Nothing happens before the next open window: a long absence costs no work.
                ClosedThrough = Math.Min(throughWindow, QuietThrough());
                continue;
            }
            var isBooked = window >= FirstBookedWindow;
            if (state is not null)
            {
                BookSurvivors(state, scratch);
                Sweep(state, scratch, isBooked);
                if (state.Histograms is not null)
                {
                    _histograms!.Sweep(state, isBooked, Groups, Counters);
                }
            }
            if (isBooked)
            {
                var part = NewPart(window);
                Groups.Emit(state, part, window >= showsFrom && IsEmitted(window), Counters);
                if (window >= showsFrom)
                {
                    parts.Add(part);
                }
            }
            if (state is not null)
            {
                ExemplarBook.Finish(state, Groups.TakeSentExemplars(), Counters);
                _open.RemoveAt(0);
                state.Histograms = null;
                state.StaleMarkers?.Clear();
                _spare.Push(state);
                _latest = null;
            }
            ClosedThrough = window;
        }
        if (!_isCopy)
        {
            ForgetOldSeries(Rule.EndOf(ClosedThrough, Clock.OffsetMs));
        }
    }

    public override void Write(SnapshotWriter writer)
    {
        base.Write(writer);
        WriteOwn(writer);
        _shown?.Write(writer);
    }

    public override void Read(SnapshotReader reader)
    {
        base.Read(reader);
        ReadOwn(reader);
        _shown?.Read(reader);
    }

    private void WriteOwn(SnapshotWriter writer)
    {
        for (var slot = 0; slot < Series.SlotCount; slot++)
        {
            writer.Write(_series[slot]);
            if (_spreads)
            {
                writer.Write(_ahead[slot]);
            }
        }
        _histograms?.Write(writer);
        writer.Write(_open.Count);
        foreach (var window in _open)
        {
            window.Write(writer, Series.SlotCount, Groups.RowCount);
        }
    }

    private void ReadOwn(SnapshotReader reader)
    {
        ReserveSeries();
        for (var slot = 0; slot < Series.SlotCount; slot++)
        {
            _series[slot] = reader.Read<EventSeries>();
            if (_spreads)
            {
                _ahead[slot] = reader.ReadDouble();
            }
        }
        _histograms?.Read(reader);
        for (var count = reader.ReadInt32(); count > 0; count--)
        {
            var window = new WindowState(Rule);
            window.Read(reader, Series.SlotCount, Groups.RowCount);
            _open.Add(window);
        }
    }

    protected override void AddSeries(int slot, int group, uint target)
    {
        ReserveSeries();
        _series[slot] = new EventSeries(group, target);
        foreach (var window in _open)
        {
            window.Reserve(Series.SlotCount, Groups.RowCount);
        }
    }

    protected override int GroupOf(int slot) => _series[slot].Group;

    /// <summary>
    /// An exemplar is as old as what was observed, and comes with the next scrape: one whose window is closed by then
    /// goes with the oldest open one.
    /// </summary>
    protected override WindowState? WindowOfExemplar(long timeMs, long arrivalMs)
    {
        var closedMs = Rule.EndOf(ClosedThrough, Clock.OffsetMs);
        return timeMs <= closedMs && timeMs + Rule.CounterMemoryMs >= closedMs
            ? StateOf(ClosedThrough + 1)
            : WindowFor(timeMs, WindowOf(arrivalMs) + 1);
    }

    private void ReserveSeries()
    {
        _series.EnsureCapacity(Series.SlotCount);
        if (_spreads)
        {
            _ahead.EnsureCapacity(Series.SlotCount);
        }
    }

    /// <summary>
    /// The state of the window to be closed next; null if there is none. A gap that is spread needs one in each of its
    /// windows.
    /// </summary>
    private WindowState? OpenAt(long window)
    {
        if (_open.Count == 0)
        {
            return null;
        }
        var isInGap = _spreads
            && Rule.EndOf(window, Clock.OffsetMs) > _open[0].StartMs - Rule.CounterMemoryMs;
        return _open[0].Window == window || isInGap ? StateOf(window) : null;
    }

    /// <summary>With no group alive, windows up to here are empty.</summary>
    private long QuietThrough()
    {
        if (_open.Count == 0)
        {
            return long.MaxValue;
        }
        return _spreads
            ? Rule.WindowOf(_open[0].StartMs - Rule.CounterMemoryMs + 1, Clock.OffsetMs) - 1
            : _open[0].Window - 1;
    }

    private long WindowOf(long timeMs) => Rule.WindowOf(timeMs, Clock.OffsetMs);

    /// <summary>The series is not there any more, as far as its window goes.</summary>
    private void MarkGone(int slot, long timeMs, long ahead)
    {
        if (!_series[slot].IsShared && WindowFor(timeMs, ahead) is { } window)
        {
            window.StaleMarkers!.Add(slot, (int)(timeMs - window.StartMs));
        }
    }

    /// <summary>The open window of a time; null when it is closed or too far ahead.</summary>
    private WindowState? WindowFor(long timeMs, long ahead)
    {
        if (_latest is { } latest && timeMs > latest.StartMs && timeMs <= latest.StartMs + Rule.IntervalMs)
        {
            return latest;
        }
        var window = WindowOf(timeMs);
        if (window <= ClosedThrough || window > ahead)
        {
            return null;
        }
        return _latest = StateOf(window);
    }

    /// <summary>The state of an open window, made if there is none.</summary>
    private WindowState StateOf(long window)
    {
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
        return _open[at];
    }

    private void Refuse(PendingSamples samples, int i, long arrivalMs)
    {
        var timeMs = samples.TimesMs[i];
        var window = WindowOf(timeMs);
        if (window > ClosedThrough)
        {
            Counters.TooFarAhead++;
            return;
        }
        Counters.CountLate(arrivalMs - timeMs);
        ref var series = ref _series[samples.Slots[i]];
        if (Rule.Config.Late == LatePolicy.Carry && window >= FirstBookedWindow)
        {
            Carry(samples.Slots[i], timeMs, samples.Values[i], samples.StartsMs[i]);
        }
        else if (Rule.HasCounters && series.HasBase && !series.IsShared
            && (timeMs > series.BaseMs ? samples.Values[i] < series.BaseValue : samples.Values[i] > series.BaseValue))
        {
            // What the counter gained is not lost, it counts from the base on; but this reset may be.
            Counters.AmbiguousResets++;
        }
    }

    /// <summary>
    /// A late sample adds to the sums and counts of the oldest open window. A counter goes on from it: what it gained
    /// since the base goes there, too, also if the series never shows again. Without a base it waits for a sample in
    /// time, which then is a first one.
    /// </summary>
    private void Carry(int slot, long timeMs, double value, long startMs)
    {
        ref var series = ref _series[slot];
        // Judged by time, not by when series are freed.
        var hasBase = series.HasBase && !series.IsShared
            && series.BaseMs + Rule.CounterMemoryMs >= Rule.EndOf(ClosedThrough, Clock.OffsetMs);
        if (hasBase && timeMs == series.BaseMs)
        {
            Counters.Repeats++;
            return;
        }
        Counters.Carried++;
        var window = StateOf(ClosedThrough + 1);
        Groups.Touch(series.Group, window.StartMs + 1);
        for (var i = 0; i < window.Outputs.Length; i++)
        {
            if (Rule.Outputs[i].CarriesLate)
            {
                window.Outputs[i].AddSamples(new(in series.Group), new(in value), new(in timeMs));
            }
        }
        if (!Rule.HasCounters || !hasBase || timeMs < series.BaseMs)
        {
            return;
        }
        var startOffset = startMs != 0 && startMs <= timeMs ? startMs - timeMs : SideRun.NoStart;
        var single = new SideRun(new Run(0, value), startOffset);
        var finished = new SeriesWindow
        {
            Group = series.Group,
            FirstMs = timeMs,
            LastMs = timeMs,
            FirstValue = value,
            LastValue = value,
            Labels = LabelsOf(slot),
        };
        FollowCounter(timeMs, slot, new(in single), isKnownTarget: false, closing: null, ref finished);
        MoveBase(ref series, in finished);
        AddGains(window, ref finished, window.StartMs + 1);
    }

    /// <summary>A sample of a rule that remembers samples, or of a series without a state of its own.</summary>
    private Booking BookOther(
        WindowState window, int slot, long timeMs, double value, long startMs, out double oldValue)
    {
        if (_series[slot].IsShared)
        {
            // Only that there were samples, and when the last one.
            ref var run = ref window.Runs[slot];
            var offset = (int)(timeMs - window.StartMs);
            run = new Run(Math.Max(offset, run.LastOffset), 0);
            oldValue = 0;
            return Booking.New;
        }
        if (window.Remembered is not { } remembered)
        {
            return Book(window, slot, timeMs, value, startMs, out oldValue);
        }
        var startOffset = startMs != 0 && startMs <= timeMs ? startMs - window.StartMs : SideRun.NoStart;
        var sample = new RememberedSample
        {
            Value = value,
            Offset = (int)(timeMs - window.StartMs),
            StartOffset = startOffset is > int.MinValue and <= int.MaxValue
                ? (int)startOffset : RememberedSample.NoStart,
        };
        if (!remembered.TryAdd(slot, sample, out var booking, out oldValue))
        {
            Counters.NotRemembered++;
            return Book(window, slot, timeMs, value, startMs, out oldValue);
        }
        if (booking != Booking.Repeat)
        {
            // The runs are what is left if the series grows too large to be remembered.
            var ambiguous = Counters.AmbiguousResets;
            Book(window, slot, timeMs, value, startMs, out _);
            Counters.AmbiguousResets = ambiguous;
        }
        return booking;
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
            if (run.TryRepeat(offset, value, ref Counters.AmbiguousResets, out var booking, out oldValue))
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
            // The base to be: the present one, or a sample in a window that is still open. Without one the start tells
            // whether the counter began under the rule's eyes.
            ref var series = ref _series[slot];
            var baseMs = series.HasBase
                ? series.BaseMs
                : Math.Min(Clock.StartMs - 1, Rule.EndOf(ClosedThrough, Clock.OffsetMs));
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
        if (count > 0)
        {
            window!.AddSamples(
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
        // No target is old before the third window. The first one is that of the start: a new version of a rule may
        // have taken samples for several windows before its first whole one.
        var mayWait = _asksTargets && isBooked && window.Window >= WindowOf(Clock.StartMs) + EventSeries.OldAge;
        if (SweepSeries(window, scratch, isBooked, mayWait) > 0)
        {
            FindKnownTargets(window);
            SweepSeries(window, scratch, isBooked, mayWait: false);
            _targets.Clear();
        }
        if (_spreads)
        {
            SpreadOverGaps(window, isBooked);
        }
        if (!isBooked)
        {
            window.Settle();
            for (var group = 0; group < Groups.RowCount; group++)
            {
                foreach (var output in window.Outputs)
                {
                    output.Clear(group);
                }
            }
        }
    }

    /// <summary>
    /// All series of the window. First samples of series with a target may have to wait until it is known which
    /// targets are known: their runs stay, and are counted.
    /// </summary>
    private int SweepSeries(WindowState window, ShardScratch scratch, bool isBooked, bool mayWait)
    {
        var count = 0;
        var waiting = 0;
        for (var slot = 0; slot < Series.SlotCount; slot++)
        {
            ref var run = ref window.Runs[slot];
            if (run.FirstOffset == 0)
            {
                continue;
            }
            if (mayWait && MayBeBirth(window, slot, in run))
            {
                waiting++;
                continue;
            }
            Finish(window, slot, scratch, ref scratch.Series[count]);
            if (_series[slot].IsShared)
            {
                Touch(scratch.Series[count], isBooked); // of series without a state nothing else is known
            }
            else
            {
                count++;
            }
            if (run.FirstOffset == Run.InSideTable)
            {
                window.SideRuns.Remove(slot);
            }
            window.Remembered?.Remove(slot);
            run = default;
            if (count == scratch.Series.Length)
            {
                AddSeries(window, scratch.Series.AsSpan(0, count), isBooked);
                count = 0;
            }
        }
        AddSeries(window, scratch.Series.AsSpan(0, count), isBooked);
        return waiting;
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
            if (!IsInOpenWindow(slot) && _histograms?.Remembers(slot, closedMs) != true)
            {
                _histograms?.Forget(slot);
                Groups.Leave(series.Group);
                Series.Remove(slot);
                series = EventSeries.Free;
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
