using System.Text.RegularExpressions;

namespace Millrace.Tests.Tidy;

/// <summary>
/// What holds for every source file. Each check is a function from files to offences, so that a test can show that it
/// finds what it is to find.
/// </summary>
internal static partial class SourceChecks
{
    public const int MaxFileLines = 800;
    public const int MaxMethodLines = 70;
    public const int MaxColumns = 120;

    private static readonly string[] BannedWords =
        ["Manager", "Helper", "Util", "Service", "Processor", "Handler", "Data", "Info"];

    public static IEnumerable<string> LongFiles(IEnumerable<RepositoryFile> files) =>
        from file in files
        let lines = file.Text.AsSpan().Count('\n')
        where lines > MaxFileLines
        select $"{file.Path}: {lines} lines; split it by topic at {MaxFileLines}";

    /// <summary>Text in a raw string is not ours to break.</summary>
    public static IEnumerable<string> LongLines(IEnumerable<RepositoryFile> files) =>
        from file in files
        from line in file.Lines.Select(static (text, i) => (Number: i + 1, Columns: text.EnumerateRunes().Count()))
        where line.Columns > MaxColumns
            && !string.IsNullOrWhiteSpace(CSharpCode.WithComments(file.Text).Split('\n')[line.Number - 1])
        select $"{file.Path}:{line.Number}: {line.Columns} columns";

    public static IEnumerable<string> LongMethods(IEnumerable<RepositoryFile> files) =>
        from file in files
        from member in CSharpCode.MembersOf(CSharpCode.Only(file.Text))
        where member.Length > MaxMethodLines
        select $"{file.Path}:{member.Line}: {member.Length} lines: {member.Header}";

    /// <summary>Names that say nothing; unless a base type, which may be the platform's, has the word.</summary>
    public static IEnumerable<string> BannedTypeNames(IEnumerable<RepositoryFile> files) =>
        from file in files
        from type in CSharpCode.TypesAndBasesIn(CSharpCode.Only(file.Text))
        from word in Word().Matches(type.Name).Select(static match => match.Value)
        where BannedWords.Contains(word) || BannedWords.Contains(word.TrimEnd('s'))
        where !type.Bases.Contains(word, StringComparison.Ordinal)
        select $"{file.Path}: type {type.Name}: \"{word}\" says nothing, name what it is";

    /// <summary>Unfinished work, waiting by the clock, and writing past the log. In the product only.</summary>
    public static IEnumerable<string> Leftovers(IEnumerable<RepositoryFile> files) =>
        from file in files
        from offence in Marker().Matches(file.Text).Concat(BannedCall().Matches(CSharpCode.Only(file.Text)))
        select $"{file.Path}:{LineOf(file.Text, offence.Index)}: {offence.Value}";

    public static IEnumerable<string> BannersAndRegions(IEnumerable<RepositoryFile> files) =>
        from file in files
        from offence in Banner().Matches(file.Text).Concat(Region().Matches(CSharpCode.Only(file.Text)))
        select $"{file.Path}:{LineOf(file.Text, offence.Index)}: {offence.Value.Trim()}";

    /// <summary>The analyzer that knows BannedSymbols.txt must run, and nobody may switch it off.</summary>
    public static IEnumerable<string> SilencedAnalyzer(IEnumerable<RepositoryFile> files) =>
        from file in files
        from offence in Silencer().Matches(file.Text)
        select $"{file.Path}:{LineOf(file.Text, offence.Index)}: {offence.Value.Trim()}";

    private static int LineOf(string text, int position) => text.AsSpan(0, position).Count('\n') + 1;

    [GeneratedRegex(@"[A-Z][a-z0-9]*")]
    private static partial Regex Word();

    [GeneratedRegex(@"\b(TO" + @"DO|FIX" + @"ME)\b")]
    private static partial Regex Marker();

    [GeneratedRegex(@"\b(Thread\.Sleep|Console\.(Write\w*|Out|Error))\b")]
    private static partial Regex BannedCall();

    [GeneratedRegex(@"(//|/\*|^\s*\*).*\b(Copy" + @"right|©)", RegexOptions.Multiline | RegexOptions.IgnoreCase)]
    private static partial Regex Banner();

    [GeneratedRegex(@"^\s*#\s*(end)?region\b.*", RegexOptions.Multiline)]
    private static partial Regex Region();

    [GeneratedRegex(@".*RS" + @"0030.*")]
    private static partial Regex Silencer();
}
