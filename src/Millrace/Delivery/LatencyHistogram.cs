namespace Millrace.Delivery;

/// <summary>How long something took, in buckets; any thread counts and reads.</summary>
internal sealed class LatencyHistogram
{
    /// <summary>Upper bounds of the buckets; the last bucket has none.</summary>
    public static readonly long[] BoundsMs =
        [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000];

    private readonly long[] _counts = new long[BoundsMs.Length + 1];
    private long _sumMs;

    public void Observe(long ms)
    {
        var bucket = 0;
        while (bucket < BoundsMs.Length && ms > BoundsMs[bucket])
        {
            bucket++;
        }
        Interlocked.Increment(ref _counts[bucket]);
        Interlocked.Add(ref _sumMs, ms);
    }

    /// <summary>Per bucket, not cumulative.</summary>
    public long[] Counts() => Array.ConvertAll(_counts, static count => Volatile.Read(ref count));

    public long SumMs => Interlocked.Read(ref _sumMs);
}
