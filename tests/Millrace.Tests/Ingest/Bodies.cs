using System.IO;
using System.IO.Compression;
using System.Text;
using Millrace.Protocols.Compression;

namespace Millrace.Tests.Ingest;

internal static class Bodies
{
    public static byte[] Text(string lines) => Encoding.UTF8.GetBytes(lines);

    public static byte[] Compress(byte[] plain, string encoding)
    {
        if (encoding == "gzip")
        {
            using var target = new MemoryStream();
            using (var gzip = new GZipStream(target, CompressionLevel.Fastest))
            {
                gzip.Write(plain);
            }
            return target.ToArray();
        }
        var length = 0;
        var compressed = new byte[
            encoding == "zstd" ? Zstd.MaxCompressedLength(plain.Length) : Snappy.MaxEncodedLength(plain.Length)];
        if (encoding == "zstd")
        {
            Zstd.TryCompress(plain, compressed, out length).ShouldBeTrue();
        }
        else
        {
            length = Snappy.Encode(plain, compressed);
        }
        return compressed[..length];
    }
}
