using Millrace.Memory;

namespace Millrace.Aggregation.Outputs;

/// <summary>
/// The distribution of a group's samples: every value exactly as long as they are few different ones, then in buckets
/// that are the exponent of the double and the first bits of its mantissa. A bucket's width is a fixed share of its
/// values, so an answer from its middle is wrong by a share of at most 1/257 with 7 bits of mantissa. Where the values
/// lie in too many buckets, a bit less is kept.
/// </summary>
/// <remarks>
/// Bounds: <see cref="MaxValues"/> and <see cref="MaxBuckets"/> of 16 bytes. How coarse the buckets are follows from
/// the set of values alone: a coarser step is taken when, and only when, the finer one has too many. So the state
/// depends neither on order nor on split. A value that gave way to another stays in that set with a count of 0.
/// </remarks>
internal sealed class QuantileSketch : IOutputState<QuantileSketch>
{
    /// <summary>Up to here different values are kept as they are.</summary>
    public const int MaxValues = 128;

    /// <summary>At 7 bits this holds 16 octaves without a hole: values between 1 and 65536.</summary>
    public const int MaxBuckets = 2048;

    private const int MantissaBits = 52;
    private const int FinestShift = MantissaBits - 7;

    // Whole octaves: there are not more than 4096 of them.
    private const int CoarsestShift = MantissaBits;

    private readonly SortedCounts _buckets = new();
    private int _shift; // low bits of the value's bits that a key does not have
    private long _count;
    private double _min;
    private double _max;

    public bool IsLarge => _buckets.Length > 2 * MaxValues;

    /// <summary>The largest share by which a quantile may be wrong; 0 while all values are known.</summary>
    public double RelativeError => _shift == 0 ? 0 : 1 / (Math.ScaleB(2, MantissaBits - _shift) + 1);

    public void Add(double value)
    {
        _count++;
        Note(value, 1);
    }

    public void Add(ReadOnlySpan<double> values)
    {
        foreach (var value in values)
        {
            Add(value);
        }
    }

    /// <summary>A value gives way to another one.</summary>
    public void Replace(double oldValue, double newValue)
    {
        Note(oldValue, -1);
        Note(newValue, 1);
    }

    /// <summary>A value that does not count.</summary>
    public void Lose(double value) => Note(value, 0);

    /// <summary>
    /// As vmagent has it: the sample with the number phi·(n - 1), rounded, of the n sorted ones. 0 and 1 give the
    /// smallest and the largest sample exactly.
    /// </summary>
    public double Quantile(double phi)
    {
        if (phi <= 0)
        {
            return _min;
        }
        if (phi >= 1)
        {
            return _max;
        }
        var rank = (long)(phi * (_count - 1) + 0.5);
        return Math.Clamp(MiddleOf(_buckets.KeyAt(_buckets.IndexOfRank(rank))), _min, _max);
    }

    public void Clear()
    {
        _buckets.Clear();
        (_shift, _count) = (0, 0);
    }

    public void Merge(QuantileSketch other)
    {
        Coarsen(other._shift);
        var wasEmpty = _buckets.Length == 0;
        for (var i = 0; i < other._buckets.Length; i++)
        {
            Count(other._buckets.KeyAt(i) >> (_shift - other._shift), other._shift, other._buckets.CountAt(i));
        }
        _count += other._count;
        if (other._buckets.Length > 0)
        {
            _min = wasEmpty ? other._min : Math.Min(_min, other._min);
            _max = wasEmpty ? other._max : Math.Max(_max, other._max);
        }
    }

    public void Write(SnapshotWriter writer)
    {
        _buckets.Write(writer);
        writer.Write(_shift);
        writer.Write(_count);
        writer.Write(_min);
        writer.Write(_max);
    }

    public void Read(SnapshotReader reader)
    {
        _buckets.Read(reader);
        _shift = reader.ReadInt32();
        _count = reader.ReadInt64();
        _min = reader.ReadDouble();
        _max = reader.ReadDouble();
    }

    private void Note(double value, int count)
    {
        value += 0.0; // -0 is 0
        if (_buckets.Length == 0)
        {
            (_min, _max) = (value, value);
        }
        _min = Math.Min(_min, value);
        _max = Math.Max(_max, value);
        Count(KeyOf(value), 0, count);
    }

    /// <summary>A key without its <paramref name="shift"/> lowest bits.</summary>
    private void Count(long key, int shift, long count)
    {
        // Values that will not be kept need no room either.
        if (_shift == 0 && _buckets.Length == MaxValues && !_buckets.Contains(key))
        {
            Coarsen(FinestShift);
        }
        _buckets.Add(key >> (_shift - shift), count);
        Shrink();
    }

    private void Shrink()
    {
        while (_buckets.Length > (_shift == 0 ? MaxValues : MaxBuckets) && _shift < CoarsestShift)
        {
            Coarsen(_shift == 0 ? FinestShift : _shift + 1);
        }
    }

    private void Coarsen(int shift)
    {
        if (shift > _shift)
        {
            _buckets.ShiftKeys(shift - _shift);
            _shift = shift;
        }
    }

    /// <summary>The bits of the value as a number in the order of values; those below 0 begin at -1.</summary>
    private static long KeyOf(double value)
    {
        var bits = BitConverter.DoubleToInt64Bits(value);
        return bits >= 0 ? bits : ~(bits & long.MaxValue);
    }

    /// <summary>
    /// The value whose relative distance to both ends of the bucket is the same: their harmonic mean. The ends are
    /// compared as numbers from 1 to 2, where nothing overflows.
    /// </summary>
    private double MiddleOf(long key)
    {
        var isNegative = key < 0;
        var lowest = (isNegative ? ~key : key) << _shift;
        var exponent = lowest >> MantissaBits;
        var magnitude = BitConverter.Int64BitsToDouble(lowest);
        // Below 2.2e-308 buckets are of one width.
        if (_shift != 0 && exponent != 0 && double.IsFinite(magnitude))
        {
            const long One = 1023L << MantissaBits;
            var low = BitConverter.Int64BitsToDouble((lowest & ((1L << MantissaBits) - 1)) | One);
            var high = low + Math.ScaleB(1, _shift - MantissaBits);
            magnitude = 2 * low * high / (low + high) * BitConverter.Int64BitsToDouble(exponent << MantissaBits);
        }
        return isNegative ? -magnitude : magnitude;
    }
}
