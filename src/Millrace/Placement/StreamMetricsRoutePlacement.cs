using System.Globalization;
using System.Text;
using Millrace.Model;

namespace Millrace.Placement;

/// <summary>
/// The placement of stream-metrics-route, bit for bit, for a fleet that is taken over from it. There is no table:
/// <code>
/// H(labels) = FNV-1a 32 over all names and values together, sorted as strings, without separators
/// task      = H(all labels) mod T
/// node      = H(the listed labels, of which the task's may be one) mod N; H(all labels) mod N if none is listed
/// </code>
/// Its versions of 2026 take jump consistent hash instead of the remainder. What it does to the label differs in one
/// thing on purpose: it appends it at the end, we sort it in; the hash sees no order. With one node it writes no label.
/// Known weaknesses come with it: <c>{a="b"}</c> and <c>{b="a"}</c> are one key, series without any of the listed
/// labels fill one node, and another number of nodes moves nearly everything.
/// </summary>
internal sealed class StreamMetricsRoutePlacement
{
    /// <summary>Its name for the task's label, which cannot be chosen there.</summary>
    public const string TaskLabel = TaskKeyConfig.DefaultLabel;

    private const uint FnvOffset = 2166136261;
    private const uint FnvPrime = 16777619;

    private readonly int _tasks;
    private readonly int _nodes;
    private readonly string[] _labels;
    private readonly bool _jumps;

    /// <param name="tasks">Its <c>hash_labels.mode</c>; one or less is one task.</param>
    /// <param name="nodes">How many <c>upstream_urls</c> there are.</param>
    /// <param name="labels">Its <c>hash_labels.labels</c>.</param>
    /// <param name="jumps">As its versions of 2026.</param>
    public StreamMetricsRoutePlacement(int tasks, int nodes, IReadOnlyList<string> labels, bool jumps = false)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(nodes, 1);
        (_tasks, _nodes, _labels, _jumps) = (tasks, nodes, [.. labels], jumps);
    }

    /// <summary>Whether series get the task's label.</summary>
    public bool WritesTask => _nodes > 1;

    public (int Task, int Node) Place(LabelSet series)
    {
        var all = new List<string>(series.Count * 2);
        foreach (var label in series.Labels)
        {
            all.Add(label.Name);
            all.Add(label.Value);
        }
        var hash = StableHashOf(all);
        var task = Choose(hash, _tasks);
        if (_nodes == 1)
        {
            return (task, 0);
        }
        return (task, Choose(_labels.Length == 0 ? hash : StableHashOf(Listed(series, task)), _nodes));
    }

    /// <summary>Names and values of the listed labels; one that is listed twice counts twice.</summary>
    private List<string> Listed(LabelSet series, int task)
    {
        var texts = new List<string>();
        foreach (var name in _labels)
        {
            if (series[name] is { Length: > 0 } value)
            {
                texts.Add(name);
                texts.Add(value);
            }
            // Behind another such gateway a series has the label already; here it gets it once more.
            if (name == TaskLabel)
            {
                texts.Add(name);
                texts.Add(task.ToString(CultureInfo.InvariantCulture));
            }
        }
        return texts;
    }

    private int Choose(uint hash, int count) =>
        count <= 1 ? 0 : _jumps ? StableJump.Bucket(hash, count) : (int)(hash % (uint)count);

    private static uint StableHashOf(List<string> texts)
    {
        texts.Sort(Utf8Order.Comparer);
        var hash = FnvOffset;
        foreach (var text in texts)
        {
            foreach (var octet in Encoding.UTF8.GetBytes(text))
            {
                hash = (hash ^ octet) * FnvPrime;
            }
        }
        return hash;
    }
}
