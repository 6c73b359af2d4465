using Millrace.Protocols;
using Millrace.Protocols.RemoteWrite;

namespace Millrace.Delivery;

/// <summary>
/// What goes on the wire, made from a canonical block: equal blocks give equal bytes. For one caller at a time.
/// </summary>
internal sealed class BlockEncoding(Func<string, MetricMetadata?>? metadataOf)
{
    private readonly RemoteWriteTranscoder _transcoder = new();
    private byte[] _buffer = [];

    /// <summary>False when the block is damaged, or the protocol cannot be had on this machine.</summary>
    public bool TryEncode(ReadOnlyMemory<byte> canonical, WireProtocol protocol, out ReadOnlyMemory<byte> body)
    {
        body = canonical;
        if (protocol == WireProtocol.PrometheusV1)
        {
            // As it is: receivers of 1.0 skip the start timestamps, which it does not know, and nothing is decoded.
            return true;
        }
        int length;
        var isEncoded = protocol == WireProtocol.PrometheusV2
            ? _transcoder.TryToV2(canonical.Span, metadataOf, ref _buffer, out length, out _)
            : _transcoder.TryToVictoriaMetrics(canonical.Span, ref _buffer, out length);
        body = isEncoded ? _buffer.AsMemory(0, length).ToArray() : default;
        return isEncoded;
    }
}
