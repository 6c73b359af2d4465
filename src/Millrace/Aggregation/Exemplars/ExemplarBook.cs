using System.Buffers;
using Millrace.Memory;
using Millrace.Protocols.RemoteWrite;

namespace Millrace.Aggregation.Exemplars;

/// <summary>The exemplars of one open window of a shard; there is none in a window without.</summary>
internal sealed class ExemplarWindow(int capacity)
{
    private readonly SortedDictionary<int, ExemplarReservoir> _groups = [];
    private readonly SortedSet<int> _slots = [];

    /// <summary>Exemplars that are kept in all groups.</summary>
    public int Count { get; private set; }

    /// <summary>The series has some, and must not be forgotten: what came before its samples is not lost.</summary>
    public bool Holds(int slot) => _slots.Contains(slot);

    /// <summary>How many exemplars have no place now: this one or an earlier one, or none.</summary>
    public int Add(int slot, int group, in Exemplar exemplar)
    {
        _slots.Add(slot);
        if (!_groups.TryGetValue(group, out var reservoir))
        {
            _groups.Add(group, reservoir = new ExemplarReservoir(capacity));
        }
        var before = reservoir.Count;
        reservoir.Add(exemplar);
        Count += reservoir.Count - before;
        return before + 1 - reservoir.Count;
    }

    /// <summary>Null: the group has none.</summary>
    public ExemplarReservoir? Find(int group) => _groups.GetValueOrDefault(group);

    public void Write(SnapshotWriter writer)
    {
        writer.Write(_slots.Count);
        foreach (var slot in _slots)
        {
            writer.Write(slot);
        }
        writer.Write(_groups.Count);
        foreach (var (group, reservoir) in _groups)
        {
            writer.Write(group);
            reservoir.Write(writer);
        }
    }

    public void Read(SnapshotReader reader)
    {
        for (var count = reader.ReadInt32(); count > 0; count--)
        {
            _slots.Add(reader.ReadInt32());
        }
        for (var count = reader.ReadInt32(); count > 0; count--)
        {
            var reservoir = new ExemplarReservoir(capacity);
            _groups.Add(reader.ReadInt32(), reservoir);
            reservoir.Read(reader);
            Count += reservoir.Count;
        }
    }
}

/// <summary>
/// The exemplars of a rule in one task, on their way from open windows to output series. Receivers take those of a
/// series in order of time alone, so of a group none is shown that is not newer than the last one shown.
/// </summary>
internal sealed class ExemplarBook(int capacity)
{
    /// <summary>Prometheus stores none whose labels are longer than 128 characters.</summary>
    private const int MaxLabelBytes = 1024;

    private readonly SortedDictionary<int, long> _shownMs = []; // by group
    private readonly ArrayBufferWriter<byte> _encoded = new();

    /// <summary>Whether there is any use for an exemplar of a group.</summary>
    public bool Takes(int group, long timeMs, double value, ReadOnlySpan<byte> labels) =>
        !double.IsNaN(value) && labels.Length <= MaxLabelBytes
        && (!_shownMs.TryGetValue(group, out var shownMs) || timeMs > shownMs);

    public void Add(
        WindowState window, int slot, int group, long timeMs, double value, ReadOnlySpan<byte> labels,
        ShardCounters counters)
    {
        window.Exemplars ??= new ExemplarWindow(capacity);
        counters.DroppedExemplars += window.Exemplars.Add(slot, group, Exemplar.Of(timeMs, value, labels));
    }

    /// <summary>The window has no exemplars any more.</summary>
    /// <param name="sent">Those of its exemplars that went with an output series.</param>
    public static void Finish(WindowState window, int sent, ShardCounters counters)
    {
        if (window.Exemplars is { } exemplars)
        {
            counters.SentExemplars += sent;
            counters.DroppedExemplars += exemplars.Count - sent;
            window.Exemplars = null;
        }
    }

    /// <summary>What a group shows, as fields of a TimeSeries; null: nothing.</summary>
    public byte[]? Encode(WindowState? window, int group, out int count, out long lastMs)
    {
        (count, lastMs) = (0, 0);
        if (window?.Exemplars?.Find(group) is not { } reservoir)
        {
            return null;
        }
        _encoded.ResetWrittenCount();
        foreach (var exemplar in reservoir.Shown())
        {
            V1SeriesWriter.WriteExemplar(_encoded, exemplar.Labels, exemplar.Value, exemplar.TimeMs);
            lastMs = exemplar.TimeMs;
            count++;
        }
        return _encoded.WrittenSpan.ToArray();
    }

    public void Sent(int group, long lastMs) => _shownMs[group] = lastMs;

    public void Forget(int group) => _shownMs.Remove(group);

    public void Write(SnapshotWriter writer)
    {
        writer.Write(_shownMs.Count);
        foreach (var (group, shownMs) in _shownMs)
        {
            writer.Write(group);
            writer.Write(shownMs);
        }
    }

    public void Read(SnapshotReader reader)
    {
        for (var count = reader.ReadInt32(); count > 0; count--)
        {
            _shownMs.Add(reader.ReadInt32(), reader.ReadInt64());
        }
    }
}
