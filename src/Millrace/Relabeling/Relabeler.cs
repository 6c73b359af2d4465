using Millrace.Model;

namespace Millrace.Relabeling;

/// <summary>What a rule did to a series.</summary>
internal enum RelabelDecision
{
    /// <summary>The series goes on to the next rule, changed or not.</summary>
    Continued,

    /// <summary>The rule's <c>if</c> did not match, so it did nothing.</summary>
    Skipped,

    Dropped,
}

/// <summary>
/// Relabel rules, compiled. It has no state of its own: all threads share it, each with its own
/// <see cref="LabelBuilder"/>.
/// </summary>
internal sealed class Relabeler
{
    public static readonly Relabeler None = new([], RelabelDialect.Prometheus);

    private readonly RelabelRule[] _rules;
    private readonly RelabelDialect _dialect;

    private Relabeler(RelabelRule[] rules, RelabelDialect dialect)
    {
        _rules = rules;
        _dialect = dialect;
    }

    /// <summary>Whether there is nothing to do, not even to remove empty labels.</summary>
    public bool IsEmpty => _rules.Length == 0;

    internal ReadOnlySpan<RelabelRule> Rules => _rules;

    internal RelabelDialect Dialect => _dialect;

    /// <summary>
    /// Compiles all rules and adds what is wrong with any of them to <paramref name="problems"/>. Rules with problems
    /// are left out, so the result is of use only when there were none.
    /// </summary>
    public static Relabeler Compile(IReadOnlyList<RelabelConfig>? configs, List<ConfigProblem> problems,
        RelabelDialect dialect = RelabelDialect.Prometheus)
    {
        if (configs is null || configs.Count == 0)
        {
            return None;
        }
        var rules = new List<RelabelRule>(configs.Count);
        for (var i = 0; i < configs.Count; i++)
        {
            if (new RelabelCompiler(configs[i], dialect, problems).TryCompile(out var rule))
            {
                rules.Add(rule);
            }
        }
        return new Relabeler([.. rules], dialect);
    }

    /// <summary>
    /// Runs the rules. False: the series is dropped, by a rule or because no label is left; what the builder then
    /// holds means nothing. Otherwise it holds the new labels: sorted, each name once, no empty value.
    /// </summary>
    public bool Apply(LabelBuilder labels)
    {
        labels.Begin(_dialect);
        foreach (var rule in _rules)
        {
            if (Step(rule, labels) == RelabelDecision.Dropped)
            {
                return false;
            }
        }
        labels.SortAndClean();
        return labels.Count > 0;
    }

    /// <summary>
    /// As the other, for a caller that has no builder at hand; the same instance when nothing changed.
    /// </summary>
    public bool TryApply(LabelSet input, LabelBuilder scratch, out LabelSet output)
    {
        output = input;
        scratch.Reset(input);
        if (!Apply(scratch))
        {
            return false;
        }
        if (!scratch.Labels.SequenceEqual(input.Labels))
        {
            output = scratch.ToLabelSet();
        }
        return true;
    }

    internal RelabelDecision Step(RelabelRule rule, LabelBuilder labels)
    {
        var decision = rule.Apply(labels);
        return _dialect == RelabelDialect.VmAgent && labels.Count == 0 ? RelabelDecision.Dropped : decision;
    }
}
