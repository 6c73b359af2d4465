using System.Globalization;
using System.Text;

namespace Millrace.Model;

/// <summary>
/// Texts in quotes as PromQL has them: "…" and '…' with the escapes of Go, `…` taken as it is. Go builds bytes, so
/// <c>\xc3\xa9</c> is one character; bytes that are no UTF-8 are refused, because a label could not carry them.
/// </summary>
internal static class QuotedText
{
    /// <summary>
    /// Reads the text that begins at <paramref name="position"/> and moves behind its closing quote. Null when it
    /// went well, otherwise what is wrong.
    /// </summary>
    public static string? Read(string text, ref int position, out string? value)
    {
        value = null;
        var quote = text[position];
        var i = position + 1;
        if (quote == '`')
        {
            var end = text.IndexOf('`', i);
            if (end < 0)
            {
                return "the quote opened here is never closed; write ` at the end of the text";
            }
            value = text[i..end];
            position = end + 1;
            return null;
        }
        var bytes = new List<byte>();
        Span<byte> encoded = stackalloc byte[4];
        while (i < text.Length && text[i] != quote)
        {
            if (text[i] == '\n')
            {
                return "the text in quotes contains a line break; write it as \\n, or use ` quotes";
            }
            if (text[i] == '\\')
            {
                var problem = ReadEscape(text, ref i, bytes);
                if (problem is not null)
                {
                    return problem;
                }
                continue;
            }
            Rune.DecodeFromUtf16(text.AsSpan(i), out var rune, out var used);
            AddRune(bytes, rune, encoded);
            i += used;
        }
        if (i >= text.Length)
        {
            return $"the quote opened here is never closed; write {quote} at the end of the text";
        }
        try
        {
            value = StrictUtf8.GetString(bytes.ToArray());
        }
        catch (DecoderFallbackException)
        {
            return "the escapes in the text do not make valid UTF-8; write characters instead of \\x bytes";
        }
        position = i + 1;
        return null;
    }

    private static readonly UTF8Encoding StrictUtf8 = new(false, throwOnInvalidBytes: true);

    private static string? ReadEscape(string text, ref int i, List<byte> bytes)
    {
        var c = i + 1 < text.Length ? text[i + 1] : '\0';
        var simple = "a\ab\bf\fn\nr\rt\tv\v\\\\\"\"''".AsSpan();
        for (var s = 0; s < simple.Length; s += 2)
        {
            if (simple[s] == c)
            {
                bytes.Add((byte)simple[s + 1]);
                i += 2;
                return null;
            }
        }
        var (digits, style) = c switch
        {
            'x' => (2, NumberStyles.AllowHexSpecifier),
            'u' => (4, NumberStyles.AllowHexSpecifier),
            'U' => (8, NumberStyles.AllowHexSpecifier),
            >= '0' and <= '7' => (3, NumberStyles.None),
            _ => (0, NumberStyles.None),
        };
        var first = digits == 3 ? i + 1 : i + 2;
        var known = digits > 0 && first + digits <= text.Length;
        if (!known || !TryReadCode(text.AsSpan(first, digits), style, out var code))
        {
            var length = Math.Min(text.Length - i, 2);
            return $"\"{text.Substring(i, length)}\" is not an escape; write \\{text.Substring(i, length)} "
                + "for a backslash, or use ` quotes";
        }
        i = first + digits;
        if (c is 'u' or 'U')
        {
            if (!Rune.IsValid(code))
            {
                return $"\\{c}{text.AsSpan(first, digits)} is not a character";
            }
            AddRune(bytes, new Rune(code), stackalloc byte[4]);
            return null;
        }
        bytes.Add((byte)code);
        return null;
    }

    private static bool TryReadCode(ReadOnlySpan<char> digits, NumberStyles style, out int code)
    {
        if (style == NumberStyles.AllowHexSpecifier)
        {
            return int.TryParse(digits, style, CultureInfo.InvariantCulture, out code) && code >= 0;
        }
        code = 0;
        foreach (var c in digits)
        {
            if (c is < '0' or > '7')
            {
                return false;
            }
            code = code * 8 + (c - '0');
        }
        return code <= 255;
    }

    private static void AddRune(List<byte> bytes, Rune rune, Span<byte> encoded)
    {
        var length = rune.EncodeToUtf8(encoded);
        bytes.AddRange(encoded[..length]);
    }
}
