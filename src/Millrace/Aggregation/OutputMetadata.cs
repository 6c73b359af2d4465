using System.Text;
using Millrace.Aggregation.Outputs;
using Millrace.Protocols;

namespace Millrace.Aggregation;

/// <summary>Type, help and unit of the series that a rule makes: a pure function of the rule and its input's.</summary>
internal static class OutputMetadata
{
    /// <summary>Of the input's help, so that a block's metadata stays small beside its samples.</summary>
    public const int MaxInputHelp = 256;

    private const int MaxHelp = 512;
    private const int MaxUnit = 64;

    /// <param name="rule">The rule that makes the series.</param>
    /// <param name="kind">Its output.</param>
    /// <param name="metric">The name of the input; empty: the group has none.</param>
    /// <param name="family">The name under which the series is sent.</param>
    /// <param name="isHistogram">The sample is a native histogram.</param>
    /// <param name="input">What is known of the input.</param>
    public static MetricMetadata Describe(
        AggregationRule rule, OutputKind kind, string metric, string family, bool isHistogram, MetricMetadata? input)
    {
        var help = new StringBuilder();
        if (input is { Help.Length: > 0 })
        {
            help.Append(Cut(input.Help, MaxInputHelp)).Append(" (").Append(kind.Suffix);
        }
        else
        {
            help.Append(kind.Suffix).Append(metric.Length > 0 ? $" of {metric}" : "");
        }
        help.Append(" over ").Append(rule.Config.IntervalText);
        AppendLabels(help, " by ", rule.Config.By);
        AppendLabels(help, " without ", rule.Config.Without);
        help.Append(input is { Help.Length: > 0 } ? ")" : "");
        var isPart = !isHistogram
            && input?.Type is MetricType.Histogram or MetricType.GaugeHistogram or MetricType.Summary;
        // Buckets that keep their name and go on counting are still buckets.
        var staysPart = isPart && family == metric && kind.Name is "total" or "total_prometheus";
        var hasUnit = input is not null && KeepsUnit(kind) && (!isPart || staysPart || !IsCount(metric));
        return new MetricMetadata(
            staysPart ? input!.Family : family,
            staysPart ? input!.Type : TypeOf(kind, isHistogram),
            Cut(help.ToString(), MaxHelp),
            hasUnit ? Cut(input!.Unit, MaxUnit) : "");
    }

    /// <summary>At most so many characters, none of them half.</summary>
    public static string Cut(string text, int maxLength)
    {
        if (text.Length <= maxLength)
        {
            return text;
        }
        return text[..(char.IsHighSurrogate(text[maxLength - 1]) ? maxLength - 1 : maxLength)];
    }

    private static MetricType TypeOf(OutputKind kind, bool isHistogram)
    {
        if (isHistogram)
        {
            return kind.IsCumulative ? MetricType.Histogram : MetricType.GaugeHistogram;
        }
        if (kind.Name == "histogram_bucket")
        {
            return MetricType.Histogram;
        }
        return kind.IsCumulative ? MetricType.Counter : MetricType.Gauge;
    }

    /// <summary>Whether values are still measured in what the input is; not counts, per second, or squares.</summary>
    private static bool KeepsUnit(OutputKind kind) => kind.Name is not (
        "count_samples" or "count_series" or "unique_samples" or "distinct" or "rate_sum" or "rate_avg" or "stdvar");

    /// <summary>The unit of a histogram is that of what it observes, not of its buckets' counts.</summary>
    private static bool IsCount(string metric) =>
        metric.EndsWith("_bucket", StringComparison.Ordinal) || metric.EndsWith("_count", StringComparison.Ordinal);

    private static void AppendLabels(StringBuilder help, string word, IReadOnlyList<string> labels)
    {
        foreach (var label in labels)
        {
            help.Append(word).Append(label);
            word = ", ";
        }
    }
}
