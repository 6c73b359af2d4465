using System.Runtime.InteropServices;
using Millrace.Protocols;

namespace Millrace.Pipeline;

/// <summary>A native histogram or an exemplar for one rule of one task.</summary>
internal readonly record struct TaskExtra(int Task, int Target, int Extra, long TimeMs);

/// <summary>
/// The part of a deal that goes to rules that make something of native histograms or exemplars. There are few of them
/// beside the samples: one list serves all tasks.
/// </summary>
internal sealed partial class BatchDeal
{
    private readonly List<TaskExtra> _extras = [];

    /// <summary>Of all tasks, in the batch's order.</summary>
    public ReadOnlySpan<TaskExtra> Extras => CollectionsMarshal.AsSpan(_extras);

    private void DealExtras(DecodedBatch batch, RetiringTargets? retiring, long arrivalMs)
    {
        _extras.Clear();
        for (var i = 0; i < batch.Extras.Count; i++)
        {
            var extra = batch.Extras[i];
            ref readonly var shape = ref batch.Cache.Shape(extra.Series);
            var timeMs = extra.TimestampMs == IWriteSink.NoTimestamp ? arrivalMs : extra.TimestampMs;
            ref readonly var window = ref batch.TimeWindows[shape.Route];
            var before = _extras.Count;
            if (shape.AggregateCount > 0
                && !window.IsTooOld(timeMs, arrivalMs) && !window.IsTooFarAhead(timeMs, arrivalMs))
            {
                for (var t = 0; t < shape.AggregateCount; t++)
                {
                    DealExtra(batch, batch.Cache.FirstAggregate(extra.Series) + t, i, timeMs);
                }
            }
            if (_extras.Count > before && shape.ForwardCount + shape.ExtraForwardCount == 0)
            {
                Ledger.DroppedExtras--; // Counted as not forwarded; it is not lost.
            }
            if (retiring is not null)
            {
                DealExtraToRetiring(batch, retiring, i, timeMs, arrivalMs);
            }
        }
    }

    private void DealExtraToRetiring(
        DecodedBatch batch, RetiringTargets targets, int extra, long timeMs, long arrivalMs)
    {
        var (first, count) = targets.Of(batch.Extras[extra].Series);
        for (var target = first; target < first + count; target++)
        {
            var at = targets.Aggregate(target);
            if (Wants(batch, targets, target, batch.Cache.PlaceOf(at).Rule, timeMs, arrivalMs))
            {
                DealExtra(batch, at, extra, timeMs);
            }
        }
    }

    private void DealExtra(DecodedBatch batch, int at, int extra, long timeMs)
    {
        ref readonly var place = ref batch.Cache.PlaceOf(at);
        var rule = batch.Generation.RulesInForce[place.Rule];
        if (batch.Extras[extra].IsExemplar ? rule.TakesExemplars : rule.TakesHistograms)
        {
            _extras.Add(new TaskExtra(place.Task, at, extra, timeMs));
        }
    }
}
