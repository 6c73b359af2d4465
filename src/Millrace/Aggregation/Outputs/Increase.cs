namespace Millrace.Aggregation.Outputs;

/// <summary>
/// <c>increase</c> and, accumulated over the windows by the shard, <c>total</c>: the sum of the counters' increases.
/// </summary>
internal sealed class Increase : SumColumn
{
    public override void AddSeries(ReadOnlySpan<SeriesWindow> series)
    {
        foreach (ref readonly var one in series)
        {
            ref var state = ref this[one.Group];
            state.Sum.Add(one.Increase);
            state.Count++;
        }
    }
}

/// <summary><c>increase_prometheus</c> and <c>total_prometheus</c>: first samples are never counted.</summary>
internal sealed class IncreasePrometheus : SumColumn
{
    public override void AddSeries(ReadOnlySpan<SeriesWindow> series)
    {
        foreach (ref readonly var one in series)
        {
            ref var state = ref this[one.Group];
            state.Sum.Add(one.IncreasePrometheus);
            state.Count++;
        }
    }
}
