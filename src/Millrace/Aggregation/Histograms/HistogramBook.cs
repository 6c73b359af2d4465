using Millrace.Aggregation.Outputs;
using Millrace.Memory;

namespace Millrace.Aggregation.Histograms;

/// <summary>
/// The histograms of a shard in event time. Counter histograms are followed like counters: runs in open windows, a base
/// per series, deltas across a window's edge belong to the later window. There are few of them beside the numbers, and
/// each is large: so they live in objects, not in columns.
/// </summary>
internal sealed class HistogramBook(AggregationRule rule, RuleClock clock)
{
    private readonly Dictionary<int, (long TimeMs, NativeHistogram Last)> _bases = [];
    private readonly HistogramSum _increase = new();
    private readonly List<int> _forgotten = [];
    private readonly bool _isCounter = rule.HasCounters;

    public Booking Add(
        WindowState window, int slot, int group, long timeMs, NativeHistogram sample, int groupCount,
        ShardCounters counters)
    {
        var histograms = window.Histograms ??= new HistogramWindow(rule);
        histograms.Reserve(groupCount);
        if (!histograms.Runs.TryGetValue(slot, out var runs))
        {
            histograms.Runs.Add(slot, runs = new HistogramRuns(group));
        }
        var isCounter = _isCounter && sample.Hint != ResetHint.Gauge;
        var booking = runs.Add(timeMs, sample, isCounter, ref counters.AmbiguousResets, out var old);
        if (booking == Booking.Repeat)
        {
            return booking;
        }
        for (var i = 0; i < rule.Outputs.Length; i++)
        {
            if (rule.Outputs[i].OfHistograms == HistogramUse.Samples)
            {
                var sum = histograms.Outputs[i]!.Of(group);
                var isTaken = old is null || sum.TryAdd(old, isAdded: false);
                counters.UnlikeHistograms += isTaken & sum.TryAdd(sample, isAdded: true) ? 0 : 1;
            }
        }
        return booking;
    }

    /// <summary>Turns the runs of a window into what its outputs need, and moves the bases.</summary>
    public void Sweep(WindowState window, bool isBooked, GroupTable groups, ShardCounters counters)
    {
        foreach (var (slot, runs) in window.Histograms!.Runs)
        {
            var last = runs.All[^1];
            if (isBooked)
            {
                groups.TouchByHistogram(runs.Group, last.LastMs);
                Add(window, slot, runs, counters);
            }
            _bases[slot] = (last.LastMs, last.Last);
        }
        window.Histograms.Runs.Clear();
        if (!isBooked)
        {
            window.Histograms = null;
        }
    }

    /// <summary>Whether a later sample could go on from the last one of the series.</summary>
    public bool Remembers(int slot, long closedMs) =>
        _bases.TryGetValue(slot, out var known) && known.TimeMs + rule.CounterMemoryMs >= closedMs;

    /// <summary>Whether a later sample of the series was counted in a window before.</summary>
    public bool IsOld(int slot, long timeMs) => _bases.TryGetValue(slot, out var known) && timeMs <= known.TimeMs;

    public void Forget(int slot) => _bases.Remove(slot);

    public void Write(SnapshotWriter writer)
    {
        _forgotten.Clear();
        _forgotten.AddRange(_bases.Keys);
        _forgotten.Sort();
        writer.Write(_forgotten.Count);
        foreach (var slot in _forgotten)
        {
            writer.Write(slot);
            writer.Write(_bases[slot].TimeMs);
            HistogramRuns.Write(writer, _bases[slot].Last);
        }
    }

    public void Read(SnapshotReader reader)
    {
        for (var count = reader.ReadInt32(); count > 0; count--)
        {
            _bases.Add(reader.ReadInt32(), (reader.ReadInt64(), HistogramRuns.ReadHistogram(reader)));
        }
    }

    private void Add(WindowState window, int slot, HistogramRuns runs, ShardCounters counters)
    {
        var isGauge = runs.All[^1].Last.Hint == ResetHint.Gauge;
        var (firstMs, hasBase) = (runs.All[0].FirstMs, false);
        var sinceMs = firstMs;
        if (_isCounter && !isGauge)
        {
            hasBase = _bases.TryGetValue(slot, out var known) && firstMs - known.TimeMs <= rule.CounterMemoryMs
                && known.Last.Hint != ResetHint.Gauge;
            sinceMs = hasBase ? known.TimeMs : firstMs;
            if (!TryFollow(runs, hasBase ? known : null))
            {
                counters.UnlikeHistograms++;
                return;
            }
        }
        var spanMs = runs.All[^1].LastMs - sinceMs;
        var first = runs.All[0].First;
        for (var i = 0; i < rule.Outputs.Length; i++)
        {
            var use = rule.Outputs[i].OfHistograms;
            if (use is HistogramUse.None or HistogramUse.Samples || (isGauge && use != HistogramUse.Last))
            {
                continue;
            }
            if (use == HistogramUse.Last)
            {
                if (window.StaleMarkers?.IsGone(slot, runs.All[^1].LastMs - window.StartMs) == true)
                {
                    continue;
                }
                var isTaken = window.Histograms!.Outputs[i]!.Of(runs.Group).TryAdd(runs.All[^1].Last, isAdded: true);
                counters.UnlikeHistograms += isTaken ? 0 : 1;
                continue;
            }
            if (use == HistogramUse.Rate && spanMs <= 0)
            {
                continue;
            }
            var sum = window.Histograms!.Outputs[i]!.Of(runs.Group);
            if (use == HistogramUse.Rate)
            {
                sum.MergeDivided(_increase, spanMs / 1000.0);
                continue;
            }
            sum.Merge(_increase);
            if (use == HistogramUse.Increase && !hasBase && CountsFirstSample(firstMs, first))
            {
                sum.TryAdd(first, isAdded: true);
            }
        }
    }

    /// <summary>What the counter gained, first samples left out.</summary>
    private bool TryFollow(HistogramRuns runs, (long TimeMs, NativeHistogram Last)? from)
    {
        _increase.Clear();
        var isWhole = true;
        foreach (var run in runs.All)
        {
            if (from is { } before)
            {
                isWhole &= _increase.TryAdd(run.First, isAdded: true);
                isWhole &= NativeHistogram.IsReset(before.TimeMs, before.Last, run.First)
                    || _increase.TryAdd(before.Last, isAdded: false);
            }
            isWhole &= _increase.TryAdd(run.Last, isAdded: true) && _increase.TryAdd(run.First, isAdded: false);
            from = (run.LastMs, run.Last);
        }
        return isWhole;
    }

    private bool CountsFirstSample(long firstMs, NativeHistogram first) =>
        rule.Config.FirstSample switch
        {
            FirstSample.Zero => false,
            _ when rule.IsArrivalTime => firstMs >= clock.StartMs + rule.IgnoreFirstSampleMs,
            FirstSample.Count => firstMs >= clock.StartMs + rule.IgnoreFirstSampleMs,
            _ => first.StartMs >= clock.StartMs && first.StartMs <= firstMs
                && firstMs - first.StartMs <= rule.CounterMemoryMs,
        };
}
