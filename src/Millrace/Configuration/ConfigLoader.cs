using Millrace.Model;
namespace Millrace.Configuration;

/// <summary>A configuration, or what is wrong with it: never both.</summary>
public sealed record ConfigLoadResult(MillraceConfig? Config, IReadOnlyList<ConfigProblem> Problems);

/// <summary>Reads the configuration file and everything it names; all problems come at once.</summary>
public static class ConfigLoader
{
    public static ConfigLoadResult Load(
        string path,
        Func<string, string?> environment,
        Func<string, string?> readFile,
        Func<string, IReadOnlyList<string>>? findFiles = null) =>
        throw new NotImplementedException();

    /// <summary>The configuration that <see cref="MillraceConfig.CanonicalText"/> was written from.</summary>
    public static ConfigLoadResult LoadCanonical(string text) => throw new NotImplementedException();
}
