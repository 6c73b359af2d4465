namespace Millrace.Aggregation.Histograms;

/// <summary>
/// One histogram out of a sum whose parts have different buckets. Exponential ones meet in the coarsest schema and the
/// widest zero bucket; one that would end inside a populated bucket grows to its end, as in Prometheus. Custom ones
/// meet in the bounds that all of them have. Exponential and custom ones have nothing in common: of a mixture the
/// exponential part is shown.
/// </summary>
internal static class HistogramReconciler
{
    /// <param name="isMixed">Custom histograms were left out.</param>
    public static NativeHistogram? Show(HistogramSum sum, ResetHint hint, out bool isMixed)
    {
        var exponential = new List<HistogramSum.Part>();
        var custom = new List<HistogramSum.Part>();
        foreach (var part in sum.Parts)
        {
            (part.Schema == NativeHistogram.CustomSchema ? custom : exponential).Add(part);
        }
        isMixed = exponential.Count > 0 && custom.Count > 0;
        if (exponential.Count + custom.Count == 0)
        {
            return null;
        }
        return exponential.Count > 0
            ? ShowExponential(exponential, hint, sum.IsFloat)
            : ShowCustom(custom, hint, sum.IsFloat);
    }

    private static NativeHistogram ShowExponential(List<HistogramSum.Part> parts, ResetHint hint, bool isFloat)
    {
        var schema = parts[0].Schema; // The smallest one: parts are ordered.
        var threshold = ZeroThreshold(parts);
        var merged = new HistogramSum.Part(schema, threshold, []);
        foreach (var part in parts)
        {
            merged.Count.Add(part.Count);
            merged.Sum.Add(part.Sum);
            merged.ZeroCount.Add(part.ZeroCount);
            Fold(part, part.Positive, merged, merged.Positive);
            Fold(part, part.Negative, merged, merged.Negative);
        }
        return ToHistogram(merged, hint, isFloat);
    }

    /// <summary>The smallest threshold, not below any part's, that cuts no populated bucket.</summary>
    private static double ZeroThreshold(List<HistogramSum.Part> parts)
    {
        var threshold = 0.0;
        foreach (var part in parts)
        {
            threshold = Math.Max(threshold, part.ZeroThreshold);
        }
        for (var before = -1.0; before < threshold;)
        {
            before = threshold;
            foreach (var part in parts)
            {
                if (part.ZeroThreshold < threshold)
                {
                    threshold = Math.Max(EndOfCut(part, part.Positive, threshold), threshold);
                    threshold = Math.Max(EndOfCut(part, part.Negative, threshold), threshold);
                }
            }
        }
        return threshold;
    }

    /// <summary>The end of the populated bucket in which a threshold lies; 0 if it lies in none.</summary>
    private static double EndOfCut(HistogramSum.Part part, BucketSums side, double threshold)
    {
        for (var i = 0; i < side.Length; i++)
        {
            var end = NativeHistogram.UpperBound(side.Indexes[i], part.Schema);
            if (end > threshold)
            {
                var isCut = NativeHistogram.UpperBound(side.Indexes[i] - 1, part.Schema) < threshold
                    && side.Sums[i].Value != 0;
                return isCut ? end : 0;
            }
        }
        return 0;
    }

    private static void Fold(HistogramSum.Part part, BucketSums from, HistogramSum.Part merged, BucketSums to)
    {
        for (var i = 0; i < from.Length; i++)
        {
            var index = from.Indexes[i];
            if (part.ZeroThreshold < merged.ZeroThreshold
                && NativeHistogram.UpperBound(index, part.Schema) <= merged.ZeroThreshold)
            {
                merged.ZeroCount.Add(from.Sums[i]);
            }
            else
            {
                to.Add(NativeHistogram.Coarser(index, part.Schema - merged.Schema), from.Sums[i]);
            }
        }
    }

    private static NativeHistogram ShowCustom(List<HistogramSum.Part> parts, ResetHint hint, bool isFloat)
    {
        var bounds = new List<double>(parts[0].Bounds);
        foreach (var part in parts)
        {
            bounds.RemoveAll(bound => Array.BinarySearch(part.Bounds, bound) < 0);
        }
        var merged = new HistogramSum.Part(NativeHistogram.CustomSchema, 0, [.. bounds]);
        foreach (var part in parts)
        {
            merged.Count.Add(part.Count);
            merged.Sum.Add(part.Sum);
            for (var i = 0; i < part.Positive.Length; i++)
            {
                var index = part.Positive.Indexes[i];
                // The bucket of the first common bound that is not below the bucket's own one; the infinite one else.
                var at = index < part.Bounds.Length ? bounds.BinarySearch(part.Bounds[index]) : bounds.Count;
                merged.Positive.Add(at < 0 ? ~at : at, part.Positive.Sums[i]);
            }
        }
        return ToHistogram(merged, hint, isFloat);
    }

    private static NativeHistogram ToHistogram(HistogramSum.Part part, ResetHint hint, bool isFloat)
    {
        var positive = ToSide(part.Positive, ref isFloat);
        var negative = ToSide(part.Negative, ref isFloat);
        var (count, zeroCount) = (part.Count.Value, part.ZeroCount.Value);
        isFloat |= !IsInteger(count) || !IsInteger(zeroCount);
        return new NativeHistogram
        {
            Schema = part.Schema,
            ZeroThreshold = part.ZeroThreshold,
            ZeroCount = zeroCount + 0.0,
            Count = count + 0.0,
            Sum = part.Sum.Value + 0.0,
            IsFloat = isFloat,
            Hint = hint,
            Bounds = part.Bounds,
            Positive = positive,
            Negative = negative,
        };
    }

    private static HistogramSide ToSide(BucketSums sums, ref bool isFloat)
    {
        var indexes = new List<int>(sums.Length);
        var counts = new List<double>(sums.Length);
        for (var i = 0; i < sums.Length; i++)
        {
            var count = sums.Sums[i].Value;
            if (count != 0)
            {
                indexes.Add(sums.Indexes[i]);
                counts.Add(count);
                isFloat |= !IsInteger(count);
            }
        }
        return new HistogramSide([.. indexes], [.. counts]);
    }

    /// <summary>Integers have their own form, and some backends know no other.</summary>
    private static bool IsInteger(double count) => count is >= 0 and <= 1L << 53;
}
