using System.IO;
using System.Text.RegularExpressions;

namespace Millrace.Tests.Tidy;

/// <summary>What holds for every document.</summary>
internal static partial class DocumentChecks
{
    public static IEnumerable<string> TitleCounts(IEnumerable<RepositoryFile> documents) =>
        from document in documents
        let titles = Title().Count(WithoutFences(document.Text))
        where titles != 1
        select $"{document.Path}: {titles} titles (lines that begin with one #); a document has one";

    /// <summary>Links to files of the repository, and to headings in them.</summary>
    public static IEnumerable<string> BrokenLinks(
        IEnumerable<RepositoryFile> documents, Func<string, bool> exists, Func<string, string> read)
    {
        foreach (var document in documents)
        {
            foreach (Match link in Link().Matches(WithoutCode(document.Text)))
            {
                var target = link.Groups["target"].Value;
                if (target.Contains(':'))
                {
                    continue; // another site
                }
                var parts = target.Split('#', 2);
                var path = parts[0].Length == 0 ? document.Path : Resolve(document.Path, parts[0]);
                if (!exists(path))
                {
                    yield return $"{document.Path}: link to {target}: there is no {path}";
                }
                else if (parts.Length == 2 && !AnchorsOf(read(path)).Contains(parts[1]))
                {
                    yield return $"{document.Path}: link to {target}: {path} has no such heading";
                }
            }
        }
    }

    /// <summary>Every metric of ours that a document speaks of stands in the tables of docs/metrics.md.</summary>
    public static IEnumerable<string> UnknownMetrics(IEnumerable<RepositoryFile> documents, string metricsPage)
    {
        var known = MetricRow().Matches(metricsPage).Select(static row => row.Groups["name"].Value).ToHashSet();
        return
            from document in documents
            from name in Metric().Matches(document.Text).Select(static match => match.Value).Distinct()
            where !known.Contains(name) && !known.Contains(HistogramSuffix().Replace(name, ""))
            select $"{document.Path}: {name} does not stand in docs/metrics.md";
    }

    private static string Resolve(string from, string link)
    {
        var folder = Path.GetDirectoryName("/" + from)!;
        return Path.GetRelativePath("/", Path.GetFullPath(Path.Combine(folder, link))).Replace('\\', '/');
    }

    /// <summary>As GitHub makes them: lower case, words and hyphens, blanks as hyphens.</summary>
    private static HashSet<string> AnchorsOf(string text) =>
    [
        .. Heading().Matches(WithoutFences(text)).Select(static heading => AnchorNoise()
            .Replace(heading.Groups["text"].Value.Trim().ToLowerInvariant(), "").Replace(' ', '-')),
    ];

    private static string WithoutFences(string text) => Fence().Replace(text, "");

    private static string WithoutCode(string text) => InlineCode().Replace(WithoutFences(text), "");

    [GeneratedRegex(@"^```.*?^```[ \t]*$", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Fence();

    [GeneratedRegex(@"`[^`\n]*`")]
    private static partial Regex InlineCode();

    [GeneratedRegex(@"^# ", RegexOptions.Multiline)]
    private static partial Regex Title();

    [GeneratedRegex(@"^#+ (?<text>.*)$", RegexOptions.Multiline)]
    private static partial Regex Heading();

    [GeneratedRegex(@"[^\p{L}\p{N} _-]")]
    private static partial Regex AnchorNoise();

    [GeneratedRegex(@"\]\((?<target>[^()\s]+)\)")]
    private static partial Regex Link();

    [GeneratedRegex(@"\bmillrace_[a-z0-9_]*[a-z0-9]\b")]
    private static partial Regex Metric();

    [GeneratedRegex(@"^\| `(?<name>millrace_[a-z0-9_]+)`", RegexOptions.Multiline)]
    private static partial Regex MetricRow();

    [GeneratedRegex("_(bucket|sum|count)$")]
    private static partial Regex HistogramSuffix();
}
