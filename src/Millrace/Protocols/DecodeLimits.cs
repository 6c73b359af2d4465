namespace Millrace.Protocols;

/// <summary>What a decoder may spend on one body; beyond it the body is refused as a whole.</summary>
internal readonly record struct DecodeLimits
{
    public DecodeLimits()
    {
    }

    public static readonly DecodeLimits Default = new();

    /// <summary>TimeSeries messages, or sample lines of a text.</summary>
    public int MaxSeries { get; init; } = 1_000_000;

    /// <summary>Entries of remote write 2.0's symbol table; each costs 8 bytes while its body is decoded.</summary>
    public int MaxSymbols { get; init; } = 4_000_000;

    /// <summary>One label block built from references or text: 128 labels of full length fit.</summary>
    public int MaxLabelBlockBytes { get; init; } = 4 << 20;

    /// <summary>
    /// All label blocks built from one body. A reference of two bytes can stand for a long symbol, so that a small
    /// body could otherwise cost hours of copying.
    /// </summary>
    public long MaxExpandedBytes { get; init; } = 1L << 30;
}
