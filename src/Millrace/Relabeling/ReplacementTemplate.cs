namespace Millrace.Relabeling;

/// <summary>
/// A replacement with vmagent's <c>{{label}}</c>, cut into pieces. A label that is not there is empty; an opening
/// pair of braces that is never closed is text.
/// </summary>
internal sealed class ReplacementTemplate
{
    private readonly (string Text, bool IsLabel)[] _pieces;

    private ReplacementTemplate((string, bool)[] pieces) => _pieces = pieces;

    /// <summary>Null if the replacement names no label.</summary>
    public static ReplacementTemplate? From(string replacement)
    {
        var pieces = new List<(string, bool)>();
        var rest = replacement;
        var hasLabel = false;
        while (true)
        {
            var open = rest.IndexOf("{{", StringComparison.Ordinal);
            var close = open < 0 ? -1 : rest.IndexOf("}}", open + 2, StringComparison.Ordinal);
            if (close < 0)
            {
                pieces.Add((rest, false));
                return hasLabel ? new ReplacementTemplate([.. pieces]) : null;
            }
            hasLabel = true;
            pieces.Add((rest[..open], false));
            pieces.Add((rest[(open + 2)..close], true));
            rest = rest[(close + 2)..];
        }
    }

    /// <summary>Writes the expansion to the builder's output.</summary>
    public void Expand(RelabelRule rule, LabelBuilder labels, ReadOnlySpan<char> value, ReadOnlySpan<int> captures)
    {
        if (rule.Dialect == RelabelDialect.VmAgent)
        {
            ExpandAsVmAgent(rule, labels, value, captures);
            return;
        }
        foreach (var (text, isLabel) in _pieces)
        {
            if (isLabel)
            {
                labels.Output.Append(labels[text]);
            }
            else
            {
                rule.Regex.Expand(text, value, captures, labels.Output);
            }
        }
    }

    /// <summary>
    /// vmagent fills in the labels first and then looks for references in the whole, so that <c>$1{{a}}</c> can
    /// become the reference <c>$1x</c>. Only where it takes a shortcut, a rule without regex and without a dollar,
    /// the values stay as they are.
    /// </summary>
    private void ExpandAsVmAgent(RelabelRule rule, LabelBuilder labels, ReadOnlySpan<char> value,
        ReadOnlySpan<int> captures)
    {
        labels.Template.Clear();
        foreach (var (text, isLabel) in _pieces)
        {
            labels.Template.Append(isLabel ? labels[text] : text);
        }
        var filled = labels.Template.Span;
        var takesShortcut = rule.HasDefaultRegex && !rule.TargetHasReferences
            && (!rule.ReplacementHasReferences || filled is "$1");
        if (takesShortcut)
        {
            labels.Output.Append(filled is "$1" ? value : filled);
            return;
        }
        rule.Regex.Expand(filled, value, captures, labels.Output);
    }
}
