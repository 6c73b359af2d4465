using Millrace.Model;

namespace Millrace.Placement;

/// <summary>Whether a rule's groups each lie in one task.</summary>
internal enum Locality
{
    /// <summary>All series of a group have one key: one node makes the whole output.</summary>
    Local,

    /// <summary>So do those that have a label of the key; those without any are spread over the tasks.</summary>
    LocalWhereLabeled,

    /// <summary>Several tasks, so several nodes, each see a part: their partial results must be merged.</summary>
    Merged,
}

/// <summary>
/// By which labels an aggregation rule groups the series that are placed. The metric's name counts as a label of the
/// input: vmagent's rules call their outputs otherwise (<c>name:1m_by_job_total</c>), but which group a series is in is
/// decided by the name that it came with, and <c>by</c> keeps it without being told. Only <c>without: [__name__]</c>
/// drops it, so that two metrics meet in one group; then the name cannot be part of a key under which that rule is
/// local.
/// </summary>
internal sealed record RuleGrouping
{
    public IReadOnlyList<string> By { get; init; } = [];

    public IReadOnlyList<string> Without { get; init; } = [];

    /// <summary>
    /// Labels that are dropped or written between the place where the task is decided and the grouping: what they say
    /// there tells nothing about the group.
    /// </summary>
    public IReadOnlyList<string> Changed { get; init; } = [];

    /// <summary>Relabeling on the way may change any label: no key makes such a rule local.</summary>
    public bool ChangesAny { get; init; }

    /// <summary>The labels of the placed series that tell the group.</summary>
    public KeyLabels Labels()
    {
        if (ChangesAny)
        {
            return KeyLabels.Only([]);
        }
        var grouped = By.Count > 0 ? KeyLabels.Only([LabelSet.MetricName, .. By]) : KeyLabels.AllBut(Without);
        return grouped.Intersect(KeyLabels.AllBut(Changed));
    }

    /// <summary>
    /// A group lies in one task where its labels tell the key: where the key is a part of the grouping.
    /// </summary>
    public Locality LocalityUnder(TaskKeyConfig key)
    {
        var labels = Labels();
        if (!key.Labels().IsSubsetOf(labels))
        {
            return Locality.Merged;
        }
        return TaskKey.MayFallBack(key) && !KeyLabels.AllBut(key.Label is null ? [] : [key.Label]).IsSubsetOf(labels)
            ? Locality.LocalWhereLabeled : Locality.Local;
    }

    /// <summary>
    /// The finest key under which all rules are local: the labels that all of them keep. A rule that no key makes local
    /// has no say. Where the rules have nothing in common, or there are none, the whole series is the key: it spreads
    /// best, and the rules are merged in any case.
    /// </summary>
    public static TaskKeyConfig DeriveKey(
        IEnumerable<RuleGrouping> rules, int count = TaskKeyConfig.DefaultCount, string? label = null)
    {
        var common = KeyLabels.AllBut([]);
        foreach (var rule in rules)
        {
            if (!rule.Labels().IsEmpty)
            {
                common = common.Intersect(rule.Labels());
            }
        }
        // A label of the task's own is in no key.
        var key = label is null ? common : common.Intersect(KeyLabels.AllBut([label]));
        var config = new TaskKeyConfig { Count = count, Label = label, Missing = MissingLabels.KeepKey };
        if (key.IsEmpty)
        {
            return config;
        }
        if (key.IsAllBut)
        {
            return common.Names is [] ? config : config with { Without = common.Names };
        }
        return config with
        {
            By = Array.FindAll(key.Names, static name => name != LabelSet.MetricName),
            Without = key.Contains(LabelSet.MetricName) ? null : [LabelSet.MetricName],
        };
    }
}
