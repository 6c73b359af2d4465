namespace Millrace.Placement;

/// <summary>What each node should have, and what it may have at most, of a total.</summary>
internal readonly struct NodeShares
{
    private NodeShares(long[] fair, long[] most) => (Fair, Most) = (fair, most);

    /// <summary>By weight, rounded down.</summary>
    public long[] Fair { get; }

    /// <summary>The fair share times the bound, and never less than what whole tasks make of the fair share.</summary>
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
        var most = new long[weights.Length];
        for (var node = 0; sum > 0 && node < weights.Length; node++)
        {
            var share = (Int128)total * weights[node];
            fair[node] = (long)(share / sum);
            most[node] = (long)Int128.Max(share * boundPermille / (1000 * sum), (share + sum - 1) / sum);
        }
        return new NodeShares(fair, most);
    }
}
