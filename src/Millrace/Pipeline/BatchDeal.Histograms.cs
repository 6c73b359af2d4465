using System.Runtime.InteropServices;
using Millrace.Protocols;

namespace Millrace.Pipeline;

/// <summary>A native histogram for one rule of one task.</summary>
internal readonly record struct TaskHistogram(int Task, int Target, int Extra, long TimeMs);

/// <summary>
/// The part of a deal that goes to rules that make something of native histograms. There are few of them beside the
/// samples: one list serves all tasks.
/// </summary>
internal sealed partial class BatchDeal
{
    private readonly List<TaskHistogram> _histograms = [];

    /// <summary>Of all tasks, in the batch's order.</summary>
    public ReadOnlySpan<TaskHistogram> Histograms => CollectionsMarshal.AsSpan(_histograms);

    private void DealHistograms(DecodedBatch batch, RetiringTargets? retiring, long arrivalMs)
    {
        _histograms.Clear();
        if (batch.HistogramCount == 0)
        {
            return;
        }
        for (var i = 0; i < batch.Extras.Count; i++)
        {
            var extra = batch.Extras[i];
            if (extra.IsExemplar)
            {
                continue;
            }
            ref var entry = ref batch.Cache.Entry(extra.Series);
            var timeMs = extra.TimestampMs == IWriteSink.NoTimestamp ? arrivalMs : extra.TimestampMs;
            ref readonly var window = ref batch.TimeWindows[entry.Route];
            var before = _histograms.Count;
            if (entry.AggregateCount > 0
                && !window.IsTooOld(timeMs, arrivalMs) && !window.IsTooFarAhead(timeMs, arrivalMs))
            {
                for (var t = entry.FirstAggregate; t < entry.FirstAggregate + entry.AggregateCount; t++)
                {
                    DealHistogram(batch, t, i, timeMs);
                }
            }
            if (_histograms.Count > before && entry.ForwardCount == 0)
            {
                Ledger.DroppedExtras--; // Counted as not forwarded; it is not lost.
            }
            if (retiring is not null)
            {
                DealHistogramToRetiring(batch, retiring, i, timeMs, arrivalMs);
            }
        }
    }

    private void DealHistogramToRetiring(
        DecodedBatch batch, RetiringTargets targets, int extra, long timeMs, long arrivalMs)
    {
        var (first, count) = targets.Of(batch.Extras[extra].Series);
        for (var target = first; target < first + count; target++)
        {
            var at = targets.Aggregate(target);
            if (Wants(batch, targets, target, batch.Cache.Aggregate(at).Rule, timeMs, arrivalMs))
            {
                DealHistogram(batch, at, extra, timeMs);
            }
        }
    }

    private void DealHistogram(DecodedBatch batch, int at, int extra, long timeMs)
    {
        ref var target = ref batch.Cache.Aggregate(at);
        if (batch.Generation.RulesInForce[target.Rule].TakesHistograms)
        {
            _histograms.Add(new TaskHistogram(target.Task, at, extra, timeMs));
        }
    }
}
