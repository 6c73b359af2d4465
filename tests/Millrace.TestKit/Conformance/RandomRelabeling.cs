using System.Globalization;
using System.Linq;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Millrace.Model;
using Millrace.Relabeling;

namespace Millrace.TestKit.Conformance;

/// <summary>
/// A list of relabel rules by chance, and series that have something to do with it. Left out is what vmagent is known
/// to do differently (docs/compatibility.md): a circumflex or a word boundary inside a regex, and line breaks.
/// </summary>
internal sealed class RandomRelabeling(int seed, RelabelDialect dialect)
{
    private static readonly JsonSerializerOptions Quoting = new()
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    private static readonly string[] Names = ["a", "b", "c", "job", "a_b", "a_c", "long_label_name"];

    private static readonly string[] Values =
    [
        "x", "xx", "y", "a.b", "a-b-c", "foo_bar", "10.0.0.1:8080", "UPPER", "Mixed-Case", "0", "12345", "a,b,c", "é",
        "x y", "a", "b", "$1", "{{a}}", "1a2b", "prod-eu-1", "\"quoted\"", "back\\slash",
    ];

    private static readonly string[] Metrics =
        ["foo", "foo_bar", "http_requests_total", "test.dispatcher.a.b.total", "x", "up", "a-b.c"];

    private static readonly string[] Regexes =
    [
        "(.*)", ".*", ".+", "(.+)", "x", "x|y", "(x|y)+", "x.*", ".*x", "a.b", "a\\.b", "[a-z]+", "[^a-z]*",
        "([a-z]+)[-._]([a-z]+)", "(.*)[-._](.*)", "(.+):(\\d+)", "\\d+", "(\\d)(\\w)", "(?i)upper", "(?:a|b),?.*",
        "prod-(eu|us)-(\\d+)", "(?P<first>[^-]+)-(?P<rest>.+)", "", "^x$", "^(.*)$", "()", "x?", "(x)?(y)?", ".",
        "foo.*", "a|b|c", "a_.*", "a_(.+)", "[a-c]", ".{1,3}", "(.)(.)?.*", "x{2}", "\\$1", "(?s).*", "é|x y",
    ];

    private static readonly string[] SearchRegexes =
        ["-", "[.-]", "_", "[a-z]", "(\\d)(\\w)", "a", "x+", "\\d+", "(a)|(b)", "[^a-z0-9]", ",", ".b"];

    private static readonly string[] Replacements =
    [
        "$1", "${1}", "$2", "$1-$2", "", "fixed", "${1}0", "$0", "pre_$1", "$1_post", "$$1", "${first}-${rest}",
        "$rest", "a$b", "$", "x${", "$10", "${1}${2}",
    ];

    private static readonly string[] MetricGlobs =
        ["test.*.*.*.total", "*", "foo*", "*.*.*.*.*", "test.dispatcher.*.*.*", "http_*_total", "a-*.c", "foo_bar"];

    private static readonly string[] Selectors =
    [
        "foo", "{a=\"x\"}", "{a!=\"x\"}", "{a=~\"x|y\"}", "{b!~\"a.*\"}", "{c=\"\"}", "foo{a=~\".+\"}",
        "{__name__=~\"foo.*\",b!=\"\"}", "{job=\"x\" or a=\"y\"}",
    ];

    private readonly Random _random = new(seed);

    private bool IsVmagent => dialect == RelabelDialect.VmAgent;

    /// <summary>The rules as a list in YAML, a rule a line, which is JSON, too.</summary>
    public string RulesYaml()
    {
        var yaml = new StringBuilder();
        for (var left = _random.Next(1, 5); left > 0; left--)
        {
            yaml.Append("- {").AppendJoin(", ", Rule().Select(key => $"{key.Name}: {key.Value}")).Append("}\n");
        }
        return yaml.ToString();
    }

    public LabelSet Series()
    {
        var labels = new SortedDictionary<string, string>(StringComparer.Ordinal);
        if (_random.Next(10) != 0)
        {
            labels[LabelSet.MetricName] = Pick(Metrics);
        }
        for (var left = _random.Next(1, 6); left > 0; left--)
        {
            labels[Pick(Names)] = Pick(Values);
        }
        return LabelSet.From(labels.Select(label => new Label(label.Key, label.Value)));
    }

    private List<(string Name, string Value)> Rule()
    {
        var keys = new List<(string Name, string Value)>();
        var action = Action();
        if (action != "replace" || _random.Next(2) == 0)
        {
            keys.Add(("action", action));
        }
        switch (action)
        {
            case "replace":
                // vmagent's page cannot show a label whose name is any text.
                var isNamedByValue = _random.Next(12) == 0;
                Add(keys, "target_label", isNamedByValue ? "dyn_$1" : Name());
                Sources(keys, 0);
                if (isNamedByValue)
                {
                    Add(keys, "regex", "[^a-z]*([a-z]*).*");
                }
                else
                {
                    Maybe(keys, "regex", Pick(Regexes));
                }
                Maybe(keys, "replacement", Replacement());
                Maybe(keys, "separator", Pick(["-", "", ";", "::"]));
                break;
            case "keep" or "drop":
                Sources(keys, 1);
                Maybe(keys, "regex", Pick(Regexes));
                break;
            case "keepequal" or "dropequal":
                Sources(keys, 1);
                Add(keys, "target_label", Pick(Names));
                break;
            case "hashmod":
                Sources(keys, 1);
                Add(keys, "target_label", Name());
                keys.Add(("modulus", _random.Next(1, 1_000).ToString(CultureInfo.InvariantCulture)));
                break;
            case "labelmap":
                // The labels of a target stand in random order, so that two must not become one there; and Prometheus
                // makes a label without a name where nothing is left of it.
                var (regex, replacement) = IsVmagent
                    ? (Pick(["a_(.+)", "(.)", "a|b", "(a|b)_?(.*)", "long_(.*)_name"]),
                        Pick(["$1", "z_$1", "z", "${1}_${2}", "a"]))
                    : (Pick(["a_(.+)", "(.)", "long_(.*)_name", "([a-c])_(.)", "(.*)_(.)"]),
                        Pick(["z_${1}_$2", "z_${2}_$1", "${0}_z", "${1}x${2}"]));
                Add(keys, "regex", regex);
                Add(keys, "replacement", replacement);
                break;
            case "labeldrop" or "labelkeep":
                // A target must keep its address.
                Add(keys, "regex", Pick(["a", "a|b", "a_.*", "[b-z].*", "job|c"])
                    + (action == "labelkeep" ? "|__.*" : ""));
                break;
            case "lowercase" or "uppercase":
                Sources(keys, 1);
                Add(keys, "target_label", Name());
                break;
            default:
                VmagentRule(keys, action);
                break;
        }
        if (IsVmagent && _random.Next(5) == 0)
        {
            keys.Add(("if", _random.Next(3) == 0 ? $"[{Quote(Pick(Selectors))}, {Quote(Pick(Selectors))}]"
                : Quote(Pick(Selectors))));
        }
        return keys;
    }

    private void VmagentRule(List<(string Name, string Value)> keys, string action)
    {
        switch (action)
        {
            case "replace_all":
                Sources(keys, 1);
                Add(keys, "target_label", Name());
                Add(keys, "regex", Pick(SearchRegexes));
                Add(keys, "replacement", Pick(["_", "$1", "$2$1", "", "x"]));
                break;
            case "labelmap_all":
                Add(keys, "regex", Pick(SearchRegexes));
                Add(keys, "replacement", Pick(["_", "$1", "x"]));
                break;
            case "keep_if_equal" or "drop_if_equal":
                keys.Add(("source_labels", $"[{Pick(Names)}, {Pick(Names)}]"));
                break;
            case "keep_if_contains" or "drop_if_contains":
                Sources(keys, 1);
                Add(keys, "target_label", Pick(Names));
                break;
            case "keep_metrics" or "drop_metrics":
                Add(keys, "regex", Pick(["foo", "foo.*", "http_.*|up", ".*total", "x|foo_bar"]));
                break;
            case "graphite":
                Add(keys, "match", Pick(MetricGlobs));
                var name = Quote(Pick(["$1", "${2}_total", "g_$0", "fixed"]));
                var job = Quote(Pick(["$1", "${3}:80", "$0-$9", "${1}${2}"]));
                keys.Add(("labels", $$"""{__name__: {{name}}, job: {{job}}}"""));
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(action), action, null);
        }
    }

    private string Action()
    {
        string[] both =
        [
            "replace", "replace", "replace", "replace", "keep", "drop", "keepequal", "dropequal", "hashmod", "labelmap",
            "labeldrop", "labelkeep", "lowercase", "uppercase",
        ];
        string[] own =
        [
            "replace_all", "labelmap_all", "keep_if_equal", "drop_if_equal", "keep_if_contains", "drop_if_contains",
            "keep_metrics", "drop_metrics", "graphite",
        ];
        return IsVmagent && _random.Next(3) == 0 ? Pick(own) : Pick(both);
    }

    private string Name() => _random.Next(3) == 0 ? "new_label" : Pick(Names);

    private string Replacement() =>
        IsVmagent && _random.Next(6) == 0 ? Pick(["{{a}}", "{{a}}-{{zz}}-$1", "{{__name__}}", "{{a", "$1{{b}}"])
            : Pick(Replacements);

    private void Sources(List<(string Name, string Value)> keys, int least)
    {
        var names = new List<string>();
        for (var left = _random.Next(least, 3); left > 0; left--)
        {
            names.Add(_random.Next(8) == 0 ? "nope" : Pick(IsVmagent ? [.. Names, LabelSet.MetricName] : Names));
        }
        if (names.Count > 0)
        {
            keys.Add(("source_labels", $"[{string.Join(", ", names)}]"));
        }
    }

    private void Maybe(List<(string Name, string Value)> keys, string name, string value)
    {
        if (_random.Next(4) != 0)
        {
            Add(keys, name, value);
        }
    }

    private static void Add(List<(string Name, string Value)> keys, string name, string value) =>
        keys.Add((name, Quote(value)));

    private static string Quote(string text) => JsonSerializer.Serialize(text, Quoting);

    private string Pick(string[] texts) => texts[_random.Next(texts.Length)];
}
