namespace Millrace.Aggregation.Outputs;

/// <summary>A sum and the number of its summands.</summary>
internal struct SumState
{
    public DoubleDouble Sum;
    public long Count;
}

/// <summary>
/// The state behind every output that is a sum: <c>sum_samples</c> by itself, others by what they add.
/// </summary>
internal abstract class SumColumn : OutputColumn<SumState>
{
    protected override bool TryGetValue(in SumState state, out double value)
    {
        value = state.Sum.Value;
        return state.Count > 0;
    }

    protected override void Merge(ref SumState state, in SumState other)
    {
        state.Sum.Add(other.Sum);
        state.Count += other.Count;
    }
}

/// <summary><c>sum_samples</c>: the sum of all samples of the window.</summary>
internal class SumSamples : SumColumn
{
    public override void AddSamples(
        ReadOnlySpan<int> groups, ReadOnlySpan<double> values, ReadOnlySpan<long> timesMs)
    {
        for (var i = 0; i < groups.Length; i++)
        {
            ref var state = ref this[groups[i]];
            state.Sum.Add(values[i]);
            state.Count++;
        }
    }

    public override void Replace(int group, double oldValue, double newValue, long timeMs)
    {
        ref var state = ref this[group];
        state.Sum.Add(-oldValue);
        state.Sum.Add(newValue);
    }
}

/// <summary><c>avg</c>: the sum of all samples of the window over their number.</summary>
internal sealed class Avg : SumSamples
{
    protected override bool TryGetValue(in SumState state, out double value)
    {
        value = state.Sum.Value / state.Count;
        return state.Count > 0;
    }
}

/// <summary>
/// <c>sum_last</c>: the sum over the series of the last sample each has in the window, as PromQL's <c>sum</c> of a
/// gauge. A series that a stale marker ended is not there at the window's end.
/// </summary>
internal sealed class SumLast : SumColumn
{
    public override void AddSeries(ReadOnlySpan<SeriesWindow> series)
    {
        foreach (ref readonly var one in series)
        {
            if (!one.IsGone)
            {
                ref var state = ref this[one.Group];
                state.Sum.Add(one.LastValue);
                state.Count++;
            }
        }
    }
}
