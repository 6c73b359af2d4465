using Millrace.Memory;

namespace Millrace.Aggregation.Outputs;

/// <summary>The state of a group in a window, where it is more than a struct.</summary>
internal interface IOutputState<TState>
{
    /// <summary>As new, but for the memory it may keep for the next window.</summary>
    void Clear();

    void Merge(TState other);

    /// <summary>Equal states are written as equal bytes.</summary>
    void Write(SnapshotWriter writer);

    void Read(SnapshotReader reader);

    /// <summary>Memory above this is not kept over a window in which it is not needed.</summary>
    bool IsLarge { get; }
}

/// <summary>An output whose state per group is an object, made when the group has its first sample.</summary>
internal abstract class OutputObjects<TState> : OutputWindow where TState : class, IOutputState<TState>, new()
{
    private struct Row
    {
        public TState? State;
        public bool IsUsed;
    }

    private Row[] _rows = [];

    public sealed override void Reserve(int groupCount)
    {
        if (groupCount > _rows.Length)
        {
            Array.Resize(ref _rows, Math.Max(groupCount, _rows.Length * 2));
        }
    }

    public sealed override void Merge(int group, OutputWindow other, int otherGroup)
    {
        if (((OutputObjects<TState>)other).Find(otherGroup) is { } state)
        {
            this[group].Merge(state);
        }
    }

    public sealed override void Clear(int group)
    {
        ref var row = ref _rows[group];
        if (!row.IsUsed)
        {
            return;
        }
        row.IsUsed = false;
        if (row.State!.IsLarge)
        {
            row.State = null;
        }
        else
        {
            row.State.Clear();
        }
    }

    public sealed override void Write(SnapshotWriter writer, int groupCount)
    {
        for (var group = 0; group < groupCount; group++)
        {
            var state = Find(group);
            writer.Write(state is null ? 0 : 1);
            state?.Write(writer);
        }
    }

    public sealed override void Read(SnapshotReader reader, int groupCount)
    {
        Reserve(groupCount);
        for (var group = 0; group < groupCount; group++)
        {
            if (reader.ReadInt32() != 0)
            {
                this[group].Read(reader);
            }
        }
    }

    /// <summary>The state of a group; null: it saw nothing in this window.</summary>
    protected TState? Find(int group) => _rows[group].IsUsed ? _rows[group].State : null;

    /// <summary>The state of a group that sees something.</summary>
    protected TState this[int group]
    {
        get
        {
            ref var row = ref _rows[group];
            row.IsUsed = true;
            return row.State ??= new TState();
        }
    }
}

/// <summary>An output that shows several series of a group, told apart by a label.</summary>
internal abstract class LabeledOutput<TState> : OutputObjects<TState> where TState : class, IOutputState<TState>, new()
{
    public sealed override bool TryGetValue(int group, out double value)
    {
        value = 0;
        return Find(group) is not null;
    }
}
