namespace Millrace.Aggregation.Outputs;

/// <summary>
/// <c>rate_sum</c>: the sum over the series of their increase per second, each over the time between the last sample
/// of the window and the sample before the window's first. <c>rate_avg</c>: that over the number of those series.
/// </summary>
internal sealed class Rate(bool average) : SumColumn
{
    public override void AddSeries(ReadOnlySpan<SeriesWindow> series)
    {
        foreach (ref readonly var one in series)
        {
            if (!double.IsNaN(one.Rate))
            {
                ref var state = ref this[one.Group];
                state.Sum.Add(one.Rate);
                state.Count++;
            }
        }
    }

    protected override bool TryGetValue(in SumState state, out double value)
    {
        value = average ? state.Sum.Value / state.Count : state.Sum.Value;
        return state.Count > 0;
    }
}
