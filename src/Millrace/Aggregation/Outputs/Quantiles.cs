namespace Millrace.Aggregation.Outputs;

/// <summary><c>quantiles(φ, …)</c>: a series per φ.</summary>
internal sealed class Quantiles(double[] phis, string[] labels) : LabeledOutput<QuantileSketch>
{
    public override bool TakesByGroup => true;

    public override void AddToGroup(int group, ReadOnlySpan<double> values) => this[group].Add(values);

    public override void AddSamples(
        ReadOnlySpan<int> groups, ReadOnlySpan<double> values, ReadOnlySpan<long> timesMs)
    {
        for (var i = 0; i < groups.Length; i++)
        {
            this[groups[i]].Add(values[i]);
        }
    }

    public override void Replace(int group, double oldValue, double newValue, long timeMs) =>
        this[group].Replace(oldValue, newValue);

    public override void Lose(int group, double value) => this[group].Lose(value);

    public override void CopyValues(int group, LabeledValues values)
    {
        if (Find(group) is { } state)
        {
            for (var i = 0; i < phis.Length; i++)
            {
                values.Add(labels[i], state.Quantile(phis[i]));
            }
        }
    }
}
