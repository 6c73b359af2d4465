namespace Millrace.Model.Re2;

internal enum RegexOperation : byte
{
    /// <summary>One literal code point, the argument.</summary>
    Literal,

    /// <summary>One code point of the set whose index is the argument.</summary>
    Set,
    AnyCharacter,
    AnyButNewline,

    /// <summary>Go on at the next instruction; if that fails, at the argument.</summary>
    Split,

    /// <summary>Remember the position in the capture slot, the argument.</summary>
    Capture,
    LineStart,
    LineEnd,
    TextStart,
    TextEnd,
    WordBoundary,
    NoWordBoundary,
    Match,
}

internal readonly record struct RegexInstruction(RegexOperation Operation, int Next, int Argument);

/// <summary>
/// A regular expression as instructions for the matchers. The tree is compiled from the back: each node is given the
/// instruction that follows it. Which of two ways is tried first makes the match leftmost-first, as in Perl and Go.
/// </summary>
internal sealed class RegexProgram
{
    private readonly List<RegexInstruction> _building = [];
    private readonly List<CodePointSet> _sets = [];

    private RegexProgram(RegexNode root)
    {
        var match = Add(RegexOperation.Match, 0, 0);
        Start = Compile(root, match);
        Instructions = [.. _building];
        Sets = [.. _sets];
    }

    public int Start { get; }

    public RegexInstruction[] Instructions { get; }

    public CodePointSet[] Sets { get; }

    public static RegexProgram Compile(RegexNode root) => new(root);

    /// <summary>Whether an instruction without width lets the match pass at this position.</summary>
    public static bool Holds(RegexOperation operation, ReadOnlySpan<char> text, int position) => operation switch
    {
        RegexOperation.TextStart => position == 0,
        RegexOperation.TextEnd => position == text.Length,
        RegexOperation.LineStart => position == 0 || text[position - 1] == '\n',
        RegexOperation.LineEnd => position == text.Length || text[position] == '\n',
        RegexOperation.WordBoundary => IsWordBoundary(text, position),
        _ => !IsWordBoundary(text, position),
    };

    /// <summary>Whether an instruction with width takes the code point.</summary>
    public bool Takes(in RegexInstruction instruction, int codePoint) => instruction.Operation switch
    {
        RegexOperation.Literal => codePoint == instruction.Argument,
        RegexOperation.Set => Sets[instruction.Argument].Contains(codePoint),
        RegexOperation.AnyCharacter => codePoint >= 0,
        _ => codePoint >= 0 && codePoint != '\n',
    };

    /// <summary>The code point at a position, or -1 at the end; the width is in UTF-16 units.</summary>
    public static int CodePointAt(ReadOnlySpan<char> text, int position, out int width)
    {
        width = 1;
        if (position >= text.Length)
        {
            return -1;
        }
        var c = text[position];
        if (char.IsHighSurrogate(c) && position + 1 < text.Length && char.IsLowSurrogate(text[position + 1]))
        {
            width = 2;
            return char.ConvertToUtf32(c, text[position + 1]);
        }
        return c;
    }

    private static bool IsWordBoundary(ReadOnlySpan<char> text, int position)
    {
        var before = position > 0 && IsWord(text[position - 1]);
        var after = position < text.Length && IsWord(text[position]);
        return before != after;
    }

    private static bool IsWord(char c) => char.IsAsciiLetterOrDigit(c) || c == '_';

    private int Compile(RegexNode node, int next)
    {
        switch (node.Kind)
        {
            case RegexNodeKind.Empty: return next;
            case RegexNodeKind.Literal: return Add(RegexOperation.Literal, next, node.CodePoint);
            case RegexNodeKind.Set:
                _sets.Add(node.Set!);
                return Add(RegexOperation.Set, next, _sets.Count - 1);
            case RegexNodeKind.AnyCharacter: return Add(RegexOperation.AnyCharacter, next, 0);
            case RegexNodeKind.AnyButNewline: return Add(RegexOperation.AnyButNewline, next, 0);
            case RegexNodeKind.LineStart: return Add(RegexOperation.LineStart, next, 0);
            case RegexNodeKind.LineEnd: return Add(RegexOperation.LineEnd, next, 0);
            case RegexNodeKind.TextStart: return Add(RegexOperation.TextStart, next, 0);
            case RegexNodeKind.TextEnd: return Add(RegexOperation.TextEnd, next, 0);
            case RegexNodeKind.WordBoundary: return Add(RegexOperation.WordBoundary, next, 0);
            case RegexNodeKind.NoWordBoundary: return Add(RegexOperation.NoWordBoundary, next, 0);
            case RegexNodeKind.Capture:
                next = Add(RegexOperation.Capture, next, 2 * node.Group + 1);
                next = Compile(node.Children[0], next);
                return Add(RegexOperation.Capture, next, 2 * node.Group);
            case RegexNodeKind.Concatenation:
                for (var i = node.Children.Length - 1; i >= 0; i--)
                {
                    next = Compile(node.Children[i], next);
                }
                return next;
            case RegexNodeKind.Alternation:
                var start = Compile(node.Children[^1], next);
                for (var i = node.Children.Length - 2; i >= 0; i--)
                {
                    start = Add(RegexOperation.Split, Compile(node.Children[i], next), start);
                }
                return start;
            default:
                return CompileRepetition(node, next);
        }
    }

    private int CompileRepetition(RegexNode node, int next)
    {
        var child = node.Children[0];
        if (node.Max == RegexNode.Unlimited)
        {
            // x{n,} is n-1 times x and x+; x* is a loop or, where x can be empty, (x+)?, which keeps Go's priorities.
            var tail = node.Min > 0 ? CompilePlus(child, node.Greedy, next) : CompileStar(child, node.Greedy, next);
            return CompileCopies(child, node.Min - 1, tail);
        }
        // x{n,m} is n times x and then (x(x(x)?)?)?.
        var start = next;
        for (var i = node.Min; i < node.Max; i++)
        {
            start = AddSplit(node.Greedy, Compile(child, start), next);
        }
        return CompileCopies(child, node.Min, start);
    }

    private int CompileCopies(RegexNode child, int count, int next)
    {
        for (var i = 0; i < count; i++)
        {
            next = Compile(child, next);
        }
        return next;
    }

    private int CompilePlus(RegexNode child, bool greedy, int next)
    {
        var loop = Add(RegexOperation.Split, 0, 0);
        var body = Compile(child, loop);
        _building[loop] = Split(greedy, body, next);
        return body;
    }

    private int CompileStar(RegexNode child, bool greedy, int next)
    {
        if (child.IsNullable)
        {
            return AddSplit(greedy, CompilePlus(child, greedy, next), next);
        }
        var loop = Add(RegexOperation.Split, 0, 0);
        var body = Compile(child, loop);
        _building[loop] = Split(greedy, body, next);
        return loop;
    }

    private int AddSplit(bool greedy, int body, int next)
    {
        _building.Add(Split(greedy, body, next));
        return _building.Count - 1;
    }

    private static RegexInstruction Split(bool greedy, int body, int next) => greedy
        ? new RegexInstruction(RegexOperation.Split, body, next)
        : new RegexInstruction(RegexOperation.Split, next, body);

    private int Add(RegexOperation operation, int next, int argument)
    {
        _building.Add(new RegexInstruction(operation, next, argument));
        return _building.Count - 1;
    }
}
