using System.Buffers.Binary;
using Millrace.Memory;
using Millrace.Model;

namespace Millrace.Aggregation.Exemplars;

/// <summary>
/// An exemplar: its labels in the form of a label block, when it was seen, and what was observed. The hash is of all
/// three and the same everywhere.
/// </summary>
internal readonly record struct Exemplar(long TimeMs, double Value, byte[] Labels, ulong Hash)
{
    public static Exemplar Of(long timeMs, double value, ReadOnlySpan<byte> labels)
    {
        value += 0.0; // -0 and 0 are one value.
        Span<byte> seen = stackalloc byte[16];
        BinaryPrimitives.WriteInt64LittleEndian(seen, timeMs);
        BinaryPrimitives.WriteDoubleLittleEndian(seen[8..], value);
        return new Exemplar(timeMs, value, labels.ToArray(), StableHash.Hash64(labels, StableHash.Hash64(seen)));
    }

    public bool Equals(Exemplar other) => CompareTo(other) == 0;

    public override int GetHashCode() => (int)Hash;

    /// <summary>As receivers want those of one series: by time, then by value, then by labels.</summary>
    public int CompareTo(in Exemplar other)
    {
        var order = TimeMs.CompareTo(other.TimeMs);
        order = order != 0 ? order : Value.CompareTo(other.Value);
        return order != 0 ? order : Labels.AsSpan().SequenceCompareTo(other.Labels);
    }

    public bool IsLargerThan(in Exemplar other) =>
        Value != other.Value ? Value > other.Value : CompareTo(other) > 0;

    /// <summary>The order of chance, the same in every process.</summary>
    public bool IsDrawnBefore(in Exemplar other) =>
        Hash != other.Hash ? Hash < other.Hash : CompareTo(other) < 0;
}

/// <summary>
/// A few exemplars of many: the one with the largest value, and of all of them those with the smallest hashes, which
/// are a random choice. What is kept is a function of the set that was added: neither order nor repetition
/// matters, and reservoirs of parts merge into that of the whole.
/// </summary>
internal sealed class ExemplarReservoir(int capacity)
{
    private readonly List<Exemplar> _drawn = []; // by hash; as many as may be shown
    private Exemplar? _largest;

    /// <summary>Different exemplars that are kept: at most one more than may be shown.</summary>
    public int Count => _drawn.Count + (_largest is { } largest && !_drawn.Contains(largest) ? 1 : 0);

    public void Add(in Exemplar exemplar)
    {
        if (_largest is not { } largest || exemplar.IsLargerThan(largest))
        {
            _largest = exemplar;
        }
        var at = _drawn.Count;
        while (at > 0 && !_drawn[at - 1].IsDrawnBefore(exemplar))
        {
            at--;
        }
        if (at == capacity || (at < _drawn.Count && _drawn[at].Equals(exemplar)))
        {
            return;
        }
        _drawn.Insert(at, exemplar);
        if (_drawn.Count > capacity)
        {
            _drawn.RemoveAt(capacity);
        }
    }

    public void Merge(ExemplarReservoir other)
    {
        foreach (var exemplar in other._drawn)
        {
            Add(exemplar);
        }
        if (other._largest is { } largest)
        {
            Add(largest);
        }
    }

    /// <summary>The largest and as many drawn ones as there is room for, in the order of time.</summary>
    public List<Exemplar> Shown()
    {
        var shown = new List<Exemplar>();
        if (_largest is { } largest)
        {
            shown.Add(largest);
            for (var i = 0; i < _drawn.Count && shown.Count < capacity; i++)
            {
                if (!_drawn[i].Equals(largest))
                {
                    shown.Add(_drawn[i]);
                }
            }
        }
        shown.Sort((a, b) => a.CompareTo(b));
        return shown;
    }

    public void Write(SnapshotWriter writer)
    {
        var isBeside = Count > _drawn.Count;
        writer.Write(Count);
        foreach (var exemplar in _drawn)
        {
            Write(writer, exemplar);
        }
        if (isBeside)
        {
            Write(writer, _largest!.Value);
        }
    }

    public void Read(SnapshotReader reader)
    {
        for (var count = reader.ReadInt32(); count > 0; count--)
        {
            Add(Exemplar.Of(reader.ReadInt64(), reader.ReadDouble(), reader.ReadSpan<byte>()));
        }
    }

    private static void Write(SnapshotWriter writer, in Exemplar exemplar)
    {
        writer.Write(exemplar.TimeMs);
        writer.Write(exemplar.Value);
        writer.WriteSpan<byte>(exemplar.Labels);
    }
}
