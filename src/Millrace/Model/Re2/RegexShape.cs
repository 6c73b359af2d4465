using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using System.Text;

namespace Millrace.Model.Re2;

/// <summary>
/// What most patterns of rules really are: some texts (<c>a|b|foo(bar|baz)</c>), or texts with gaps
/// (<c>foo.*</c>, <c>.+_total</c>, <c>(.*)</c>, <c>.*err.*|.*warn.*</c>). These need no engine. Only for patterns that
/// must match the whole text.
/// </summary>
internal sealed class RegexShape
{
    private const int MaxSetChars = 10;
    private const int MaxTexts = 4096;
    private const int LinearTexts = 8;

    private readonly string[] _texts;
    private readonly HashSet<string>.AlternateLookup<ReadOnlySpan<char>>? _lookup;
    private readonly Glob[] _globs;

    private RegexShape(HashSet<string> texts, List<Glob> globs, bool hasOuterCapture)
    {
        KnowsCaptures = texts.Count == 0 && globs is [{ Captures: not null }] && !hasOuterCapture;
        _texts = [.. texts];
        _lookup = texts.Count > LinearTexts ? texts.GetAlternateLookup<ReadOnlySpan<char>>() : null;
        _globs = [.. globs];
    }

    /// <summary>
    /// Whether captures are known without the engine: a single glob whose parts cannot lie elsewhere.
    /// </summary>
    public bool KnowsCaptures { get; }

    public static RegexShape? From(RegexNode root)
    {
        var texts = new HashSet<string>(StringComparer.Ordinal);
        var globs = new List<Glob>();
        var alternatives = root;
        while (alternatives.Kind == RegexNodeKind.Capture)
        {
            alternatives = alternatives.Children[0];
        }
        var hasOuterCapture = alternatives.Kind == RegexNodeKind.Alternation && alternatives != root;
        return AddAlternatives(hasOuterCapture ? alternatives : root, texts, globs)
            ? new RegexShape(texts, globs, hasOuterCapture)
            : null;
    }

    public bool IsMatch(ReadOnlySpan<char> text)
    {
        if (_lookup is { } lookup)
        {
            if (lookup.Contains(text))
            {
                return true;
            }
        }
        else
        {
            foreach (var known in _texts)
            {
                if (text.SequenceEqual(known))
                {
                    return true;
                }
            }
        }
        foreach (var glob in _globs)
        {
            if (glob.IsMatch(text))
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>Only where <see cref="KnowsCaptures"/>, or where the pattern has no groups.</summary>
    public bool TryMatch(ReadOnlySpan<char> text, Span<int> captures)
    {
        if (!IsMatch(text))
        {
            return false;
        }
        captures.Fill(-1);
        captures[0] = 0;
        captures[1] = text.Length;
        if (!KnowsCaptures)
        {
            return true;
        }
        foreach (var (slot, offset, fromEnd) in _globs[0].Captures!)
        {
            if (slot < captures.Length)
            {
                captures[slot] = fromEnd ? text.Length - offset : offset;
            }
        }
        return true;
    }

    private static bool AddAlternatives(RegexNode node, HashSet<string> texts, List<Glob> globs)
    {
        if (node.Kind == RegexNodeKind.Alternation)
        {
            foreach (var child in node.Children)
            {
                if (!AddAlternatives(child, texts, globs))
                {
                    return false;
                }
            }
            return true;
        }
        if (Glob.From(node) is { } glob && (glob.HasGap || glob.Captures is [_, ..]))
        {
            globs.Add(glob);
            return true;
        }
        var alternatives = TextsOf(node);
        if (alternatives is null)
        {
            return false;
        }
        texts.UnionWith(alternatives);
        return true;
    }

    /// <summary>All texts the node matches, if they are few; null otherwise.</summary>
    private static List<string>? TextsOf(RegexNode node)
    {
        switch (node.Kind)
        {
            case RegexNodeKind.Empty: return [""];
            case RegexNodeKind.Literal: return [TextOf(node.CodePoint)];
            case RegexNodeKind.Set: return TextsOf(node.Set!);
            case RegexNodeKind.Capture: return TextsOf(node.Children[0]);
            case RegexNodeKind.Alternation:
                var all = new List<string>();
                foreach (var child in node.Children)
                {
                    if (TextsOf(child) is not { } more || all.Count + more.Count > MaxTexts)
                    {
                        return null;
                    }
                    all.AddRange(more);
                }
                return all;
            case RegexNodeKind.Concatenation: return TextsOf(node.Children);
            case RegexNodeKind.Repetition when node is { Min: 0, Max: 1 }:
                var optional = TextsOf(node.Children[0]);
                optional?.Add("");
                return optional;
            default: return null;
        }
    }

    private static List<string>? TextsOf(CodePointSet set)
    {
        var texts = new List<string>();
        foreach (var range in set.Ranges)
        {
            if (texts.Count + (range.High - range.Low) >= MaxSetChars)
            {
                return null;
            }
            for (var c = range.Low; c <= range.High; c++)
            {
                texts.Add(TextOf(c));
            }
        }
        return texts;
    }

    private static List<string>? TextsOf(RegexNode[] sequence)
    {
        List<string> all = [""];
        foreach (var child in sequence)
        {
            if (TextsOf(child) is not { } more || (long)all.Count * more.Count > MaxTexts)
            {
                return null;
            }
            var product = new List<string>(all.Count * more.Count);
            foreach (var left in all)
            {
                foreach (var right in more)
                {
                    product.Add(left + right);
                }
            }
            all = product;
        }
        return all;
    }

    private static string TextOf(int codePoint) =>
        Rune.IsValid(codePoint) ? new Rune(codePoint).ToString() : ((char)codePoint).ToString();

    /// <summary>Texts in a row with gaps between them: any characters, none or at least one.</summary>
    private sealed class Glob
    {
        private readonly List<string> _texts = [""];
        private readonly List<bool> _gapIsNotEmpty = [];
        private readonly List<(int Slot, int TextIndex, int Offset)> _boundaries = [];

        public bool HasGap => _gapIsNotEmpty.Count > 0;

        /// <summary>
        /// Capture slots as offsets from the start or the end; null if a second gap leaves them open.
        /// </summary>
        public (int Slot, int Offset, bool FromEnd)[]? Captures { get; private set; }

        public static Glob? From(RegexNode node)
        {
            var glob = new Glob();
            if (!glob.TryAdd(node))
            {
                return null;
            }
            if (glob._gapIsNotEmpty.Count < 2)
            {
                var length = glob._texts[^1].Length;
                glob.Captures = glob._boundaries.ConvertAll(boundary => boundary.TextIndex == 0
                    ? (boundary.Slot, boundary.Offset, false)
                    : (boundary.Slot, length - boundary.Offset, true)).ToArray();
            }
            return glob;
        }

        public bool IsMatch(ReadOnlySpan<char> text)
        {
            var texts = CollectionsMarshal.AsSpan(_texts);
            if (texts.Length == 1)
            {
                return text.SequenceEqual(texts[0]);
            }
            if (!text.StartsWith(texts[0]))
            {
                return false;
            }
            text = text[texts[0].Length..];
            // Each text in the middle as far left as possible leaves the most room for the rest.
            for (var i = 1; i < texts.Length - 1; i++)
            {
                if (!TrySkipGap(ref text, i - 1))
                {
                    return false;
                }
                var at = text.IndexOf(texts[i], StringComparison.Ordinal);
                if (at < 0)
                {
                    return false;
                }
                text = text[(at + texts[i].Length)..];
            }
            return TrySkipGap(ref text, texts.Length - 2) && text.EndsWith(texts[^1]);
        }

        private bool TrySkipGap(ref ReadOnlySpan<char> text, int gap)
        {
            if (!_gapIsNotEmpty[gap])
            {
                return true;
            }
            if (text.IsEmpty)
            {
                return false;
            }
            var isPair = text.Length > 1 && char.IsSurrogatePair(text[0], text[1]);
            text = text[(isPair ? 2 : 1)..];
            return true;
        }

        private bool TryAdd(RegexNode node)
        {
            switch (node.Kind)
            {
                case RegexNodeKind.Empty:
                    return true;
                case RegexNodeKind.Literal:
                    _texts[^1] += TextOf(node.CodePoint);
                    return true;
                case RegexNodeKind.TextStart:
                    return _texts is [""];
                case RegexNodeKind.Capture:
                    _boundaries.Add((2 * node.Group, _texts.Count - 1, _texts[^1].Length));
                    var added = TryAdd(node.Children[0]);
                    _boundaries.Add((2 * node.Group + 1, _texts.Count - 1, _texts[^1].Length));
                    return added;
                case RegexNodeKind.Concatenation:
                    return TryAddAll(node.Children);
                case RegexNodeKind.Repetition when IsGap(node):
                    _gapIsNotEmpty.Add(node.Min == 1);
                    _texts.Add("");
                    return true;
                default:
                    return false;
            }
        }

        private bool TryAddAll(RegexNode[] nodes)
        {
            foreach (var node in nodes)
            {
                if (!TryAdd(node))
                {
                    return false;
                }
            }
            return true;
        }

        private static bool IsGap([NotNull] RegexNode node) => node.Max == RegexNode.Unlimited && node.Min <= 1
            && node.Children[0].Kind == RegexNodeKind.AnyCharacter;
    }
}
