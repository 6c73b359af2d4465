using System.Buffers.Binary;
using System.IO;
using System.IO.Compression;

namespace Millrace.Protocols.Compression;

/// <summary>Gzip bodies, as OpenTelemetry's exporters send them. Decompression only, with a bound.</summary>
internal static class Gzip
{
    private const int SmallestMemberBytes = 18;

    /// <param name="compressed">One gzip member, which is what HTTP clients send.</param>
    /// <param name="maxSizeBytes">What the decompressed bytes may come to.</param>
    /// <param name="buffer">The caller's; replaced by a larger one where it is too small.</param>
    /// <param name="sizeBytes">How much of the buffer is filled.</param>
    public static unsafe DecompressResult Decompress(
        ReadOnlySpan<byte> compressed, int maxSizeBytes, ref byte[] buffer, out int sizeBytes)
    {
        sizeBytes = 0;
        if (compressed.Length < SmallestMemberBytes)
        {
            return DecompressResult.Malformed;
        }
        // The stream calls a body that was cut off complete; the trailer's last word, the size, tells.
        var declared = BinaryPrimitives.ReadUInt32LittleEndian(compressed[^sizeof(uint)..]);
        fixed (byte* start = compressed)
        {
            // A stream over the span without a copy; it does not outlive the pin.
            using var bytes = new UnmanagedMemoryStream(start, compressed.Length);
            using var gzip = new GZipStream(bytes, CompressionMode.Decompress);
            try
            {
                while (OutputBuffer.TryGrow(ref buffer, sizeBytes, maxSizeBytes))
                {
                    var limit = Math.Min(buffer.Length, maxSizeBytes);
                    var read = gzip.Read(buffer, sizeBytes, limit - sizeBytes);
                    if (read == 0)
                    {
                        return declared == sizeBytes ? DecompressResult.Ok : DecompressResult.Malformed;
                    }
                    sizeBytes += read;
                }
                return gzip.ReadByte() >= 0 ? DecompressResult.TooLarge
                    : declared == sizeBytes ? DecompressResult.Ok : DecompressResult.Malformed;
            }
            catch (InvalidDataException)
            {
                return DecompressResult.Malformed;
            }
        }
    }
}
