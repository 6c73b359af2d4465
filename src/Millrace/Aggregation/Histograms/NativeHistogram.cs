namespace Millrace.Aggregation.Histograms;

/// <summary>What the sender says of the histogram before; numbers as in remote write.</summary>
internal enum ResetHint : byte
{
    Unknown = 0,
    Reset = 1,
    NoReset = 2,
    Gauge = 3,
}

/// <summary>The buckets on one side of zero that are not empty, by their numbers, which rise.</summary>
internal readonly record struct HistogramSide(int[] Indexes, double[] Counts)
{
    public static readonly HistogramSide Empty = new([], []);
}

/// <summary>
/// A native histogram: exponential buckets (schema -4 to 8: bucket i ends at 2^(i/2^schema)) or custom ones (-53).
/// Counts are those of each bucket by itself, integers up to 2^53 exactly. Not changed once it was read.
/// </summary>
internal sealed class NativeHistogram
{
    public const int CustomSchema = -53;

    public required int Schema { get; init; }

    public required double ZeroThreshold { get; init; }

    public double ZeroCount { get; init; }

    public double Count { get; init; }

    public double Sum { get; init; }

    /// <summary>Its counts are floats; otherwise integers.</summary>
    public bool IsFloat { get; init; }

    public ResetHint Hint { get; init; }

    /// <summary>When the counter began; 0: not known.</summary>
    public long StartMs { get; init; }

    /// <summary>The upper bounds of custom buckets, without the last, infinite one.</summary>
    public double[] Bounds { get; init; } = [];

    public HistogramSide Positive { get; init; } = HistogramSide.Empty;

    public HistogramSide Negative { get; init; } = HistogramSide.Empty;

    public bool IsCustom => Schema == CustomSchema;

    /// <summary>
    /// Whether the counter was reset between two samples, as Prometheus judges it: something is smaller than it was, or
    /// the later one has finer buckets, which a counter that goes on never gets.
    /// </summary>
    public static bool IsReset(long beforeMs, NativeHistogram before, NativeHistogram after)
    {
        if (after.Hint == ResetHint.Reset || after.StartMs > beforeMs || after.Count < before.Count
            || after.IsCustom != before.IsCustom)
        {
            return true;
        }
        if (after.IsCustom)
        {
            return !after.Bounds.AsSpan().SequenceEqual(before.Bounds) || IsLess(after.Positive, before.Positive, 0);
        }
        if (after.Schema > before.Schema || after.ZeroThreshold < before.ZeroThreshold)
        {
            return true;
        }
        var zeroCount = before.ZeroCount;
        var positive = WithoutZero(before, before.Positive, after.ZeroThreshold, ref zeroCount, out var isCut);
        var negative = WithoutZero(before, before.Negative, after.ZeroThreshold, ref zeroCount, out var isCutToo);
        var shift = before.Schema - after.Schema;
        return isCut || isCutToo || after.ZeroCount < zeroCount
            || IsLess(after.Positive, positive, shift) || IsLess(after.Negative, negative, shift);
    }

    /// <summary>An order of samples at one time, so that the same one stays whichever came first.</summary>
    public static int Compare(NativeHistogram a, NativeHistogram b)
    {
        var order = a.Count.CompareTo(b.Count);
        order = order != 0 ? order : a.Sum.CompareTo(b.Sum);
        order = order != 0 ? order : a.Schema.CompareTo(b.Schema);
        order = order != 0 ? order : a.ZeroThreshold.CompareTo(b.ZeroThreshold);
        order = order != 0 ? order : a.ZeroCount.CompareTo(b.ZeroCount);
        order = order != 0 ? order : a.Bounds.AsSpan().SequenceCompareTo(b.Bounds);
        order = order != 0 ? order : Compare(a.Positive, b.Positive);
        return order != 0 ? order : Compare(a.Negative, b.Negative);
    }

    private static int Compare(in HistogramSide a, in HistogramSide b)
    {
        var order = a.Indexes.AsSpan().SequenceCompareTo(b.Indexes);
        return order != 0 ? order : a.Counts.AsSpan().SequenceCompareTo(b.Counts);
    }

    /// <summary>The bucket of a coarser schema that a bucket belongs to.</summary>
    public static int Coarser(int index, int schemaSteps) => ((index - 1) >> schemaSteps) + 1;

    /// <summary>The upper bound of an exponential bucket; its lower one is that of the bucket before.</summary>
    public static double UpperBound(int index, int schema)
    {
        if (schema <= 0)
        {
            return Math.ScaleB(1, (int)Math.Clamp((long)index << -schema, -2000, 2000));
        }
        // 2^(part/2^schema) from square roots, which every platform rounds alike.
        var bound = 1.0;
        var root = 2.0;
        for (var bit = schema - 1; bit >= 0; bit--)
        {
            root = Math.Sqrt(root);
            bound *= ((index >> bit) & 1) == 1 ? root : 1;
        }
        return Math.ScaleB(bound, index >> schema);
    }

    /// <summary>What is left of a side when the zero bucket grows; cut: the new bound lies inside a bucket.</summary>
    private static HistogramSide WithoutZero(
        NativeHistogram histogram, in HistogramSide side, double threshold, ref double zeroCount, out bool isCut)
    {
        isCut = false;
        var from = 0;
        if (threshold > histogram.ZeroThreshold)
        {
            for (; from < side.Indexes.Length; from++)
            {
                var index = side.Indexes[from];
                if (UpperBound(index, histogram.Schema) > threshold)
                {
                    isCut = UpperBound(index - 1, histogram.Schema) < threshold;
                    break;
                }
                zeroCount += side.Counts[from];
            }
        }
        return from == 0 ? side : new HistogramSide(side.Indexes[from..], side.Counts[from..]);
    }

    /// <summary>Whether some bucket has less than it had, that one in a schema finer by some steps.</summary>
    private static bool IsLess(in HistogramSide after, in HistogramSide before, int steps)
    {
        var at = 0;
        for (var i = 0; i < before.Indexes.Length;)
        {
            var index = Coarser(before.Indexes[i], steps);
            var count = 0.0;
            for (; i < before.Indexes.Length && Coarser(before.Indexes[i], steps) == index; i++)
            {
                count += before.Counts[i];
            }
            while (at < after.Indexes.Length && after.Indexes[at] < index)
            {
                at++;
            }
            if (at == after.Indexes.Length || after.Indexes[at] != index || after.Counts[at] < count)
            {
                return true;
            }
        }
        return false;
    }
}
