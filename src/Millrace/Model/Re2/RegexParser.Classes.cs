using System.Globalization;

namespace Millrace.Model.Re2;

/// <summary>The part of the parser that reads escapes and character classes.</summary>
internal sealed partial class RegexParser
{
    private bool TryReadEscape()
    {
        var next = _position + 1 < pattern.Length ? pattern[_position + 1] : '\0';
        switch (next)
        {
            case 'A': return AddEscapedAnchor(RegexNodeKind.TextStart);
            case 'z': return AddEscapedAnchor(RegexNodeKind.TextEnd);
            case 'b': return AddEscapedAnchor(RegexNodeKind.WordBoundary);
            case 'B': return AddEscapedAnchor(RegexNodeKind.NoWordBoundary);
            case 'Q': return AddQuoted();
            default:
                break;
        }
        var ranges = new List<CodePointSet.Range>();
        if (!TryReadClassEscape(ranges, out var found))
        {
            return false;
        }
        return found ? AddSet(ranges) : TryReadCharacterEscape(out var codePoint) && AddLiteral(codePoint);
    }

    private bool AddEscapedAnchor(RegexNodeKind kind)
    {
        _position++;
        return AddAnchor(kind);
    }

    /// <summary><c>\Q…\E</c>: literal text; without the end it reaches to the end of the pattern.</summary>
    private bool AddQuoted()
    {
        var start = _position + 2;
        var end = pattern.IndexOf("\\E", start, StringComparison.Ordinal);
        var stop = end < 0 ? pattern.Length : end;
        for (_position = start; _position < stop;)
        {
            AddLiteral(ReadCodePoint());
        }
        _position = end < 0 ? stop : stop + 2;
        return true;
    }

    /// <summary>Reads one of <c>\d \D \s \S \w \W \pN \p{…} \P{…}</c>, if one stands here.</summary>
    private bool TryReadClassEscape(List<CodePointSet.Range> ranges, out bool found)
    {
        found = false;
        if (_position + 1 >= pattern.Length || pattern[_position] != '\\')
        {
            return true;
        }
        var letter = pattern[_position + 1];
        if (letter is 'p' or 'P')
        {
            found = true;
            return TryReadUnicodeClass(ranges, letter == 'P');
        }
        var name = char.ToLowerInvariant(letter) switch
        {
            'd' => "digit",
            's' => "perl space",
            'w' => "word",
            _ => null,
        };
        if (name is not null)
        {
            found = true;
            _position += 2;
            AddClass(ranges, AsciiClass(name)!, char.IsAsciiLetterUpper(letter));
        }
        return true;
    }

    private bool TryReadUnicodeClass(List<CodePointSet.Range> ranges, bool negated)
    {
        var start = _position;
        _position += 2;
        var name = "";
        if (_position < pattern.Length && pattern[_position] != '{')
        {
            name = pattern[_position++].ToString();
        }
        else
        {
            var end = pattern.IndexOf('}', _position);
            if (end > 0)
            {
                name = pattern[(_position + 1)..end];
                _position = end + 1;
            }
        }
        if (name.StartsWith('^'))
        {
            negated = !negated;
            name = name[1..];
        }
        var category = GoUnicode.Category(name);
        if (category is null)
        {
            return Fail(start, $"the Unicode class \"{name}\" is not known; write a general category such as "
                + "\\p{Lu}, or the characters themselves (scripts such as \\p{Greek} are not supported)");
        }
        AddClass(ranges, category, negated);
        return true;
    }

    /// <summary>Adds a named class; its folds come before the negation, as in Go.</summary>
    private void AddClass(List<CodePointSet.Range> ranges, List<CodePointSet.Range> named, bool negated)
    {
        if (_flags.HasFlag(Flags.FoldCase))
        {
            named = [.. named];
            GoUnicode.AddFolds(named);
        }
        ranges.AddRange(negated ? CodePointSet.Negate(named) : named);
    }

    private bool TryReadClass()
    {
        var start = _position++;
        var ranges = new List<CodePointSet.Range>();
        var negated = _position < pattern.Length && pattern[_position] == '^';
        if (negated)
        {
            _position++;
        }
        for (var first = true; first || _position >= pattern.Length || pattern[_position] != ']'; first = false)
        {
            if (_position >= pattern.Length)
            {
                return Fail(start, "the character class is not closed; write ] at its end, or \\[ for the character");
            }
            if (!TryReadNamedClass(ranges, out var found) || (!found && !TryReadClassEscape(ranges, out found)))
            {
                return false;
            }
            if (!found && !TryReadRange(ranges))
            {
                return false;
            }
        }
        _position++;
        return AddSet(negated ? CodePointSet.Negate(ranges) : ranges);
    }

    /// <summary>Reads <c>[:name:]</c> or <c>[:^name:]</c>, if one stands here.</summary>
    private bool TryReadNamedClass(List<CodePointSet.Range> ranges, out bool found)
    {
        found = false;
        var end = pattern.AsSpan(_position).StartsWith("[:")
            ? pattern.IndexOf(":]", _position + 2, StringComparison.Ordinal)
            : -1;
        if (end < 0)
        {
            return true;
        }
        found = true;
        var name = pattern[(_position + 2)..end];
        var negated = name.StartsWith('^');
        var named = AsciiClass(negated ? name[1..] : name);
        if (named is null)
        {
            return Fail(_position, $"the class \"[:{name}:]\" is not known; write one such as [:alpha:] or [:digit:]");
        }
        _position = end + 2;
        AddClass(ranges, named, negated);
        return true;
    }

    private bool TryReadRange(List<CodePointSet.Range> ranges)
    {
        var start = _position;
        if (!TryReadClassCharacter(out var low))
        {
            return false;
        }
        var high = low;
        if (_position + 1 < pattern.Length && pattern[_position] == '-' && pattern[_position + 1] != ']')
        {
            _position++;
            if (!TryReadClassCharacter(out high))
            {
                return false;
            }
            if (high < low)
            {
                return Fail(start, $"the range {pattern[start.._position]} is upside down; write the smaller first");
            }
        }
        var range = new List<CodePointSet.Range> { new(low, high) };
        if (_flags.HasFlag(Flags.FoldCase))
        {
            GoUnicode.AddFolds(range);
        }
        ranges.AddRange(range);
        return true;
    }

    private bool TryReadClassCharacter(out int codePoint)
    {
        if (pattern[_position] == '\\')
        {
            return TryReadCharacterEscape(out codePoint);
        }
        codePoint = ReadCodePoint();
        return true;
    }

    private bool TryReadCharacterEscape(out int codePoint)
    {
        var start = _position++;
        codePoint = 0;
        if (_position >= pattern.Length)
        {
            return Fail(start, "a backslash ends the expression; write \\\\ for the character itself");
        }
        var c = pattern[_position++];
        switch (c)
        {
            case >= '0' and <= '7' when c == '0'
                || (_position < pattern.Length && pattern[_position] is >= '0' and <= '7'):
                codePoint = c - '0';
                for (var digits = 1; digits < 3 && _position < pattern.Length
                    && pattern[_position] is >= '0' and <= '7'; digits++)
                {
                    codePoint = codePoint * 8 + (pattern[_position++] - '0');
                }
                return true;
            case >= '1' and <= '9':
                return Fail(start, $"the backreference \\{c} is not supported by RE2");
            case 'x':
                return TryReadHexadecimal(out codePoint)
                    || Fail(start, "the escape \\x is not complete; write \\x41 or \\x{1F600}");
            case 'a': codePoint = '\a'; return true;
            case 'f': codePoint = '\f'; return true;
            case 'n': codePoint = '\n'; return true;
            case 'r': codePoint = '\r'; return true;
            case 't': codePoint = '\t'; return true;
            case 'v': codePoint = '\v'; return true;
            default:
                codePoint = c;
                return (c < 128 && !char.IsAsciiLetterOrDigit(c))
                    || Fail(start, $"the escape \\{c} is not known to RE2; write the character without the backslash");
        }
    }

    private bool TryReadHexadecimal(out int codePoint)
    {
        var braces = _position < pattern.Length && pattern[_position] == '{';
        var start = braces ? _position + 1 : _position;
        var end = braces ? pattern.IndexOf('}', start) : _position + 2;
        codePoint = 0;
        // More than eight digits are refused even if they are zeros.
        if (end < 0 || end > pattern.Length || end - start > 8
            || !int.TryParse(pattern.AsSpan(start, end - start), NumberStyles.AllowHexSpecifier,
                CultureInfo.InvariantCulture, out codePoint)
            || codePoint is < 0 or > CodePointSet.MaxCodePoint)
        {
            return false;
        }
        _position = braces ? end + 1 : end;
        return true;
    }

    private static List<CodePointSet.Range>? AsciiClass(string name)
    {
        var text = name switch
        {
            "alnum" => "09AZaz",
            "alpha" => "AZaz",
            "ascii" => "\0\x7f",
            "blank" => "\t\t  ",
            "cntrl" => "\0\x1f\x7f\x7f",
            "digit" => "09",
            "graph" => "!~",
            "lower" => "az",
            "print" => " ~",
            "punct" => "!/:@[`{~",
            "space" => "\t\r  ",
            "upper" => "AZ",
            "word" => "09AZaz__",
            "xdigit" => "09AFaf",
            "perl space" => "\t\n\f\r  ", // \s has no \v
            _ => null,
        };
        if (text is null)
        {
            return null;
        }
        var ranges = new List<CodePointSet.Range>();
        for (var i = 0; i < text.Length; i += 2)
        {
            ranges.Add(new CodePointSet.Range(text[i], text[i + 1]));
        }
        return ranges;
    }
}
