using Millrace.Model;
using Millrace.Relabeling;

namespace Millrace.Configuration;

/// <summary>Where the loader asks other slices whether a text means something to them.</summary>
internal static class ConfigChecks
{
    /// <summary>What is wrong with the selector; null when nothing is.</summary>
    public static string? SelectorError(string selector) =>
        selector.Length == 0 ? "\"\" is not a series selector: write {} to match everything" : null;

    public static void CheckRelabeling(IReadOnlyList<RelabelConfig> rules, List<ConfigProblem> problems)
    {
        _ = rules;
        _ = problems;
    }
}
