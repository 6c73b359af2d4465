using System.Globalization;
using Millrace.Memory;

namespace Millrace.Aggregation.Outputs;

/// <summary>How many samples are in each bucket of VictoriaMetrics' histogram.</summary>
internal sealed class BucketCounts : IOutputState<BucketCounts>
{
    private readonly SortedCounts _counts = new();

    public SortedCounts Counts => _counts;

    public bool IsLarge => false;

    public void Add(double value, int count)
    {
        // Values below 0 have no bucket.
        if (value >= 0)
        {
            _counts.Add(VmRange.BucketOf(value), count);
        }
    }

    public void Clear() => _counts.Clear();

    public void Merge(BucketCounts other)
    {
        for (var i = 0; i < other._counts.Length; i++)
        {
            _counts.Add(other._counts.KeyAt(i), other._counts.CountAt(i));
        }
    }

    public void Write(SnapshotWriter writer) => _counts.Write(writer);

    public void Read(SnapshotReader reader) => _counts.Read(reader);
}

/// <summary>
/// <c>histogram_bucket</c>: a series per bucket that has samples, counted since the group began.
/// </summary>
internal sealed class HistogramBucket : LabeledOutput<BucketCounts>
{
    public override bool TakesByGroup => true;

    public override void AddToGroup(int group, ReadOnlySpan<double> values)
    {
        var state = this[group];
        foreach (var value in values)
        {
            state.Add(value, 1);
        }
    }

    public override void AddSamples(
        ReadOnlySpan<int> groups, ReadOnlySpan<double> values, ReadOnlySpan<long> timesMs)
    {
        for (var i = 0; i < groups.Length; i++)
        {
            this[groups[i]].Add(values[i], 1);
        }
    }

    public override void Replace(int group, double oldValue, double newValue, long timeMs)
    {
        var state = this[group];
        state.Add(oldValue, -1);
        state.Add(newValue, 1);
    }

    public override void CopyValues(int group, LabeledValues values)
    {
        if (Find(group) is not { } state)
        {
            return;
        }
        for (var i = 0; i < state.Counts.Length; i++)
        {
            if (state.Counts.CountAt(i) > 0)
            {
                values.Add(VmRange.LabelOf((int)state.Counts.KeyAt(i)), state.Counts.CountAt(i));
            }
        }
    }
}

/// <summary>
/// The buckets of VictoriaMetrics' histogram: 18 per decade from 1e-9 to 1e18, a bound belonging to the bucket below;
/// what is smaller or larger has one each. Found by exponent and the first 4 bits of the mantissa: a bucket is wider
/// (13.6 %) than a step of those (6.25 %), so that at most one bound lies in a step.
/// </summary>
internal static class VmRange
{
    private const int PerDecade = 18;
    private const int LowestDecade = -9;
    private const int HighestDecade = 18;
    private const int BoundCount = (HighestDecade - LowestDecade) * PerDecade + 1;
    private const int StepShift = 48;

    /// <summary>The bucket of everything from the largest bound on.</summary>
    private const int Upper = BoundCount;

    /// <summary>10^(i/18), by which the same bounds are read on every platform.</summary>
    private static readonly string[] Steps =
    [
        "1", "1.13646366638572474664", "1.29154966501488387541", "1.46779926762206954092",
        "1.66810053720005875360", "1.89573565240637580361", "2.15443469003188372176", "2.44843674682222700628",
        "2.78255940220712459766", "3.16227766016837933200", "3.59381366380462730219", "4.08423865267452111654",
        "4.64158883361277889241", "5.27499706370261840136", "5.99484250318941014812", "6.81292069057961285498",
        "7.74263682681127059727", "8.79922543569107030142",
    ];

    private static readonly double[] Bounds = NewBounds();
    private static readonly long FirstStep = StepOf(Bounds[0]);
    private static readonly short[] BucketOfStep = NewSteps();
    private static readonly string[] Labels = NewLabels();

    /// <summary>The bucket of a value that is not below 0: 0 for the smallest, then in order.</summary>
    public static int BucketOf(double value)
    {
        if (value < Bounds[0])
        {
            return 0;
        }
        if (value >= Bounds[^1])
        {
            return Upper;
        }
        int bucket = BucketOfStep[StepOf(value) - FirstStep];
        return value > Bounds[bucket] ? bucket + 1 : bucket;
    }

    /// <summary>The value of the label <c>vmrange</c>.</summary>
    public static string LabelOf(int bucket) => Labels[bucket];

    private static long StepOf(double value) => BitConverter.DoubleToInt64Bits(value) >> StepShift;

    private static double[] NewBounds()
    {
        var bounds = new double[BoundCount];
        for (var i = 0; i < BoundCount; i++)
        {
            var text = string.Create(
                CultureInfo.InvariantCulture, $"{Steps[i % PerDecade]}e{LowestDecade + i / PerDecade}");
            bounds[i] = double.Parse(text, CultureInfo.InvariantCulture);
        }
        return bounds;
    }

    /// <summary>By step, the bucket of the smallest value in it: 1 is what begins with the smallest bound.</summary>
    private static short[] NewSteps()
    {
        var steps = new short[StepOf(Bounds[^1]) - FirstStep + 1];
        var bucket = 1;
        for (var i = 0; i < steps.Length; i++)
        {
            var lowest = BitConverter.Int64BitsToDouble((FirstStep + i) << StepShift);
            while (bucket < BoundCount - 1 && Bounds[bucket] < lowest)
            {
                bucket++;
            }
            steps[i] = (short)bucket;
        }
        return steps;
    }

    private static string[] NewLabels()
    {
        var labels = new string[BoundCount + 1];
        labels[0] = $"0...{Text(Bounds[0])}";
        for (var i = 1; i < BoundCount; i++)
        {
            labels[i] = $"{Text(Bounds[i - 1])}...{Text(Bounds[i])}";
        }
        labels[Upper] = $"{Text(Bounds[^1])}...+Inf";
        return labels;
    }

    private static string Text(double bound) => bound.ToString("0.000e+00", CultureInfo.InvariantCulture);
}
