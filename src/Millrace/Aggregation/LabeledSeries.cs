using Millrace.Protocols;

namespace Millrace.Aggregation;

/// <summary>An output series as it is written; without labels: output relabeling drops it.</summary>
internal sealed record OutputSeries(UInt128 Key, StoredLabels Labels)
{
    /// <summary>Known, and not asked again.</summary>
    public static readonly OutputSeries Dropped = new(default, default);
}

/// <summary>
/// Labels of output series, which in a group are mostly alike: the first ones are kept whole, others beside them.
/// </summary>
internal sealed class SharedBlocks
{
    private byte[]?[] _first = []; // by group

    public void Reserve(int groupCount)
    {
        if (_first.Length < groupCount)
        {
            Array.Resize(ref _first, Math.Max(groupCount, _first.Length + _first.Length / 2));
        }
    }

    public StoredLabels Add(int group, byte[] block)
    {
        if (_first[group] is { } first)
        {
            return SharedBlock.Of(block, first);
        }
        _first[group] = block;
        return block;
    }

    public void Forget(int group) => _first[group] = null;
}

/// <summary>
/// The series that groups showed last for an output that tells several apart by a label: what is shown window for
/// window is described once, what is not shown any more is forgotten.
/// </summary>
internal sealed class LabeledSeries
{
    private readonly List<(string Value, OutputSeries Series)[]?> _byGroup = [];

    /// <summary>The labels of the series of each group.</summary>
    public SharedBlocks Blocks { get; } = new();

    public void Reserve(int groupCount)
    {
        while (_byGroup.Count < groupCount)
        {
            _byGroup.Add(null);
        }
        Blocks.Reserve(groupCount);
    }

    public void Forget(int group)
    {
        _byGroup[group] = null;
        Blocks.Forget(group);
    }

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
