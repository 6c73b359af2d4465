using Microsoft.Net.Http.Headers;
using Millrace.Pipeline;

namespace Millrace.Ingest;

/// <summary>What the headers of a write request say of its body, as the remote-write specifications have it.</summary>
internal static class RequestFormat
{
    private const string V1Message = "prometheus.WriteRequest";
    private const string V2Message = "io.prometheus.write.v2.Request";

    /// <summary>
    /// Remote write: <c>application/x-protobuf</c>, the message named by <c>proto</c> (1.0 without it), snappy; and
    /// zstd, VictoriaMetrics' protocol. A missing header means protobuf and snappy, as in Prometheus.
    /// </summary>
    public static bool TryReadRemoteWrite(
        string? contentType, string contentEncoding, out BodyEncoding encoding, out string refusal)
    {
        encoding = default;
        if (!TryReadProtocol(contentType, out var protocol, out refusal))
        {
            return false;
        }
        var compression = Coding(contentEncoding) switch
        {
            "" or "snappy" => BodyCompression.Snappy,
            "zstd" => BodyCompression.Zstd,
            _ => BodyCompression.None,
        };
        if (compression == BodyCompression.None)
        {
            refusal = $"Content-Encoding \"{Shown(contentEncoding)}\" is not supported here: use snappy.";
            return false;
        }
        encoding = new BodyEncoding(protocol, compression);
        return true;
    }

    /// <summary>Text: any content type, plain, gzip or zstd.</summary>
    public static bool TryReadText(string contentEncoding, out BodyEncoding encoding, out string refusal)
    {
        refusal = "";
        var compression = Coding(contentEncoding) switch
        {
            "" or "identity" => BodyCompression.None,
            "gzip" => BodyCompression.Gzip,
            "zstd" => BodyCompression.Zstd,
            "snappy" => BodyCompression.Snappy,
            _ => (BodyCompression)byte.MaxValue,
        };
        encoding = new BodyEncoding(BodyProtocol.PrometheusText, compression);
        if (compression == (BodyCompression)byte.MaxValue)
        {
            refusal = $"Content-Encoding \"{Shown(contentEncoding)}\" is not supported here: use gzip.";
            return false;
        }
        return true;
    }

    private static bool TryReadProtocol(string? contentType, out BodyProtocol protocol, out string refusal)
    {
        protocol = BodyProtocol.RemoteWriteV1;
        refusal = "";
        if (string.IsNullOrEmpty(contentType) || contentType == "application/x-protobuf")
        {
            return true;
        }
        if (!MediaTypeHeaderValue.TryParse(contentType, out var media)
            || !media.MediaType.Equals("application/x-protobuf", StringComparison.OrdinalIgnoreCase))
        {
            refusal = $"Content-Type \"{Shown(contentType)}\" is not supported here: use application/x-protobuf.";
            return false;
        }
        foreach (var parameter in media.Parameters)
        {
            if (!parameter.Name.Equals("proto", StringComparison.OrdinalIgnoreCase))
            {
                continue;
            }
            var message = HeaderUtilities.RemoveQuotes(parameter.Value);
            if (message.Equals(V2Message, StringComparison.Ordinal))
            {
                protocol = BodyProtocol.RemoteWriteV2;
            }
            else if (!message.Equals(V1Message, StringComparison.Ordinal))
            {
                refusal = $"The message \"{Shown(message.ToString())}\" is not supported here: use {V1Message} "
                    + $"or {V2Message}.";
                return false;
            }
        }
        return true;
    }

    private static string Coding(string header) => header.Trim().ToLowerInvariant();

    private static string Shown(string? value) => value is { Length: > 100 } ? value[..100] + "…" : value ?? "";
}
