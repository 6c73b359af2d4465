namespace Millrace.Aggregation.Outputs;

/// <summary>The state behind outputs that count.</summary>
internal abstract class CountColumn : OutputColumn<long>
{
    protected override bool TryGetValue(in long state, out double value)
    {
        value = state;
        return state > 0;
    }

    protected override void Merge(ref long state, in long other) => state += other;
}

/// <summary><c>count_samples</c>: the number of samples in the window.</summary>
internal sealed class CountSamples : CountColumn
{
    public override void AddSamples(
        ReadOnlySpan<int> groups, ReadOnlySpan<double> values, ReadOnlySpan<long> timesMs)
    {
        foreach (var group in groups)
        {
            this[group]++;
        }
    }
}

/// <summary><c>count_series</c>: the number of series with a sample in the window.</summary>
internal sealed class CountSeries : CountColumn
{
    public override void AddSeries(ReadOnlySpan<SeriesWindow> series)
    {
        foreach (ref readonly var one in series)
        {
            this[one.Group]++;
        }
    }
}
