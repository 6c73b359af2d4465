using System.Globalization;
using System.IO;
using Millrace.Relabeling;
using YamlDotNet.RepresentationModel;

namespace Millrace.TestKit;

/// <summary>
/// Reads a list of relabel rules for tests. The product's own loader reports problems; this one throws.
/// </summary>
public static class RelabelYaml
{
    public static IReadOnlyList<RelabelConfig> Read(string yaml)
    {
        var stream = new YamlStream();
        stream.Load(new StringReader(yaml));
        if (stream.Documents.Count == 0)
        {
            return [];
        }
        var configs = new List<RelabelConfig>();
        var rules = (YamlSequenceNode)stream.Documents[0].RootNode;
        for (var i = 0; i < rules.Children.Count; i++)
        {
            var rule = (YamlMappingNode)rules.Children[i];
            var config = new RelabelConfig { Path = $"[{i}]", Line = (int)rule.Start.Line };
            foreach (var (key, value) in rule.Children)
            {
                config = With(config, ((YamlScalarNode)key).Value!, value);
            }
            configs.Add(config);
        }
        return configs;
    }

    private static RelabelConfig With(RelabelConfig config, string key, YamlNode value) => key switch
    {
        "if" => config with { If = Texts(value) },
        "action" => config with { Action = Text(value) },
        "source_labels" => config with { SourceLabels = Texts(value) },
        "separator" => config with { Separator = Text(value) },
        "target_label" => config with { TargetLabel = Text(value) },
        "regex" => config with { Regex = string.Join('|', Texts(value)) },
        "modulus" => config with { Modulus = ulong.Parse(Text(value), CultureInfo.InvariantCulture) },
        "replacement" => config with { Replacement = Text(value) },
        "match" => config with { Match = Text(value) },
        "labels" => config with { Labels = Map((YamlMappingNode)value) },
        _ => throw new FormatException($"unknown key \"{key}\" in a relabel rule"),
    };

    private static string Text(YamlNode node) => ((YamlScalarNode)node).Value ?? "";

    private static List<string> Texts(YamlNode node)
    {
        if (node is not YamlSequenceNode list)
        {
            return [Text(node)];
        }
        var texts = new List<string>();
        foreach (var child in list)
        {
            texts.Add(Text(child));
        }
        return texts;
    }

    private static Dictionary<string, string> Map(YamlMappingNode node)
    {
        var map = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (key, value) in node.Children)
        {
            map.Add(Text(key), Text(value));
        }
        return map;
    }
}
