using System.Globalization;
using System.Text;

namespace Millrace.TestKit.Fleet;

/// <summary>What the first sample ever of a counter adds.</summary>
public enum FirstSampleAdds
{
    Nothing,
    ItsValue,
}

/// <summary>
/// The increase of counters by its definition, computed the slow and obvious way: per series in order of time, each
/// delta belongs to the window (start, end] of its later sample; a decrease is a reset and adds the new value.
/// Samples with a timestamp that the series already has are repeats and count once.
/// </summary>
public sealed class IncreaseOracle
{
    private readonly Dictionary<string, Counter> _counters = [];

    /// <summary>The end of the window that a timestamp belongs to.</summary>
    public static long WindowEnd(long timestampMs, long intervalMs) =>
        (timestampMs + intervalMs - 1) / intervalMs * intervalMs;

    public void Add(IEnumerable<KeyValuePair<string, string>> labels, long timestampMs, double value)
    {
        var key = SeriesText.Of(labels);
        if (!_counters.TryGetValue(key, out var counter))
        {
            counter = new Counter([.. labels], []);
            _counters.Add(key, counter);
        }
        counter.Samples.TryAdd(timestampMs, value);
    }

    /// <summary>
    /// The increase per group and window. A group has a value in each window in which one of its series has a sample,
    /// be it zero. The metric name is not part of a group's text, as the output's name is another.
    /// </summary>
    public WindowTable Compute(long intervalMs, FirstSampleAdds firstSample, params ReadOnlySpan<string> without)
    {
        var table = new WindowTable();
        foreach (var counter in _counters.Values)
        {
            var group = SeriesText.Of(counter.Labels, [.. without, "__name__"]);
            double? last = null;
            foreach (var (timestampMs, value) in counter.Samples)
            {
                var increase = last switch
                {
                    null => firstSample == FirstSampleAdds.ItsValue ? value : 0,
                    { } previous when value >= previous => value - previous,
                    _ => value,
                };
                table.Add(group, WindowEnd(timestampMs, intervalMs), increase);
                last = value;
            }
        }
        return table;
    }

    private sealed record Counter(
        KeyValuePair<string, string>[] Labels, SortedDictionary<long, double> Samples);
}

/// <summary>A value per (group, window end).</summary>
public sealed class WindowTable
{
    private const int MaxDifferencesShown = 12;
    private readonly SortedDictionary<(long EndMs, string Group), double> _values = [];

    public int Count => _values.Count;

    public long LastEndMs
    {
        get
        {
            long last = 0;
            foreach (var (endMs, _) in _values.Keys)
            {
                last = Math.Max(last, endMs);
            }
            return last;
        }
    }

    public double Sum
    {
        get
        {
            double sum = 0;
            foreach (var value in _values.Values)
            {
                sum += value;
            }
            return sum;
        }
    }

    public void Add(string group, long endMs, double value) =>
        _values[(endMs, group)] = _values.GetValueOrDefault((endMs, group)) + value;

    public double? Get(string group, long endMs) =>
        _values.TryGetValue((endMs, group), out var value) ? value : null;

    public bool TryAdd(string group, long endMs, double value) => _values.TryAdd((endMs, group), value);

    /// <summary>The sum over all windows of each group, as windows that end at 0.</summary>
    public WindowTable Totals()
    {
        var totals = new WindowTable();
        foreach (var ((_, group), value) in _values)
        {
            totals.Add(group, 0, value);
        }
        return totals;
    }

    /// <summary>The windows that end after <c>afterMs</c>, up to and with <c>untilMs</c>.</summary>
    public WindowTable Between(long afterMs, long untilMs)
    {
        var part = new WindowTable();
        foreach (var ((endMs, group), value) in _values)
        {
            if (endMs > afterMs && endMs <= untilMs)
            {
                part._values.Add((endMs, group), value);
            }
        }
        return part;
    }

    /// <summary>Where this table is not exactly what was expected, bit by bit; empty when it is.</summary>
    public string DifferenceFrom(WindowTable expected)
    {
        var text = new StringBuilder();
        var differences = 0;
        void Tell(long endMs, string group, string what)
        {
            if (++differences <= MaxDifferencesShown)
            {
                text.Append(CultureInfo.InvariantCulture, $"  window {endMs} {group}: {what}\n");
            }
        }
        foreach (var ((endMs, group), value) in expected._values)
        {
            if (!_values.TryGetValue((endMs, group), out var actual))
            {
                Tell(endMs, group, $"missing, expected {value:R}");
            }
            else if (BitConverter.DoubleToInt64Bits(actual) != BitConverter.DoubleToInt64Bits(value))
            {
                Tell(endMs, group, $"{actual:R}, expected {value:R}");
            }
        }
        foreach (var ((endMs, group), value) in _values)
        {
            if (!expected._values.ContainsKey((endMs, group)))
            {
                Tell(endMs, group, $"{value:R}, expected none");
            }
        }
        return differences == 0
            ? ""
            : $"{differences} differences in {expected.Count} expected values:\n{text}";
    }
}
