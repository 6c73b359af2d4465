using System.Globalization;
using Millrace.Model;

namespace Millrace.Placement;

/// <summary>
/// The task of a series, the first of the two mappings of dual scheduling (the second, from tasks to nodes, is
/// <see cref="TaskTable"/>): the 128-bit stable key of the labels in the key, modulo the number of tasks. It is the
/// same in every process, release and platform, and does not know how many nodes there are.
/// </summary>
internal sealed class TaskKey
{
    private readonly TaskKeyConfig _config;
    private readonly KeyLabels _labels;
    private readonly bool _mayFallBack;
    private readonly string[] _numbers;

    public TaskKey(TaskKeyConfig config)
    {
        if (config.Problem() is { } problem)
        {
            throw new ArgumentException(problem, nameof(config));
        }
        _config = config;
        _labels = config.Labels();
        // A key that is the name alone is one on purpose.
        _mayFallBack = MayFallBack(config);
        _numbers = new string[config.Count];
        for (var task = 0; task < _numbers.Length; task++)
        {
            _numbers[task] = task.ToString(CultureInfo.InvariantCulture);
        }
    }

    public int Count => _config.Count;

    /// <summary>Whether there are series whose key is another than <see cref="TaskKeyConfig.Labels"/> says.</summary>
    public static bool MayFallBack(TaskKeyConfig config) =>
        config is { Missing: MissingLabels.WholeSeries, By: not null } && HasListedLabel(config.Labels());

    public int TaskOf(LabelSet series) => (int)(ulong)(KeyOf(series).StableKey() % (UInt128)_config.Count);

    /// <summary>The labels by which a series is dealt. Allocates: it is asked once per series.</summary>
    public LabelSet KeyOf(LabelSet series)
    {
        var key = new Label[series.Count];
        var count = 0;
        var hasListed = !_mayFallBack;
        foreach (var label in series.Labels)
        {
            if (_labels.Contains(label.Name))
            {
                key[count++] = label;
                hasListed |= label.Name != LabelSet.MetricName;
            }
        }
        return !hasListed ? WithoutTask(series)
            : count == series.Count ? series : LabelSet.FromSorted(key.AsSpan(0, count));
    }

    /// <summary>The series with the task's number in its label: sorted in, once, instead of what was there.</summary>
    public LabelSet WithTask(LabelSet series, int task)
    {
        if (_config.Label is not { } name)
        {
            return series;
        }
        var labels = new Label[series.Count + 1];
        var count = 0;
        var isIn = false;
        foreach (var label in series.Labels)
        {
            var order = isIn ? 1 : Utf8Order.Compare(label.Name, name);
            if (!isIn && order >= 0)
            {
                labels[count++] = new Label(name, _numbers[task]);
                isIn = true;
            }
            if (order != 0)
            {
                labels[count++] = label;
            }
        }
        if (!isIn)
        {
            labels[count++] = new Label(name, _numbers[task]);
        }
        return LabelSet.FromSorted(labels.AsSpan(0, count));
    }

    /// <summary>The series without the task's label, as it leaves the last tier.</summary>
    public LabelSet WithoutTask(LabelSet series)
    {
        if (_config.Label is not { } name || series[name].Length == 0)
        {
            return series;
        }
        var labels = new Label[series.Count - 1];
        var count = 0;
        foreach (var label in series.Labels)
        {
            if (label.Name != name)
            {
                labels[count++] = label;
            }
        }
        return LabelSet.FromSorted(labels);
    }

    private static bool HasListedLabel(KeyLabels labels)
    {
        foreach (var name in labels.Names)
        {
            if (name != LabelSet.MetricName)
            {
                return true;
            }
        }
        return false;
    }
}
