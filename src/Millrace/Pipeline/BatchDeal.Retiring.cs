namespace Millrace.Pipeline;

/// <summary>
/// The part of a deal that goes to rules which a reload has removed or replaced: behind the other samples of each task,
/// in the batch's order. The ledger says what the configuration in force decides; these samples are not in it.
/// </summary>
internal sealed partial class BatchDeal
{
    private void CountRetiring(DecodedBatch batch, RetiringTargets targets, long arrivalMs)
    {
        var cache = batch.Cache;
        for (var i = 0; i < batch.Series.Length; i++)
        {
            var (first, count) = targets.Of(batch.Series[i]);
            for (var target = first; target < first + count; target++)
            {
                ref readonly var place = ref cache.PlaceOf(targets.Aggregate(target));
                if (Wants(batch, targets, target, place.Rule, batch.TimesMs[i], arrivalMs))
                {
                    _taskStarts[place.Task + 1]++;
                }
            }
        }
    }

    private void ScatterRetiring(DecodedBatch batch, RetiringTargets targets, long arrivalMs)
    {
        var cache = batch.Cache;
        for (var i = 0; i < batch.Series.Length; i++)
        {
            var (first, count) = targets.Of(batch.Series[i]);
            for (var target = first; target < first + count; target++)
            {
                var at = targets.Aggregate(target);
                ref readonly var place = ref cache.PlaceOf(at);
                if (!Wants(batch, targets, target, place.Rule, batch.TimesMs[i], arrivalMs))
                {
                    continue;
                }
                _taskSamples[_taskStarts[place.Task]++] = new TaskSample
                {
                    Target = at,
                    TimeMs = batch.TimesMs[i],
                    Value = batch.Values[i],
                    StartMs = batch.StartMs(i),
                };
            }
        }
    }

    private static bool Wants(
        DecodedBatch batch, RetiringTargets targets, int target, int rule, long timeMs, long arrivalMs)
    {
        ref var window = ref targets.TimeWindow(target);
        return !batch.Generation.IsFinished(rule)
            && !window.IsTooOld(timeMs, arrivalMs) && !window.IsTooFarAhead(timeMs, arrivalMs);
    }
}
