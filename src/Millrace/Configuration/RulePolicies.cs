using Millrace.Aggregation;

namespace Millrace.Configuration;

/// <summary>
/// The keys of a rule that say how event time treats counters, late samples, repeats and too many series. Ours all:
/// vmagent has none of them.
/// </summary>
internal static class RulePolicies
{
    private const long MostSeries = 1_000_000_000;
    private static readonly TimeSpan Millisecond = TimeSpan.FromMilliseconds(1);

    private static readonly (string Word, GapPolicy Value)[] Gaps =
        [("attribute", GapPolicy.Attribute), ("spread", GapPolicy.Spread), ("cap", GapPolicy.Cap)];

    private static readonly (string Word, ResetPolicy Value)[] Resets =
        [("prometheus", ResetPolicy.Prometheus), ("victoriametrics", ResetPolicy.VictoriaMetrics)];

    private static readonly (string Word, LatePolicy Value)[] Lates =
        [("drop", LatePolicy.Drop), ("carry", LatePolicy.Carry), ("correct", LatePolicy.Correct)];

    public static AggregationRuleConfig Read(ConfigReader reader, AggregationRuleConfig rule)
    {
        var read = rule with
        {
            Gap = reader.Choice("gap", GapPolicy.Attribute, Gaps),
            Resets = reader.Choice("resets", ResetPolicy.Prometheus, Resets),
            Late = reader.Choice("late", LatePolicy.Drop, Lates),
            CorrectionsFor = reader.OptionalDuration("corrections_for", Millisecond),
            RemembersSamples = reader.Choice("dedup", false, ("ends", false), ("exact", true)),
            ZeroInjection = reader.Flag("zero_injection", false),
            MaxSeries = reader.Number("max_series", 0, 0, MostSeries),
            MaxGroups = reader.Number("max_groups", 0, 0, MostSeries),
            Exemplars = ReadExemplars(reader),
        };
        if (read.CorrectionsFor is not null && read.Late != LatePolicy.Correct)
        {
            reader.Report("corrections_for", $"\"{reader.Text("corrections_for")}\" has no meaning without late: "
                + "correct: write that, or remove the key");
        }
        if (rule.Time == RuleTime.Arrival)
        {
            RefuseInArrivalTime(reader, read);
        }
        return read;
    }

    /// <summary>Defaults are left out, as they were before there were these keys.</summary>
    public static void Write(CanonicalWriter writer, AggregationRuleConfig rule)
    {
        if (rule.Gap != GapPolicy.Attribute)
        {
            writer.Text("gap", WordOf(Gaps, rule.Gap));
        }
        if (rule.Resets != ResetPolicy.Prometheus)
        {
            writer.Text("resets", WordOf(Resets, rule.Resets));
        }
        if (rule.Late != LatePolicy.Drop)
        {
            writer.Text("late", WordOf(Lates, rule.Late));
        }
        writer.OptionalDuration("corrections_for", rule.CorrectionsFor);
        if (rule.RemembersSamples)
        {
            writer.Text("dedup", "exact");
        }
        writer.Flag("zero_injection", rule.ZeroInjection);
        if (rule.MaxSeries > 0)
        {
            writer.Number("max_series", rule.MaxSeries);
        }
        if (rule.MaxGroups > 0)
        {
            writer.Number("max_groups", rule.MaxGroups);
        }
        if (rule.Exemplars is { } exemplars)
        {
            writer.Number("exemplars", exemplars);
        }
    }

    /// <summary>The default is no part of a rule's definition: rules keep their keys.</summary>
    private static int? ReadExemplars(ConfigReader reader)
    {
        var count = (int)reader.Number(
            "exemplars", AggregationRuleConfig.DefaultExemplars, 0, AggregationRuleConfig.MostExemplars);
        return count == AggregationRuleConfig.DefaultExemplars ? null : count;
    }

    /// <summary>Arrival time is vmagent's arithmetic, which knows none of this.</summary>
    private static void RefuseInArrivalTime(ConfigReader reader, AggregationRuleConfig rule)
    {
        ReadOnlySpan<(string Key, bool IsSet)> keys =
        [
            ("gap", rule.Gap != GapPolicy.Attribute),
            ("resets", rule.Resets != ResetPolicy.Prometheus),
            ("late", rule.Late != LatePolicy.Drop),
            ("dedup", rule.RemembersSamples),
            ("max_series", rule.MaxSeries > 0),
        ];
        foreach (var (key, isSet) in keys)
        {
            if (isSet)
            {
                reader.Report(key, $"\"{reader.Text(key)}\" needs event time, but the rule has time: arrival, which "
                    + "does what vmagent does: remove one of them");
            }
        }
    }

    private static string WordOf<T>((string Word, T Value)[] words, T value) where T : struct, Enum
    {
        foreach (var (word, candidate) in words)
        {
            if (EqualityComparer<T>.Default.Equals(candidate, value))
            {
                return word;
            }
        }
        throw new ArgumentOutOfRangeException(nameof(value), value, "has no word");
    }
}
