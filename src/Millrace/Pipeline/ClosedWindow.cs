using Millrace.Aggregation;

namespace Millrace.Pipeline;

/// <summary>
/// A closed window of all tasks, its samples in the order of tasks; of one that was given before, those that changed.
/// The samples stay where the shards put them: a deduplicator gives one of every series.
/// </summary>
internal sealed class ClosedWindow(bool isCorrection)
{
    private readonly List<WindowPart> _parts = [];

    public bool IsCorrection { get; } = isCorrection;

    /// <summary>By task; each with its samples.</summary>
    public IReadOnlyList<WindowPart> Parts => _parts;

    /// <summary>Samples.</summary>
    public int Count { get; private set; }

    public IEnumerable<OutputSample> Samples
    {
        get
        {
            foreach (var part in _parts)
            {
                foreach (var sample in part.Samples)
                {
                    yield return sample;
                }
            }
        }
    }

    public void Add(WindowPart part)
    {
        _parts.Add(part);
        Count += part.Samples.Count;
    }

    public List<OutputSample> First(int count)
    {
        var first = new List<OutputSample>(Math.Min(count, Count));
        foreach (var part in _parts)
        {
            first.AddRange(part.Samples.GetRange(0, Math.Min(count - first.Count, part.Samples.Count)));
        }
        return first;
    }
}
