namespace Millrace.Aggregation;

/// <summary>
/// Which of two samples of one time survives deduplication: the larger value, whoever came first. A stale marker gives
/// way to every number, and a number to a NaN that is no marker, as in vmagent; so the order is total, and what
/// survives does not depend on the order of arrival.
/// </summary>
internal static class SampleOrder
{
    private const ulong StaleMarker = 0x7ff0000000000002;

    public static bool IsStaleMarker(double value) => BitConverter.DoubleToUInt64Bits(value) == StaleMarker;

    public static bool IsLarger(double value, double than)
    {
        if (value > than)
        {
            return true;
        }
        if (value < than)
        {
            return false;
        }
        var (rank, thanRank) = (RankOf(value), RankOf(than));
        if (rank != thanRank)
        {
            return rank > thanRank;
        }
        // Two zeros, or two kinds of NaN: as signed numbers the bits of 0 are above those of -0.
        return BitConverter.DoubleToInt64Bits(value) > BitConverter.DoubleToInt64Bits(than);
    }

    /// <summary>Of two equal values the one of the later start: which of them knew it must not show.</summary>
    public static bool IsLarger(double value, long startMs, double than, long thanStartMs) =>
        IsLarger(value, than)
        || (startMs > thanStartMs
            && BitConverter.DoubleToInt64Bits(value) == BitConverter.DoubleToInt64Bits(than));

    private static int RankOf(double value) => !double.IsNaN(value) ? 1 : IsStaleMarker(value) ? 0 : 2;
}
