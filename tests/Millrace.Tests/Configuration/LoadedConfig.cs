using Millrace.Aggregation;
using Millrace.Configuration;
using Millrace.Model;

namespace Millrace.Tests.Configuration;

/// <summary>Loads configurations from text, with files and environment as dictionaries.</summary>
internal static class LoadedConfig
{
    public const string Destination = """
        destinations:
        - name: storage
          remote_write: {url: "http://127.0.0.1:8428/api/v1/write"}

        """;

    public static ConfigLoadResult Load(
        string text, Dictionary<string, string>? files = null, Dictionary<string, string>? environment = null)
    {
        var all = new Dictionary<string, string>(files ?? []) { ["/etc/millrace/millrace.yml"] = text };
        return ConfigLoader.Load(
            "/etc/millrace/millrace.yml",
            name => environment?.GetValueOrDefault(name),
            path => all.GetValueOrDefault(path),
            pattern => [.. all.Keys.Where(f => System.IO.Enumeration.FileSystemName.MatchesSimpleExpression(pattern, f))
                .Order(StringComparer.Ordinal)]);
    }

    public static MillraceConfig Good(string text, Dictionary<string, string>? files = null,
        Dictionary<string, string>? environment = null)
    {
        var result = Load(text, files, environment);
        result.Problems.ShouldBeEmpty();
        return result.Config.ShouldNotBeNull();
    }

    public static IReadOnlyList<ConfigProblem> Bad(string text, Dictionary<string, string>? files = null,
        Dictionary<string, string>? environment = null)
    {
        var result = Load(text, files, environment);
        result.Config.ShouldBeNull();
        result.Problems.ShouldNotBeEmpty();
        return result.Problems;
    }

    /// <summary>A file of vmagent, loaded as rules.yml.</summary>
    public static ConfigLoadResult LoadRules(string rules, Dictionary<string, string>? environment = null) =>
        Load(Destination + "aggregation: {rule_files: [rules.yml]}\n",
            new Dictionary<string, string> { ["/etc/millrace/rules.yml"] = rules }, environment);

    public static AggregationRuleConfig GoodRule(string rule)
    {
        var result = LoadRules(rule);
        result.Problems.ShouldBeEmpty();
        return result.Config!.Aggregation.Rules.ShouldHaveSingleItem();
    }
}
