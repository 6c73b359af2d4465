using System.Globalization;
using Millrace.Model;
using Millrace.Relabeling;

namespace Millrace.Configuration;

/// <summary>Reads lists of relabel rules and the selectors of <c>if</c> and <c>match</c>.</summary>
internal static class RelabelReader
{
    /// <summary>The rules under the key.</summary>
    public static IReadOnlyList<RelabelConfig> Read(
        ConfigReader parent, string key, RelabelDialect dialect = RelabelDialect.Prometheus) =>
        ReadList(parent.Context, parent.Sequence(key), parent.PathOf(key), dialect);

    /// <summary>The rules of a list of their own, such as a whole file of them.</summary>
    public static IReadOnlyList<RelabelConfig> ReadList(
        ConfigContext context, IReadOnlyList<ConfigNode> elements, string path, RelabelDialect dialect)
    {
        var rules = new List<RelabelConfig>(elements.Count);
        for (var i = 0; i < elements.Count; i++)
        {
            var element = elements[i];
            if (element.Kind != ConfigNodeKind.Mapping)
            {
                context.Report(element.Line, $"{path}[{i}]",
                    $"must be a relabel rule, but {element.Describe()} stands here: write its keys or remove it");
                continue;
            }
            var problemsBefore = context.Problems.Count;
            var rule = ReadRule(new ConfigReader(context, element, $"{path}[{i}]"));
            rules.Add(rule);
            // What could not be read would only be reported again as missing.
            if (context.Problems.Count == problemsBefore)
            {
                Relabeler.Compile([rule], context.Problems, dialect);
            }
        }
        return rules;
    }

    private static RelabelConfig ReadRule(ConfigReader reader)
    {
        var rule = new RelabelConfig
        {
            If = ReadSelectors(reader, "if"),
            Action = reader.Text("action")?.ToLowerInvariant() ?? "replace",
            SourceLabels = reader.Texts("source_labels"),
            Separator = reader.Text("separator"),
            TargetLabel = reader.Text("target_label"),
            Regex = ReadRegex(reader),
            Modulus = (ulong)reader.Number("modulus", 0, 0, long.MaxValue),
            Replacement = reader.Text("replacement"),
            Match = reader.Text("match"),
            Labels = ReadLabels(reader),
            File = reader.Context.File,
            Line = reader.Line,
            Path = reader.Path,
        };
        reader.Finish();
        return rule;
    }

    /// <summary>A list means its members joined by <c>|</c>; numbers and booleans mean their text.</summary>
    private static string? ReadRegex(ConfigReader reader)
    {
        if (reader.Find("regex") is { Kind: ConfigNodeKind.Sequence })
        {
            return reader.Texts("regex") is { } parts ? string.Join('|', parts) : null;
        }
        return reader.Text("regex");
    }

    private static Dictionary<string, string>? ReadLabels(ConfigReader reader)
    {
        if (reader.Find("labels") is not { } value)
        {
            return null;
        }
        if (value.Kind != ConfigNodeKind.Mapping)
        {
            reader.Report("labels", $"must map label names to templates, but {value.Describe()} stands here");
            return null;
        }
        var labels = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var entry in value.Entries)
        {
            if (entry.Value.Kind is ConfigNodeKind.Sequence or ConfigNodeKind.Mapping)
            {
                reader.Context.Report(entry.Line, $"{reader.PathOf("labels")}.{entry.Key}",
                    $"must be text, but {entry.Value.Describe()} stands here");
                continue;
            }
            labels[entry.Key] = entry.Value.Text;
        }
        return labels;
    }

    /// <summary>
    /// A selector or a list of them. vmagent refuses everything that YAML does not read as text, and dies of an empty
    /// list; here that is a problem like the others.
    /// </summary>
    public static IReadOnlyList<string>? ReadSelectors(ConfigReader reader, string key)
    {
        var value = reader.Find(key);
        if (value is null)
        {
            return null;
        }
        var path = reader.PathOf(key);
        if (value.Kind == ConfigNodeKind.Sequence && value.Elements.Count == 0)
        {
            reader.Report(key, "an empty list matches nothing: name a selector, or remove the key to match everything");
            return null;
        }
        var elements = value.Kind == ConfigNodeKind.Sequence ? value.Elements : [value];
        var selectors = new List<string>(elements.Count);
        for (var i = 0; i < elements.Count; i++)
        {
            var element = elements[i];
            var elementPath = value.Kind == ConfigNodeKind.Sequence ? $"{path}[{i}]" : path;
            if (element.Kind != ConfigNodeKind.Scalar || !IsText(element))
            {
                reader.Context.Report(element.Line, elementPath,
                    $"must be a series selector in quotes, but {element.Describe()} stands here");
                continue;
            }
            if (!SeriesSelector.TryParse(element.Text, out _, out var error))
            {
                reader.Context.Report(element.Line, elementPath,
                    $"\"{element.Text}\" is not a series selector: {error}");
                continue;
            }
            selectors.Add(element.Text);
        }
        return selectors.Count == elements.Count ? selectors : null;
    }

    /// <summary>False for what YAML reads as number or boolean.</summary>
    private static bool IsText(ConfigNode scalar) => !scalar.IsPlain || (ConfigReader.AsBoolean(scalar) is null
        && !double.TryParse(scalar.Text, NumberStyles.Float, CultureInfo.InvariantCulture, out _)
        && scalar.Text is not (".inf" or "-.inf" or ".nan" or ".NaN" or ".Inf"));
}
