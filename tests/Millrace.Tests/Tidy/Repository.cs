using System.IO;

namespace Millrace.Tests.Tidy;

/// <summary>A file of the repository as it is checked: its path from the top, with slashes, and its text.</summary>
internal sealed record RepositoryFile(string Path, string Text)
{
    public string[] Lines => Text.Split('\n');

    /// <summary>The first folder below src/Millrace; empty for what is not in a slice.</summary>
    public string Slice =>
        Path.StartsWith("src/Millrace/", StringComparison.Ordinal) && Path.Split('/') is { Length: > 3 } parts
            ? parts[2] : "";
}

/// <summary>The working tree that this test was built from.</summary>
internal static class Repository
{
    private static readonly string[] SourceFolders = ["src", "tests", "bench", "scripts"];

    public static string Top { get; } = FindTop();

    public static IReadOnlyList<RepositoryFile> Sources() =>
        [.. SourceFolders.SelectMany(folder => Below(folder, "*.cs"))];

    public static IReadOnlyList<RepositoryFile> Slices() => [.. Below("src/Millrace", "*.cs")];

    public static IReadOnlyList<RepositoryFile> Documents() =>
    [
        .. Directory.EnumerateFiles(Top, "*.md").Select(Read),
        .. new[] { "docs", "bench", "deploy", "tests", "scripts" }.SelectMany(folder => Below(folder, "*.md")),
    ];

    public static RepositoryFile File(string path) => Read(Path.Combine(Top, path));

    public static bool Exists(string path) => Path.Exists(Path.Combine(Top, path));

    private static IEnumerable<RepositoryFile> Below(string folder, string pattern)
    {
        var path = Path.Combine(Top, folder);
        return !Directory.Exists(path) ? [] : Directory
            .EnumerateFiles(path, pattern, SearchOption.AllDirectories)
            .Where(static file => !file.Split(Path.DirectorySeparatorChar).Any(static part => part is "bin" or "obj"))
            .Order(StringComparer.Ordinal)
            .Select(Read);
    }

    private static RepositoryFile Read(string path) => new(
        Path.GetRelativePath(Top, path).Replace(Path.DirectorySeparatorChar, '/'), System.IO.File.ReadAllText(path));

    private static string FindTop()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (System.IO.File.Exists(Path.Combine(folder.FullName, "Millrace.slnx")))
            {
                return folder.FullName;
            }
        }
        throw new InvalidOperationException($"No Millrace.slnx above {AppContext.BaseDirectory}.");
    }
}
