using System.Diagnostics.CodeAnalysis;

namespace Millrace.Model.Re2;

/// <summary>
/// A regular expression with the syntax and the semantics of Go's package regexp (RE2), which Prometheus and vmagent
/// use: linear time for any pattern and any text, leftmost-first matches over code points, ASCII classes.
///
/// The engine is our own because .NET's differs in each of these: its <c>\d \w \s \b</c> and case folding are
/// Unicode's, its characters are UTF-16 units, its captures in repetitions of empty matches are others; and its
/// NonBacktracking mode, the only one a hostile pattern cannot hang, has no ASCII <c>\b</c> and needs a string to
/// report captures, where these work on spans. Patterns that are only texts and gaps need no engine at all
/// (<see cref="RegexShape"/>).
/// </summary>
internal sealed class GoRegex
{
    private readonly RegexNode _root;
    private readonly RegexShape? _shape;
    private readonly string _prefix;
    private readonly bool _whole;
    private readonly string?[] _groupNames;
    private RegexProgram? _program;

    private GoRegex(string pattern, RegexNode root, string?[] groupNames, bool whole)
    {
        Pattern = pattern;
        _root = root;
        _groupNames = groupNames;
        _whole = whole;
        _shape = whole ? RegexShape.From(root) : null;
        _prefix = PrefixOf(root);
        while (root.Kind == RegexNodeKind.Capture)
        {
            root = root.Children[0];
        }
        IsAnything = root is { Kind: RegexNodeKind.Repetition, Min: 0, Max: RegexNode.Unlimited, Greedy: true }
            && root.Children[0].Kind == RegexNodeKind.AnyCharacter;
    }

    public string Pattern { get; }

    /// <summary>The room captures need: start and end of the match and of each group.</summary>
    public int CaptureSlots => 2 * _groupNames.Length;

    /// <summary>Whether it is <c>.*</c>, in whatever groups: it matches any text.</summary>
    public bool IsAnything { get; }

    /// <summary>
    /// The pattern must match the whole text and the dot matches a newline, as everywhere in Prometheus.
    /// </summary>
    public static bool TryCreateAnchored(string pattern, [NotNullWhen(true)] out GoRegex? regex, out string error) =>
        TryCreate(pattern, whole: true, out regex, out error);

    /// <summary>The pattern is looked for anywhere and the dot does not match a newline, as in Go by default.</summary>
    public static bool TryCreateSearch(string pattern, [NotNullWhen(true)] out GoRegex? regex, out string error) =>
        TryCreate(pattern, whole: false, out regex, out error);

    public bool IsMatch(ReadOnlySpan<char> text) => _shape?.IsMatch(text) ?? Run(text, 0, []);

    /// <summary>
    /// The first match at or after <paramref name="from"/>. The captures are pairs of start and end, the whole match
    /// first; -1 where a group did not take part.
    /// </summary>
    public bool TryMatch(ReadOnlySpan<char> text, int from, Span<int> captures)
    {
        if (_whole && from > 0)
        {
            return false;
        }
        if (_shape is null || (!_shape.KnowsCaptures && _groupNames.Length > 1))
        {
            return Run(text, from, captures);
        }
        return _shape.TryMatch(text, captures);
    }

    /// <summary>
    /// Go's <c>Regexp.Expand</c>: <c>$1</c>, <c>${1}</c>, <c>$name</c>, <c>${name}</c>; the longest name counts, so
    /// <c>$1x</c> is the group "1x", which is empty; <c>$$</c> is a dollar. What is no reference stays as it is.
    /// </summary>
    public void Expand(ReadOnlySpan<char> template, ReadOnlySpan<char> source, ReadOnlySpan<int> captures,
        CharBuffer output)
    {
        while (true)
        {
            var dollar = template.IndexOf('$');
            if (dollar < 0)
            {
                output.Append(template);
                return;
            }
            output.Append(template[..dollar]);
            template = template[(dollar + 1)..];
            if (template is ['$', ..])
            {
                output.Append('$');
                template = template[1..];
            }
            else if (TryReadReference(ref template, out var name))
            {
                var group = GroupOf(name, captures);
                if (group >= 0)
                {
                    output.Append(source[captures[2 * group]..captures[2 * group + 1]]);
                }
            }
            else
            {
                output.Append('$');
            }
        }
    }

    /// <summary>Go's <c>ReplaceAllString</c>: every match is replaced by the expanded template.</summary>
    public void ReplaceAll(ReadOnlySpan<char> source, ReadOnlySpan<char> template, CharBuffer output)
    {
        Span<int> captures = CaptureSlots <= 64 ? stackalloc int[CaptureSlots] : new int[CaptureSlots];
        var copied = 0;
        var from = 0;
        while (from <= source.Length && TryMatch(source, from, captures))
        {
            output.Append(source[copied..captures[0]]);
            // An empty match right behind the last one is not replaced.
            if (captures[1] > copied || captures[0] == 0)
            {
                Expand(template, source, captures, output);
            }
            copied = captures[1];
            RegexProgram.CodePointAt(source, from, out var width);
            from = Math.Max(from + width, copied);
        }
        output.Append(source[copied..]);
    }

    private static bool TryCreate(string pattern, bool whole, [NotNullWhen(true)] out GoRegex? regex,
        out string error)
    {
        var parser = new RegexParser(pattern, dotMatchesNewline: whole);
        regex = parser.TryParse(out var root) ? new GoRegex(pattern, root, parser.GroupNames, whole) : null;
        error = parser.Error;
        return regex is not null;
    }

    private bool Run(ReadOnlySpan<char> text, int from, Span<int> captures)
    {
        if (_whole && !text.StartsWith(_prefix))
        {
            return false;
        }
        var program = _program ??= RegexProgram.Compile(_root);
        return BacktrackMatcher.Fits(program, text)
            ? BacktrackMatcher.OfThread.TryMatch(program, text, from, _whole, captures)
            : ParallelMatcher.TryMatch(program, text, from, _whole, captures);
    }

    /// <summary>Reads <c>name</c> or <c>{name}</c>; if neither stands here, nothing moves.</summary>
    private static bool TryReadReference(ref ReadOnlySpan<char> template, out ReadOnlySpan<char> name)
    {
        var start = template is ['{', ..] ? 1 : 0;
        var end = start;
        while (end < template.Length && (char.IsLetter(template[end]) || char.IsDigit(template[end])
            || template[end] == '_'))
        {
            end++;
        }
        name = template[start..end];
        if (name.IsEmpty || (start == 1 && (end == template.Length || template[end] != '}')))
        {
            return false;
        }
        template = template[(end + start)..];
        return true;
    }

    /// <summary>The group that the name means and that took part in the match, or -1.</summary>
    private int GroupOf(ReadOnlySpan<char> name, ReadOnlySpan<int> captures)
    {
        var isNumber = name.Length == 1 || name[0] != '0';
        var number = 0;
        foreach (var c in name)
        {
            isNumber &= char.IsAsciiDigit(c) && number < 100_000_000;
            number = isNumber ? number * 10 + (c - '0') : 0;
        }
        if (isNumber)
        {
            return number < _groupNames.Length && captures[2 * number] >= 0 ? number : -1;
        }
        for (var i = 0; i < _groupNames.Length; i++)
        {
            if (_groupNames[i] is { } known && name.SequenceEqual(known) && captures[2 * i] >= 0)
            {
                return i;
            }
        }
        return -1;
    }

    /// <summary>The characters every match begins with.</summary>
    private static string PrefixOf(RegexNode root)
    {
        var nodes = root.Kind == RegexNodeKind.Concatenation ? root.Children : [root];
        var prefix = new System.Text.StringBuilder();
        foreach (var node in nodes)
        {
            if (node.Kind != RegexNodeKind.Literal || !System.Text.Rune.IsValid(node.CodePoint))
            {
                break;
            }
            prefix.Append(new System.Text.Rune(node.CodePoint));
        }
        return prefix.ToString();
    }
}
