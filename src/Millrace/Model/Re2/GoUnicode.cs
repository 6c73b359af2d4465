using System.Collections.Frozen;
using System.Globalization;
using System.Text;

namespace Millrace.Model.Re2;

/// <summary>
/// What Go's <c>unicode</c> package says about characters, where .NET says something else or nothing: simple case
/// mapping, the orbits of case folding, general categories. The tables are built when the first pattern needs them.
/// </summary>
internal static class GoUnicode
{
    /// <summary>Characters that fold together though no upper or lower case mapping of .NET connects them.</summary>
    private static readonly (int A, int B)[] ExtraFolds = [(0x53, 0x17F)];

    private static readonly Lazy<SortedList<int, int[]>> Orbits = new(BuildOrbits);
    private static readonly Lazy<FrozenDictionary<string, List<CodePointSet.Range>>> Categories = new(BuildCategories);

    /// <summary>Go's <c>unicode.ToLower</c>: the simple mapping of UnicodeData.txt.</summary>
    public static Rune ToLower(Rune rune) => rune.Value == 0x130 ? new Rune('i') : Rune.ToLowerInvariant(rune);

    /// <summary>Go's <c>unicode.ToUpper</c>: the simple mapping of UnicodeData.txt.</summary>
    public static Rune ToUpper(Rune rune) => rune.Value switch
    {
        0x131 => new Rune('I'),
        0x17F => new Rune('S'),
        _ => Rune.ToUpperInvariant(rune),
    };

    /// <summary>
    /// All characters that equal this one when case does not count, itself included; null if only itself.
    /// </summary>
    public static int[]? FoldOrbit(int codePoint) => Orbits.Value.GetValueOrDefault(codePoint);

    /// <summary>Adds to the ranges every character that folds to one of them.</summary>
    public static void AddFolds(List<CodePointSet.Range> ranges)
    {
        var set = CodePointSet.From(ranges);
        foreach (var (codePoint, orbit) in Orbits.Value)
        {
            if (set.Contains(codePoint))
            {
                foreach (var other in orbit)
                {
                    ranges.Add(new CodePointSet.Range(other, other));
                }
            }
        }
    }

    /// <summary>
    /// The characters of a general category such as <c>Lu</c>, <c>L</c> or <c>Any</c>; null if unknown.
    /// </summary>
    public static List<CodePointSet.Range>? Category(string name) => Categories.Value.GetValueOrDefault(name);

    private static SortedList<int, int[]> BuildOrbits()
    {
        const int LastCased = 0x1E943; // the last character with a case mapping; Go has the same bound
        var roots = new Dictionary<int, List<int>>();
        for (var c = 0x41; c <= LastCased; c++)
        {
            // İ and ı have case mappings but no simple folding: each stands alone.
            if (!Rune.IsValid(c) || c is 0x130 or 0x131)
            {
                continue;
            }
            Join(roots, c, Rune.ToUpperInvariant(new Rune(c)).Value);
            Join(roots, c, Rune.ToLowerInvariant(new Rune(c)).Value);
        }
        foreach (var (a, b) in ExtraFolds)
        {
            Join(roots, a, b);
        }
        var orbits = new SortedList<int, int[]>();
        foreach (var (c, members) in roots)
        {
            orbits.Add(c, [.. members]);
        }
        return orbits;
    }

    private static void Join(Dictionary<int, List<int>> roots, int a, int b)
    {
        if (a == b)
        {
            return;
        }
        var left = roots.GetValueOrDefault(a) ?? [a];
        var right = roots.GetValueOrDefault(b) ?? [b];
        if (ReferenceEquals(left, right))
        {
            return;
        }
        left.AddRange(right);
        foreach (var member in left)
        {
            roots[member] = left;
        }
    }

    private static FrozenDictionary<string, List<CodePointSet.Range>> BuildCategories()
    {
        var categories = new Dictionary<string, List<CodePointSet.Range>>(StringComparer.Ordinal);
        for (var c = 0; c <= CodePointSet.MaxCodePoint; c++)
        {
            var name = TwoLetters(CharUnicodeInfo.GetUnicodeCategory(c));
            if (name.Length > 0)
            {
                Add(categories, name, c);
                Add(categories, name[..1], c);
            }
        }
        categories["Any"] = [new(0, CodePointSet.MaxCodePoint)];
        return categories.ToFrozenDictionary(StringComparer.Ordinal);
    }

    private static void Add(Dictionary<string, List<CodePointSet.Range>> categories, string name, int codePoint)
    {
        if (!categories.TryGetValue(name, out var ranges))
        {
            ranges = [];
            categories.Add(name, ranges);
        }
        if (ranges.Count > 0 && ranges[^1].High == codePoint - 1)
        {
            ranges[^1] = ranges[^1] with { High = codePoint };
        }
        else
        {
            ranges.Add(new CodePointSet.Range(codePoint, codePoint));
        }
    }

    private static string TwoLetters(UnicodeCategory category) => category switch
    {
        UnicodeCategory.UppercaseLetter => "Lu",
        UnicodeCategory.LowercaseLetter => "Ll",
        UnicodeCategory.TitlecaseLetter => "Lt",
        UnicodeCategory.ModifierLetter => "Lm",
        UnicodeCategory.OtherLetter => "Lo",
        UnicodeCategory.NonSpacingMark => "Mn",
        UnicodeCategory.SpacingCombiningMark => "Mc",
        UnicodeCategory.EnclosingMark => "Me",
        UnicodeCategory.DecimalDigitNumber => "Nd",
        UnicodeCategory.LetterNumber => "Nl",
        UnicodeCategory.OtherNumber => "No",
        UnicodeCategory.SpaceSeparator => "Zs",
        UnicodeCategory.LineSeparator => "Zl",
        UnicodeCategory.ParagraphSeparator => "Zp",
        UnicodeCategory.Control => "Cc",
        UnicodeCategory.Format => "Cf",
        UnicodeCategory.Surrogate => "Cs",
        UnicodeCategory.PrivateUse => "Co",
        UnicodeCategory.ConnectorPunctuation => "Pc",
        UnicodeCategory.DashPunctuation => "Pd",
        UnicodeCategory.OpenPunctuation => "Ps",
        UnicodeCategory.ClosePunctuation => "Pe",
        UnicodeCategory.InitialQuotePunctuation => "Pi",
        UnicodeCategory.FinalQuotePunctuation => "Pf",
        UnicodeCategory.OtherPunctuation => "Po",
        UnicodeCategory.MathSymbol => "Sm",
        UnicodeCategory.CurrencySymbol => "Sc",
        UnicodeCategory.ModifierSymbol => "Sk",
        UnicodeCategory.OtherSymbol => "So",
        _ => "",
    };
}
