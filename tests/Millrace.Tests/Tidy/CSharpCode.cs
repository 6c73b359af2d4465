using System.Text.RegularExpressions;

namespace Millrace.Tests.Tidy;

/// <summary>
/// Just enough of C#'s lexical grammar to tell code from text: comments, character literals and strings of every kind
/// become blanks, the code in the holes of interpolated strings stays. Line breaks stay where they are.
/// </summary>
internal sealed partial class CSharpCode
{
    private readonly string _text;
    private readonly char[] _code;

    private readonly bool _keepsComments;

    private CSharpCode(string text, bool keepsComments)
    {
        (_text, _code, _keepsComments) = (text, text.ToCharArray(), keepsComments);
        ReadCode(0, isHole: false);
    }

    public static string Only(string text) => new(new CSharpCode(text, keepsComments: false)._code);

    public static string WithComments(string text) => new(new CSharpCode(text, keepsComments: true)._code);

    /// <summary>Names of the types declared in code.</summary>
    public static IEnumerable<string> TypesIn(string code) => TypesAndBasesIn(code).Select(static type => type.Name);

    /// <summary>With what stands behind the colon.</summary>
    public static IEnumerable<(string Name, string Bases)> TypesAndBasesIn(string code) =>
        TypeDeclaration().Matches(code).Select(match => (
            match.Groups["name"].Value,
            Bases().Match(code, match.Index + match.Length).Groups["bases"].Value));

    /// <summary>
    /// Members with a body: the line on which they begin, their length in lines, and what they begin with. A member is
    /// a block directly inside a type; the brackets inside it are its own affair. A list that is only written down
    /// (<c>=> new() { … }</c>) is none.
    /// </summary>
    public static IEnumerable<(int Line, int Length, string Header)> MembersOf(string code)
    {
        var open = new Stack<(bool IsType, bool IsMember, int Start)>();
        var headerStart = 0;
        for (var i = 0; i < code.Length; i++)
        {
            if (code[i] is not ('{' or '}' or ';'))
            {
                continue;
            }
            if (code[i] == '{')
            {
                var header = code[headerStart..i];
                var isType = TypeDeclaration().IsMatch(header);
                var isMember = !isType && open.Count > 0 && open.Peek().IsType && !Table().IsMatch(header);
                open.Push((isType, isMember, headerStart + header.Length - header.TrimStart().Length));
            }
            else if (code[i] == '}' && open.TryPop(out var block) && block.IsMember)
            {
                var line = LineOf(code, block.Start);
                var end = code.IndexOf('\n', block.Start) is var eol and >= 0 ? Math.Min(eol, i) : i;
                yield return (line, LineOf(code, i) - line + 1, code[block.Start..end].Trim());
            }
            headerStart = i + 1;
        }
    }

    private static int LineOf(string code, int position) => code.AsSpan(0, position).Count('\n') + 1;

    /// <summary>Reads code up to the end, or up to the bracket that closes a hole; returns where it stands.</summary>
    private int ReadCode(int at, bool isHole)
    {
        var depth = 0;
        while (at < _text.Length)
        {
            if (StartsWith(at, "//"))
            {
                at = BlankComment(at, EndOf("\n", at, isInclusive: false));
            }
            else if (StartsWith(at, "/*"))
            {
                at = BlankComment(at, EndOf("*/", at + 2, isInclusive: true));
            }
            else if (CharacterLiteral().Match(_text, at) is { Success: true } literal)
            {
                at = Blank(at, at + literal.Length);
            }
            else if (StringStart().Match(_text, at) is { Success: true } start)
            {
                at = ReadString(at, start);
            }
            else
            {
                depth += _text[at] switch { '{' => 1, '}' => -1, _ => 0 };
                if (isHole && depth < 0)
                {
                    return at;
                }
                at++;
            }
        }
        return at;
    }

    private int ReadString(int at, Match start)
    {
        var prefix = start.Groups["prefix"].Value;
        var quotes = start.Groups["quotes"].Length;
        var isVerbatim = prefix.Contains('@');
        var isRaw = quotes >= 3 && !isVerbatim;
        var holes = prefix.Count(static c => c == '$');
        var end = isRaw ? new string('"', quotes) : "\"";
        at = Blank(at, at + prefix.Length + end.Length);
        while (at < _text.Length && !(StartsWith(at, end) && !(isVerbatim && StartsWith(at, "\"\""))))
        {
            var brackets = holes > 0 ? CountOf('{', at) : 0;
            if (brackets >= holes && brackets > 0 && (isRaw || brackets % 2 == 1))
            {
                var hole = Blank(at, at + brackets);
                at = ReadCode(hole, isHole: true);
                at = Blank(at, at + (isRaw ? holes : 1));
                continue;
            }
            var isEscape = !isRaw && ((!isVerbatim && _text[at] == '\\') || (isVerbatim && StartsWith(at, "\"\"")));
            at = Blank(at, at + Math.Max(1, isEscape ? 2 : brackets));
        }
        return Blank(at, at + end.Length);
    }

    private int BlankComment(int from, int to) => _keepsComments ? to : Blank(from, to);

    private int Blank(int from, int to)
    {
        to = Math.Min(to, _code.Length);
        for (var i = from; i < to; i++)
        {
            _code[i] = _code[i] == '\n' ? '\n' : ' ';
        }
        return to;
    }

    private int CountOf(char c, int at)
    {
        var end = at;
        while (end < _text.Length && _text[end] == c)
        {
            end++;
        }
        return end - at;
    }

    private bool StartsWith(int at, string what) => _text.AsSpan(at).StartsWith(what);

    private int EndOf(string what, int at, bool isInclusive)
    {
        var found = _text.IndexOf(what, Math.Min(at, _text.Length), StringComparison.Ordinal);
        return found < 0 ? _text.Length : found + (isInclusive ? what.Length : 0);
    }

    [GeneratedRegex(@"\b(class|struct|interface|enum|record(\s+(struct|class))?)\s+(?<name>[A-Z]\w*)")]
    private static partial Regex TypeDeclaration();

    [GeneratedRegex(@"\G(<[^>{};]*>+)?\s*(\([^{};]*?\))?\s*:(?<bases>[^{;]*)")]
    private static partial Regex Bases();

    [GeneratedRegex(@"=>?\s*new\b[^{}]*$")]
    private static partial Regex Table();

    [GeneratedRegex("""\G'(\\[^\n]{1,9}?|[^\\'\n])'""")]
    private static partial Regex CharacterLiteral();

    [GeneratedRegex("""\G(?<prefix>[$@]*)(?<quotes>"+)""")]
    private static partial Regex StringStart();
}
