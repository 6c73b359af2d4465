using System.Text.Json;
using Millrace.Aggregation;

namespace Millrace.Configuration;

/// <summary>What becomes of a part of the configuration.</summary>
internal enum ConfigChangeKind
{
    Added,
    Changed,
    Removed,
}

/// <param name="Kind">What happened.</param>
/// <param name="Subject">Such as <c>rule "requests"</c>.</param>
/// <param name="Fields">Of a changed one: each field with its old and new value.</param>
/// <param name="Effect">When it takes effect, where that is not at once.</param>
internal sealed record ConfigChange(
    ConfigChangeKind Kind, string Subject, IReadOnlyList<string> Fields, string Effect)
{
    public override string ToString()
    {
        var sign = Kind switch { ConfigChangeKind.Added => '+', ConfigChangeKind.Removed => '-', _ => '~' };
        var fields = Fields.Count == 0 ? "" : $": {string.Join("; ", Fields)}";
        return $"{sign} {Subject}{fields}{(Effect.Length == 0 ? "" : $" ({Effect})")}";
    }
}

/// <summary>
/// What a reload would change of all that decides about samples: rule by rule, as a reload pairs them
/// (<see cref="RuleChanges"/>), and key by key for the rest. Compared are the canonical texts, so a new key of the
/// configuration is in the diff as soon as it is in the log.
/// </summary>
internal sealed class ConfigDiff
{
    private const int MaxValueChars = 120;
    private const string AtBoundary = "from the next window on; the version of before finishes its own";

    private readonly List<ConfigChange> _changes = [];

    private ConfigDiff()
    {
    }

    public IReadOnlyList<ConfigChange> Changes => _changes;

    public int UnchangedRules { get; private set; }

    public static ConfigDiff Between(MillraceConfig before, MillraceConfig after)
    {
        var diff = new ConfigDiff();
        diff.CompareRules(before.Aggregation.Rules, after.Aggregation.Rules);
        using var old = JsonDocument.Parse(before.CanonicalText);
        using var now = JsonDocument.Parse(after.CanonicalText);
        diff.CompareNamed("route", "routes", old.RootElement, now.RootElement);
        diff.CompareNamed("destination", "destinations", old.RootElement, now.RootElement);
        foreach (var section in new[] { "ingest", "time_window", "aggregation" })
        {
            diff.CompareSection(section, old.RootElement, now.RootElement);
        }
        diff.CompareSection("", old.RootElement, now.RootElement);
        return diff;
    }

    /// <summary>A line per change, and one for the rules that go on.</summary>
    public IEnumerable<string> Lines()
    {
        foreach (var change in _changes)
        {
            yield return change.ToString();
        }
        yield return UnchangedRules == 1 ? "= 1 rule unchanged" : $"= {UnchangedRules} rules unchanged";
    }

    private void CompareRules(
        IReadOnlyList<AggregationRuleConfig> before, IReadOnlyList<AggregationRuleConfig> after)
    {
        var old = AggregationRule.CompileAll(before);
        var now = AggregationRule.CompileAll(after);
        var changes = RuleChanges.Between(old, now);
        for (var i = 0; i < now.Length; i++)
        {
            var change = changes.Of(i);
            if (change == RuleChange.Added)
            {
                _changes.Add(new ConfigChange(
                    ConfigChangeKind.Added, NameOf(after[i], i), [], "from its next whole window on"));
                continue;
            }
            var fields = Fields(before[changes.Before(i)], after[i]);
            UnchangedRules += change == RuleChange.Unchanged ? 1 : 0;
            if (fields.Count > 0)
            {
                _changes.Add(new ConfigChange(
                    ConfigChangeKind.Changed, NameOf(after[i], i), fields,
                    change == RuleChange.Changed ? AtBoundary : "at once; state and windows are kept"));
            }
        }
        foreach (var removed in changes.Removed)
        {
            _changes.Add(new ConfigChange(
                ConfigChangeKind.Removed, NameOf(before[removed], removed), [],
                "after the window under way"));
        }
    }

    private static List<string> Fields(AggregationRuleConfig before, AggregationRuleConfig after)
    {
        using var old = JsonDocument.Parse(CanonicalConfig.Write(before));
        using var now = JsonDocument.Parse(CanonicalConfig.Write(after));
        return Fields(old.RootElement, now.RootElement);
    }

    private static List<string> Fields(JsonElement before, JsonElement after)
    {
        var fields = new List<string>();
        foreach (var property in after.EnumerateObject())
        {
            var isNew = !before.TryGetProperty(property.Name, out var old);
            if (isNew)
            {
                fields.Add($"{property.Name}: {Text(property.Value)}, was not set");
            }
            else if (old.GetRawText() != property.Value.GetRawText())
            {
                fields.Add($"{property.Name}: {Text(old)} -> {Text(property.Value)}");
            }
        }
        foreach (var property in before.EnumerateObject())
        {
            if (!after.TryGetProperty(property.Name, out _))
            {
                fields.Add($"{property.Name}: {Text(property.Value)} -> not set");
            }
        }
        return fields;
    }

    private void CompareNamed(string word, string key, JsonElement before, JsonElement after)
    {
        var old = ByName(before, key);
        foreach (var (name, element) in ByName(after, key))
        {
            if (!old.Remove(name, out var known))
            {
                _changes.Add(new ConfigChange(ConfigChangeKind.Added, $"{word} \"{name}\"", [], ""));
            }
            else if (Fields(known, element) is { Count: > 0 } fields)
            {
                _changes.Add(new ConfigChange(ConfigChangeKind.Changed, $"{word} \"{name}\"", fields, ""));
            }
        }
        foreach (var name in old.Keys)
        {
            _changes.Add(new ConfigChange(ConfigChangeKind.Removed, $"{word} \"{name}\"", [], ""));
        }
        var (orderBefore, orderAfter) = (ByName(before, key).Keys, ByName(after, key).Keys);
        if (key == "routes" && old.Count == 0 && orderBefore.Count == orderAfter.Count
            && string.Join('\n', orderBefore) != string.Join('\n', orderAfter))
        {
            _changes.Add(new ConfigChange(
                ConfigChangeKind.Changed, "routes", [$"order: {string.Join(", ", orderAfter)}"], ""));
        }
    }

    private static Dictionary<string, JsonElement> ByName(JsonElement root, string key)
    {
        var elements = new Dictionary<string, JsonElement>(StringComparer.Ordinal);
        if (root.TryGetProperty(key, out var list))
        {
            foreach (var element in list.EnumerateArray())
            {
                elements[element.GetProperty("name").GetString() ?? ""] = element;
            }
        }
        return elements;
    }

    /// <param name="section">Its key; empty: what stands at the top besides sections and lists.</param>
    /// <param name="before">The root.</param>
    /// <param name="after">The root.</param>
    private void CompareSection(string section, JsonElement before, JsonElement after)
    {
        var (old, now) = section.Length == 0 ? (before, after) : (Section(before, section), Section(after, section));
        foreach (var field in Fields(old, now))
        {
            var key = field[..field.IndexOf(':', StringComparison.Ordinal)];
            var isElsewhere = section.Length == 0
                ? key is "ingest" or "time_window" or "aggregation" or "routes" or "destinations"
                : section == "aggregation" && key == "rules";
            if (!isElsewhere)
            {
                var subject = section.Length == 0 ? "configuration" : section;
                _changes.Add(new ConfigChange(ConfigChangeKind.Changed, subject, [field], ""));
            }
        }
    }

    private static JsonElement Section(JsonElement root, string key) =>
        root.TryGetProperty(key, out var section) ? section : JsonDocument.Parse("{}").RootElement;

    private static string NameOf(AggregationRuleConfig rule, int number)
    {
        var name = rule.Name.Length > 0 ? $"rule \"{rule.Name}\"" : $"rule #{number}";
        return rule.File is "" or "canonical" ? name : $"{name} ({rule.File}:{rule.Line})";
    }

    /// <summary>One line, and not a page of relabeling.</summary>
    private static string Text(JsonElement value)
    {
        var text = value.ValueKind == JsonValueKind.String ? value.GetString()!
            : string.Join(' ', value.GetRawText().Split(
                (char[])[' ', '\n'], StringSplitOptions.RemoveEmptyEntries));
        return text.Length <= MaxValueChars ? text : $"{text[..MaxValueChars]}…";
    }
}
