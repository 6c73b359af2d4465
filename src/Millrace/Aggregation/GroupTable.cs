using Millrace.Memory;
using Millrace.Model;
using Millrace.Protocols;

namespace Millrace.Aggregation;

/// <summary>
/// The groups of a shard: labels, the labels of their output series, running totals, and whether they are alive. A
/// group is alive until its staleness interval after its last sample; its row is freed when its series are gone, too.
/// </summary>
internal sealed class GroupTable
{
    private const long Never = long.MinValue;

    private struct Row
    {
        public long LastMs;
        public int SeriesCount;
        public RowMarks Marks; // an int: padding would make snapshots of equal states differ
    }

    [Flags]
    private enum RowMarks
    {
        None,

        /// <summary>Alive, and not emitted since.</summary>
        IsNew = 1,

        /// <summary>Takes the series for which there is no group any more.</summary>
        IsOverflow = 2,
    }

    private readonly AggregationRule _rule;
    private readonly SeriesTable _keys = new();
    private readonly Column<Row> _rows = new();
    private readonly List<LabelSet?> _labels = [];
    private readonly Column<DoubleDouble>[] _totals;
    private readonly List<OutputSeries?>[] _outputSeries;
    private int[] _sorted = [];
    private bool _sortedIsStale = true;

    private sealed record OutputSeries(UInt128 Key, byte[] Labels);

    /// <summary>Output relabeling dropped the series: known, and not asked again.</summary>
    private static readonly OutputSeries DroppedSeries = new(default, []);

    public GroupTable(AggregationRule rule)
    {
        _rule = rule;
        _totals = new Column<DoubleDouble>[rule.Outputs.Length];
        _outputSeries = new List<OutputSeries?>[rule.Outputs.Length];
        for (var i = 0; i < _totals.Length; i++)
        {
            _totals[i] = new Column<DoubleDouble>();
            _outputSeries[i] = [];
        }
    }

    /// <summary>Rows ever handed out: every live group's number is below.</summary>
    public int RowCount => _keys.SlotCount;

    public int Count => _keys.Count;

    public int AliveCount { get; private set; }

    public int OverflowCount { get; private set; }

    public int Find(UInt128 key) => _keys.Find(key);

    /// <summary>The group of a new series; it counts as one of the group's series until <see cref="Leave"/>.</summary>
    public int Join(UInt128 key, LabelSet labels, bool isOverflow = false)
    {
        var group = _keys.Find(key);
        if (group < 0)
        {
            group = _keys.Add(key);
            _rows.EnsureCapacity(RowCount);
            _rows[group] = new Row { LastMs = Never, Marks = isOverflow ? RowMarks.IsOverflow : RowMarks.None };
            OverflowCount += isOverflow ? 1 : 0;
            while (_labels.Count < RowCount)
            {
                _labels.Add(null);
            }
            _labels[group] = labels;
            for (var i = 0; i < _totals.Length; i++)
            {
                _totals[i].EnsureCapacity(RowCount);
                _totals[i][group] = default;
                while (_outputSeries[i].Count < RowCount)
                {
                    _outputSeries[i].Add(null);
                }
                _outputSeries[i][group] = null;
            }
            _sortedIsStale = true;
        }
        _rows[group].SeriesCount++;
        return group;
    }

    public void Leave(int group)
    {
        if (--_rows[group].SeriesCount == 0 && _rows[group].LastMs == Never)
        {
            Free(group);
        }
    }

    /// <summary>The group had a sample at that time.</summary>
    public void Touch(int group, long timeMs)
    {
        ref var row = ref _rows[group];
        if (row.LastMs == Never)
        {
            AliveCount++;
            row.Marks |= RowMarks.IsNew;
        }
        if (timeMs > row.LastMs)
        {
            row.LastMs = timeMs;
        }
    }

    /// <summary>
    /// Emits a closed window for every group that is alive at its end, in the order of the groups' keys, and books
    /// the window into the running totals.
    /// </summary>
    public void Emit(WindowState? window, WindowPart part, bool isEmitted, ShardCounters counters)
    {
        foreach (var group in Sorted())
        {
            ref var row = ref _rows[group];
            if (row.LastMs == Never)
            {
                continue;
            }
            if (part.EndMs > row.LastMs + _rule.StalenessMs)
            {
                // In arrival time it may have samples from before a first window that ends late.
                Clear(window, group);
                Expire(group);
                continue;
            }
            for (var i = 0; i < _rule.Outputs.Length; i++)
            {
                var kind = _rule.Outputs[i];
                var value = 0.0;
                var hasValue = window is not null && window.Outputs[i].TryGetValue(group, out value);
                if (kind.IsCumulative)
                {
                    value = Accumulate(i, group, hasValue ? value : 0);
                }
                if (isEmitted && (hasValue || kind.EmitsWhileAlive))
                {
                    if (part.HasZeros && kind.IsCumulative && (row.Marks & RowMarks.IsNew) != 0)
                    {
                        Emit(i, group, 0, part, counters, beforeMs: _rule.IntervalMs);
                    }
                    Emit(i, group, hasValue || kind.IsCumulative ? value : 0, part, counters);
                }
            }
            row.Marks &= ~RowMarks.IsNew;
            Clear(window, group);
        }
    }

    public void Write(SnapshotWriter writer)
    {
        _keys.Write(writer);
        writer.Write(AliveCount);
        for (var group = 0; group < RowCount; group++)
        {
            writer.Write(_rows[group]);
            foreach (var totals in _totals)
            {
                writer.Write(totals[group]);
            }
            var labels = _labels[group];
            writer.Write(labels is null ? -1 : labels.Count);
            foreach (var label in labels is null ? [] : labels.Labels)
            {
                writer.Write(label.Name);
                writer.Write(label.Value);
            }
        }
    }

    public void Read(SnapshotReader reader)
    {
        _keys.Read(reader);
        AliveCount = reader.ReadInt32();
        _rows.EnsureCapacity(RowCount);
        for (var group = 0; group < RowCount; group++)
        {
            _rows[group] = reader.Read<Row>();
            for (var i = 0; i < _totals.Length; i++)
            {
                _totals[i].EnsureCapacity(RowCount);
                _totals[i][group] = reader.Read<DoubleDouble>();
                _outputSeries[i].Add(null);
            }
            var count = reader.ReadInt32();
            var labels = new List<Label>();
            for (var i = 0; i < count; i++)
            {
                labels.Add(new Label(reader.ReadString(), reader.ReadString()));
            }
            _labels.Add(count < 0 ? null : LabelSet.From(labels));
            OverflowCount += count >= 0 && (_rows[group].Marks & RowMarks.IsOverflow) != 0 ? 1 : 0;
        }
    }

    private static void Clear(WindowState? window, int group)
    {
        foreach (var output in window?.Outputs ?? [])
        {
            output.Clear(group);
        }
    }

    /// <summary>vmagent: a running total starts again from 0 after it has shown 2^53.</summary>
    private double Accumulate(int output, int group, double value)
    {
        const double Largest = 1L << 53;
        ref var total = ref _totals[output][group];
        total.Add(value);
        total.Normalize();
        var shown = total.Value;
        if (!(Math.Abs(shown) < Largest))
        {
            total = default;
        }
        return shown;
    }

    private void Emit(
        int output, int group, double value, WindowPart part, ShardCounters counters, long beforeMs = 0)
    {
        var series = _outputSeries[output][group] ??= Describe(output, group);
        if (series != DroppedSeries)
        {
            // Adding 0 makes -0 a 0: which of the two came first must not show in an extreme.
            part.Samples.Add(new OutputSample(series.Key, series.Labels, value + 0.0, beforeMs));
            counters.OutputSamples++;
        }
    }

    private OutputSeries Describe(int output, int group)
    {
        var labels = _rule.OutputLabels(_labels[group]!, _rule.Outputs[output]);
        return labels is null ? DroppedSeries : new OutputSeries(labels.StableKey(), LabelBlock.Encode(labels));
    }

    private void Expire(int group)
    {
        ref var row = ref _rows[group];
        row.LastMs = Never;
        AliveCount--;
        foreach (var totals in _totals)
        {
            totals[group] = default;
        }
        if (row.SeriesCount == 0)
        {
            Free(group);
        }
    }

    private void Free(int group)
    {
        _keys.Remove(group);
        _labels[group] = null;
        OverflowCount -= (_rows[group].Marks & RowMarks.IsOverflow) != 0 ? 1 : 0;
        foreach (var series in _outputSeries)
        {
            series[group] = null;
        }
        _sortedIsStale = true;
    }

    /// <summary>Groups in the order of their keys, so that the output does not depend on who came first.</summary>
    private int[] Sorted()
    {
        if (_sortedIsStale)
        {
            var live = new List<int>(Count);
            for (var group = 0; group < RowCount; group++)
            {
                if (_labels[group] is not null)
                {
                    live.Add(group);
                }
            }
            live.Sort((a, b) => _keys.KeyOf(a).CompareTo(_keys.KeyOf(b)));
            _sorted = [.. live];
            _sortedIsStale = false;
        }
        return _sorted;
    }
}
