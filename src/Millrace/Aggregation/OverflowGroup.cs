using Millrace.Model;

namespace Millrace.Aggregation;

/// <summary>
/// Where series go for which a rule has no group any more: the group of their metric name in which each other label
/// has the marker for its value. Sums over all groups stay right, and the marker shows what happened.
/// </summary>
internal static class OverflowGroup
{
    public const string Marker = "__overflow__";

    /// <summary>Overflow groups of a rule, so that a flood of metric names is bounded, too.</summary>
    public const int MaxNames = 1000;

    /// <summary>The group of those that come too late even for an overflow group.</summary>
    public static LabelSet Last { get; } = LabelSet.Of((LabelSet.MetricName, Marker));

    public static LabelSet Of(LabelSet group)
    {
        var labels = new List<Label>(group.Count);
        foreach (var label in group.Labels)
        {
            labels.Add(label.Name == LabelSet.MetricName ? label : new Label(label.Name, Marker));
        }
        return LabelSet.From(labels);
    }

    /// <summary>The key of the slot for all series of a group that have no state.</summary>
    public static UInt128 SharedKey(UInt128 groupKey) => ~groupKey;
}
