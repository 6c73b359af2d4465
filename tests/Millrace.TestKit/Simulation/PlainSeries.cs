using System.Text;

namespace Millrace.TestKit.Simulation;

/// <summary>
/// A label set as the simulation sees it: sorted labels and one canonical text. No code of the product.
/// </summary>
internal sealed class PlainSeries
{
    public const string MetricName = "__name__";

    public PlainSeries(IEnumerable<KeyValuePair<string, string>> labels)
    {
        var sorted = new List<KeyValuePair<string, string>>(labels);
        sorted.Sort((a, b) => string.CompareOrdinal(a.Key, b.Key));
        Labels = sorted;
        var text = new StringBuilder(this[MetricName]).Append('{');
        foreach (var (name, value) in sorted)
        {
            if (name != MetricName)
            {
                text.Append(name).Append("=\"").Append(value).Append("\",");
            }
        }
        Text = text.Append('}').ToString();
    }

    public IReadOnlyList<KeyValuePair<string, string>> Labels { get; }

    /// <summary>Such as <c>up{instance="a",job="b",}</c>.</summary>
    public string Text { get; }

    public string Name => this[MetricName];

    public string this[string name]
    {
        get
        {
            foreach (var label in Labels)
            {
                if (label.Key == name)
                {
                    return label.Value;
                }
            }
            return "";
        }
    }

    public static PlainSeries Of(params ReadOnlySpan<(string Name, string Value)> labels)
    {
        var list = new List<KeyValuePair<string, string>>();
        foreach (var (name, value) in labels)
        {
            list.Add(new(name, value));
        }
        return new PlainSeries(list);
    }

    /// <summary>Without the labels for which <paramref name="keeps"/> says no.</summary>
    public PlainSeries Where(Predicate<string> keeps)
    {
        var kept = new List<KeyValuePair<string, string>>();
        foreach (var label in Labels)
        {
            if (keeps(label.Key))
            {
                kept.Add(label);
            }
        }
        return kept.Count == Labels.Count ? this : new PlainSeries(kept);
    }

    public PlainSeries With(string name, string value)
    {
        var labels = new List<KeyValuePair<string, string>>();
        foreach (var label in Labels)
        {
            if (label.Key != name)
            {
                labels.Add(label);
            }
        }
        labels.Add(new(name, value));
        return new PlainSeries(labels);
    }

    public override string ToString() => Text;
}

/// <summary>A sample as sent or as received; values are compared bit by bit.</summary>
internal readonly record struct PlainSample(PlainSeries Series, long TimestampMs, double Value)
{
    public long Bits => BitConverter.DoubleToInt64Bits(Value);

    public override string ToString() => $"{Series.Text} {Value:R} @{TimestampMs}";
}
