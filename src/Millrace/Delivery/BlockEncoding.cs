using Millrace.Protocols.Compression;

namespace Millrace.Delivery;

/// <summary>What goes on the wire, made from a canonical block: equal blocks give equal bytes.</summary>
internal static class BlockEncoding
{
    private const int MaxDecodedBytes = 256 << 20;

    /// <summary>False when the block is damaged, or the protocol cannot be had on this machine.</summary>
    public static bool TryEncode(ReadOnlyMemory<byte> canonical, WireProtocol protocol, out ReadOnlyMemory<byte> body)
    {
        body = canonical;
        return protocol switch
        {
            WireProtocol.PrometheusV1 => true,
            WireProtocol.VictoriaMetrics => TryZstd(canonical.Span, out body),
            _ => false,
        };
    }

    private static bool TryZstd(ReadOnlySpan<byte> canonical, out ReadOnlyMemory<byte> body)
    {
        body = default;
        if (!Snappy.TryGetDecodedLength(canonical, out var length) || length > MaxDecodedBytes)
        {
            return false;
        }
        var decoded = new byte[length];
        var compressed = new byte[Zstd.MaxCompressedLength(length)];
        if (!Snappy.TryDecode(canonical, decoded) || !Zstd.TryCompress(decoded, compressed, out var written))
        {
            return false;
        }
        body = compressed.AsMemory(0, written);
        return true;
    }
}
