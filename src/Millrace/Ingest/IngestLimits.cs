namespace Millrace.Ingest;

/// <summary>The <c>ingest</c> section: bounds checked before memory is allocated.</summary>
public sealed record IngestLimits
{
    /// <summary>Body as received, compressed. Beyond it: 413.</summary>
    public long MaxRequestBytes { get; init; } = 32L << 20;

    /// <summary>Body after decompression, also as declared by the sender. Beyond it: 413.</summary>
    public long MaxDecompressedBytes { get; init; } = 128L << 20;

    public int MaxSeriesPerRequest { get; init; } = 1_000_000;

    public int MaxLabelsPerSeries { get; init; } = 128;

    public int MaxLabelNameBytes { get; init; } = 1024;

    public int MaxLabelValueBytes { get; init; } = 16 << 10;

    /// <summary>
    /// Series whose labels are remembered; past it the cache starts anew: slower for a while, never wrong.
    /// </summary>
    public int MaxCachedSeries { get; init; } = 4_000_000;

    /// <summary>Requests being read or applied. Beyond it: 429.</summary>
    public int MaxConcurrentRequests { get; init; } = 512;

    /// <summary>Bytes of bodies being read and of decoded samples not yet applied. Beyond it: 429.</summary>
    public long MaxInFlightBytes { get; init; } = 512L << 20;
}
