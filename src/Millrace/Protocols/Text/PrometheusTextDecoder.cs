using System.Globalization;

namespace Millrace.Protocols.Text;

/// <summary>
/// Decodes the Prometheus text exposition format 0.0.4, and tolerates OpenMetrics: <c># EOF</c>, <c># UNIT</c>,
/// exemplars, quoted UTF-8 names. Timestamps follow VictoriaMetrics: milliseconds, unless the number is so small that
/// it must be OpenMetrics' seconds. A line that cannot be read refuses the body: a sender that is told so repairs its
/// format, one whose lines vanish does not notice.
/// </summary>
internal static class PrometheusTextDecoder
{
    /// <inheritdoc cref="RemoteWrite.RemoteWriteV1Decoder.TryDecode"/>
    public static bool TryDecode<TSink>(
        ReadOnlySpan<byte> body, ref TSink sink, in DecodeLimits limits, out string error)
        where TSink : struct, IWriteSink
    {
        var decoder = new TextLineDecoder<TSink>(ref sink, limits);
        try
        {
            var lineNumber = 0;
            while (!body.IsEmpty)
            {
                lineNumber++;
                var length = body.IndexOf((byte)'\n');
                var line = length < 0 ? body : body[..length];
                body = length < 0 ? default : body[(length + 1)..];
                if (decoder.DecodeLine(line) is { } fault)
                {
                    error = string.Create(
                        CultureInfo.InvariantCulture, $"The text is malformed in line {lineNumber}: {fault}.");
                    return false;
                }
            }
            decoder.TellMetadata();
            error = "";
            return true;
        }
        finally
        {
            decoder.Dispose();
        }
    }
}
