namespace Millrace.Placement;

/// <summary>What each node should have, and what it may have at most, of a total.</summary>
internal readonly struct NodeShares
{
    private NodeShares(long[] fair, long[] within, long[] most) => (Fair, Within, Most) = (fair, within, most);

    /// <summary>By weight, rounded down.</summary>
    public long[] Fair { get; }

    /// <summary>The fair share times the bound, rounded down: together it may be less than there is to share.</summary>
    public long[] Within { get; }

    /// <summary>As <see cref="Within"/>, and never less than the fair share rounded up, so that all fits.</summary>
    public long[] Most { get; }

    /// <param name="total">What there is to share.</param>
    /// <param name="weights">By node; 0 for one that gets nothing.</param>
    /// <param name="boundPermille">At least 1000.</param>
    public static NodeShares Of(long total, ReadOnlySpan<int> weights, int boundPermille)
    {
        Int128 sum = 0;
        foreach (var weight in weights)
        {
            sum += weight;
        }
        var fair = new long[weights.Length];
        var within = new long[weights.Length];
        var most = new long[weights.Length];
        for (var node = 0; sum > 0 && node < weights.Length; node++)
        {
            var share = (Int128)total * weights[node];
            fair[node] = (long)(share / sum);
            within[node] = (long)(share * boundPermille / (1000 * sum));
            most[node] = Math.Max(within[node], (long)((share + sum - 1) / sum));
        }
        return new NodeShares(fair, within, most);
    }
}
