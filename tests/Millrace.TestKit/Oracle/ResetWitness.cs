namespace Millrace.TestKit.Oracle;

/// <summary>
/// The documented exception to the independence of counters from the order of arrival: a late sample that is the only
/// witness of a reset. The engine keeps of each stretch without a reset the two ends; a sample that arrives between
/// samples of such a stretch is booked exactly if
/// <list type="bullet">
/// <item>its value lies between its neighbours': no reset;</item>
/// <item>or above the stretch's last value: a reset behind it, what lies between cancels out;</item>
/// <item>or below the stretch's first value, with nothing known between that and the sample.</item>
/// </list>
/// Otherwise there was a reset that nothing else shows. A larger value at a known time is judged in the same way, a
/// smaller one is nothing, unless it is below the stretch's first value and cannot be told from a new sample.
/// Samples with start timestamps are judged by their values alone, which is stricter than needed.
/// </summary>
public static class ResetWitness
{
    public static bool IsDecidable(OracleWindow window, long timeMs, double value)
    {
        var samples = window.Samples;
        var at = window.Times.IndexOf(timeMs);
        var isKnown = at >= 0;
        var before = at - 1;
        var after = at + 1;
        if (!isKnown)
        {
            after = 0;
            while (after < samples.Count && samples[after].TimeMs < timeMs)
            {
                after++;
            }
            before = after - 1;
        }
        if (isKnown && value <= samples[at].Value)
        {
            return value == samples[at].Value || IsEnd(samples, at) || value >= samples[First(samples, at)].Value;
        }
        // The stretch that the sample falls into, if both its neighbours belong to the same one.
        var inside = isKnown ? at : after;
        if (after >= samples.Count || (!isKnown && (before < 0 || First(samples, after) > before)))
        {
            return true;
        }
        if (isKnown && IsLast(samples, at))
        {
            return true;
        }
        var first = First(samples, inside);
        var last = Last(samples, inside);
        if (value > samples[last].Value)
        {
            return true;
        }
        if (isKnown)
        {
            return value <= samples[after].Value;
        }
        return value < samples[first].Value
            ? before == first
            : value >= samples[before].Value && value <= samples[after].Value;
    }

    private static bool IsEnd(IList<OracleSample> samples, int at) =>
        First(samples, at) == at || IsLast(samples, at);

    private static bool IsLast(IList<OracleSample> samples, int at) => Last(samples, at) == at;

    private static int First(IList<OracleSample> samples, int at)
    {
        while (at > 0 && samples[at - 1].Value <= samples[at].Value)
        {
            at--;
        }
        return at;
    }

    private static int Last(IList<OracleSample> samples, int at)
    {
        while (at + 1 < samples.Count && samples[at].Value <= samples[at + 1].Value)
        {
            at++;
        }
        return at;
    }
}
