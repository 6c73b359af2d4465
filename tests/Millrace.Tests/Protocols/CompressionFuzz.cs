using System.IO;
using System.IO.Compression;
using Millrace.Protocols.Compression;

namespace Millrace.Tests.Protocols;

/// <summary>What the fuzzer asks of the decompressors: no write past the target, no size past the bound.</summary>
internal static class CompressionFuzz
{
    private const int MaxSizeBytes = 1 << 16;
    private const byte Canary = 0xA7;

    private static readonly byte[] Target = new byte[MaxSizeBytes + 256];
    private static readonly byte[] Encoded = new byte[Snappy.MaxEncodedLength(MaxSizeBytes)];
    private static byte[] _buffer = new byte[MaxSizeBytes];

    public static byte[][] SnappySeeds { get; } = Seeds(source =>
    {
        var target = new byte[Snappy.MaxEncodedLength(source.Length)];
        return target[..Snappy.Encode(source, target)];
    });

    public static byte[][] GzipSeeds { get; } = Seeds(source =>
    {
        using var compressed = new MemoryStream();
        using (var gzip = new GZipStream(compressed, CompressionLevel.Fastest))
        {
            gzip.Write(source);
        }
        return compressed.ToArray();
    });

    public static byte[][] ZstdSeeds { get; } = !Zstd.IsAvailable ? [] : Seeds(source =>
    {
        var target = new byte[Zstd.MaxCompressedLength(source.Length)];
        Zstd.TryCompress(source, target, out var length).ShouldBeTrue();
        return target[..length];
    });

    /// <summary>What was decoded also survives being encoded and decoded again.</summary>
    public static (bool Accepted, ulong Outcome) TrySnappy(ReadOnlySpan<byte> input)
    {
        if (!Snappy.TryGetDecodedLength(input, out var length) || length > MaxSizeBytes)
        {
            return (false, 0);
        }
        var margin = Target.AsSpan(length, 128);
        margin.Fill(Canary);
        var accepted = Snappy.TryDecode(input, Target.AsSpan(0, length));
        margin.ContainsAnyExcept(Canary).ShouldBeFalse("Written past the target.");
        DecodesInParts(input, Target.AsSpan(0, length)).ShouldBe(accepted);
        if (accepted)
        {
            var again = Encoded.AsSpan(0, Snappy.Encode(Target.AsSpan(0, length), Encoded));
            Snappy.TryDecode(again, _buffer.AsSpan(0, length)).ShouldBeTrue();
            _buffer.AsSpan(0, length).SequenceEqual(Target.AsSpan(0, length)).ShouldBeTrue();
        }
        return (accepted, 1 + ((ulong)int.Log2(length + 1) * 2) + (accepted ? 1UL : 0));
    }

    /// <summary>The same answer and the same bytes as at once, whatever the parts.</summary>
    private static bool DecodesInParts(ReadOnlySpan<byte> input, ReadOnlySpan<byte> whole)
    {
        var target = _buffer.AsSpan(0, whole.Length);
        var progress = default(SnappyProgress);
        for (var until = whole.Length / 7; until < whole.Length; until += 1 + whole.Length / 3)
        {
            if (!Snappy.TryDecodePart(input, target, until, ref progress))
            {
                return false;
            }
            progress.Decoded.ShouldBeGreaterThanOrEqualTo(until);
        }
        return Snappy.TryDecodePart(input, target, whole.Length, ref progress) && target.SequenceEqual(whole);
    }

    public static (bool Accepted, ulong Outcome) TryGzip(ReadOnlySpan<byte> input) =>
        Check(Gzip.Decompress(input, MaxSizeBytes, ref _buffer, out var sizeBytes), sizeBytes);

    public static (bool Accepted, ulong Outcome) TryZstd(ReadOnlySpan<byte> input) =>
        Check(Zstd.Decompress(input, MaxSizeBytes, ref _buffer, out var sizeBytes), sizeBytes);

    private static (bool Accepted, ulong Outcome) Check(DecompressResult result, int sizeBytes)
    {
        sizeBytes.ShouldBeInRange(0, MaxSizeBytes);
        return (result == DecompressResult.Ok, ((ulong)result * 32) + (ulong)int.Log2(sizeBytes + 1));
    }

    private static byte[][] Seeds(Func<byte[], byte[]> compress) =>
        [.. FuzzSeeds.V1.Append(new byte[3000]).Append([]).Select(compress)];
}
