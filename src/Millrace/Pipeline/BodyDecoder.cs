using Millrace.Model;
using Millrace.Protocols;
using Millrace.Protocols.Compression;
using Millrace.Protocols.RemoteWrite;
using Millrace.Protocols.Text;

namespace Millrace.Pipeline;

/// <summary>What a body says. Stored in the log: values are fixed.</summary>
internal enum BodyProtocol : byte
{
    RemoteWriteV1 = 1,
    RemoteWriteV2 = 2,
    PrometheusText = 3,
}

/// <summary>How a body is compressed. Stored in the log: values are fixed.</summary>
internal enum BodyCompression : byte
{
    None = 0,
    Snappy = 1,
    Zstd = 2,
    Gzip = 3,
}

/// <summary>Both, as the log's record header holds them.</summary>
internal readonly record struct BodyEncoding(BodyProtocol Protocol, BodyCompression Compression)
{
    public ushort Number => (ushort)((byte)Protocol | ((byte)Compression << 8));

    public static BodyEncoding FromNumber(ushort number) =>
        new((BodyProtocol)(byte)number, (BodyCompression)(byte)(number >> 8));
}

/// <summary>What a body may hold to be taken into the log.</summary>
internal readonly record struct BodyLimits(long MaxDecompressedBytes, int MaxSeries)
{
    public static readonly BodyLimits None = new(Array.MaxLength, int.MaxValue);
}

/// <summary>What came of decoding a body.</summary>
internal enum DecodeOutcome
{
    Ok,
    Malformed,
    TooLarge,
}

/// <summary>
/// Turns a body as received into a batch. Used by one thread at a time; it keeps the buffer of the uncompressed body.
/// The same body gives the same batch when it is replayed from the log.
/// </summary>
internal sealed class BodyDecoder
{
    /// <summary>A buffer grown by a rare giant is not kept.</summary>
    private const int MaxKeptBytes = 16 << 20;

    private readonly List<Label> _labels = [];
    private byte[] _buffer = [];

    /// <summary>Within the limits of the configuration.</summary>
    public DecodeOutcome Decode(
        ReadOnlySpan<byte> body, BodyEncoding encoding, Generation generation, DecodedBatch batch, out string error)
    {
        var limits = generation.Config.Ingest;
        return Decode(
            body, encoding, generation, new BodyLimits(limits.MaxDecompressedBytes, limits.MaxSeriesPerRequest), batch,
            out error);
    }

    public DecodeOutcome Decode(
        ReadOnlySpan<byte> body, BodyEncoding encoding, Generation generation, in BodyLimits limits,
        DecodedBatch batch, out string error)
    {
        batch.Begin(generation);
        var outcome = Decompress(body, encoding.Compression, limits.MaxDecompressedBytes, out var size, out error);
        if (outcome != DecodeOutcome.Ok)
        {
            return outcome;
        }
        var plain = encoding.Compression == BodyCompression.None ? body : _buffer.AsSpan(0, size);
        var sink = new BatchSink(batch, _labels);
        var decodeLimits = DecodeLimits.Default with { MaxSeries = limits.MaxSeries };
        var isWellFormed = encoding.Protocol switch
        {
            BodyProtocol.RemoteWriteV1 => RemoteWriteV1Decoder.TryDecode(plain, ref sink, decodeLimits, out error),
            BodyProtocol.RemoteWriteV2 => RemoteWriteV2Decoder.TryDecode(plain, ref sink, decodeLimits, out error),
            _ => PrometheusTextDecoder.TryDecode(plain, ref sink, decodeLimits, out error),
        };
        if (_buffer.Length > MaxKeptBytes)
        {
            _buffer = [];
        }
        return isWellFormed ? DecodeOutcome.Ok : DecodeOutcome.Malformed;
    }

    private DecodeOutcome Decompress(
        ReadOnlySpan<byte> body, BodyCompression compression, long maxBytes, out int size, out string error)
    {
        error = "";
        size = 0;
        var max = (int)Math.Min(maxBytes, Array.MaxLength);
        var result = compression switch
        {
            BodyCompression.None => body.Length <= max ? DecompressResult.Ok : DecompressResult.TooLarge,
            BodyCompression.Snappy => DecompressSnappy(body, max, out size),
            BodyCompression.Zstd => Zstd.Decompress(body, max, ref _buffer, out size),
            _ => Gzip.Decompress(body, max, ref _buffer, out size),
        };
        switch (result)
        {
            case DecompressResult.Ok:
                return DecodeOutcome.Ok;
            case DecompressResult.TooLarge:
                error = $"the body is larger than ingest.max_decompressed_bytes ({maxBytes}) allows when decompressed";
                return DecodeOutcome.TooLarge;
            case DecompressResult.Unavailable:
                error = Zstd.MissingLibrary;
                return DecodeOutcome.Malformed;
            default:
                error = $"the body cannot be decompressed as {compression}".ToLowerInvariant();
                return DecodeOutcome.Malformed;
        }
    }

    private DecompressResult DecompressSnappy(ReadOnlySpan<byte> body, int max, out int size)
    {
        // A copy of three bytes makes at most 64: a longer claim is a lie, told to make us allocate.
        if (!Snappy.TryGetDecodedLength(body, out size) || size > body.Length * 32L)
        {
            return DecompressResult.Malformed;
        }
        if (size > max)
        {
            return DecompressResult.TooLarge;
        }
        OutputBuffer.Ensure(ref _buffer, size);
        return Snappy.TryDecode(body, _buffer.AsSpan(0, size)) ? DecompressResult.Ok : DecompressResult.Malformed;
    }
}
