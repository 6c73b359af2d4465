using System.Globalization;
using System.Linq;
using Millrace.Configuration;

namespace Millrace.Server.Commands;

/// <summary>Flags that stand for keys in the rules of their level.</summary>
internal sealed record VmAgentLevel(
    string? DedupInterval, bool IgnoreOldSamples, string? IgnoreFirstIntervals, IReadOnlyList<string> DropInputLabels,
    string? EnableWindows);

/// <summary>Writes vmagent's rules under <c>aggregation.rules</c>, with what flags add to them.</summary>
internal sealed class VmAgentRules
{
    private const int Indent = 2;

    private readonly YamlLines _lines = new();
    private readonly HashSet<string> _names = new(StringComparer.Ordinal);

    /// <summary>Whether a rule was written, be it as a comment.</summary>
    public bool HasRules { get; private set; }

    /// <summary>The names of the rules written; with a prefix every rule gets one, for a route to call it by.</summary>
    public List<string> Add(IReadOnlyList<ConfigNode> rules, VmAgentLevel level, string? prefix)
    {
        var names = new List<string>();
        foreach (var rule in rules)
        {
            if (rule.Kind != ConfigNodeKind.Mapping)
            {
                _lines.Add(Indent, $"# An element of the list is no rule: {rule.Describe()}");
                continue;
            }
            HasRules = true;
            var entries = new List<ConfigEntry>(rule.Entries);
            AddDefaults(entries, level);
            RemoveDedup(entries, level);
            if (prefix is not null)
            {
                names.Add(Name(entries, prefix));
            }
            else
            {
                names.Add(rule.Find("name")?.Text ?? "");
            }
            _lines.AddElement(new ConfigNode { Kind = ConfigNodeKind.Mapping, Entries = entries }, Indent);
        }
        return names;
    }

    public override string ToString() => _lines.ToString();

    public static ConfigNode Mapping(params (string Key, string Value)[] entries) => new()
    {
        Kind = ConfigNodeKind.Mapping,
        Entries = [.. entries.Select(e => new ConfigEntry(e.Key, 0, Text(e.Value)))],
    };

    private static void AddDefaults(List<ConfigEntry> entries, VmAgentLevel level)
    {
        AddUnlessWritten(entries, "ignore_old_samples", level.IgnoreOldSamples ? Plain("true") : null);
        AddUnlessWritten(entries, "ignore_first_intervals",
            level.IgnoreFirstIntervals is { } count ? Plain(count) : null);
        AddUnlessWritten(entries, "enable_windows", level.EnableWindows is { } windows ? Plain(windows) : null);
        AddUnlessWritten(entries, "drop_input_labels", level.DropInputLabels.Count == 0
            ? null
            : new ConfigNode { Kind = ConfigNodeKind.Sequence, Elements = [.. level.DropInputLabels.Select(Text)] });
    }

    private void RemoveDedup(List<ConfigEntry> entries, VmAgentLevel level)
    {
        var written = entries.Find(e => e.Key == "dedup_interval").Value?.Text ?? level.DedupInterval;
        entries.RemoveAll(e => e.Key == "dedup_interval");
        if (written is not null && ConfigQuantity.TryParseGoDuration(written, out var dedup) && dedup > TimeSpan.Zero)
        {
            _lines.Add(Indent, $"# Not available in this version: dedup_interval: {written}");
        }
    }

    private string Name(List<ConfigEntry> entries, string prefix)
    {
        var written = entries.Find(e => e.Key == "name").Value?.Text;
        var name = string.IsNullOrEmpty(written) || _names.Contains(written) ? null : written;
        for (var i = 0; name is null; i++)
        {
            var candidate = string.Create(CultureInfo.InvariantCulture, $"{prefix}-rule-{i}");
            name = _names.Contains(candidate) ? null : candidate;
        }
        _names.Add(name);
        entries.RemoveAll(e => e.Key == "name");
        entries.Insert(0, new ConfigEntry("name", 0, Text(name)));
        return name;
    }

    private static void AddUnlessWritten(List<ConfigEntry> entries, string key, ConfigNode? value)
    {
        if (value is not null && !entries.Exists(e => e.Key == key))
        {
            entries.Add(new ConfigEntry(key, 0, value));
        }
    }

    private static ConfigNode Text(string text) => new() { Kind = ConfigNodeKind.Scalar, Text = text };

    private static ConfigNode Plain(string text) => new() { Kind = ConfigNodeKind.Scalar, Text = text, IsPlain = true };
}
