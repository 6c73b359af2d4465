using Millrace.Aggregation.Exemplars;
using Millrace.Aggregation.Histograms;
using Millrace.Aggregation.Outputs;
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

        /// <summary>It had histograms: outputs that take them show nothing else.</summary>
        HasHistograms = 4,
    }

    private readonly AggregationRule _rule;
    private readonly SeriesTable<UInt128> _keys = new();
    private readonly Column<Row> _rows = new();
    private readonly List<LabelSet?> _labels = [];
    private readonly Column<DoubleDouble>[] _totals;
    private readonly List<OutputSeries?>[] _outputSeries;

    // Of outputs that show several series of a group; by output, null for the others.
    private readonly LabeledSeries?[] _labeledSeries;
    private readonly SharedBlocks _blocks = new(); // of the other outputs
    private readonly OutputWindow?[] _labeledTotals;
    private readonly LabeledValues _values = new();
    private readonly HistogramOutput?[] _histogramTotals;
    private readonly bool _isCopy;
    private bool _hasHistograms; // some group had one

    // Of the group being emitted: its exemplars, and whether a series took them.
    private byte[]? _exemplars;
    private bool _areExemplarsSent;
    private int _sentExemplars; // in this window
    private int _lastSampleCount;
    private int[] _sorted = [];
    private bool _sortedIsStale = true;

    public GroupTable(AggregationRule rule)
    {
        _rule = rule;
        _totals = new Column<DoubleDouble>[rule.Outputs.Length];
        _outputSeries = new List<OutputSeries?>[rule.Outputs.Length];
        _labeledSeries = new LabeledSeries?[rule.Outputs.Length];
        _labeledTotals = new OutputWindow?[rule.Outputs.Length];
        _histogramTotals = rule.TakesHistograms ? HistogramWindow.NewOutputs(rule) : [];
        Exemplars = rule.TakesExemplars ? new ExemplarBook(rule.ExemplarCount) : null;
        for (var i = 0; i < _totals.Length; i++)
        {
            _totals[i] = new Column<DoubleDouble>();
            _outputSeries[i] = [];
            var kind = rule.Outputs[i];
            _labeledSeries[i] = kind.Label is null ? null : new LabeledSeries();
            _labeledTotals[i] = kind.Label is null || !kind.IsCumulative ? null : rule.NewWindow(i);
        }
    }

    private GroupTable(GroupTable original, ShardScratch scratch)
        : this(original._rule)
    {
        _isCopy = true;
        (_keys, _labels, _sorted, _sortedIsStale) = (original._keys, original._labels, original.Sorted(), false);
        (AliveCount, OverflowCount) = (original.AliveCount, original.OverflowCount);
        (_hasHistograms, _blocks) = (original._hasHistograms, original._blocks);
        _rows.CopyFrom(original._rows, RowCount);
        for (var i = 0; i < _totals.Length; i++)
        {
            (_outputSeries[i], _labeledSeries[i]) = (original._outputSeries[i], original._labeledSeries[i]);
            _totals[i].CopyFrom(original._totals[i], RowCount);
        }
        scratch.Copy(original.WriteOwnTotals, ReadOwnTotals);
    }

    /// <summary>
    /// For a look ahead: emits windows, and takes no group. It shares keys, labels and what is known of output series.
    /// </summary>
    public static GroupTable CopyOf(GroupTable original, ShardScratch scratch) => new(original, scratch);

    /// <summary>Rows ever handed out: every live group's number is below.</summary>
    public int RowCount => _keys.SlotCount;

    public int Count => _keys.Count;

    public int AliveCount { get; private set; }

    public int OverflowCount { get; private set; }

    /// <summary>Null where no output shows exemplars.</summary>
    public ExemplarBook? Exemplars { get; }

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
            _blocks.Reserve(RowCount);
            for (var i = 0; i < _totals.Length; i++)
            {
                _totals[i].EnsureCapacity(RowCount);
                _totals[i][group] = default;
                while (_outputSeries[i].Count < RowCount)
                {
                    _outputSeries[i].Add(null);
                }
                _outputSeries[i][group] = null;
                _labeledSeries[i]?.Reserve(RowCount);
                _labeledTotals[i]?.Reserve(RowCount);
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

    /// <summary>The group had a native histogram at that time.</summary>
    public void TouchByHistogram(int group, long timeMs)
    {
        Touch(group, timeMs);
        _rows[group].Marks |= RowMarks.HasHistograms;
        _hasHistograms = true;
        foreach (var totals in _histogramTotals)
        {
            totals?.Reserve(RowCount);
        }
    }

    /// <summary>
    /// Emits a closed window for every group that is alive at its end, in the order of the groups' keys, and books
    /// the window into the running totals.
    /// </summary>
    public void Emit(WindowState? window, WindowPart part, bool isEmitted, ShardCounters counters)
    {
        window?.Settle();
        part.Samples.EnsureCapacity(isEmitted ? _lastSampleCount : 0); // mostly as many again
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
            var exemplarCount = 0;
            var lastExemplarMs = 0L;
            _exemplars = Exemplars?.Encode(window, group, out exemplarCount, out lastExemplarMs);
            for (var i = 0; i < _rule.Outputs.Length; i++)
            {
                var kind = _rule.Outputs[i];
                if (kind.Label is not null)
                {
                    EmitLabeled(i, group, window, isEmitted, part, counters);
                    continue;
                }
                if ((row.Marks & RowMarks.HasHistograms) != 0 && kind.OfHistograms != HistogramUse.None)
                {
                    EmitHistogram(i, group, window, isEmitted, part, counters);
                    continue;
                }
                var value = 0.0;
                var hasValue = window is not null && window.Outputs[i].TryGetValue(group, out value);
                if (kind.IsCumulative)
                {
                    value = Accumulate(i, group, hasValue ? value : 0);
                }
                if (isEmitted && (hasValue || kind.EmitsWhileAlive))
                {
                    if (InjectsZero(i, group, part))
                    {
                        Emit(i, group, 0, part, counters, beforeMs: _rule.IntervalMs);
                    }
                    Emit(i, group, hasValue || kind.IsCumulative ? value : 0, part, counters);
                }
            }
            row.Marks &= ~RowMarks.IsNew;
            Clear(window, group);
            if (_areExemplarsSent)
            {
                _areExemplarsSent = false;
                _sentExemplars += exemplarCount;
                Exemplars!.Sent(group, lastExemplarMs);
            }
        }
        _exemplars = null;
        _lastSampleCount = part.Samples.Count;
    }

    /// <summary>How many exemplars went with the last window; each counts once, however many series show it.</summary>
    public int TakeSentExemplars()
    {
        var sent = _sentExemplars;
        _sentExemplars = 0;
        return sent;
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
        WriteOwnTotals(writer);
        Exemplars?.Write(writer);
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
        _blocks.Reserve(RowCount);
        foreach (var series in _labeledSeries)
        {
            series?.Reserve(RowCount);
        }
        ReadOwnTotals(reader);
    }

    private void ReadOwnTotals(SnapshotReader reader)
    {
        foreach (var totals in _labeledTotals)
        {
            totals?.Read(reader, RowCount);
        }
        _hasHistograms = _rule.TakesHistograms && reader.ReadInt32() != 0;
        foreach (var totals in _hasHistograms ? _histogramTotals : [])
        {
            totals?.Read(reader, RowCount);
        }
        Exemplars?.Read(reader);
    }

    private void WriteOwnTotals(SnapshotWriter writer)
    {
        foreach (var totals in _labeledTotals)
        {
            totals?.Write(writer, RowCount);
        }
        if (!_rule.TakesHistograms)
        {
            return;
        }
        writer.Write(_hasHistograms ? 1 : 0);
        foreach (var totals in _hasHistograms ? _histogramTotals : [])
        {
            totals?.Reserve(RowCount);
            totals?.Write(writer, RowCount);
        }
    }

    private static void Clear(WindowState? window, int group)
    {
        foreach (var output in window?.Outputs ?? [])
        {
            output.Clear(group);
        }
        window?.Histograms?.Clear(group);
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
        Add(output, group, _outputSeries[output][group] ??= Describe(output, group, ""), value, part, counters,
            beforeMs);
    }

    /// <summary>An output that shows several series of a group; running ones have this window in them.</summary>
    private void EmitLabeled(
        int output, int group, WindowState? window, bool isEmitted, WindowPart part, ShardCounters counters)
    {
        var shown = window?.Outputs[output];
        if (_labeledTotals[output] is { } totals)
        {
            if (shown is not null)
            {
                totals.Merge(group, shown, group);
            }
            shown = totals;
        }
        if (shown is null || !isEmitted)
        {
            return;
        }
        var injectsZero = InjectsZero(output, group, part);
        _values.Clear();
        shown.CopyValues(group, _values);
        var series = _labeledSeries[output]!.Begin(group, _values.Count);
        for (var i = 0; i < _values.Count; i++)
        {
            var (label, value) = _values[i];
            var one = series.Find(i, label) ?? Describe(output, group, label);
            series.Set(i, label, one);
            if (injectsZero)
            {
                Add(output, group, one, 0, part, counters, beforeMs: _rule.IntervalMs);
            }
            Add(output, group, one, value, part, counters, label: label);
        }
    }

    private bool InjectsZero(int output, int group, WindowPart part) =>
        part.HasZeros && _rule.Outputs[output].IsCumulative
        && (_rows[group].Marks & RowMarks.IsNew) != 0;

    private void EmitHistogram(
        int output, int group, WindowState? window, bool isEmitted, WindowPart part, ShardCounters counters)
    {
        var shown = window?.Histograms?.Outputs[output]!.TryFind(group);
        var kind = _rule.Outputs[output];
        if (kind.IsCumulative)
        {
            var total = _histogramTotals[output]!.Of(group);
            if (shown is not null)
            {
                total.Merge(shown);
            }
            shown = total;
        }
        // What grows from window to window is a counter to who reads it; what a window holds is not.
        var hint = kind.IsCumulative ? ResetHint.Unknown : ResetHint.Gauge;
        var isMixed = false;
        if (shown is null || !isEmitted || HistogramReconciler.Show(shown, hint, out isMixed) is not { } histogram)
        {
            return;
        }
        counters.UnlikeHistograms += isMixed ? 1 : 0;
        var series = _outputSeries[output][group] ??= Describe(output, group, "");
        Add(
            output, group, series, histogram.Count, part, counters, histogram: HistogramCodec.Write(histogram));
    }

    private void Add(
        int output, int group, OutputSeries series, double value, WindowPart part, ShardCounters counters,
        long beforeMs = 0, byte[]? histogram = null, string? label = null)
    {
        if (!ReferenceEquals(series, OutputSeries.Dropped))
        {
            // Adding 0 makes -0 a 0: which of the two came first must not show in an extreme.
            var takesExemplars = _exemplars is not null && beforeMs == 0 && CarriesExemplars(output, label);
            _areExemplarsSent |= takesExemplars;
            part.Samples.Add(new OutputSample(series.Key, series.Labels, value + 0.0, beforeMs, histogram)
            {
                Group = _labels[group],
                Output = output,
                Exemplars = takesExemplars ? _exemplars : null,
            });
            counters.OutputSamples++;
        }
    }

    private bool CarriesExemplars(int output, string? label) =>
        _rule.Outputs[output].CarriesExemplars && _rule.Outputs[output].ExemplarLabel == label;

    private OutputSeries Describe(int output, int group, string value)
    {
        var labels = _rule.OutputLabels(_labels[group]!, _rule.Outputs[output], value);
        var blocks = _labeledSeries[output]?.Blocks ?? _blocks;
        return labels is null
            ? OutputSeries.Dropped
            : new OutputSeries(labels.StableKey(), blocks.Add(group, LabelBlock.Encode(labels)));
    }

    private void Expire(int group)
    {
        ref var row = ref _rows[group];
        row.LastMs = Never;
        AliveCount--;
        if ((row.Marks & RowMarks.HasHistograms) != 0)
        {
            row.Marks &= ~RowMarks.HasHistograms;
            foreach (var totals in _histogramTotals)
            {
                totals?.Clear(group);
            }
        }
        foreach (var totals in _totals)
        {
            totals[group] = default;
        }
        foreach (var totals in _labeledTotals)
        {
            totals?.Clear(group);
        }
        if (row.SeriesCount == 0)
        {
            Free(group);
        }
    }

    private void Free(int group)
    {
        if (_isCopy)
        {
            return;
        }
        _keys.Remove(group);
        _labels[group] = null;
        Exemplars?.Forget(group);
        OverflowCount -= (_rows[group].Marks & RowMarks.IsOverflow) != 0 ? 1 : 0;
        foreach (var series in _outputSeries)
        {
            series[group] = null;
        }
        _blocks.Forget(group);
        foreach (var series in _labeledSeries)
        {
            series?.Forget(group);
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
