namespace Millrace.Model.Re2;

internal enum RegexNodeKind
{
    Empty,
    Literal,
    Set,
    AnyCharacter,
    AnyButNewline,
    LineStart,
    LineEnd,
    TextStart,
    TextEnd,
    WordBoundary,
    NoWordBoundary,
    Capture,
    Concatenation,
    Alternation,
    Repetition,
}

/// <summary>A node of a parsed regular expression.</summary>
internal sealed class RegexNode
{
    public const int Unlimited = -1;

    public required RegexNodeKind Kind { get; init; }

    public RegexNode[] Children { get; init; } = [];

    /// <summary>Of a literal.</summary>
    public int CodePoint { get; init; }

    public CodePointSet? Set { get; init; }

    /// <summary>Of a capture: the number of the group, from 1.</summary>
    public int Group { get; init; }

    public int Min { get; init; }

    /// <summary>Of a repetition; <see cref="Unlimited"/> for no bound.</summary>
    public int Max { get; init; }

    public bool Greedy { get; init; } = true;

    public static RegexNode Of(RegexNodeKind kind) => new() { Kind = kind };

    public static RegexNode Concatenation(List<RegexNode> nodes) => nodes.Count switch
    {
        0 => Of(RegexNodeKind.Empty),
        1 => nodes[0],
        _ => new RegexNode { Kind = RegexNodeKind.Concatenation, Children = [.. nodes] },
    };

    public static RegexNode Alternation(List<RegexNode> nodes) => nodes.Count == 1
        ? nodes[0]
        : new RegexNode { Kind = RegexNodeKind.Alternation, Children = [.. nodes] };

    /// <summary>Whether it can match the empty text.</summary>
    public bool IsNullable => Kind switch
    {
        RegexNodeKind.Literal or RegexNodeKind.Set or RegexNodeKind.AnyCharacter or RegexNodeKind.AnyButNewline
            => false,
        RegexNodeKind.Capture => Children[0].IsNullable,
        RegexNodeKind.Concatenation => Array.TrueForAll(Children, static child => child.IsNullable),
        RegexNodeKind.Alternation => Array.Exists(Children, static child => child.IsNullable),
        RegexNodeKind.Repetition => Min == 0 || Children[0].IsNullable,
        _ => true,
    };
}
