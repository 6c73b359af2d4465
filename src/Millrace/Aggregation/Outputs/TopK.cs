using System.Runtime.InteropServices;
using Millrace.Memory;
using Millrace.Model;

namespace Millrace.Aggregation.Outputs;

/// <summary>A sum for each value of a label among the series of a group: not more than those have.</summary>
internal sealed class LabelSums : IOutputState<LabelSums>
{
    private readonly Dictionary<string, SumState> _sums = new(StringComparer.Ordinal);

    public IReadOnlyDictionary<string, SumState> Sums => _sums;

    public bool IsLarge => _sums.EnsureCapacity(0) > 1024;

    public void Add(string label, double value)
    {
        ref var state = ref CollectionsMarshal.GetValueRefOrAddDefault(_sums, label, out _);
        state.Sum.Add(value);
        state.Count++;
    }

    public void Clear() => _sums.Clear();

    public void Merge(LabelSums other)
    {
        foreach (var (label, sum) in other._sums)
        {
            ref var state = ref CollectionsMarshal.GetValueRefOrAddDefault(_sums, label, out _);
            state.Sum.Add(sum.Sum);
            state.Count += sum.Count;
        }
    }

    public void Write(SnapshotWriter writer)
    {
        var labels = new List<string>(_sums.Keys);
        labels.Sort(StringComparer.Ordinal);
        writer.Write(labels.Count);
        foreach (var label in labels)
        {
            writer.Write(label);
            writer.Write(_sums[label]);
        }
    }

    public void Read(SnapshotReader reader)
    {
        for (var count = reader.ReadInt32(); count > 0; count--)
        {
            _sums.Add(reader.ReadString(), reader.Read<SumState>());
        }
    }
}

/// <summary>
/// <c>topk(k, label)</c>: the k values of a label with the largest sum of their series' last samples, or of their
/// increases with <c>topk(k, label, increase)</c>. As PromQL's <c>topk(k, sum by (label) (…))</c>, but chosen from all
/// series of the window at once. Of equal sums the first label in order wins.
/// </summary>
internal sealed class TopK(int count, int label, bool ofIncrease) : LabeledOutput<LabelSums>
{
    private static readonly Comparison<(string Label, double Value)> LargestFirst = static (a, b) =>
    {
        var byValue = b.Value.CompareTo(a.Value); // NaN comes last
        return byValue != 0 ? byValue : Utf8Order.Compare(a.Label, b.Label);
    };

    private readonly List<(string Label, double Value)> _sorted = [];

    public override void AddSeries(ReadOnlySpan<SeriesWindow> series)
    {
        foreach (ref readonly var one in series)
        {
            if (one.Labels![label] is { Length: > 0 } value && (ofIncrease || !one.IsGone))
            {
                this[one.Group].Add(value, ofIncrease ? one.Increase : one.LastValue);
            }
        }
    }

    public override void CopyValues(int group, LabeledValues values)
    {
        if (Find(group) is not { } state)
        {
            return;
        }
        _sorted.Clear();
        foreach (var (value, sum) in state.Sums)
        {
            _sorted.Add((value, sum.Sum.Value));
        }
        _sorted.Sort(LargestFirst);
        for (var i = 0; i < Math.Min(count, _sorted.Count); i++)
        {
            values.Add(_sorted[i].Label, _sorted[i].Value);
        }
        _sorted.Clear();
    }
}
