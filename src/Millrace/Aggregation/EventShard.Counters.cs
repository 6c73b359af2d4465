using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Millrace.Aggregation.Outputs;

namespace Millrace.Aggregation;

/// <summary>
/// What the runs of a closing window mean for its counters: increases, gaps, first samples.
/// </summary>
internal sealed partial class EventShard
{
    private void Finish(WindowState window, int slot, ShardScratch scratch, ref SeriesWindow finished)
    {
        ref var series = ref _series[slot];
        ref var run = ref window.Runs[slot];
        var single = new SideRun(run, SideRun.NoStart);
        var runs = run.FirstOffset == Run.InSideTable
            ? window.SideRuns[slot]
            : new ReadOnlySpan<SideRun>(in single);
        var first = runs[0].Run;
        var last = runs[^1].Run;
        finished = new SeriesWindow
        {
            Group = series.Group,
            FirstMs = window.StartMs + first.FirstOffset,
            LastMs = window.StartMs + last.LastOffset,
            FirstValue = first.FirstValue,
            LastValue = last.LastValue,
            Labels = LabelsOf(slot),
            IsGone = window.StaleMarkers?.IsGone(slot, last.LastOffset) == true,
        };
        if (Rule.HasCounters && !series.IsShared)
        {
            if (window.Remembered is { } remembered && remembered.IsComplete(slot))
            {
                runs = AsRuns(remembered[slot], scratch);
            }
            var isKnownTarget = _targets.Count > 0 && _targets.TryGetValue(series.TargetInGroup, out var seenMs)
                && finished.FirstMs - seenMs <= Rule.CounterMemoryMs;
            FollowCounter(window.StartMs, slot, runs, isKnownTarget, window, ref finished);
        }
        MoveBase(ref series, in finished);
    }

    /// <summary>Each sample as a run of its own.</summary>
    private static ReadOnlySpan<SideRun> AsRuns(ReadOnlySpan<RememberedSample> samples, ShardScratch scratch)
    {
        var runs = scratch.Samples ??= new SideRun[RememberedSamples.MaxPerSeries];
        for (var i = 0; i < samples.Length; i++)
        {
            ref readonly var sample = ref samples[i];
            runs[i] = new SideRun(
                new Run(sample.Offset, sample.Value),
                sample.StartOffset == RememberedSample.NoStart ? SideRun.NoStart : sample.StartOffset);
        }
        return runs.AsSpan(0, samples.Length);
    }

    private void MoveBase(ref EventSeries series, in SeriesWindow finished)
    {
        var age = series.HasBase && finished.FirstMs - series.BaseMs <= Rule.CounterMemoryMs
            ? series.Age + WindowOf(finished.LastMs) - WindowOf(series.BaseMs)
            : 0;
        series.MoveBase(finished.LastMs, finished.LastValue, age);
    }

    /// <summary>
    /// From the base along the runs. Between two resets a counter gains the difference of the ends, whatever lies
    /// between; it begins anew at 0. Rounded once, so that it does not show how the runs came to be.
    /// </summary>
    /// <param name="originMs">Where the runs' times count from.</param>
    /// <param name="slot">The series.</param>
    /// <param name="runs">In order of time.</param>
    /// <param name="isKnownTarget">A first sample of the series is a birth.</param>
    /// <param name="closing">The window being closed; null: a late sample is booked.</param>
    /// <param name="finished">Has the ends already.</param>
    private void FollowCounter(
        long originMs, int slot, ReadOnlySpan<SideRun> runs, bool isKnownTarget, WindowState? closing,
        ref SeriesWindow finished)
    {
        ref var series = ref _series[slot];
        var hasBase = series.HasBase && finished.FirstMs - series.BaseMs <= Rule.CounterMemoryMs;
        var gained = default(DoubleDouble);
        var fromValue = hasBase ? series.BaseValue : finished.FirstValue;
        var lastValue = fromValue;
        var lastOffset = hasBase ? series.BaseMs - originMs : runs[0].Run.FirstOffset;
        foreach (ref readonly var run in runs)
        {
            if (run.BeginsAfter(lastOffset, lastValue))
            {
                var isRollback = run.IsRollbackFrom(lastOffset, lastValue, Rule.Config.Resets);
                Counters.CounterResets += isRollback ? 0 : 1;
                gained.Add(lastValue);
                gained.Add(-fromValue);
                fromValue = isRollback ? run.Run.FirstValue : 0;
            }
            gained.Add(run.Extra);
            lastValue = run.Run.LastValue;
            lastOffset = run.Run.LastOffset;
        }
        gained.Add(lastValue);
        gained.Add(-fromValue);

        var spanMs = finished.LastMs - (hasBase ? series.BaseMs : finished.FirstMs);
        finished.Rate = spanMs > 0 ? gained.Value / (spanMs / 1000.0) : double.NaN;
        var startMs = runs[0].StartOffset == SideRun.NoStart ? (long?)null : originMs + runs[0].StartOffset;
        if (hasBase && Rule.Config.Gap == GapPolicy.Cap)
        {
            Cap(in series, in finished, startMs, ref gained);
        }
        else if (_spreads)
        {
            Spread(slot, finished.LastMs, finished.LastValue, closing, ref gained);
        }
        finished.IncreasePrometheus = gained.Value;
        if (!hasBase && CountsFirstSample(finished.FirstMs, startMs, isKnownTarget))
        {
            gained.Add(finished.FirstValue);
        }
        finished.Increase = gained.Value;
    }

    /// <summary>A counter that went on longer than an interval unseen counts one interval's share of that.</summary>
    private void Cap(in EventSeries series, in SeriesWindow finished, long? startMs, ref DoubleDouble gained)
    {
        var step = CounterStep.Between(
            series.BaseMs, series.BaseValue, finished.FirstMs, finished.FirstValue, startMs, Rule.Config.Resets);
        if (step.TimeMs - step.SinceMs <= Rule.IntervalMs)
        {
            return;
        }
        Counters.CappedGaps++;
        gained.Add(step.From);
        gained.Add(-step.To);
        gained.Add(step.GainWithin(Rule.IntervalMs));
    }

    /// <summary>
    /// Books also the share, up to the window's end, of what the counter gains until its next sample, if that is here
    /// already; and leaves out what was booked so before. Never takes anything back: a sample in between may show
    /// that too much was booked, which then counts for later windows.
    /// </summary>
    private void Spread(int slot, long lastMs, double lastValue, WindowState? closing, ref DoubleDouble gained)
    {
        ref var ahead = ref _ahead[slot];
        var share = 0.0;
        if (closing is not null && TryStep(slot, lastMs, lastValue, out var step))
        {
            share = step.GainUntil(closing.StartMs + Rule.IntervalMs);
        }
        gained.Add(-ahead);
        ahead = Math.Max(share, Math.Min(ahead, -gained.Value));
        gained.Add(ahead);
    }

    /// <summary>From a sample in the window being closed, or before, to the first one in a later window.</summary>
    private bool TryStep(int slot, long lastMs, double lastValue, out CounterStep step)
    {
        for (var i = 1; i < _open.Count; i++)
        {
            var window = _open[i];
            var run = window.Runs[slot];
            if (run.FirstOffset == 0)
            {
                continue;
            }
            var first = run.FirstOffset == Run.InSideTable
                ? window.SideRuns[slot][0] : new SideRun(run, SideRun.NoStart);
            var timeMs = window.StartMs + first.Run.FirstOffset;
            var startMs = first.StartOffset == SideRun.NoStart ? (long?)null : window.StartMs + first.StartOffset;
            step = CounterStep.Between(
                lastMs, lastValue, timeMs, first.Run.FirstValue, startMs, Rule.Config.Resets);
            return timeMs - lastMs <= Rule.CounterMemoryMs;
        }
        step = default;
        return false;
    }

    /// <summary>Series without a sample in the window being closed, but with one before and one after.</summary>
    private void SpreadOverGaps(WindowState window, bool isBooked)
    {
        for (var slot = 0; slot < Series.SlotCount; slot++)
        {
            ref var series = ref _series[slot];
            if (!series.HasBase || series.IsShared || series.BaseMs > window.StartMs
                || !TryStep(slot, series.BaseMs, series.BaseValue, out _))
            {
                continue;
            }
            var gained = default(DoubleDouble);
            Spread(slot, series.BaseMs, series.BaseValue, window, ref gained);
            var finished = new SeriesWindow
            {
                Group = series.Group,
                Increase = gained.Value,
                IncreasePrometheus = gained.Value,
                Labels = LabelsOf(slot),
            };
            if (isBooked)
            {
                AddGains(window, ref finished, window.StartMs + Rule.IntervalMs);
            }
        }
    }

    /// <summary>An increase in a window without a sample: only counters see it.</summary>
    private void AddGains(WindowState window, ref SeriesWindow finished, long aliveMs)
    {
        finished.Rate = double.NaN;
        Groups.Touch(finished.Group, aliveMs);
        for (var i = 0; i < window.Outputs.Length; i++)
        {
            if (Rule.Outputs[i].IsCounter)
            {
                window.Outputs[i].AddSeries(new(in finished));
            }
        }
    }

    private void Touch(in SeriesWindow finished, bool isBooked)
    {
        if (isBooked)
        {
            Groups.Touch(finished.Group, finished.LastMs);
        }
    }

    /// <summary>
    /// <c>auto</c>: the counter began after the rule did and not so long ago that an earlier sample of it could be
    /// forgotten, so nobody has counted any of it; or a series of its target was old in the group.
    /// </summary>
    private bool CountsFirstSample(long firstMs, long? startMs, bool isKnownTarget) =>
        Rule.Config.FirstSample switch
        {
            FirstSample.Zero => false,
            FirstSample.Count => firstMs >= Clock.StartMs + Rule.IgnoreFirstSampleMs,
            _ => isKnownTarget
                || (startMs >= Clock.StartMs && startMs <= firstMs && firstMs - startMs <= Rule.CounterMemoryMs),
        };

    /// <summary>Whether the series' first sample counts if its target is known.</summary>
    private bool MayBeBirth(WindowState window, int slot, in Run run)
    {
        ref var series = ref _series[slot];
        if (!series.HasTarget)
        {
            return false;
        }
        var firstOffset = run.FirstOffset == Run.InSideTable
            ? window.SideRuns[slot][0].Run.FirstOffset : run.FirstOffset;
        var firstMs = window.StartMs + firstOffset;
        return firstMs >= Clock.StartMs + Rule.IgnoreFirstSampleMs
            && (!series.HasBase || firstMs - series.BaseMs > Rule.CounterMemoryMs);
    }

    /// <summary>
    /// Which targets of the series still in the window are known to their groups: another series of the target was
    /// seen two windows ago or earlier, so the target had been scraped without the new series. And when it was seen
    /// last.
    /// </summary>
    private void FindKnownTargets(WindowState window)
    {
        for (var slot = 0; slot < Series.SlotCount; slot++)
        {
            if (window.Runs[slot].FirstOffset != 0)
            {
                _targets[_series[slot].TargetInGroup] = long.MinValue / 2;
            }
        }
        for (var slot = 0; slot < Series.SlotCount; slot++)
        {
            ref var series = ref _series[slot];
            if (!series.HasBase || !series.HasTarget)
            {
                continue;
            }
            var age = series.Age + window.Window - WindowOf(series.BaseMs);
            if (age < EventSeries.OldAge)
            {
                continue;
            }
            ref var seenMs = ref CollectionsMarshal.GetValueRefOrNullRef(_targets, series.TargetInGroup);
            if (!Unsafe.IsNullRef(ref seenMs) && series.BaseMs > seenMs)
            {
                seenMs = series.BaseMs;
            }
        }
    }
}
