using Millrace.Aggregation.Histograms;

namespace Millrace.Aggregation;

/// <summary>
/// Corrections, with <c>late: correct</c>. The shard closes its windows late, by the time in which they are corrected:
/// so every sample that comes until then is booked where it belongs, and nothing else needs to know. What is given at
/// the end of the lateness is found by looking ahead: a copy of the shard closes the windows, and is thrown away. Each
/// later close looks again, and gives of the windows given before what has changed. So the last value of a window is
/// what a rule with that much more lateness would have given, for every output, bit by bit.
/// </summary>
internal sealed partial class EventShard
{
    /// <summary>A copy to look ahead with: it closes windows, and takes nothing.</summary>
    private EventShard(EventShard original, ShardScratch scratch)
        : base(original, scratch)
    {
        _isCopy = true;
        (_usesSamples, _hasSeriesOutputs) = (original._usesSamples, original._hasSeriesOutputs);
        (_spreads, _asksTargets, _isPlain) = (original._spreads, original._asksTargets, original._isPlain);
        _series.CopyFrom(original._series, Series.SlotCount);
        if (_spreads)
        {
            _ahead.CopyFrom(original._ahead, Series.SlotCount);
        }
        if (original._histograms is { } histograms)
        {
            _histograms = new HistogramBook(Rule, Clock);
            scratch.Copy(histograms.Write, _histograms.Read);
        }
        foreach (var window in original._open)
        {
            // One by one: a stream has to hold each of them.
            var copy = new WindowState(Rule);
            scratch.Copy(
                writer => window.Write(writer, Series.SlotCount, Groups.RowCount),
                reader => copy.Read(reader, Series.SlotCount, Groups.RowCount));
            _open.Add(copy);
        }
    }

    protected override void Begin(long closedThrough)
    {
        base.Begin(closedThrough);
        if (_shown is not null)
        {
            _shown.Through = closedThrough;
            ClosedThrough = Math.Max(Clock.ClosedAtStart(Rule), closedThrough - Rule.CorrectedWindows);
        }
    }

    /// <summary>Samples on their way in: some may be of windows that were given before.</summary>
    private void NoteCorrecting(ReadOnlySpan<long> timesMs)
    {
        var shownMs = Rule.EndOf(_shown!.Through, Clock.OffsetMs);
        foreach (var timeMs in timesMs)
        {
            if (timeMs <= shownMs && WindowOf(timeMs) is var window && window > ClosedThrough)
            {
                Counters.CorrectingSamples++;
                _shown.MarkChanged(window);
            }
        }
    }

    private void CloseAndCorrect(long throughWindow, ShardScratch scratch, List<WindowPart> parts)
    {
        var shown = _shown!;
        if (throughWindow <= shown.Through)
        {
            return;
        }
        if (_open.Count > 0 || Groups.AliveCount > 0)
        {
            // A window follows from the samples up to its end: before the oldest late one nothing has changed, unless
            // increases are spread, which looks at what comes after.
            var changedFrom = _spreads ? long.MinValue : Math.Min(shown.ChangedFrom, shown.Through + 1);
            var made = new List<WindowPart>();
            new EventShard(this, scratch).CloseThrough(throughWindow, scratch, made, changedFrom);
            foreach (var part in made)
            {
                if (shown.Compare(WindowOf(part.EndMs), part) is { } given)
                {
                    Counters.OutputSamples += given.Samples.Count;
                    Counters.Corrections += given.IsCorrection ? given.Samples.Count : 0;
                    parts.Add(given);
                }
            }
        }
        var finalThrough = throughWindow - Rule.CorrectedWindows;
        shown.Advance(throughWindow, finalThrough);
        CloseThrough(finalThrough, scratch, [], showsFrom: long.MaxValue);
    }
}
