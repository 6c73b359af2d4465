namespace Millrace.Aggregation.Outputs;

/// <summary>The newest sample so far, or the oldest.</summary>
internal struct LastState
{
    public long TimeMs;
    public double Value;
}

/// <summary>
/// <c>last</c>: the value with the largest timestamp; of several at that time, in event time the largest value, so
/// that the order of arrival does not matter, in arrival time the one that came last, as in vmagent. Samples at or
/// before the epoch give no value (vmagent, too).
/// </summary>
internal sealed class Last(bool latestArrivalWins) : OutputColumn<LastState>
{
    public override void AddSamples(
        ReadOnlySpan<int> groups, ReadOnlySpan<double> values, ReadOnlySpan<long> timesMs)
    {
        for (var i = 0; i < groups.Length; i++)
        {
            Offer(ref this[groups[i]], timesMs[i], values[i]);
        }
    }

    public override void Replace(int group, double oldValue, double newValue, long timeMs) =>
        Offer(ref this[group], timeMs, newValue);

    protected override bool TryGetValue(in LastState state, out double value)
    {
        value = state.Value;
        return state.TimeMs > 0;
    }

    protected override void Merge(ref LastState state, in LastState other)
    {
        if (other.TimeMs > 0)
        {
            Offer(ref state, other.TimeMs, other.Value);
        }
    }

    private void Offer(ref LastState state, long timeMs, double value)
    {
        if (timeMs > state.TimeMs || (timeMs == state.TimeMs && (latestArrivalWins || value > state.Value)))
        {
            state.TimeMs = timeMs;
            state.Value = value;
        }
    }
}

/// <summary>
/// <c>first</c>: the value with the smallest timestamp; of several at that time the largest, in arrival time the one
/// that came first. Samples at or before the epoch give none, as with <c>last</c>.
/// </summary>
internal sealed class First(bool earliestArrivalWins) : OutputColumn<LastState>
{
    public override void AddSamples(
        ReadOnlySpan<int> groups, ReadOnlySpan<double> values, ReadOnlySpan<long> timesMs)
    {
        for (var i = 0; i < groups.Length; i++)
        {
            Offer(ref this[groups[i]], timesMs[i], values[i]);
        }
    }

    public override void Replace(int group, double oldValue, double newValue, long timeMs) =>
        Offer(ref this[group], timeMs, newValue);

    protected override bool TryGetValue(in LastState state, out double value)
    {
        value = state.Value;
        return state.TimeMs > 0;
    }

    protected override void Merge(ref LastState state, in LastState other) =>
        Offer(ref state, other.TimeMs, other.Value);

    private void Offer(ref LastState state, long timeMs, double value)
    {
        if (timeMs <= 0)
        {
            return;
        }
        if (state.TimeMs == 0 || timeMs < state.TimeMs
            || (timeMs == state.TimeMs && !earliestArrivalWins && value > state.Value))
        {
            state.TimeMs = timeMs;
            state.Value = value;
        }
    }
}
