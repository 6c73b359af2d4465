using System.Text.RegularExpressions;

namespace Millrace.Tests.Tidy;

/// <summary>
/// The table in ARCHITECTURE.md that says which slice may mention which, and what mentions there are. A mention is a
/// name under <c>Millrace.</c>, a using included, or <c>Slice.Type</c>, which the compiler finds without a using.
/// </summary>
internal sealed partial class SliceArrows
{
    private readonly Dictionary<string, HashSet<string>> _mayUse = [];

    private SliceArrows()
    {
    }

    public IReadOnlyCollection<string> Slices => _mayUse.Keys;

    /// <summary>Reads the table, in whose last column slices or one of three phrases stand.</summary>
    public static SliceArrows Read(string architecture)
    {
        var arrows = new SliceArrows();
        var rows = new List<(string[] Slices, string MayUse)>();
        foreach (Match row in Row().Matches(architecture))
        {
            rows.Add(([.. Name().Matches(row.Groups["slices"].Value).Select(static name => name.Value)],
                row.Groups["uses"].Value));
        }
        var all = rows.SelectMany(static row => row.Slices).ToHashSet();
        var above = new HashSet<string>();
        foreach (var (slices, mayUse) in rows)
        {
            foreach (var slice in slices)
            {
                arrows._mayUse[slice] = [.. Allowed(mayUse, above, all), slice];
            }
            above.UnionWith(slices);
        }
        return arrows;
    }

    public IEnumerable<string> Offences(IReadOnlyList<RepositoryFile> files)
    {
        var code = files.Where(static file => file.Slice.Length > 0)
            .Select(static file => (file.Path, file.Slice, Code: CSharpCode.Only(file.Text)))
            .ToList();
        var types = code.GroupBy(static file => file.Slice).ToDictionary(
            static group => group.Key, static group => group.SelectMany(f => CSharpCode.TypesIn(f.Code)).ToHashSet());
        foreach (var (path, slice, text) in code)
        {
            if (!_mayUse.TryGetValue(slice, out var mayUse))
            {
                yield return $"{path}: slice {slice} is not in the table of ARCHITECTURE.md";
                continue;
            }
            foreach (var used in Mentions(text, types).Distinct().Where(used => !mayUse.Contains(used)))
            {
                yield return $"{path}: {slice} mentions {used}, which the table of ARCHITECTURE.md does not allow";
            }
        }
    }

    private static IEnumerable<string> Mentions(string code, Dictionary<string, HashSet<string>> types)
    {
        foreach (Match match in Qualified().Matches(code))
        {
            yield return match.Groups["slice"].Value;
        }
        foreach (Match match in HalfQualified().Matches(code))
        {
            var slice = match.Groups["slice"].Value;
            if (types.TryGetValue(slice, out var names) && names.Contains(match.Groups["type"].Value))
            {
                yield return slice;
            }
        }
    }

    private static IEnumerable<string> Allowed(string text, HashSet<string> above, HashSet<string> all)
    {
        foreach (var part in text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            IEnumerable<string> slices = part switch
            {
                "–" => [],
                "all of the above" => above,
                "and the config records" => ["Configuration"],
                "the slices' config records" or "what they show" => all,
                _ when all.Contains(part) => [part],
                _ => throw new InvalidOperationException($"The table of ARCHITECTURE.md says \"{part}\": no slice."),
            };
            foreach (var slice in slices)
            {
                yield return slice;
            }
        }
    }

    [GeneratedRegex(
        @"^\| (?<slices>`[A-Z]\w*`(, `[A-Z]\w*`)*) \|[^|\n]*\|[^|\n]*\| (?<uses>[^|\n]*?) \|\r?$",
        RegexOptions.Multiline)]
    private static partial Regex Row();

    [GeneratedRegex(@"[A-Z]\w*")]
    private static partial Regex Name();

    [GeneratedRegex(@"\bMillrace\s*\.\s*(?<slice>[A-Z]\w*)")]
    private static partial Regex Qualified();

    [GeneratedRegex(@"(?<![\w.])(?<slice>[A-Z]\w*)\.(?<type>[A-Z]\w*)")]
    private static partial Regex HalfQualified();
}
