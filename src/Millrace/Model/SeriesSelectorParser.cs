using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;

namespace Millrace.Model;

/// <summary>
/// Reads the text of a <see cref="SeriesSelector"/>:
/// <code>
/// selector = name | [name] "{" [group {"or" group} [","]] "}"
/// group    = matcher {"," matcher} [","]
/// matcher  = (name | string) ("=" | "!=" | "=~" | "!~") string {"+" string}
///          | string                                     (the metric name, as Prometheus 3 writes UTF-8 names)
/// string   = "…" | '…' with Go's escapes | `…` taken as it is
/// name     = letters, digits, "_", ":", "." and, as in MetricsQL, any character after a backslash
/// </code>
/// Everything else of the query language is refused with a text that names what was found.
/// </summary>
internal sealed class SeriesSelectorParser(string text)
{
    private int _position;

    public string Error { get; private set; } = "";

    public bool TryParse([NotNullWhen(true)] out LabelMatcher[][]? groups)
    {
        groups = null;
        SkipSpace();
        if (AtEnd)
        {
            return Fail(0, "the selector is empty; write a metric name, or {} for every series");
        }
        LabelMatcher? name = null;
        var start = _position;
        if (AtName)
        {
            if (!TryReadName(out var metric))
            {
                return false;
            }
            if (metric.Equals("inf", StringComparison.OrdinalIgnoreCase)
                || metric.Equals("nan", StringComparison.OrdinalIgnoreCase))
            {
                return Fail(start, $"\"{metric}\" is a number; write a metric name, or {{}} for every series");
            }
            LabelMatcher.TryCreate(LabelSet.MetricName, MatchOperator.Equal, metric, out name, out _);
            SkipSpace();
        }
        if (Current == '{')
        {
            if (!TryReadBraces(name, out groups))
            {
                return false;
            }
        }
        else if (name is not null)
        {
            groups = [[name]];
        }
        else
        {
            return FailAtStart();
        }
        SkipSpace();
        return AtEnd || FailAfter(text[start.._position].TrimEnd());
    }

    /// <summary>Whether a name needs neither quotes nor escapes.</summary>
    public static bool IsPlainName(string name)
    {
        if (name.Length == 0 || !IsNameStart(name[0])
            || name.Equals("inf", StringComparison.OrdinalIgnoreCase)
            || name.Equals("nan", StringComparison.OrdinalIgnoreCase))
        {
            return false;
        }
        foreach (var c in name)
        {
            if (!IsNamePart(c))
            {
                return false;
            }
        }
        return true;
    }

    public static string Quote(string value)
    {
        var quoted = new StringBuilder(value.Length + 2).Append('"');
        foreach (var c in value)
        {
            _ = c switch
            {
                '"' or '\\' => quoted.Append('\\').Append(c),
                '\n' => quoted.Append("\\n"),
                '\r' => quoted.Append("\\r"),
                '\t' => quoted.Append("\\t"),
                < ' ' or '\x7f' => quoted.Append(CultureInfo.InvariantCulture, $"\\x{(int)c:x2}"),
                _ => quoted.Append(c),
            };
        }
        return quoted.Append('"').ToString();
    }

    private bool AtEnd => _position >= text.Length;

    private char Current => AtEnd ? '\0' : text[_position];

    private bool AtName => IsNameStart(Current) || (Current == '\\' && _position + 1 < text.Length);

    private bool AtString => Current is '"' or '\'' or '`';

    private bool TryReadBraces(LabelMatcher? name, [NotNullWhen(true)] out LabelMatcher[][]? groups)
    {
        groups = null;
        var opening = _position++;
        var all = new List<LabelMatcher[]>();
        var group = new List<LabelMatcher>();
        AddName(group, name);
        SkipSpace();
        while (Current != '}')
        {
            if (AtEnd)
            {
                return Fail(opening, "the brace opened here is never closed; write } after the last matcher");
            }
            if (!TryReadMatcher(group))
            {
                return false;
            }
            SkipSpace();
            if (Current == ',')
            {
                _position++;
                SkipSpace();
            }
            else if (AtWord("or"))
            {
                _position += 2;
                SkipSpace();
                if (Current is '}' or '\0')
                {
                    return Fail(_position, "a matcher must follow \"or\", such as or b=\"2\"");
                }
                all.Add([.. group]);
                group.Clear();
                AddName(group, name);
            }
            else if (Current != '}' && !AtEnd)
            {
                return Fail(_position, $"found \"{Rest()}\" after a matcher; write a comma, \"or\" or }}");
            }
        }
        _position++;
        all.Add([.. group]);
        groups = [.. all];
        return true;
    }

    private bool TryReadMatcher(List<LabelMatcher> group)
    {
        var start = _position;
        string? label;
        var quoted = AtString;
        if (quoted ? !TryReadString(out label) : !TryReadLabelName(out label))
        {
            return false;
        }
        SkipSpace();
        if (!TryReadOperator(out var matchOperator))
        {
            if (quoted && (Current is ',' or '}' || AtWord("or")))
            {
                return AddMatcher(group, start, LabelSet.MetricName, MatchOperator.Equal, label);
            }
            return Fail(_position, $"found \"{Rest()}\" after the label \"{label}\"; write one of = != =~ !~");
        }
        SkipSpace();
        if (!AtString)
        {
            return Fail(_position, $"found \"{Rest()}\" where the value of \"{label}\" is expected; "
                + $"write it in quotes, such as {label}=\"value\"");
        }
        if (!TryReadString(out var value))
        {
            return false;
        }
        SkipSpace();
        while (Current == '+')
        {
            _position++;
            SkipSpace();
            if (!AtString)
            {
                return Fail(_position, "a quoted text must follow \"+\"");
            }
            if (!TryReadString(out var more))
            {
                return false;
            }
            value += more;
            SkipSpace();
        }
        return AddMatcher(group, start, label, matchOperator, value);
    }

    private bool AddMatcher(List<LabelMatcher> group, int start, string label, MatchOperator matchOperator,
        string value)
    {
        if (label.Length == 0)
        {
            return Fail(start, "the label name is empty; write a name before the operator");
        }
        if (!LabelMatcher.TryCreate(label, matchOperator, value, out var matcher, out var error))
        {
            return Fail(start, error);
        }
        group.Add(matcher!);
        return true;
    }

    private bool TryReadOperator(out MatchOperator matchOperator)
    {
        var rest = text.AsSpan(_position);
        (matchOperator, var length) = rest switch
        {
            ['=', '~', ..] => (MatchOperator.Regex, 2),
            ['!', '~', ..] => (MatchOperator.NotRegex, 2),
            ['!', '=', ..] => (MatchOperator.NotEqual, 2),
            ['=', ..] => (MatchOperator.Equal, 1),
            _ => (MatchOperator.Equal, 0),
        };
        _position += length;
        return length > 0;
    }

    private bool TryReadLabelName([NotNullWhen(true)] out string? label)
    {
        label = null;
        return AtName
            ? TryReadName(out label)
            : Fail(_position, $"found \"{Rest()}\" where a label name is expected; write a matcher such as a=\"1\"");
    }

    private bool TryReadName([NotNullWhen(true)] out string? name)
    {
        var start = _position;
        var read = new StringBuilder();
        while (!AtEnd && (IsNamePart(Current) || Current == '\\'))
        {
            if (Current != '\\')
            {
                read.Append(text[_position++]);
                continue;
            }
            if (!TryReadNameEscape(read))
            {
                name = null;
                return Fail(start,
                    "the backslash in the name escapes nothing; write the name in quotes: {\"my-name\"}");
            }
        }
        name = read.ToString();
        return true;
    }

    /// <summary>MetricsQL: <c>\xNN</c>, <c>\uNNNN</c>, or the character itself.</summary>
    private bool TryReadNameEscape(StringBuilder read)
    {
        var next = _position + 1 < text.Length ? text[_position + 1] : '\0';
        var digits = next switch { 'x' or 'X' => 2, 'u' or 'U' => 4, _ => 0 };
        if (digits == 0)
        {
            if (next < ' ')
            {
                return false;
            }
            read.Append(next);
            _position += 2;
            return true;
        }
        if (_position + 2 + digits > text.Length || !int.TryParse(text.AsSpan(_position + 2, digits),
            NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var code))
        {
            return false;
        }
        read.Append((char)code);
        _position += 2 + digits;
        return true;
    }

    private bool TryReadString([NotNullWhen(true)] out string? value)
    {
        value = null;
        var start = _position;
        var result = QuotedText.Read(text, ref _position, out value);
        return result is null || Fail(start, result);
    }

    private bool FailAtStart()
    {
        var found = Rest();
        if (AtString)
        {
            return Fail(_position, $"{found} is a text, not a selector; a quoted metric name stands in braces: "
                + $"{{{found}}}");
        }
        return char.IsAsciiDigit(Current) || Current is '.' or '-' or '+'
            ? Fail(_position, $"\"{found}\" is a number; write a metric name, or {{}} for every series")
            : Fail(_position, $"found \"{found}\"; write a series selector such as foo{{a=\"1\"}}");
    }

    private bool FailAfter(string selector)
    {
        var found = Rest();
        var remedy = Current switch
        {
            '(' => $"\"{selector}\" is called as a function; a selector has none, write only what stands inside",
            '[' => $"\"{found}\" is a window, which belongs to a query; write only {selector}",
            '{' => "the selector already has its braces; write all matchers in one pair",
            _ when AtWord("or") => "\"or\" between selectors is a query; write a list of selectors, or "
                + "{a=\"1\" or b=\"2\"}",
            _ when AtWord("offset") || Current == '@' => $"\"{found}\" shifts time, which belongs to a query; "
                + $"write only {selector}",
            _ => $"found \"{found}\" after the selector; write only {selector}",
        };
        return Fail(_position, remedy);
    }

    private bool Fail(int position, string problem)
    {
        Error = $"position {position + 1}: {problem}";
        return false;
    }

    private string Rest()
    {
        const int ShownChars = 20;
        var rest = text[_position..];
        return rest.Length == 0 ? "the end" : rest.Length <= ShownChars ? rest : rest[..ShownChars] + "…";
    }

    private bool AtWord(string word)
    {
        var end = _position + word.Length;
        return end <= text.Length
            && text.AsSpan(_position, word.Length).Equals(word, StringComparison.OrdinalIgnoreCase)
            && (end == text.Length || !IsNamePart(text[end]));
    }

    private void SkipSpace()
    {
        while (!AtEnd)
        {
            if (Current == '#')
            {
                var end = text.IndexOf('\n', _position);
                _position = end < 0 ? text.Length : end;
            }
            else if (Current is not (' ' or '\t' or '\n' or '\v' or '\f' or '\r'))
            {
                return;
            }
            else
            {
                _position++;
            }
        }
    }

    private static void AddName(List<LabelMatcher> group, LabelMatcher? name)
    {
        if (name is not null)
        {
            group.Add(name);
        }
    }

    private static bool IsNameStart(char c) => char.IsLetter(c) || c is '_' or ':';

    private static bool IsNamePart(char c) => IsNameStart(c) || char.IsAsciiDigit(c) || c == '.';
}
