using System.Numerics;

namespace Millrace.Aggregation;

/// <summary>
/// Counts lags (arrival minus timestamp) in buckets of a quarter octave of milliseconds. One thread writes, others
/// may read at any time.
/// </summary>
internal sealed class LagHistogram
{
    public const int BucketCount = 128;

    private readonly long[] _counts = new long[BucketCount];

    public ReadOnlySpan<long> Counts => _counts;

    public void Observe(long lagMs) => _counts[BucketOf(lagMs)]++;

    /// <summary>The largest lag that falls into a bucket, in milliseconds.</summary>
    public static long UpperBoundMs(int bucket)
    {
        var octave = bucket / 4;
        return octave == 0 ? bucket : ((4L + (bucket & 3) + 1) << (octave - 1)) - 1;
    }

    private static int BucketOf(long lagMs)
    {
        if (lagMs < 4)
        {
            return (int)Math.Max(0, lagMs);
        }
        var exponent = BitOperations.Log2((ulong)lagMs);
        var quarter = (int)(lagMs >> (exponent - 2)) & 3;
        return Math.Min(BucketCount - 1, (exponent - 1) * 4 + quarter);
    }
}
