using System.Runtime.CompilerServices;
using Millrace.Memory;

namespace Millrace.Aggregation.Outputs;

/// <summary>What the sweep at a close found of one series in one window.</summary>
internal struct SeriesWindow
{
    public int Group;

    /// <summary>The counter's increase, a first sample counted by the rule's policy.</summary>
    public double Increase;

    /// <summary>The same without first samples, as PromQL counts.</summary>
    public double IncreasePrometheus;

    /// <summary>Increase per second since the sample before the window's last; NaN where there is none.</summary>
    public double Rate;

    public long FirstMs;
    public long LastMs;
    public double FirstValue;
    public double LastValue;

    /// <summary>A stale marker came after the last sample.</summary>
    public bool IsGone;

    /// <summary>The values of the rule's input labels; null if no output looks at one.</summary>
    public string[]? Labels;
}

/// <summary>The series that a group shows for one output: a value each, and what tells it from the others.</summary>
internal sealed class LabeledValues
{
    private readonly List<(string Label, double Value)> _values = [];

    public int Count => _values.Count;

    public (string Label, double Value) this[int index] => _values[index];

    public void Add(string label, double value) => _values.Add((label, value));

    public void Clear() => _values.Clear();
}

/// <summary>
/// The state of one output in one window, a row per group. Every state merges: merging the states of any split of
/// the input gives the state of the unsplit input.
/// </summary>
internal abstract class OutputWindow
{
    /// <summary>Samples in log order, as three spans of equal length.</summary>
    public virtual void AddSamples(ReadOnlySpan<int> groups, ReadOnlySpan<double> values, ReadOnlySpan<long> timesMs)
    {
    }

    /// <summary>
    /// Whether it would rather have <see cref="AddToGroup"/> than <see cref="AddSamples"/>: its state per group is
    /// large, and shows neither order nor times of samples, nor whether one came before or after it gave way.
    /// </summary>
    public virtual bool TakesByGroup => false;

    /// <summary>Samples of one group.</summary>
    public virtual void AddToGroup(int group, ReadOnlySpan<double> values)
    {
    }

    /// <summary>A sample's value gave way to a larger one at the same time.</summary>
    public virtual void Replace(int group, double oldValue, double newValue, long timeMs)
    {
    }

    /// <summary>
    /// A sample gave way to a larger one at the same time, or came after it. An output that wants to know must do the
    /// same in <see cref="Replace"/>, so that the order of the two does not matter.
    /// </summary>
    public virtual void Lose(int group, double value)
    {
    }

    /// <summary>Series of the window, at its close.</summary>
    public virtual void AddSeries(ReadOnlySpan<SeriesWindow> series)
    {
    }

    /// <summary>Makes rows for the groups below this number.</summary>
    public abstract void Reserve(int groupCount);

    /// <summary>False when the group saw nothing in this window that gives a value.</summary>
    public abstract bool TryGetValue(int group, out double value);

    /// <summary>Adds the values of an output that shows several series of a group, in an order of its own.</summary>
    public virtual void CopyValues(int group, LabeledValues values)
    {
    }

    public abstract void Merge(int group, OutputWindow other, int otherGroup);

    public abstract void Clear(int group);

    public abstract void Write(SnapshotWriter writer, int groupCount);

    public abstract void Read(SnapshotReader reader, int groupCount);
}

/// <summary>An output whose state per group is one struct, all zero when nothing was seen.</summary>
internal abstract class OutputColumn<TState> : OutputWindow where TState : unmanaged
{
    private readonly Column<TState> _states = new();

    public sealed override void Reserve(int groupCount) => _states.EnsureCapacity(groupCount);

    public sealed override bool TryGetValue(int group, out double value) => TryGetValue(in _states[group], out value);

    public sealed override void Merge(int group, OutputWindow other, int otherGroup) =>
        Merge(ref _states[group], in ((OutputColumn<TState>)other)._states[otherGroup]);

    public sealed override void Clear(int group) => _states[group] = default;

    public sealed override void Write(SnapshotWriter writer, int groupCount)
    {
        for (var group = 0; group < groupCount; group++)
        {
            writer.Write(_states[group]);
        }
    }

    public sealed override void Read(SnapshotReader reader, int groupCount)
    {
        Reserve(groupCount);
        for (var group = 0; group < groupCount; group++)
        {
            _states[group] = reader.Read<TState>();
        }
    }

    protected ref TState this[int group]
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => ref _states[group];
    }

    protected abstract bool TryGetValue(in TState state, out double value);

    protected abstract void Merge(ref TState state, in TState other);
}
