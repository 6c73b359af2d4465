using System.Text;
using Millrace.Model;

namespace Millrace.Relabeling;

/// <summary>What one rule did: its index (0-based), the rule, the series before and after.</summary>
internal sealed record RelabelStep(
    int RuleIndex, RelabelConfig Rule, LabelSet Before, LabelSet After, RelabelDecision Decision)
{
    /// <summary>Whether the rule changed the labels; one that dropped the series did not.</summary>
    public bool Changed => !Before.Equals(After);

    public override string ToString()
    {
        var outcome = Decision switch
        {
            RelabelDecision.Dropped => "dropped",
            RelabelDecision.Skipped => "if does not match",
            _ when Changed => After.ToString(),
            _ => "unchanged",
        };
        return $"#{RuleIndex} {RelabelTrace.Describe(Rule)}: {Before} -> {outcome}";
    }
}

/// <summary>
/// A run of relabel rules on one series, step by step, for <c>explain</c>. The steps are the ones
/// <see cref="Relabeler.Apply"/> takes; rules behind the one that drops the series do not appear.
/// </summary>
internal sealed record RelabelTrace(LabelSet Input, IReadOnlyList<RelabelStep> Steps, LabelSet? Output)
{
    public bool IsDropped => Output is null;

    public static RelabelTrace Run(Relabeler relabeler, LabelSet input)
    {
        var labels = new LabelBuilder(input);
        labels.Begin(relabeler.Dialect);
        var steps = new List<RelabelStep>();
        var before = input;
        for (var i = 0; i < relabeler.Rules.Length; i++)
        {
            var rule = relabeler.Rules[i];
            var decision = relabeler.Step(rule, labels);
            var after = decision == RelabelDecision.Dropped ? before : labels.Peek();
            steps.Add(new RelabelStep(i, rule.Config, before, after, decision));
            if (decision == RelabelDecision.Dropped)
            {
                return new RelabelTrace(input, steps, null);
            }
            before = after;
        }
        return new RelabelTrace(input, steps, before.Count == 0 ? null : before);
    }

    /// <summary>A rule on one line, in the flow form of YAML, with the keys that are written.</summary>
    public static string Describe(RelabelConfig config)
    {
        var text = new StringBuilder("{action: ").Append(config.Action);
        AppendList(text, "if", config.If);
        AppendList(text, "source_labels", config.SourceLabels);
        AppendText(text, "separator", config.Separator);
        AppendText(text, "regex", config.Regex);
        AppendText(text, "target_label", config.TargetLabel);
        if (config.Modulus != 0)
        {
            text.Append(", modulus: ").Append(config.Modulus);
        }
        AppendText(text, "replacement", config.Replacement);
        AppendText(text, "match", config.Match);
        if (config.Labels is not null)
        {
            text.Append(", labels: {");
            var separator = "";
            foreach (var (label, template) in config.Labels)
            {
                text.Append(separator).Append(label).Append(": ").Append(Quote(template));
                separator = ", ";
            }
            text.Append('}');
        }
        return text.Append('}').ToString();
    }

    private static void AppendText(StringBuilder text, string key, string? value)
    {
        if (value is not null)
        {
            text.Append(", ").Append(key).Append(": ").Append(Quote(value));
        }
    }

    private static void AppendList(StringBuilder text, string key, IReadOnlyList<string>? values)
    {
        if (values is null)
        {
            return;
        }
        text.Append(", ").Append(key).Append(": [");
        for (var i = 0; i < values.Count; i++)
        {
            text.Append(i > 0 ? ", " : "").Append(Quote(values[i]));
        }
        text.Append(']');
    }

    private static string Quote(string value) => "'" + value.Replace("'", "''", StringComparison.Ordinal) + "'";
}
