using System.IO;
using Millrace.Model;

namespace Millrace.Configuration;

/// <summary>A configuration, or what is wrong with it: never both.</summary>
public sealed record ConfigLoadResult(MillraceConfig? Config, IReadOnlyList<ConfigProblem> Problems);

/// <summary>Reads the configuration file and the rule files it names; all problems come at once.</summary>
public static class ConfigLoader
{
    /// <param name="path">The file; rule files are looked up beside it.</param>
    /// <param name="environment">The value of a variable; null when it is not set.</param>
    /// <param name="readFile">The text of a file; null when there is none that can be read.</param>
    /// <param name="findFiles">The files of a pattern such as <c>/etc/millrace/*.yml</c>; null: the disk.</param>
    public static ConfigLoadResult Load(
        string path,
        Func<string, string?> environment,
        Func<string, string?> readFile,
        Func<string, IReadOnlyList<string>>? findFiles = null)
    {
        var problems = new List<ConfigProblem>();
        var sources = new ConfigSources(environment, readFile, findFiles ?? FindFiles);
        var text = readFile(path);
        if (text is null)
        {
            problems.Add(new ConfigProblem(path, 1, "", $"file \"{path}\" cannot be read: check its name and "
                + "permissions"));
            return new ConfigLoadResult(null, problems);
        }
        return LoadText(path, EnvironmentText.Expand(path, text, environment, problems), sources, problems, null);
    }

    /// <summary>From the file system and the environment of the process.</summary>
    public static ConfigLoadResult LoadFile(string path) => Load(path, Environment.GetEnvironmentVariable, ReadFile);

    /// <summary>
    /// The configuration that <see cref="MillraceConfig.CanonicalText"/> was written from, without what that text
    /// leaves out: addresses, headers, queues and the sections that decide nothing about a sample.
    /// </summary>
    public static ConfigLoadResult LoadCanonical(string text)
    {
        var sources = new ConfigSources(_ => null, _ => null, _ => []) { IsCanonical = true };
        return LoadText("canonical", text, sources, [], null);
    }

    /// <summary>The text of a file, null when it cannot be read: what <see cref="Load"/> takes.</summary>
    public static string? ReadFile(string path)
    {
        try
        {
            return File.ReadAllText(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException
            or NotSupportedException)
        {
            return null;
        }
    }

    internal static ConfigLoadResult LoadText(string file, string text, ConfigSources sources,
        List<ConfigProblem> problems, ISet<string>? knownKeys)
    {
        var root = ConfigNode.Parse(file, text, problems);
        if (root is null)
        {
            return new ConfigLoadResult(null, problems);
        }
        var context = new ConfigContext(file, problems, knownKeys);
        var config = new ConfigFileReader(context, sources).Read(root);
        return problems.Count > 0
            ? new ConfigLoadResult(null, problems)
            : new ConfigLoadResult(config with { CanonicalText = CanonicalConfig.Write(config) }, []);
    }

    private static string[] FindFiles(string pattern)
    {
        var directory = Path.GetDirectoryName(pattern);
        try
        {
            var files = Directory.GetFiles(
                string.IsNullOrEmpty(directory) ? "." : directory, Path.GetFileName(pattern));
            Array.Sort(files, StringComparer.Ordinal);
            return files;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return [];
        }
    }
}

/// <summary>Where the texts come from.</summary>
internal sealed record ConfigSources(
    Func<string, string?> Environment, Func<string, string?> ReadFile, Func<string, IReadOnlyList<string>> FindFiles)
{
    /// <summary>A canonical text names destinations, but not where they are.</summary>
    public bool IsCanonical { get; init; }
}
