using Millrace.Model;

namespace Millrace.Placement;

/// <summary>What is the key of a series that has none of the labels that a task key lists.</summary>
public enum MissingLabels
{
    /// <summary>All its labels: such series are spread over the tasks instead of filling one.</summary>
    WholeSeries,

    /// <summary>What is left of the key, mostly the name: the groups of rules stay whole.</summary>
    KeepKey,
}

/// <summary>
/// By which labels series are dealt to tasks, and to how many. With neither list the whole series is the key.
/// </summary>
public sealed record TaskKeyConfig
{
    public const int DefaultCount = 128;
    public const int MaxCount = 4096;

    /// <summary>The name that the label has by convention.</summary>
    public const string DefaultLabel = "stream_task_id";

    /// <summary>How many tasks; fixed for the life of a deployment, because another number is another key.</summary>
    public int Count { get; init; } = DefaultCount;

    /// <summary>The key is the metric's name and these labels; of those that a series lacks nothing is taken.</summary>
    public IReadOnlyList<string>? By { get; init; }

    /// <summary>
    /// The key is all labels but these. Beside <see cref="By"/> it may only be <c>[__name__]</c>, which leaves the name
    /// out.
    /// </summary>
    public IReadOnlyList<string>? Without { get; init; }

    /// <summary>For series without any of the labels in <see cref="By"/>.</summary>
    public MissingLabels Missing { get; init; } = MissingLabels.WholeSeries;

    /// <summary>
    /// The label that carries the task's number, null: none. It is never part of the key, so that gateways behind each
    /// other come to the same task.
    /// </summary>
    public string? Label { get; init; }

    /// <summary>What is wrong with it, for whoever wrote it; null: nothing.</summary>
    public string? Problem()
    {
        if (Count is < 1 or > MaxCount)
        {
            return $"count is {Count}; it must lie between 1 and {MaxCount}";
        }
        if (By is not null && Without is not null && Without is not [LabelSet.MetricName])
        {
            return "by and without exclude each other; beside by, without may only be [__name__]";
        }
        if (Label is "" or LabelSet.MetricName)
        {
            return $"label is \"{Label}\"; give it a name of its own such as {DefaultLabel}, or leave it out";
        }
        return Labels().IsEmpty ? "the key has no label, so all series would be in one task; list one in by" : null;
    }

    /// <summary>The labels that make the key, where a series has them.</summary>
    internal KeyLabels Labels()
    {
        var labels = By is null ? KeyLabels.AllBut(Without ?? []) : KeyLabels.Only([LabelSet.MetricName, .. By]);
        labels = labels.Intersect(KeyLabels.AllBut(Without ?? []));
        return Label is null ? labels : labels.Intersect(KeyLabels.AllBut([Label]));
    }
}
