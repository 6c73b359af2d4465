using System.Buffers;
using System.Buffers.Text;
using System.Text;
using Millrace.Pipeline;

namespace Millrace.Ingest;

/// <summary>
/// The head of the usual write request: POST to a write endpoint, HTTP/1.1, a body of a stated length in a format that
/// we read. Whatever is unusual in any way (chunks, Expect, a query, a header twice, a byte that HTTP does not allow)
/// is not taken for one: HTTP has one full implementation here, Kestrel, and no second opinion on the odd cases.
/// </summary>
/// <param name="Length">Bytes of the head, with the empty line.</param>
/// <param name="ContentLength">Bytes of the body, 1 or more.</param>
/// <param name="Encoding">Of the body.</param>
internal readonly record struct RequestHead(int Length, int ContentLength, BodyEncoding Encoding)
{
    private static readonly SearchValues<byte> TokenBytes = SearchValues.Create(
        "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"u8);

    private static readonly SearchValues<byte> ValueBytes = SearchValues.Create(PrintableBytes());

    /// <param name="bytes">What has come on the connection so far.</param>
    /// <param name="head">The head, if it is whole and usual.</param>
    public static bool TryParse(ReadOnlySpan<byte> bytes, out RequestHead head)
    {
        head = default;
        var end = bytes.IndexOf("\r\n\r\n"u8);
        if (end < 0 || !TryReadRequestLine(bytes[..end], out var isText, out var rest))
        {
            return false;
        }
        var fields = default(Fields);
        while (rest.Length > 0)
        {
            var lineEnd = rest.IndexOf("\r\n"u8);
            var line = lineEnd < 0 ? rest : rest[..lineEnd];
            if (!TryReadField(line, ref fields))
            {
                return false;
            }
            rest = lineEnd < 0 ? [] : rest[(lineEnd + 2)..];
        }
        if (!fields.HasHost || fields.ContentLength <= 0)
        {
            return false;
        }
        var isRead = isText
            ? RequestFormat.TryReadText(fields.ContentEncoding ?? "", out var encoding, out _)
            : RequestFormat.TryReadRemoteWrite(fields.ContentType, fields.ContentEncoding ?? "", out encoding, out _);
        head = new RequestHead(end + 4, fields.ContentLength, encoding);
        return isRead;
    }

    private static bool TryReadRequestLine(
        ReadOnlySpan<byte> head, out bool isText, out ReadOnlySpan<byte> rest)
    {
        isText = false;
        rest = default;
        var method = "POST "u8;
        var version = " HTTP/1.1"u8;
        var lineEnd = head.IndexOf("\r\n"u8);
        if (lineEnd < method.Length + version.Length || !head.StartsWith(method)
            || !head[..lineEnd].EndsWith(version))
        {
            return false;
        }
        var target = head[method.Length..(lineEnd - version.Length)];
        rest = head[(lineEnd + 2)..];
        isText = Ascii.Equals(target, WriteEndpoints.ImportPath);
        return isText || IsWritePath(target);
    }

    private static bool IsWritePath(ReadOnlySpan<byte> target)
    {
        foreach (var path in WriteEndpoints.WritePaths)
        {
            if (Ascii.Equals(target, path))
            {
                return true;
            }
        }
        return false;
    }

    private static bool TryReadField(ReadOnlySpan<byte> line, ref Fields fields)
    {
        var colon = line.IndexOf((byte)':');
        if (colon <= 0 || line[..colon].ContainsAnyExcept(TokenBytes)
            || line[(colon + 1)..].ContainsAnyExcept(ValueBytes))
        {
            return false;
        }
        var name = line[..colon];
        var value = line[(colon + 1)..].Trim(" \t"u8);
        if (Ascii.EqualsIgnoreCase(name, "Host"u8))
        {
            var isFirst = !fields.HasHost;
            fields.HasHost = true;
            return isFirst && value.Length > 0;
        }
        if (Ascii.EqualsIgnoreCase(name, "Content-Length"u8))
        {
            return fields.ContentLength == 0
                && Utf8Parser.TryParse(value, out fields.ContentLength, out var used) && used == value.Length
                && value[0] is >= (byte)'1' and <= (byte)'9';
        }
        if (Ascii.EqualsIgnoreCase(name, "Content-Type"u8))
        {
            return TrySet(ref fields.ContentType, value);
        }
        if (Ascii.EqualsIgnoreCase(name, "Content-Encoding"u8))
        {
            return TrySet(ref fields.ContentEncoding, value);
        }
        if (Ascii.EqualsIgnoreCase(name, "Connection"u8))
        {
            return Ascii.EqualsIgnoreCase(value, "keep-alive"u8);
        }
        return !Ascii.EqualsIgnoreCase(name, "Transfer-Encoding"u8) && !Ascii.EqualsIgnoreCase(name, "Expect"u8)
            && !Ascii.EqualsIgnoreCase(name, "Upgrade"u8);
    }

    private static bool TrySet(ref string? field, ReadOnlySpan<byte> value)
    {
        if (field is not null)
        {
            return false;
        }
        field = System.Text.Encoding.ASCII.GetString(value);
        return true;
    }

    private static byte[] PrintableBytes()
    {
        var bytes = new byte[96];
        bytes[0] = (byte)'\t';
        for (var i = 1; i < bytes.Length; i++)
        {
            bytes[i] = (byte)(' ' + i - 1);
        }
        return bytes;
    }

    private struct Fields
    {
        public bool HasHost;
        public int ContentLength;
        public string? ContentType;
        public string? ContentEncoding;
    }
}
