using System.Buffers;
using System.Buffers.Text;

namespace Millrace.Protocols.Text;

/// <summary>A place in a line of text, without the carriage return and blanks at its end.</summary>
internal ref struct TextCursor
{
    private static readonly SearchValues<byte> EndsOfName = SearchValues.Create(" \t{}\",=#"u8);
    private static readonly SearchValues<byte> EndsOfString = SearchValues.Create("\"\\"u8);

    private ReadOnlySpan<byte> _rest;

    public TextCursor(ReadOnlySpan<byte> line) => _rest = line.TrimEnd(" \t\r"u8);

    public readonly bool AtEnd => _rest.IsEmpty;

    public readonly ReadOnlySpan<byte> Rest => _rest;

    public readonly bool IsAt(byte c) => !_rest.IsEmpty && _rest[0] == c;

    public bool TryTake(byte c)
    {
        if (!IsAt(c))
        {
            return false;
        }
        _rest = _rest[1..];
        return true;
    }

    public void SkipBlanks()
    {
        while (!_rest.IsEmpty && _rest[0] is (byte)' ' or (byte)'\t')
        {
            _rest = _rest[1..];
        }
    }

    /// <summary>What stands before the next blank.</summary>
    public ReadOnlySpan<byte> TakeWord()
    {
        var length = _rest.IndexOfAny((byte)' ', (byte)'\t');
        return Take(length < 0 ? _rest.Length : length);
    }

    /// <summary>
    /// A name without quotes; empty when none stands here. Wider than Prometheus' letters, as VictoriaMetrics is, but a
    /// number is not a name: it shows a line cut in the wrong place.
    /// </summary>
    public ReadOnlySpan<byte> TakeName()
    {
        if (_rest.IsEmpty || _rest[0] is (>= (byte)'0' and <= (byte)'9') or (byte)'+' or (byte)'-' or (byte)'.')
        {
            return default;
        }
        var length = _rest.IndexOfAny(EndsOfName);
        return Take(length < 0 ? _rest.Length : length);
    }

    /// <summary>The metric of a comment: a name, or a string without escapes.</summary>
    public bool TryTakeFamily(out ReadOnlySpan<byte> family)
    {
        if (IsAt((byte)'"'))
        {
            return TryTakeString(out family);
        }
        family = TakeWord();
        return true;
    }

    /// <summary>What stands between two quotes, with its escapes.</summary>
    public bool TryTakeString(out ReadOnlySpan<byte> text)
    {
        text = default;
        if (!IsAt((byte)'"'))
        {
            return false;
        }
        var end = 1;
        while (true)
        {
            var step = _rest[end..].IndexOfAny(EndsOfString);
            if (step < 0)
            {
                return false;
            }
            end += step;
            if (_rest[end] == (byte)'"')
            {
                text = _rest[1..end];
                _rest = _rest[(end + 1)..];
                return true;
            }
            end += 2;
            if (end > _rest.Length)
            {
                return false;
            }
        }
    }

    public bool TryTakeValue(out double value)
    {
        SkipBlanks();
        var word = TakeWord();
        if (Utf8Parser.TryParse(word, out value, out var used) && used == word.Length)
        {
            return true;
        }
        return TryParseSpecial(word, out value);
    }

    /// <summary>True also when there is none, or when an exemplar or comment stands in its place.</summary>
    public bool TryTakeTimestamp(out long timestampMs)
    {
        timestampMs = IWriteSink.NoTimestamp;
        SkipBlanks();
        if (AtEnd || IsAt((byte)'#'))
        {
            return true;
        }
        var word = TakeWord();
        if (Utf8Parser.TryParse(word, out long whole, out var used) && used == word.Length)
        {
            timestampMs = whole is >= int.MinValue and <= int.MaxValue ? whole * 1000 : whole;
        }
        else if (Utf8Parser.TryParse(word, out double number, out used) && used == word.Length
            && Math.Abs(number) < long.MaxValue / 1000.0)
        {
            timestampMs = (long)Math.Round(
                number is >= int.MinValue and < int.MaxValue + 1.0 ? number * 1000 : number);
        }
        else
        {
            return false;
        }
        timestampMs = Math.Max(timestampMs, IWriteSink.NoTimestamp + 1);
        return true;
    }

    /// <summary>Go's spellings, some of which the platform's parser refuses: [+-]inf, infinity, nan.</summary>
    private static bool TryParseSpecial(ReadOnlySpan<byte> word, out double value)
    {
        value = double.NaN;
        if (EqualsIgnoringCase(word, "nan"u8))
        {
            return true;
        }
        value = double.PositiveInfinity;
        if (!word.IsEmpty && word[0] is (byte)'+' or (byte)'-')
        {
            value = word[0] == '-' ? double.NegativeInfinity : value;
            word = word[1..];
        }
        return EqualsIgnoringCase(word, "inf"u8) || EqualsIgnoringCase(word, "infinity"u8);
    }

    private static bool EqualsIgnoringCase(ReadOnlySpan<byte> word, ReadOnlySpan<byte> lowerCase) =>
        System.Text.Ascii.EqualsIgnoreCase(word, lowerCase);

    private ReadOnlySpan<byte> Take(int length)
    {
        var taken = _rest[..length];
        _rest = _rest[length..];
        return taken;
    }
}
