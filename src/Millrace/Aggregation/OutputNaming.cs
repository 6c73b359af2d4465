using System.Text;
using Millrace.Aggregation.Outputs;
using Millrace.Model;

namespace Millrace.Aggregation;

/// <summary>
/// How a rule groups series and what it calls those it makes: as vmagent does,
/// <c>name:interval_by_labels_without_labels_output</c>.
/// </summary>
internal static class OutputNaming
{
    /// <summary>What stands behind the metric's name; empty with <c>keep_metric_names</c>.</summary>
    public static string Suffix(AggregationRuleConfig rule, OutputKind output)
    {
        if (rule.KeepMetricNames)
        {
            return "";
        }
        var suffix = new StringBuilder(":").Append(rule.IntervalText);
        AppendLabels(suffix, "_by", rule.By);
        AppendLabels(suffix, "_without", rule.Without);
        return suffix.Append('_').Append(output.Suffix).ToString();
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
            if (IsKept(rule, label.Name))
            {
                kept.Add(label);
            }
        }
        return LabelSet.From(kept);
    }

    /// <summary>Whether groups keep a label.</summary>
    public static bool IsKept(AggregationRuleConfig rule, string label) => rule.By.Count > 0
        ? label == LabelSet.MetricName || Contains(rule.By, label)
        : !Contains(rule.Without, label);

    /// <summary>
    /// The labels of an output of the group; a group without a name is called by the suffix alone. Where the group has
    /// a label that the output sets, too, the output's wins, and the group's goes on with <c>exported_</c> before its
    /// name, as Prometheus has it for scraped labels: otherwise two groups could write one series.
    /// </summary>
    /// <param name="suffix">See <see cref="Suffix"/>.</param>
    /// <param name="group">The labels of the group.</param>
    /// <param name="output">What is written.</param>
    /// <param name="value">The value of the output's label, if it has one.</param>
    public static LabelSet Output(string suffix, LabelSet group, OutputKind output, string value)
    {
        var labels = new List<Label>(group.Count + 2);
        foreach (var label in group.Labels)
        {
            labels.Add(label.Name == output.Label ? label with { Name = FreeName(group, label.Name) } : label);
        }
        if (output.Label is { } name)
        {
            labels.Add(new Label(name, value));
        }
        labels.Add(new Label(LabelSet.MetricName, group[LabelSet.MetricName] + suffix));
        return LabelSet.From(labels);
    }

    private static string FreeName(LabelSet group, string name)
    {
        do
        {
            name = "exported_" + name;
        }
        while (group[name].Length > 0);
        return name;
    }

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
