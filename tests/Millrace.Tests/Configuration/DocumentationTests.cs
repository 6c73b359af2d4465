using System.IO;
using System.Text.RegularExpressions;
using Millrace.Configuration;
using Millrace.Server.Commands;

namespace Millrace.Tests.Configuration;

/// <summary>docs/configuration.md and the loader know the same keys and defaults.</summary>
public partial class DocumentationTests
{
    private const string Sharded = "destinations[].sharded.";

    [Fact]
    public void Each_key_is_documented_and_each_documented_key_exists()
    {
        var known = new SortedSet<string>(StringComparer.Ordinal);
        var sources = new ConfigSources(_ => null, FullConfig.Files.GetValueOrDefault, _ => []);
        ConfigLoader.LoadText("/etc/millrace/millrace.yml", FullConfig.Text, sources, [],
            known).Problems.ShouldBeEmpty();
        Rows().Select(r => r.Key).ShouldBeUnique();
        // Relabel rules and time windows are documented once; a section is documented by its keys.
        known.Select(key => Regex.Replace(key, @"^.*relabel_configs\[\]", "relabel_configs[]"))
            .Select(key => key.Replace("routes[].time_window.", "time_window.", StringComparison.Ordinal))
            .Where(key => !known.Any(other => other.StartsWith(key + ".", StringComparison.Ordinal))
                || key == "routes[].time_window")
            .Distinct().Order(StringComparer.Ordinal)
            .ShouldBe(Rows().Select(r => r.Key).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Documented_defaults_are_the_defaults()
    {
        var defaults = LoadedConfig.Good(LoadedConfig.Destination);
        var checkedKeys = 0;
        foreach (var (key, value) in Rows().Where(r => r.Default.Length > 0 && !r.Key.Contains("[]",
            StringComparison.Ordinal)))
        {
            var text = key.Split('.').Reverse().Aggregate(value, (inner, part) => $"{{{part}: {inner}}}")[1..^1];
            var config = LoadedConfig.Good(text + "\n" + LoadedConfig.Destination);
            config.Server.ShouldBe(defaults.Server, key);
            config.Ingest.ShouldBe(defaults.Ingest, key);
            config.Log.ShouldBe(defaults.Log, key);
            config.CanonicalText.ShouldBe(defaults.CanonicalText, key);
            checkedKeys++;
        }
        checkedKeys.ShouldBeGreaterThan(20);
    }

    [Fact]
    public void Documented_defaults_of_destinations_routes_and_rules_are_the_defaults()
    {
        const string Base = "aggregation: {rules: [{interval: 1m, outputs: [max]RULE}]}\nroutes: [{to: "
            + "[storage]ROUTE}]\n"
            + "destinations: [{name: storageDESTINATION, remote_write: {url: 'http://a/'REMOTE}, queue: {QUEUE}, "
            + "dead_letters: {LETTERS}}]\n";
        var defaults = LoadedConfig.Good(Filled("", ""));
        foreach (var (key, value) in Rows().Where(r => r.Default.Length > 0))
        {
            var place = key.StartsWith("aggregation.rules[].", StringComparison.Ordinal) ? "RULE"
                : key.StartsWith("routes[].", StringComparison.Ordinal) ? "ROUTE"
                : key.StartsWith("destinations[].remote_write.", StringComparison.Ordinal) ? "REMOTE"
                : key.StartsWith("destinations[].queue.", StringComparison.Ordinal) ? "QUEUE"
                : key.StartsWith("destinations[].dead_letters.", StringComparison.Ordinal) ? "LETTERS"
                : key.StartsWith(Sharded, StringComparison.Ordinal) ? ""
                : key.StartsWith("destinations[].", StringComparison.Ordinal) ? "DESTINATION" : "";
            if (place.Length == 0)
            {
                continue;
            }
            var text = key.StartsWith("destinations[].remote_write.tls_config.", StringComparison.Ordinal)
                ? $"tls_config: {{{LastOf(key)}: {value}}}" : $"{LastOf(key)}: {value}";
            var config = LoadedConfig.Good(Filled(place, text));
            config.CanonicalText.ShouldBe(defaults.CanonicalText, key);
            config.Destinations[0].ShouldBe(defaults.Destinations[0] with
            {
                Headers = config.Destinations[0].Headers,
                RelabelConfigs = config.Destinations[0].RelabelConfigs,
            }, key);
        }

        static string LastOf(string key) => key[(key.LastIndexOf('.') + 1)..];

        string Filled(string place, string text) => Regex.Replace(Base, "RULE|ROUTE|REMOTE|DESTINATION|QUEUE|LETTERS",
            match => match.Value != place ? "" : match.Value is "QUEUE" or "LETTERS" ? text : ", " + text);
    }

    [Fact]
    public void Documented_defaults_of_sharded_destinations_are_the_defaults()
    {
        var defaults = Loaded("");
        var checkedKeys = 0;
        foreach (var (key, value) in Rows().Where(r => r.Default.Length > 0
            && r.Key.StartsWith(Sharded, StringComparison.Ordinal)
            && !r.Key.Contains("nodes[]", StringComparison.Ordinal)))
        {
            var path = key[Sharded.Length..].Split('.');
            if (path[0] is "dns" or "srv")
            {
                continue;
            }
            Loaded(", " + path.Reverse().Aggregate(value, (inner, part) => $"{{{part}: {inner}}}")[1..^1])
                .ShouldBe(defaults, key);
            checkedKeys++;
        }
        checkedKeys.ShouldBeGreaterThan(15);

        static (string, object, object) Loaded(string text)
        {
            var sharded = LoadedConfig.Good(
                $"destinations: [{{name: a, sharded: {{nodes: [{{name: n, url: 'http://n/'}}]{text}}}}}]")
                .Destinations[0].Sharded.ShouldNotBeNull();
            return (ShardedReader.KeyText(sharded), sharded.Placement, sharded.Health);
        }
    }

    [Fact]
    public void The_example_loads() =>
        LoadedConfig.Good(Example().Match(Text("configuration.md")).Groups[1].Value)
            .Aggregation.Rules.ShouldHaveSingleItem();

    [Fact]
    public void Each_command_is_documented()
    {
        var commands = CommandLineRoot.Create((_, _, _, _) => Task.FromResult(0)).Subcommands.Select(
            c => $"## millrace {c.Name}");
        Heading().Matches(Text("commands.md")).Select(m => m.Value).ShouldBe(commands, ignoreOrder: true);
    }

    /// <summary>Rows of tables that begin with a key; the default where it is a value.</summary>
    private static List<(string Key, string Default)> Rows() =>
        [.. Row().Matches(Text("configuration.md")).Select(m => (m.Groups[1].Value, m.Groups[2].Value))];

    private static string Text(string name)
    {
        var directory = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(directory.FullName, "Millrace.slnx")))
        {
            directory = directory.Parent.ShouldNotBeNull();
        }
        return File.ReadAllText(Path.Combine(directory.FullName, "docs", name));
    }

    [GeneratedRegex(@"^\| `([a-z0-9_\[\].]+)` \| [^|]+ \| (?:`([^`]+)`|[^`|]+) \| .+ \|$", RegexOptions.Multiline)]
    private static partial Regex Row();

    [GeneratedRegex(@"```yaml\n(.*?)```", RegexOptions.Singleline)]
    private static partial Regex Example();

    [GeneratedRegex("^## millrace [a-z]+$", RegexOptions.Multiline)]
    private static partial Regex Heading();
}
