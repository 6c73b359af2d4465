using System.Text;
using System.Text.RegularExpressions;
using Millrace.Configuration;

namespace Millrace.Server.Commands;

/// <summary>Writes values as YAML in block style, so that a person can go on editing what was converted.</summary>
internal static partial class YamlText
{
    /// <summary>A mapping as an element of a list: its first key stands behind the dash.</summary>
    public static string Element(ConfigNode mapping, int indent)
    {
        var text = new StringBuilder();
        AppendElement(text, mapping, indent);
        return text.ToString();
    }

    public static string Quote(string value)
    {
        if (PlainText().IsMatch(value) && !Meaning().IsMatch(value))
        {
            return value;
        }
        foreach (var c in value)
        {
            if (char.IsControl(c))
            {
                return DoubleQuoted(value);
            }
        }
        return "'" + value.Replace("'", "''", StringComparison.Ordinal) + "'";
    }

    private static string DoubleQuoted(string value)
    {
        var text = new StringBuilder("\"");
        foreach (var c in value)
        {
            text.Append(c switch
            {
                '"' => "\\\"",
                '\\' => "\\\\",
                _ when char.IsControl(c) => string.Create(null, $"\\u{(int)c:x4}"),
                _ => c.ToString(),
            });
        }
        return text.Append('"').ToString();
    }

    private static void AppendElement(StringBuilder text, ConfigNode node, int indent)
    {
        text.Append(' ', indent).Append("- ");
        if (node.Kind != ConfigNodeKind.Mapping || node.Entries.Count == 0)
        {
            text.Append(Flow(node)).Append('\n');
            return;
        }
        var isFirst = true;
        foreach (var entry in node.Entries)
        {
            AppendEntry(text, entry, isFirst ? 0 : indent + 2, indent + 2);
            isFirst = false;
        }
    }

    private static void AppendEntry(StringBuilder text, ConfigEntry entry, int spaces, int indent)
    {
        text.Append(' ', spaces).Append(Quote(entry.Key)).Append(':');
        var isBlock = entry.Value is { Kind: ConfigNodeKind.Mapping, Entries.Count: > 0 }
            || (entry.Value.Kind == ConfigNodeKind.Sequence && HasMapping(entry.Value));
        if (!isBlock)
        {
            text.Append(' ').Append(Flow(entry.Value)).Append('\n');
            return;
        }
        text.Append('\n');
        foreach (var element in entry.Value.Elements)
        {
            AppendElement(text, element, indent);
        }
        foreach (var child in entry.Value.Entries)
        {
            AppendEntry(text, child, indent + 2, indent + 2);
        }
    }

    private static bool HasMapping(ConfigNode sequence)
    {
        foreach (var element in sequence.Elements)
        {
            if (element.Kind == ConfigNodeKind.Mapping)
            {
                return true;
            }
        }
        return false;
    }

    private static string Flow(ConfigNode node)
    {
        switch (node.Kind)
        {
            case ConfigNodeKind.Null:
                return "null";
            case ConfigNodeKind.Scalar:
                return node.IsPlain && PlainText().IsMatch(node.Text) ? node.Text : Quote(node.Text);
            case ConfigNodeKind.Sequence:
                var elements = new List<string>();
                foreach (var element in node.Elements)
                {
                    elements.Add(Flow(element));
                }
                return $"[{string.Join(", ", elements)}]";
            default:
                var entries = new List<string>();
                foreach (var entry in node.Entries)
                {
                    entries.Add($"{Quote(entry.Key)}: {Flow(entry.Value)}");
                }
                return $"{{{string.Join(", ", entries)}}}";
        }
    }

    /// <summary>Safe without quotes anywhere.</summary>
    [GeneratedRegex(@"\A[A-Za-z0-9_./$][A-Za-z0-9_./$:+-]*(?<!:)\z")]
    private static partial Regex PlainText();

    /// <summary>What YAML would not read as text.</summary>
    [GeneratedRegex(@"\A([yn]|yes|no|on|off|true|false|null|[+-]?\.?[0-9][0-9_.:xa-f+-]*|\.(inf|nan))\z",
        RegexOptions.IgnoreCase)]
    private static partial Regex Meaning();
}
