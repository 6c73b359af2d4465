using System.Globalization;
using System.Text;

namespace Millrace.Telemetry;

/// <summary>
/// Writes the Prometheus text format 0.0.4:
/// <code>
/// family = "# HELP " name " " help "\n" "# TYPE " name " " type "\n" sample*
/// sample = name [ "{" label "=\"" value "\"" { "," … } "}" ] " " number "\n"
/// </code>
/// A family is begun once, and its samples follow it directly.
/// </summary>
internal sealed class ExpositionWriter
{
    public const string ContentType = "text/plain; version=0.0.4; charset=utf-8";

    private readonly StringBuilder _text = new();
    private readonly HashSet<string> _families = [];
    private string _family = "";

    public void Counter(string name, string help) => Begin(name, "counter", help);

    public void Gauge(string name, string help) => Begin(name, "gauge", help);

    public void Histogram(string name, string help) => Begin(name, "histogram", help);

    /// <summary>A counter that is one number.</summary>
    public void Counter(string name, string help, double value)
    {
        Counter(name, help);
        Sample(value);
    }

    /// <summary>A gauge that is one number.</summary>
    public void Gauge(string name, string help, double value)
    {
        Gauge(name, help);
        Sample(value);
    }

    /// <summary>A sample of the family begun last.</summary>
    public void Sample(double value, params ReadOnlySpan<(string Name, string Value)> labels)
    {
        WriteName("", labels);
        WriteValue(value);
    }

    /// <summary>
    /// A histogram of the family begun last, from counts per bucket; the last count is what lies above all bounds.
    /// </summary>
    /// <param name="boundsSeconds">Upper bounds, inclusive.</param>
    /// <param name="counts">One more than bounds, not cumulative.</param>
    /// <param name="sumSeconds">Null where nobody adds up.</param>
    /// <param name="labels">Tell the histograms of a family apart.</param>
    public void Buckets(
        IReadOnlyList<double> boundsSeconds, IReadOnlyList<long> counts, double? sumSeconds,
        params ReadOnlySpan<(string Name, string Value)> labels)
    {
        var sum = 0L;
        for (var i = 0; i < counts.Count; i++)
        {
            sum += counts[i];
            WriteName("_bucket", [.. labels, ("le", i < boundsSeconds.Count ? Number(boundsSeconds[i]) : "+Inf")]);
            WriteValue(sum);
        }
        if (sumSeconds is { } seconds)
        {
            WriteName("_sum", labels);
            WriteValue(seconds);
        }
        WriteName("_count", labels);
        WriteValue(sum);
    }

    public override string ToString() => _text.ToString();

    private void Begin(string name, string type, string help)
    {
        if (!_families.Add(name))
        {
            throw new InvalidOperationException($"The metric {name} is written twice on one page.");
        }
        _family = name;
        _text.Append("# HELP ").Append(name).Append(' ').Append(help.Replace("\\", "\\\\").Replace("\n", "\\n"));
        _text.Append("\n# TYPE ").Append(name).Append(' ').Append(type).Append('\n');
    }

    private void WriteName(string suffix, ReadOnlySpan<(string Name, string Value)> labels)
    {
        _text.Append(_family).Append(suffix);
        for (var i = 0; i < labels.Length; i++)
        {
            _text.Append(i == 0 ? '{' : ',').Append(labels[i].Name).Append("=\"");
            WriteEscaped(labels[i].Value);
            _text.Append('"');
        }
        if (labels.Length > 0)
        {
            _text.Append('}');
        }
    }

    private void WriteEscaped(string value)
    {
        foreach (var c in value)
        {
            switch (c)
            {
                case '\\':
                    _text.Append("\\\\");
                    break;
                case '"':
                    _text.Append("\\\"");
                    break;
                case '\n':
                    _text.Append("\\n");
                    break;
                default:
                    _text.Append(c);
                    break;
            }
        }
    }

    private void WriteValue(double value) => _text.Append(' ').Append(Number(value)).Append('\n');

    private static string Number(double value) => value switch
    {
        double.PositiveInfinity => "+Inf",
        double.NegativeInfinity => "-Inf",
        _ => value.ToString(CultureInfo.InvariantCulture),
    };
}
