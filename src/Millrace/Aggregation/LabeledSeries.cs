namespace Millrace.Aggregation;

/// <summary>An output series as it is written; an empty label block: output relabeling drops it.</summary>
internal sealed record OutputSeries(UInt128 Key, byte[] Labels)
{
    /// <summary>Known, and not asked again.</summary>
    public static readonly OutputSeries Dropped = new(default, []);
}

/// <summary>
/// The series that groups showed last for an output that tells several apart by a label: what is shown window for
/// window is described once, what is not shown any more is forgotten.
/// </summary>
internal sealed class LabeledSeries
{
    private readonly List<(string Value, OutputSeries Series)[]?> _byGroup = [];

    public void Reserve(int groupCount)
    {
        while (_byGroup.Count < groupCount)
        {
            _byGroup.Add(null);
        }
    }

    public void Forget(int group) => _byGroup[group] = null;

    /// <summary>Makes room for what a group shows now, and answers with what it showed before.</summary>
    public Shown Begin(int group, int count)
    {
        var before = _byGroup[group] ?? [];
        var now = before.Length == count ? before : new (string, OutputSeries)[count];
        _byGroup[group] = now;
        return new Shown(before, now);
    }

    internal readonly struct Shown(
        (string Value, OutputSeries Series)[] before, (string Value, OutputSeries Series)[] now)
    {
        /// <summary>The series with that value of the label, if the group showed it before.</summary>
        public OutputSeries? Find(int index, string value)
        {
            // Mostly the same ones in the same order.
            if (index < before.Length && before[index].Value == value)
            {
                return before[index].Series;
            }
            foreach (var (known, series) in before)
            {
                if (known == value)
                {
                    return series;
                }
            }
            return null;
        }

        public void Set(int index, string value, OutputSeries series) => now[index] = (value, series);
    }
}
