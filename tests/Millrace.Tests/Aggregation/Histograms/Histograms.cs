using Millrace.Aggregation.Histograms;

namespace Millrace.Tests.Aggregation.Histograms;

/// <summary>Native histograms for tests.</summary>
internal static class Histograms
{
    public const double Zero = 1e-3;

    public static NativeHistogram Of(
        params ReadOnlySpan<(int Index, double Count)> buckets) => Exponential(0, Zero, 0, buckets);

    public static NativeHistogram Exponential(
        int schema, double threshold, double zeroCount, params ReadOnlySpan<(int Index, double Count)> buckets)
    {
        var positive = Side(buckets);
        return new NativeHistogram
        {
            Schema = schema,
            ZeroThreshold = threshold,
            ZeroCount = zeroCount,
            Count = zeroCount + positive.Counts.Sum(),
            Sum = positive.Counts.Sum() * 2,
            Positive = positive,
        };
    }

    public static NativeHistogram Custom(double[] bounds, params ReadOnlySpan<(int Index, double Count)> buckets)
    {
        var positive = Side(buckets);
        return new NativeHistogram
        {
            Schema = NativeHistogram.CustomSchema,
            ZeroThreshold = 0,
            Bounds = bounds,
            Count = positive.Counts.Sum(),
            Sum = positive.Counts.Sum() * 2,
            Positive = positive,
        };
    }

    public static NativeHistogram Random(Random random, bool mayBeCustom = true)
    {
        var isFloat = random.Next(3) == 0;
        var isCustom = mayBeCustom && random.Next(4) == 0;
        double[] bounds = random.Next(2) == 0 ? [0.1, 1, 10] : [0.1, 0.5, 1, 5, 10, 50];
        var positive = RandomSide(random, isFloat, isCustom ? (0, bounds.Length + 1) : (-30, 40));
        var negative = isCustom ? HistogramSide.Empty : RandomSide(random, isFloat, (-5, 10));
        var zeroCount = isCustom ? 0 : random.Next(5);
        return new NativeHistogram
        {
            Schema = isCustom ? NativeHistogram.CustomSchema : random.Next(-4, 9),
            ZeroThreshold = isCustom ? 0 : random.Next(3) switch { 0 => 0, 1 => 2.938735877055719e-39, _ => 1e-3 },
            ZeroCount = zeroCount,
            Count = zeroCount + positive.Counts.Sum() + negative.Counts.Sum(),
            Sum = random.Next(-1000, 1000) / 8.0,
            IsFloat = isFloat,
            Hint = (ResetHint)random.Next(4),
            Bounds = isCustom ? bounds : [],
            Positive = positive,
            Negative = negative,
        };
    }

    /// <summary>Schema, zero bucket and buckets as text.</summary>
    public static string Text(NativeHistogram histogram) => string.Create(
        System.Globalization.CultureInfo.InvariantCulture,
        $"{histogram.Schema}/{histogram.ZeroThreshold} count {histogram.Count} sum {histogram.Sum} zero "
            + $"{histogram.ZeroCount} {Text(histogram.Positive)} {Text(histogram.Negative)}"
            + $"{string.Join(',', histogram.Bounds)} {histogram.IsFloat} {histogram.Hint}");

    private static string Text(HistogramSide side) => "[" + string.Join(' ', side.Indexes.Zip(
        side.Counts, (index, count) => string.Create(
            System.Globalization.CultureInfo.InvariantCulture, $"{index}:{count:R}"))) + "]";

    private static HistogramSide Side(ReadOnlySpan<(int Index, double Count)> buckets)
    {
        var sorted = buckets.ToArray().OrderBy(bucket => bucket.Index).ToArray();
        return new HistogramSide(
            [.. sorted.Select(bucket => bucket.Index)], [.. sorted.Select(bucket => bucket.Count)]);
    }

    private static HistogramSide RandomSide(Random random, bool isFloat, (int From, int To) range)
    {
        var buckets = new SortedDictionary<int, double>();
        for (var i = random.Next(12); i > 0; i--)
        {
            buckets[random.Next(range.From, range.To)] = random.Next(1, 1000) / (isFloat ? 8.0 : 1);
        }
        return new HistogramSide([.. buckets.Keys], [.. buckets.Values]);
    }
}
