using Millrace.Configuration;

namespace Millrace.Tests.Configuration;

public sealed class ConfigDiffTests
{
    private const string Old = """
        relabel_configs: [{action: labeldrop, regex: replica}]
        aggregation:
          rules:
          - {name: requests, match: requests_total, interval: 1m, outputs: [total], allowed_lateness: 5s}
          - {match: errors_total, interval: 1m, outputs: [increase]}
          - {name: gone, match: gone_total, interval: 1m, outputs: [increase]}
        routes:
        - {name: all, keep_input: true}
        destinations:
        - {name: storage, remote_write: {url: 'http://127.0.0.1:1/'}}
        """;

    [Fact]
    public void Equal_configurations_have_no_changes() => Diff(Old).ShouldBe(["= 3 rules unchanged"]);

    [Fact]
    public void Comments_names_and_places_change_no_rule()
    {
        var lines = Diff("# a comment\n" + Old
            .Replace("  - {match: errors_total, interval: 1m, outputs: [increase]}\n", "", StringComparison.Ordinal)
            .Replace("  rules:\n", "  rules:\n  - {match: errors_total, interval: 1m, outputs: [increase]}\n",
                StringComparison.Ordinal)
            .Replace("name: gone", "name: here", StringComparison.Ordinal));
        lines.ShouldBe(
        [
            "~ rule \"here\" (test.yml:7): name: gone -> here (at once; state and windows are kept)",
            "= 3 rules unchanged",
        ]);
    }

    [Fact]
    public void Rules_are_found_by_name_and_by_selector()
    {
        var lines = Diff(Old
            .Replace("outputs: [total]", "outputs: [total, rate_sum]", StringComparison.Ordinal)
            .Replace("errors_total, interval: 1m", "errors_total, interval: 5m", StringComparison.Ordinal)
            .Replace("{name: gone, match: gone_total", "{name: other, match: other_total, by: [job]",
                StringComparison.Ordinal));
        const string AtBoundary = "(from the next window on; the version of before finishes its own)";
        lines.ShouldBe(
        [
            $"~ rule \"requests\" (test.yml:4): outputs: [\"total\"] -> [\"total\", \"rate_sum\"] {AtBoundary}",
            $"~ rule #1 (test.yml:5): interval: 1m -> 5m {AtBoundary}",
            "+ rule \"other\" (test.yml:6) (from its next whole window on)",
            "- rule \"gone\" (test.yml:6) (after the window under way)",
            "= 0 rules unchanged",
        ]);
    }

    [Fact]
    public void Lateness_is_policy()
    {
        Diff(Old.Replace("allowed_lateness: 5s", "allowed_lateness: 7s", StringComparison.Ordinal))[0].ShouldBe(
            "~ rule \"requests\" (test.yml:4): allowed_lateness: 5s -> 7s (at once; state and windows are kept)");
    }

    [Fact]
    public void The_rest_is_compared_key_by_key()
    {
        var lines = Diff(Old
            .Replace("regex: replica", "regex: node", StringComparison.Ordinal)
            .Replace("- {name: all, keep_input: true}", "- {name: all}\n- {name: more}", StringComparison.Ordinal)
            .Replace("aggregation:\n", "aggregation:\n  catch_up: 1m\n", StringComparison.Ordinal));
        lines.ShouldContain("~ route \"all\": keep_input: true -> not set");
        lines.ShouldContain("+ route \"more\"");
        lines.ShouldContain("~ aggregation: catch_up: 5m -> 1m");
        lines.ShouldContain(line => line.StartsWith("~ configuration: relabel_configs: ", StringComparison.Ordinal));
    }

    private static List<string> Diff(string yaml) => [.. ConfigDiff.Between(Load(Old), Load(yaml)).Lines()];

    private static MillraceConfig Load(string yaml)
    {
        var loaded = ConfigLoader.Load("test.yml", _ => null, path => path == "test.yml" ? yaml : null);
        loaded.Problems.ShouldBeEmpty();
        return loaded.Config!;
    }
}
