using System.Globalization;

namespace Millrace.TestKit.Processes;

/// <summary>One scrape of <c>/metrics</c>.</summary>
public sealed class MetricsText
{
    private readonly List<(string Name, string Labels, double Value)> _samples = [];

    public MetricsText(string text)
    {
        foreach (var line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            if (line.StartsWith('#'))
            {
                continue;
            }
            // Label values may hold spaces and braces, so the value begins after the last brace.
            var nameEnd = line.AsSpan().IndexOfAny('{', ' ');
            var labelsEnd = line[nameEnd] == '{' ? line.LastIndexOf('}') + 1 : nameEnd;
            var value = line.AsSpan(labelsEnd).Trim();
            value = value.IndexOf(' ') is > 0 and var space ? value[..space] : value;
            var number = value switch
            {
                "+Inf" => double.PositiveInfinity,
                "-Inf" => double.NegativeInfinity,
                _ => double.Parse(value, NumberStyles.Float, CultureInfo.InvariantCulture),
            };
            _samples.Add((line[..nameEnd], line[nameEnd..labelsEnd], number));
        }
    }

    public bool Has(string name) => _samples.Exists(sample => sample.Name == name);

    /// <summary>Sums over all label sets that hold each of these texts, such as <c>state="queued"</c>.</summary>
    public double Sum(string name, params ReadOnlySpan<string> labelTexts)
    {
        double sum = 0;
        foreach (var (sampleName, labels, value) in _samples)
        {
            if (sampleName == name && HoldsAll(labels, labelTexts))
            {
                sum += value;
            }
        }
        return sum;
    }

    private static bool HoldsAll(string labels, ReadOnlySpan<string> texts)
    {
        foreach (var text in texts)
        {
            if (!labels.Contains(text, StringComparison.Ordinal))
            {
                return false;
            }
        }
        return true;
    }
}
