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

    /// <summary>A fraction of the cache that a core has to itself.</summary>
    private const int StepBytes = 64 << 10;

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
        var sink = new BatchSink(batch, _labels);
        var decodeLimits = DecodeLimits.Default with { MaxSeries = limits.MaxSeries };
        var taken = default(V1Progress);
        var result = encoding is { Protocol: BodyProtocol.RemoteWriteV1, Compression: BodyCompression.Snappy }
            ? DecompressAndTake(body, limits.MaxDecompressedBytes, decodeLimits, ref sink, ref taken, out var size)
            : Decompress(body, encoding.Compression, limits.MaxDecompressedBytes, out size);
        if (result != DecompressResult.Ok)
        {
            return Explain(result, encoding.Compression, limits.MaxDecompressedBytes, out error);
        }
        var plain = encoding.Compression == BodyCompression.None ? body : _buffer.AsSpan(0, size);
        var isWellFormed = encoding.Protocol switch
        {
            BodyProtocol.RemoteWriteV1 =>
                RemoteWriteV1Decoder.TryDecodeRest(plain, taken, ref sink, decodeLimits, out error),
            BodyProtocol.RemoteWriteV2 => RemoteWriteV2Decoder.TryDecode(plain, ref sink, decodeLimits, out error),
            _ => PrometheusTextDecoder.TryDecode(plain, ref sink, decodeLimits, out error),
        };
        if (_buffer.Length > MaxKeptBytes)
        {
            _buffer = [];
        }
        return isWellFormed ? DecodeOutcome.Ok : DecodeOutcome.Malformed;
    }

    private DecompressResult Decompress(
        ReadOnlySpan<byte> body, BodyCompression compression, long maxBytes, out int size)
    {
        size = 0;
        var max = (int)Math.Min(maxBytes, Array.MaxLength);
        return compression switch
        {
            BodyCompression.None => body.Length <= max ? DecompressResult.Ok : DecompressResult.TooLarge,
            BodyCompression.Snappy => DecompressSnappy(body, max, out size),
            BodyCompression.Zstd => Zstd.Decompress(body, max, ref _buffer, out size),
            _ => Gzip.Decompress(body, max, ref _buffer, out size),
        };
    }

    private static DecodeOutcome Explain(
        DecompressResult result, BodyCompression compression, long maxBytes, out string error)
    {
        switch (result)
        {
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
        var result = PrepareSnappy(body, max, out size);
        return result == DecompressResult.Ok && !Snappy.TryDecode(body, _buffer.AsSpan(0, size))
            ? DecompressResult.Malformed
            : result;
    }

    /// <summary>
    /// Looks up the known series right behind the decompression, while their bytes are in the cache: a body is larger
    /// than that when it is decompressed.
    /// </summary>
    private DecompressResult DecompressAndTake(
        ReadOnlySpan<byte> body, long maxBytes, in DecodeLimits limits, ref BatchSink sink, ref V1Progress taken,
        out int size)
    {
        var result = PrepareSnappy(body, (int)Math.Min(maxBytes, Array.MaxLength), out size);
        if (result != DecompressResult.Ok)
        {
            return result;
        }
        var plain = _buffer.AsSpan(0, size);
        var progress = default(SnappyProgress);
        var until = 0;
        do
        {
            until = (int)Math.Min((long)until + StepBytes, size);
            if (!Snappy.TryDecodePart(body, plain, until, ref progress))
            {
                return DecompressResult.Malformed;
            }
            RemoteWriteV1Decoder.TakeKnown(plain[..progress.Decoded], ref taken, ref sink, limits);
        }
        while (until < size);
        return DecompressResult.Ok;
    }

    private DecompressResult PrepareSnappy(ReadOnlySpan<byte> body, int max, out int size)
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
        return DecompressResult.Ok;
    }
}
