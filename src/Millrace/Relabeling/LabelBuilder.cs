using Millrace.Model;
using Millrace.Model.Re2;

namespace Millrace.Relabeling;

/// <summary>
/// Labels on their way through relabel rules. One thread owns it and uses it for one series after the other, so that
/// a series costs only the texts that are new.
///
/// The order of the labels is part of what rules do: in Prometheus a label a rule has set stands behind those
/// untouched, in vmagent it stays in its place; <c>labelmap</c> shows it when two labels get one name.
/// </summary>
internal sealed class LabelBuilder
{
    private const int MinLabels = 32;

    private Label[] _labels = [];
    private Label[] _snapshot = [];
    private int _count;
    private int _untouched;
    private RelabelDialect _dialect;

    public LabelBuilder()
    {
    }

    public LabelBuilder(LabelSet labels) => Reset(labels);

    /// <summary>
    /// The labels in the order the rules see. After a run: sorted, without empty values or repeated names.
    /// </summary>
    public ReadOnlySpan<Label> Labels => _labels.AsSpan(0, _count);

    public int Count => _count;

    /// <summary>Buffers for the rules; what they hold is lost with the next rule.</summary>
    internal CharBuffer Source { get; } = new();

    internal CharBuffer Output { get; } = new();

    internal CharBuffer Template { get; } = new();

    /// <summary>Starts with the labels of a series.</summary>
    public void Reset(LabelSet labels)
    {
        Clear();
        foreach (var label in labels.Labels)
        {
            Append(label.Name, label.Value);
        }
        _untouched = _count;
    }

    public void Clear()
    {
        Array.Clear(_labels, 0, _count);
        _count = 0;
        _untouched = 0;
    }

    /// <summary>Adds a label without looking whether the name is there; of two with one name the later wins.</summary>
    public void Append(string name, string value)
    {
        if (_count == _labels.Length)
        {
            Array.Resize(ref _labels, Math.Max(MinLabels, _count * 2));
        }
        _labels[_count++] = new Label(name, value);
    }

    /// <summary>The value of the label; empty when it is not there.</summary>
    public string this[string name]
    {
        get
        {
            var index = IndexOf(name);
            return index < 0 ? "" : _labels[index].Value;
        }
    }

    /// <summary>
    /// Removes labels that begin with <c>__</c>, except the metric name: what vmagent does behind the relabel rules
    /// of remote write, but not behind those of aggregation rules.
    /// </summary>
    public void RemoveInternalLabels()
    {
        var kept = 0;
        for (var i = 0; i < _count; i++)
        {
            var name = _labels[i].Name;
            if (!name.StartsWith("__", StringComparison.Ordinal) || name == LabelSet.MetricName)
            {
                _labels[kept++] = _labels[i];
            }
        }
        Truncate(kept);
    }

    /// <summary>The labels as a set, without those that have no value or, in vmagent's dialect, no name.</summary>
    public LabelSet ToLabelSet()
    {
        SortAndClean();
        return LabelSet.FromSorted(Labels);
    }

    /// <summary>Prepares for a run: sorted, clean, and nothing set yet.</summary>
    internal void Begin(RelabelDialect dialect)
    {
        SortAndClean();
        _dialect = dialect;
        _untouched = _count;
    }

    internal void Set(string name, string value)
    {
        if (name.Length == 0 && _dialect == RelabelDialect.Prometheus)
        {
            return; // vmagent keeps it until the end, where it goes like an empty value
        }
        var index = IndexOf(name);
        if (_dialect == RelabelDialect.VmAgent)
        {
            if (index < 0)
            {
                Append(name, value);
            }
            else
            {
                _labels[index] = _labels[index] with { Value = value };
            }
        }
        else if (index >= _untouched && value.Length > 0)
        {
            _labels[index] = _labels[index] with { Value = value };
        }
        else
        {
            if (index >= 0)
            {
                RemoveAt(index);
            }
            if (value.Length > 0)
            {
                Append(name, value);
            }
        }
    }

    /// <summary>
    /// Sets a value that stands in a buffer; an equal value that is there already is not built again.
    /// </summary>
    internal void Set(string name, ReadOnlySpan<char> value)
    {
        var index = IndexOf(name);
        Set(name, index >= 0 && value.SequenceEqual(_labels[index].Value) ? _labels[index].Value : value.ToString());
    }

    /// <summary>As <see cref="ToLabelSet"/>, in the middle of a run: order and empty labels stay as they are.</summary>
    internal LabelSet Peek()
    {
        var seen = new LabelBuilder();
        foreach (var label in Labels)
        {
            seen.Append(label.Name, label.Value);
        }
        return seen.ToLabelSet();
    }

    /// <summary>A copy of the labels that later changes do not reach; the next copy overwrites it.</summary>
    internal ReadOnlySpan<Label> Snapshot()
    {
        if (_snapshot.Length < _count)
        {
            _snapshot = new Label[_labels.Length];
        }
        Labels.CopyTo(_snapshot);
        return _snapshot.AsSpan(0, _count);
    }

    internal void Rename(int index, string name) => _labels[index] = _labels[index] with { Name = name };

    /// <summary>Keeps the labels at the marked positions only.</summary>
    internal void Retain(ReadOnlySpan<bool> keep)
    {
        var kept = 0;
        var untouched = 0;
        for (var i = 0; i < _count; i++)
        {
            if (keep[i])
            {
                untouched += i < _untouched ? 1 : 0;
                _labels[kept++] = _labels[i];
            }
        }
        Truncate(kept);
        _untouched = untouched;
    }

    internal void SortAndClean()
    {
        var clean = true;
        for (var i = 0; i < _count && clean; i++)
        {
            clean = _labels[i].Value.Length > 0 && _labels[i].Name.Length > 0
                && (i == 0 || Utf8Order.Compare(_labels[i - 1].Name, _labels[i].Name) < 0);
        }
        if (clean)
        {
            return;
        }
        InsertionSort();
        var kept = 0;
        for (var i = 0; i < _count; i++)
        {
            if (_labels[i].Value.Length == 0 || _labels[i].Name.Length == 0)
            {
                continue;
            }
            var repeats = kept > 0 && _labels[kept - 1].Name == _labels[i].Name;
            kept -= repeats ? 1 : 0;
            _labels[kept++] = _labels[i];
        }
        Truncate(kept);
    }

    /// <summary>Stable, and nearly linear on what it gets: sorted labels with a few new ones behind them.</summary>
    private void InsertionSort()
    {
        for (var i = 1; i < _count; i++)
        {
            var label = _labels[i];
            var j = i - 1;
            while (j >= 0 && Utf8Order.Compare(_labels[j].Name, label.Name) > 0)
            {
                _labels[j + 1] = _labels[j];
                j--;
            }
            _labels[j + 1] = label;
        }
    }

    private int IndexOf(string name)
    {
        for (var i = 0; i < _count; i++)
        {
            if (string.Equals(_labels[i].Name, name, StringComparison.Ordinal))
            {
                return i;
            }
        }
        return -1;
    }

    private void RemoveAt(int index)
    {
        Array.Copy(_labels, index + 1, _labels, index, _count - index - 1);
        _labels[--_count] = default;
        _untouched -= index < _untouched ? 1 : 0;
    }

    private void Truncate(int count)
    {
        Array.Clear(_labels, count, _count - count);
        _count = count;
        _untouched = Math.Min(_untouched, count);
    }
}
