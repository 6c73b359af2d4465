using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace Millrace.Model.Re2;

/// <summary>
/// Reads the syntax of RE2 as Go has it (package regexp/syntax, flags of Perl): no backreferences, no lookaround, no
/// possessive repetition, classes of ASCII behind <c>\d \w \s \b</c>. What Go refuses is refused here, and with it
/// what would make a pattern expensive. Groups are kept on a list instead of the stack of the processor, so that a
/// long row of parentheses from a configuration file cannot overflow it.
/// </summary>
internal sealed partial class RegexParser(string pattern, bool dotMatchesNewline)
{
    /// <summary>Go's bound for one repetition, and for the product of nested ones.</summary>
    private const int MaxRepetition = 1000;

    /// <summary>Go allows 1000 levels of nodes; a group makes up to four of them.</summary>
    private const int MaxGroupDepth = 250;

    /// <summary>Instructions of the compiled program; 16 MB. Go's bound is 128 MB.</summary>
    private const int MaxProgramSize = 1_000_000;

    private readonly List<Group> _groups = [];
    private readonly List<string?> _names = [null];
    private List<RegexNode> _alternatives = [];
    private List<RegexNode> _sequence = [];
    private Flags _flags = dotMatchesNewline ? Flags.DotNewline : Flags.None;
    private int _position;

    [Flags]
    private enum Flags
    {
        None = 0,
        FoldCase = 1,
        MultiLine = 2,
        DotNewline = 4,
        Ungreedy = 8,
    }

    /// <summary>An open parenthesis: what stood before it, and the flags to return to.</summary>
    private sealed record Group(List<RegexNode> Alternatives, List<RegexNode> Sequence, Flags Flags, int Capture);

    public string Error { get; private set; } = "";

    /// <summary>Names of the groups by number; index 0 is the whole match.</summary>
    public string?[] GroupNames => [.. _names];

    public bool TryParse([NotNullWhen(true)] out RegexNode? root)
    {
        root = null;
        var afterRepetition = false;
        while (_position < pattern.Length)
        {
            var isRepetition = false;
            var done = pattern[_position] switch
            {
                '(' => TryOpenGroup(),
                ')' => TryCloseGroup(),
                '|' => EndAlternative(),
                '^' => AddAnchor(_flags.HasFlag(Flags.MultiLine) ? RegexNodeKind.LineStart : RegexNodeKind.TextStart),
                '$' => AddAnchor(_flags.HasFlag(Flags.MultiLine) ? RegexNodeKind.LineEnd : RegexNodeKind.TextEnd),
                '.' => AddAnchor(_flags.HasFlag(Flags.DotNewline)
                    ? RegexNodeKind.AnyCharacter
                    : RegexNodeKind.AnyButNewline),
                '[' => TryReadClass(),
                '*' or '+' or '?' or '{' => TryReadRepetition(afterRepetition, out isRepetition),
                '\\' => TryReadEscape(),
                _ => AddLiteral(ReadCodePoint()),
            };
            if (!done)
            {
                return false;
            }
            afterRepetition = isRepetition;
        }
        if (_groups.Count > 0)
        {
            return Fail(pattern.Length, "a group is not closed; write ) at its end");
        }
        root = TakeAlternation();
        return ProgramSize(root) <= MaxProgramSize || Fail(0, "the expression is too large; shorten it");
    }

    private bool TryOpenGroup()
    {
        if (_groups.Count >= MaxGroupDepth)
        {
            return Fail(_position, $"groups are nested more than {MaxGroupDepth} deep; simplify the expression");
        }
        var rest = pattern.AsSpan(_position);
        if (!rest.StartsWith("(?"))
        {
            _position++;
            OpenGroup(_flags, CaptureNumber(null));
            return true;
        }
        if (rest.StartsWith("(?=") || rest.StartsWith("(?!") || rest.StartsWith("(?<=") || rest.StartsWith("(?<!"))
        {
            return Fail(_position, "lookaround is not supported by RE2; match the wanted text itself");
        }
        if (rest.StartsWith("(?>"))
        {
            return Fail(_position, "atomic groups are not supported by RE2; write (?:…)");
        }
        var nameStart = rest.StartsWith("(?P<") ? 4 : rest.StartsWith("(?<") ? 3 : 0;
        return nameStart > 0 ? TryOpenNamedGroup(nameStart) : TryReadFlags();
    }

    private bool TryOpenNamedGroup(int nameStart)
    {
        var end = pattern.IndexOf('>', _position);
        var name = end < 0 ? "" : pattern[(_position + nameStart)..end];
        var valid = name.Length > 0;
        foreach (var c in name)
        {
            valid &= char.IsAsciiLetterOrDigit(c) || c == '_';
        }
        if (!valid)
        {
            return Fail(_position, "the name of the group is not valid; write (?P<name>…) with letters, digits and _");
        }
        _position = end + 1;
        OpenGroup(_flags, CaptureNumber(name));
        return true;
    }

    /// <summary><c>(?flags)</c> and <c>(?flags:…)</c>.</summary>
    private bool TryReadFlags()
    {
        var start = _position;
        var flags = _flags;
        var negative = false;
        var sawFlag = false;
        for (_position += 2; _position < pattern.Length; _position++)
        {
            var flag = Flags.None;
            switch (pattern[_position])
            {
                case 'i': flag = Flags.FoldCase; break;
                case 'm': flag = Flags.MultiLine; break;
                case 's': flag = Flags.DotNewline; break;
                case 'U': flag = Flags.Ungreedy; break;
                case '-' when !negative:
                    negative = true;
                    sawFlag = false;
                    continue;
                case ':' or ')' when !negative || sawFlag:
                    if (pattern[_position++] == ':')
                    {
                        OpenGroup(_flags, 0);
                    }
                    _flags = flags;
                    return true;
                default:
                    return Fail(start, $"\"{pattern[start..(_position + 1)]}\" is not supported by RE2; "
                        + "groups are (…), (?:…), (?P<name>…), flags are (?i), (?m), (?s), (?U)");
            }
            flags = negative ? flags & ~flag : flags | flag;
            sawFlag = true;
        }
        return Fail(start, "the group is not closed; write ) at its end");
    }

    private void OpenGroup(Flags flags, int capture)
    {
        _groups.Add(new Group(_alternatives, _sequence, flags, capture));
        _alternatives = [];
        _sequence = [];
    }

    private int CaptureNumber(string? name)
    {
        _names.Add(name);
        return _names.Count - 1;
    }

    private bool TryCloseGroup()
    {
        if (_groups.Count == 0)
        {
            return Fail(_position, "a ) closes no group; write \\) for the character itself");
        }
        _position++;
        var inner = TakeAlternation();
        var group = _groups[^1];
        _groups.RemoveAt(_groups.Count - 1);
        _alternatives = group.Alternatives;
        _sequence = group.Sequence;
        _flags = group.Flags;
        _sequence.Add(group.Capture == 0
            ? inner
            : new RegexNode { Kind = RegexNodeKind.Capture, Group = group.Capture, Children = [inner] });
        return true;
    }

    private bool EndAlternative()
    {
        _position++;
        _alternatives.Add(RegexNode.Concatenation(_sequence));
        _sequence = [];
        return true;
    }

    private RegexNode TakeAlternation()
    {
        _alternatives.Add(RegexNode.Concatenation(_sequence));
        return RegexNode.Alternation(_alternatives);
    }

    private bool AddAnchor(RegexNodeKind kind)
    {
        _position++;
        _sequence.Add(RegexNode.Of(kind));
        return true;
    }

    private bool AddLiteral(int codePoint)
    {
        var orbit = _flags.HasFlag(Flags.FoldCase) ? GoUnicode.FoldOrbit(codePoint) : null;
        if (orbit is null)
        {
            _sequence.Add(new RegexNode { Kind = RegexNodeKind.Literal, CodePoint = codePoint });
            return true;
        }
        var ranges = new List<CodePointSet.Range>();
        foreach (var folded in orbit)
        {
            ranges.Add(new CodePointSet.Range(folded, folded));
        }
        return AddSet(ranges);
    }

    private bool AddSet(List<CodePointSet.Range> ranges)
    {
        _sequence.Add(new RegexNode { Kind = RegexNodeKind.Set, Set = CodePointSet.From(ranges) });
        return true;
    }

    private bool TryReadRepetition(bool afterRepetition, out bool isRepetition)
    {
        var start = _position;
        isRepetition = true;
        var (min, max) = pattern[_position++] switch
        {
            '*' => (0, RegexNode.Unlimited),
            '+' => (1, RegexNode.Unlimited),
            '?' => (0, 1),
            _ => (-1, -1),
        };
        if (min < 0)
        {
            if (!TryReadCounts(out min, out max))
            {
                // As in Go, a brace that is no repetition is the character itself.
                isRepetition = false;
                return AddLiteral('{');
            }
            if (min > MaxRepetition || max > MaxRepetition || (max >= 0 && min > max))
            {
                return Fail(start, $"the repeat count {pattern[start.._position]} is not valid; "
                    + $"write at most {MaxRepetition}, the smaller number first");
            }
        }
        var greedy = !_flags.HasFlag(Flags.Ungreedy);
        if (_position < pattern.Length && pattern[_position] == '?')
        {
            _position++;
            greedy = !greedy;
        }
        if (afterRepetition)
        {
            return Fail(start, $"\"{pattern[start.._position]}\" repeats a repetition, and RE2 has no possessive "
                + "ones; write (?:…) around the first");
        }
        if (_sequence.Count == 0)
        {
            return Fail(start, $"\"{pattern[start.._position]}\" has nothing to repeat; write \\{pattern[start]} "
                + "for the character itself");
        }
        var repetition = new RegexNode
        {
            Kind = RegexNodeKind.Repetition,
            Min = min,
            Max = max,
            Greedy = greedy,
            Children = [_sequence[^1]],
        };
        if ((min >= 2 || max >= 2) && !RepetitionFits(repetition, MaxRepetition))
        {
            return Fail(start, $"nested repeat counts multiply to more than {MaxRepetition}; lower them");
        }
        _sequence[^1] = repetition;
        return true;
    }

    /// <summary>
    /// Reads what follows a brace: <c>n}</c>, <c>n,}</c> or <c>n,m}</c>. If it is none, nothing moves.
    /// </summary>
    private bool TryReadCounts(out int min, out int max)
    {
        var start = _position;
        max = RegexNode.Unlimited;
        if (TryReadCount(out min) && _position < pattern.Length)
        {
            if (pattern[_position] == '}')
            {
                _position++;
                max = min;
                return true;
            }
            if (pattern[_position] == ',')
            {
                _position++;
                var open = _position < pattern.Length && pattern[_position] == '}';
                if ((open || TryReadCount(out max)) && _position < pattern.Length && pattern[_position] == '}')
                {
                    _position++;
                    return true;
                }
            }
        }
        _position = start;
        return false;
    }

    private bool TryReadCount(out int count)
    {
        count = 0;
        var start = _position;
        while (_position < pattern.Length && char.IsAsciiDigit(pattern[_position]))
        {
            count = Math.Min(count * 10 + (pattern[_position] - '0'), MaxRepetition * 10);
            _position++;
        }
        var digits = _position - start;
        return digits == 1 || (digits > 1 && pattern[start] != '0');
    }

    private static bool RepetitionFits(RegexNode node, int budget)
    {
        if (node.Kind == RegexNodeKind.Repetition)
        {
            var count = node.Max < 0 ? node.Min : node.Max;
            if (node.Max == 0)
            {
                return true;
            }
            if (count > budget)
            {
                return false;
            }
            budget /= Math.Max(count, 1);
        }
        foreach (var child in node.Children)
        {
            if (!RepetitionFits(child, budget))
            {
                return false;
            }
        }
        return true;
    }

    private static long ProgramSize(RegexNode node)
    {
        var size = 0L;
        foreach (var child in node.Children)
        {
            size += ProgramSize(child);
        }
        return node.Kind switch
        {
            RegexNodeKind.Concatenation => size,
            RegexNodeKind.Alternation => size + node.Children.Length,
            RegexNodeKind.Repetition => (size + 2) * Math.Max(Math.Max(node.Min, node.Max), 1),
            _ => size + 2,
        };
    }

    private int ReadCodePoint()
    {
        if (Rune.DecodeFromUtf16(pattern.AsSpan(_position), out var rune, out var used)
            == System.Buffers.OperationStatus.Done)
        {
            _position += used;
            return rune.Value;
        }
        return pattern[_position++];
    }

    private bool Fail(int position, string problem)
    {
        Error = $"invalid regular expression \"{pattern}\", position {position + 1}: {problem}";
        return false;
    }
}
