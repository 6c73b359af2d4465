using System.Buffers.Binary;
using Microsoft.AspNetCore.Http;
using Millrace.Pipeline;

namespace Millrace.Ingest;

/// <summary>What a write request is answered.</summary>
/// <param name="Status">Of HTTP.</param>
/// <param name="Text">Empty for 204.</param>
/// <param name="Written">For the headers of remote write 2.0; null: a sender of 1.0 must not see them.</param>
/// <param name="RetryAfter">In seconds, where the sender shall come again.</param>
internal readonly record struct WriteAnswer(
    int Status, string Text, WrittenCounts? Written = null, string? RetryAfter = null);

/// <summary>
/// What becomes of a write request, whoever speaks HTTP with the sender. Status codes: 204 everything is in the log (or
/// was dropped by the configuration, counted); 400 the body is malformed and had no effect, or some of its series are
/// refused for good and the rest is in the log; 413 and 415; 429 and 503 come back later, and nothing was taken.
/// </summary>
internal sealed class WriteIntake
{
    private const uint ZstdMagic = 0xFD2FB528;
    private const string SoonRetryAfter = "1";
    private const string DiskRetryAfter = "10";

    private readonly IngestPipeline _pipeline;
    private readonly IngestLimits _limits;
    private readonly Func<string?> _notAccepting;

    /// <param name="pipeline">Takes the bodies.</param>
    /// <param name="limits">Of requests.</param>
    /// <param name="counters">Of requests and answers.</param>
    /// <param name="notAccepting">Why nothing is taken at the moment; null: it is.</param>
    public WriteIntake(
        IngestPipeline pipeline, IngestLimits limits, IngestCounters counters, Func<string?> notAccepting)
    {
        (_pipeline, _limits, Counters, _notAccepting) = (pipeline, limits, counters, notAccepting);
        Gate = new AdmissionGate(limits, counters, pipeline.Engine);
    }

    public AdmissionGate Gate { get; }

    public IngestCounters Counters { get; }

    public long MaxRequestBytes => _limits.MaxRequestBytes;

    /// <summary>Asks to come in before the body is read; true must be followed by <see cref="Leave"/>.</summary>
    public bool TryEnter(BodyEncoding encoding, long? contentLength, out WriteAnswer refusal)
    {
        refusal = default;
        if (contentLength > _limits.MaxRequestBytes)
        {
            refusal = TooLarge(encoding);
        }
        else if (_notAccepting() is { } reason)
        {
            refusal = Unavailable(encoding, reason, SoonRetryAfter);
        }
        else if (!Gate.TryEnter())
        {
            refusal = Busy(encoding, Gate.TooManyRequests);
        }
        return refusal.Status == 0;
    }

    public void Leave() => Gate.Leave();

    public async ValueTask<WriteAnswer> TakeAsync(ReadOnlyMemory<byte> body, BodyEncoding encoding) =>
        Answer(encoding, await PushAsync(body, encoding).ConfigureAwait(false), body.Length);

    public WriteAnswer TooLarge(BodyEncoding encoding) => Refused(
        encoding, StatusCodes.Status413PayloadTooLarge,
        $"The body is larger than ingest.max_request_bytes ({_limits.MaxRequestBytes}) allows.");

    /// <summary>The body was not read, for there is no room.</summary>
    public WriteAnswer NoRoom(BodyEncoding encoding) =>
        Busy(encoding, Gate.TooManyBytes);

    /// <summary>The sender went away: nobody reads an answer.</summary>
    public void SenderGone(BodyEncoding encoding) =>
        Counters.Answered(ProtocolNumber(encoding), IngestCounters.SenderGone, 0, 0);

    /// <summary>Nothing was taken.</summary>
    public WriteAnswer Refused(BodyEncoding encoding, int status, string text, string? retryAfter = null)
    {
        Counters.Answered(ProtocolNumber(encoding), status, 0, 0);
        return new WriteAnswer(status, text, Told(encoding, default), retryAfter);
    }

    private WriteAnswer Busy(BodyEncoding encoding, string text) =>
        Refused(encoding, StatusCodes.Status429TooManyRequests, text, SoonRetryAfter);

    private WriteAnswer Unavailable(BodyEncoding encoding, string text, string retryAfter) =>
        Refused(encoding, StatusCodes.Status503ServiceUnavailable, text, retryAfter);

    /// <summary>
    /// Some senders name one of snappy and zstd and send the other (vmagent, while it changes its mind): the body
    /// decides.
    /// </summary>
    private async ValueTask<PushResult> PushAsync(ReadOnlyMemory<byte> body, BodyEncoding encoding)
    {
        var result = await _pipeline.PushAsync(body, encoding).ConfigureAwait(false);
        if (result.Status != PushStatus.Malformed || encoding.Protocol == BodyProtocol.PrometheusText)
        {
            return result;
        }
        var isZstd = body.Length >= 4 && BinaryPrimitives.ReadUInt32LittleEndian(body.Span) == ZstdMagic;
        var actual = encoding with { Compression = isZstd ? BodyCompression.Zstd : BodyCompression.Snappy };
        if (actual == encoding)
        {
            return result;
        }
        var second = await _pipeline.PushAsync(body, actual).ConfigureAwait(false);
        return second.Status == PushStatus.Malformed ? result : second;
    }

    private WriteAnswer Answer(BodyEncoding encoding, in PushResult result, int bodyBytes)
    {
        switch (result.Status)
        {
            case PushStatus.Accepted when result.Refusal.Length == 0:
                Counters.Answered(ProtocolNumber(encoding), StatusCodes.Status204NoContent, bodyBytes, 0);
                return new WriteAnswer(StatusCodes.Status204NoContent, "", Told(encoding, result.Written));
            case PushStatus.Accepted:
                Counters.Answered(
                    ProtocolNumber(encoding), StatusCodes.Status400BadRequest, bodyBytes,
                    result.IsRepeat ? 0 : result.RefusedSamples);
                return new WriteAnswer(
                    StatusCodes.Status400BadRequest,
                    $"{result.RefusedSamples} refused: {result.Refusal}. Stored: {result.Written.Samples} samples, "
                    + $"{result.Written.Histograms} histograms, {result.Written.Exemplars} exemplars.",
                    Told(encoding, result.Written));
            case PushStatus.TooLarge:
                return Refused(encoding, StatusCodes.Status413PayloadTooLarge, result.Refusal);
            case PushStatus.Malformed:
                return Refused(encoding, StatusCodes.Status400BadRequest, result.Refusal);
            case PushStatus.NotReady:
                return Unavailable(encoding, result.Refusal, SoonRetryAfter);
            default:
                return Unavailable(encoding, result.Refusal, DiskRetryAfter);
        }
    }

    /// <summary>Remote write 2.0 alone: a sender of 1.0 must not take the gateway for one that speaks 2.0.</summary>
    private static WrittenCounts? Told(BodyEncoding encoding, in WrittenCounts written) =>
        encoding.Protocol == BodyProtocol.RemoteWriteV2 ? written : null;

    private static int ProtocolNumber(BodyEncoding encoding) => (int)encoding.Protocol - 1;
}
