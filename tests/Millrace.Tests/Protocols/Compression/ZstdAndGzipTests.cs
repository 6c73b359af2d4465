using System.IO;
using System.IO.Compression;
using Millrace.Protocols.Compression;

namespace Millrace.Tests.Protocols.Compression;

public class ZstdAndGzipTests
{
    private static readonly byte[] Source =
        [.. Enumerable.Range(0, 100_000).Select(i => (byte)(i % 251 == 0 ? i >> 8 : i % 7))];

    [Fact]
    public void Zstd_round_trips_with_the_size_declared()
    {
        RequireZstd();
        byte[] buffer = [];
        Zstd.Decompress(CompressZstd(Source), Source.Length, ref buffer, out var size).ShouldBe(DecompressResult.Ok);
        buffer[..size].ShouldBe(Source);
    }

    [Fact]
    public void Zstd_refuses_a_declared_size_above_the_bound_without_spending_memory()
    {
        RequireZstd();
        byte[] buffer = [];
        Zstd.Decompress(CompressZstd(Source), Source.Length - 1, ref buffer, out _)
            .ShouldBe(DecompressResult.TooLarge);
        buffer.ShouldBeEmpty();
    }

    [Fact]
    public void Zstd_reads_several_frames_and_bounds_them_together()
    {
        RequireZstd();
        byte[] compressed = [.. CompressZstd(Source[..40_000]), .. CompressZstd(Source[40_000..])];
        byte[] buffer = [];
        Zstd.Decompress(compressed, Source.Length, ref buffer, out var size).ShouldBe(DecompressResult.Ok);
        buffer[..size].ShouldBe(Source);
        Zstd.Decompress(compressed, Source.Length - 1, ref buffer, out _).ShouldBe(DecompressResult.TooLarge);
    }

    [Fact]
    public void Zstd_reads_a_frame_that_does_not_declare_its_size()
    {
        RequireZstd();
        // Made by libzstd 1.5.4 with contentSizeFlag 0 from 300 times "millrace ".
        var source = Enumerable.Repeat("millrace "u8.ToArray(), 300).SelectMany(b => b).ToArray();
        var compressed = Convert.FromHexString(UndeclaredFrameHex);
        byte[] buffer = [];
        Zstd.Decompress(compressed, source.Length, ref buffer, out var size).ShouldBe(DecompressResult.Ok);
        buffer[..size].ShouldBe(source);
        Zstd.Decompress(compressed, source.Length - 1, ref buffer, out _).ShouldBe(DecompressResult.TooLarge);
        Zstd.Decompress(compressed.AsSpan(0, compressed.Length - 2), source.Length, ref buffer, out _)
            .ShouldBe(DecompressResult.Malformed);
    }

    private const string UndeclaredFrameHex = "28B52FFD0010850000486D696C6C7261636520010080A25F8E";

    [Fact]
    public void Zstd_calls_noise_and_torn_frames_malformed_and_goes_on_working()
    {
        RequireZstd();
        var compressed = CompressZstd(Source);
        byte[] buffer = [];
        Zstd.Decompress("no zstd at all"u8, 1000, ref buffer, out _).ShouldBe(DecompressResult.Malformed);
        Zstd.Decompress([], 1000, ref buffer, out _).ShouldBe(DecompressResult.Malformed);
        var random = new System.Random(3);
        for (var round = 0; round < 2000; round++)
        {
            var mutated = compressed.AsSpan(0, random.Next(compressed.Length + 1)).ToArray();
            if (mutated.Length > 8)
            {
                mutated[random.Next(5, mutated.Length)] ^= (byte)random.Next(1, 256);
            }
            Zstd.Decompress(mutated, 1 << 20, ref buffer, out var size);
            size.ShouldBeLessThanOrEqualTo(1 << 20);
        }
        Zstd.Decompress(compressed, Source.Length, ref buffer, out _).ShouldBe(DecompressResult.Ok);
    }

    [Fact]
    public void Zstd_refuses_a_target_that_is_too_small()
    {
        RequireZstd();
        Zstd.TryCompress(Source, new byte[10], out _).ShouldBeFalse();
    }

    [Fact]
    public void Gzip_decompresses_within_the_bound()
    {
        byte[] buffer = [];
        Gzip.Decompress(CompressGzip(Source), Source.Length, ref buffer, out var size).ShouldBe(DecompressResult.Ok);
        buffer[..size].ShouldBe(Source);
        Gzip.Decompress(CompressGzip(Source), Source.Length - 1, ref buffer, out _)
            .ShouldBe(DecompressResult.TooLarge);
    }

    [Fact]
    public void Gzip_calls_noise_and_torn_bodies_malformed()
    {
        byte[] buffer = [];
        var compressed = CompressGzip(Source);
        Gzip.Decompress("this is not a gzip body at all"u8, 1000, ref buffer, out _)
            .ShouldBe(DecompressResult.Malformed);
        Gzip.Decompress([], 1000, ref buffer, out _).ShouldBe(DecompressResult.Malformed);
        Gzip.Decompress(compressed.AsSpan(0, compressed.Length / 2), 1 << 20, ref buffer, out _)
            .ShouldBe(DecompressResult.Malformed);
        compressed[^5] ^= 1; // In the checksum.
        Gzip.Decompress(compressed, 1 << 20, ref buffer, out _).ShouldBe(DecompressResult.Malformed);
    }

    private static void RequireZstd() => Assert.SkipUnless(Zstd.IsAvailable, Zstd.MissingLibrary);

    private static byte[] CompressZstd(byte[] source)
    {
        var target = new byte[Zstd.MaxCompressedLength(source.Length)];
        Zstd.TryCompress(source, target, out var length).ShouldBeTrue();
        return target[..length];
    }

    private static byte[] CompressGzip(byte[] source)
    {
        using var bytes = new MemoryStream();
        using (var gzip = new GZipStream(bytes, CompressionLevel.Fastest))
        {
            gzip.Write(source);
        }
        return bytes.ToArray();
    }
}
