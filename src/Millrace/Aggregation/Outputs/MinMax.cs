namespace Millrace.Aggregation.Outputs;

/// <summary>The extreme value so far.</summary>
internal struct ExtremeState
{
    public double Value;
    public bool HasValue;
}

/// <summary>
/// The state behind <c>min</c> and <c>max</c>: of everything that came, so repeats and order do not matter. Of two
/// values at one time each counts, as nobody can tell afterwards which samples had one.
/// </summary>
internal abstract class ExtremeColumn(int sign) : OutputColumn<ExtremeState>
{
    public override void AddSamples(
        ReadOnlySpan<int> groups, ReadOnlySpan<double> values, ReadOnlySpan<long> timesMs)
    {
        for (var i = 0; i < groups.Length; i++)
        {
            Offer(ref this[groups[i]], values[i]);
        }
    }

    public override void Replace(int group, double oldValue, double newValue, long timeMs) =>
        Offer(ref this[group], newValue);

    public override void Lose(int group, double value) => Offer(ref this[group], value);

    protected override bool TryGetValue(in ExtremeState state, out double value)
    {
        value = state.Value;
        return state.HasValue;
    }

    protected override void Merge(ref ExtremeState state, in ExtremeState other)
    {
        if (other.HasValue)
        {
            Offer(ref state, other.Value);
        }
    }

    private void Offer(ref ExtremeState state, double value)
    {
        if (!state.HasValue || (sign > 0 ? value > state.Value : value < state.Value))
        {
            state.Value = value;
            state.HasValue = true;
        }
    }
}

/// <summary><c>min</c>: the smallest sample of the window.</summary>
internal sealed class Min() : ExtremeColumn(-1);

/// <summary><c>max</c>: the largest sample of the window.</summary>
internal sealed class Max() : ExtremeColumn(+1);

/// <summary>Both extremes so far.</summary>
internal struct RangeState
{
    public double Min;
    public double Max;
    public bool HasValue;
}

/// <summary><c>range</c>: the largest sample of the window less the smallest.</summary>
internal sealed class ValueRange : OutputColumn<RangeState>
{
    public override void AddSamples(
        ReadOnlySpan<int> groups, ReadOnlySpan<double> values, ReadOnlySpan<long> timesMs)
    {
        for (var i = 0; i < groups.Length; i++)
        {
            Offer(ref this[groups[i]], values[i], values[i]);
        }
    }

    public override void Replace(int group, double oldValue, double newValue, long timeMs) =>
        Offer(ref this[group], newValue, newValue);

    public override void Lose(int group, double value) => Offer(ref this[group], value, value);

    protected override bool TryGetValue(in RangeState state, out double value)
    {
        // Of one infinity alone the difference would be NaN.
        value = state.Max == state.Min ? 0 : state.Max - state.Min;
        return state.HasValue;
    }

    protected override void Merge(ref RangeState state, in RangeState other)
    {
        if (other.HasValue)
        {
            Offer(ref state, other.Min, other.Max);
        }
    }

    private static void Offer(ref RangeState state, double min, double max)
    {
        state.Min = state.HasValue && state.Min < min ? state.Min : min;
        state.Max = state.HasValue && state.Max > max ? state.Max : max;
        state.HasValue = true;
    }
}
