using Millrace.Aggregation.Outputs;
using Millrace.Memory;

namespace Millrace.Aggregation.Histograms;

/// <summary>
/// A sum of native histograms. Those with equal buckets are added up as they are; what is different is made alike only
/// when the sum is shown, from all parts at once: so neither order nor split shows in the result.
/// </summary>
internal sealed class HistogramSum : IOutputState<HistogramSum>
{
    /// <summary>Kinds of buckets in one group: in practice there is one.</summary>
    private const int MaxParts = 32;

    /// <summary>Histograms of the same schema, zero threshold and custom bounds.</summary>
    public sealed class Part(int schema, double zeroThreshold, double[] bounds)
    {
        public readonly int Schema = schema;
        public readonly double ZeroThreshold = zeroThreshold;
        public readonly double[] Bounds = bounds;
        public readonly BucketSums Positive = new();
        public readonly BucketSums Negative = new();
        public DoubleDouble Count;
        public DoubleDouble Sum;
        public DoubleDouble ZeroCount;

        public int CompareTo(int otherSchema, double otherThreshold, double[] otherBounds)
        {
            var order = Schema.CompareTo(otherSchema);
            order = order != 0 ? order : ZeroThreshold.CompareTo(otherThreshold);
            return order != 0 ? order : Bounds.AsSpan().SequenceCompareTo(otherBounds);
        }
    }

    private readonly List<Part> _parts = []; // ordered

    public IReadOnlyList<Part> Parts => _parts;

    /// <summary>Some summand was a float histogram, or was divided.</summary>
    public bool IsFloat { get; private set; }

    public bool IsLarge => false;

    /// <summary>Adds a histogram, or takes it away. False: too many kinds of buckets in one sum.</summary>
    public bool TryAdd(NativeHistogram histogram, bool isAdded)
    {
        if (PartOf(histogram.Schema, histogram.ZeroThreshold, histogram.Bounds) is not { } part)
        {
            return false;
        }
        var sign = isAdded ? 1 : -1;
        IsFloat |= histogram.IsFloat;
        part.Count.Add(sign * histogram.Count);
        part.Sum.Add(sign * histogram.Sum);
        part.ZeroCount.Add(sign * histogram.ZeroCount);
        Add(part.Positive, histogram.Positive, sign);
        Add(part.Negative, histogram.Negative, sign);
        return true;
    }

    public void Merge(HistogramSum other)
    {
        IsFloat |= other.IsFloat;
        foreach (var from in other._parts)
        {
            if (PartOf(from.Schema, from.ZeroThreshold, from.Bounds) is { } part)
            {
                part.Count.Add(from.Count);
                part.Sum.Add(from.Sum);
                part.ZeroCount.Add(from.ZeroCount);
                part.Positive.Add(from.Positive);
                part.Negative.Add(from.Negative);
            }
        }
    }

    /// <summary>Adds another sum, each of its numbers rounded and divided.</summary>
    public void MergeDivided(HistogramSum other, double divisor)
    {
        IsFloat = true;
        foreach (var from in other._parts)
        {
            if (PartOf(from.Schema, from.ZeroThreshold, from.Bounds) is { } part)
            {
                part.Count.Add(from.Count.Value / divisor);
                part.Sum.Add(from.Sum.Value / divisor);
                part.ZeroCount.Add(from.ZeroCount.Value / divisor);
                part.Positive.AddDivided(from.Positive, divisor);
                part.Negative.AddDivided(from.Negative, divisor);
            }
        }
    }

    public void Clear()
    {
        _parts.Clear();
        IsFloat = false;
    }

    public void Write(SnapshotWriter writer)
    {
        writer.Write(IsFloat ? 1 : 0);
        writer.Write(_parts.Count);
        foreach (var part in _parts)
        {
            writer.Write(part.Schema);
            writer.Write(part.ZeroThreshold);
            writer.WriteSpan<double>(part.Bounds);
            writer.Write(part.Count);
            writer.Write(part.Sum);
            writer.Write(part.ZeroCount);
            part.Positive.Write(writer);
            part.Negative.Write(writer);
        }
    }

    public void Read(SnapshotReader reader)
    {
        IsFloat = reader.ReadInt32() != 0;
        for (var count = reader.ReadInt32(); count > 0; count--)
        {
            var part = new Part(reader.ReadInt32(), reader.ReadDouble(), reader.ReadSpan<double>())
            {
                Count = reader.Read<DoubleDouble>(),
                Sum = reader.Read<DoubleDouble>(),
                ZeroCount = reader.Read<DoubleDouble>(),
            };
            part.Positive.Read(reader);
            part.Negative.Read(reader);
            _parts.Add(part);
        }
    }

    private static void Add(BucketSums sums, in HistogramSide side, int sign)
    {
        for (var i = 0; i < side.Indexes.Length; i++)
        {
            sums.Add(side.Indexes[i], sign * side.Counts[i]);
        }
    }

    private Part? PartOf(int schema, double threshold, double[] bounds)
    {
        var at = 0;
        for (; at < _parts.Count; at++)
        {
            var order = _parts[at].CompareTo(schema, threshold, bounds);
            if (order == 0)
            {
                return _parts[at];
            }
            if (order > 0)
            {
                break;
            }
        }
        if (_parts.Count == MaxParts)
        {
            return null;
        }
        var part = new Part(schema, threshold, bounds);
        _parts.Insert(at, part);
        return part;
    }
}

/// <summary>Sums by the number of a bucket, in the order of the numbers.</summary>
internal sealed class BucketSums
{
    private int[] _indexes = [];
    private DoubleDouble[] _sums = [];

    public int Length { get; private set; }

    public ReadOnlySpan<int> Indexes => _indexes.AsSpan(0, Length);

    public ReadOnlySpan<DoubleDouble> Sums => _sums.AsSpan(0, Length);

    public void Add(int index, double value) => At(index).Add(value);

    public void Add(BucketSums other)
    {
        for (var i = 0; i < other.Length; i++)
        {
            At(other._indexes[i]).Add(other._sums[i]);
        }
    }

    public void AddDivided(BucketSums other, double divisor)
    {
        for (var i = 0; i < other.Length; i++)
        {
            At(other._indexes[i]).Add(other._sums[i].Value / divisor);
        }
    }

    public void Add(int index, in DoubleDouble sum) => At(index).Add(sum);

    public void Write(SnapshotWriter writer)
    {
        writer.WriteSpan(Indexes);
        writer.WriteSpan(Sums);
    }

    public void Read(SnapshotReader reader)
    {
        _indexes = reader.ReadSpan<int>();
        _sums = reader.ReadSpan<DoubleDouble>();
        Length = _indexes.Length;
    }

    private ref DoubleDouble At(int index)
    {
        var at = Indexes.BinarySearch(index);
        if (at < 0)
        {
            at = ~at;
            if (Length == _indexes.Length)
            {
                Array.Resize(ref _indexes, Math.Max(8, Length * 2));
                Array.Resize(ref _sums, _indexes.Length);
            }
            _indexes.AsSpan(at, Length - at).CopyTo(_indexes.AsSpan(at + 1));
            _sums.AsSpan(at, Length - at).CopyTo(_sums.AsSpan(at + 1));
            (_indexes[at], _sums[at]) = (index, default);
            Length++;
        }
        return ref _sums[at];
    }
}
