using System.Text;
using Millrace.Model;

namespace Millrace.Aggregation;

/// <summary>
/// How a rule groups series and what it calls those it makes: as vmagent does,
/// <c>name:interval_by_labels_without_labels_output</c>.
/// </summary>
internal static class OutputNaming
{
    /// <summary>What stands behind the metric's name; empty with <c>keep_metric_names</c>.</summary>
    public static string Suffix(AggregationRuleConfig rule, string output)
    {
        if (rule.KeepMetricNames)
        {
            return "";
        }
        var suffix = new StringBuilder(":").Append(rule.IntervalText);
        AppendLabels(suffix, "_by", rule.By);
        AppendLabels(suffix, "_without", rule.Without);
        var arguments = output.IndexOf('(', StringComparison.Ordinal);
        return suffix.Append('_').Append(arguments < 0 ? output : output[..arguments]).ToString();
    }

    /// <summary>The labels by which a series is grouped, the metric's name among them.</summary>
    public static LabelSet Group(AggregationRuleConfig rule, LabelSet series)
    {
        if (rule.By.Count == 0 && rule.Without.Count == 0)
        {
            return series;
        }
        var kept = new List<Label>(series.Count);
        foreach (var label in series.Labels)
        {
            var isKept = rule.By.Count > 0
                ? label.Name == LabelSet.MetricName || Contains(rule.By, label.Name)
                : !Contains(rule.Without, label.Name);
            if (isKept)
            {
                kept.Add(label);
            }
        }
        return LabelSet.From(kept);
    }

    /// <summary>The labels of an output of the group; a group without a name is called by the suffix alone.</summary>
    public static LabelSet Output(AggregationRuleConfig rule, LabelSet group, string output) => LabelSet.From(
    [
        .. group.Labels, new Label(LabelSet.MetricName, group[LabelSet.MetricName] + Suffix(rule, output)),
    ]);

    private static void AppendLabels(StringBuilder suffix, string word, IReadOnlyList<string> labels)
    {
        foreach (var label in labels)
        {
            if (label != LabelSet.MetricName)
            {
                suffix.Append(word).Append('_').Append(label);
                word = "";
            }
        }
    }

    private static bool Contains(IReadOnlyList<string> labels, string name)
    {
        foreach (var label in labels)
        {
            if (label == name)
            {
                return true;
            }
        }
        return false;
    }
}
