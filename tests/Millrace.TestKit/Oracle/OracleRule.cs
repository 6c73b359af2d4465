using System.Linq;
using Millrace.Aggregation;
using Millrace.Model;

namespace Millrace.TestKit.Oracle;

/// <summary>
/// What the oracle knows of a rule in event time, read off its configuration by the words of the documents. Relabeling
/// is not part of it: it has cases of its own.
/// </summary>
public sealed class OracleRule
{
    private readonly List<SeriesSelector> _match = [];
    private readonly string _suffix;

    /// <param name="config">The rule as the configuration loader gives it.</param>
    /// <param name="startMs">Arrival time of the record that brought the rule into force.</param>
    public OracleRule(AggregationRuleConfig config, long startMs)
    {
        if (config.Time != RuleTime.Event || config.InputRelabelConfigs.Count + config.OutputRelabelConfigs.Count > 0)
        {
            throw new NotSupportedException("The oracle knows rules in event time without relabeling.");
        }
        Config = config;
        StartMs = startMs;
        IntervalMs = (long)config.Interval.TotalMilliseconds;
        StalenessMs = (long)(config.StalenessInterval ?? config.Interval).TotalMilliseconds;
        MemoryMs = Math.Max(StalenessMs, 5 * 60_000);
        IgnoreFirstSampleMs = (long?)config.IgnoreFirstSampleInterval?.TotalMilliseconds ?? StalenessMs;
        OffsetMs = config.NoAlignFlushToInterval ? ((startMs % IntervalMs) + IntervalMs) % IntervalMs : 0;
        // The window under way at the start was not seen from its first moment; it may serve as a base.
        PartialEndMs = EndOf(startMs);
        foreach (var text in config.Match ?? [])
        {
            _match.Add(SeriesSelector.TryParse(text, out var selector, out var error)
                ? selector
                : throw new ArgumentException($"selector {text}: {error}"));
        }
        _suffix = ":" + config.IntervalText + Listed("_by_", config.By) + Listed("_without_", config.Without) + "_";
    }

    public AggregationRuleConfig Config { get; }

    public long StartMs { get; }

    public long IntervalMs { get; }

    public long OffsetMs { get; }

    /// <summary>The end of the window under way at the start.</summary>
    public long PartialEndMs { get; }

    public long StalenessMs { get; }

    /// <summary>How long after a counter's sample the next one goes on from it.</summary>
    public long MemoryMs { get; }

    public long IgnoreFirstSampleMs { get; }

    public bool HasCounters => Config.Outputs.Any(output => output is "total" or "total_prometheus" or "increase"
        or "increase_prometheus" or "rate_sum" or "rate_avg" || output.EndsWith("increase)", StringComparison.Ordinal));

    /// <summary>The first window that counts in running totals.</summary>
    public long FirstBookedEndMs => Config.EmitPartialWindows ? PartialEndMs : PartialEndMs + IntervalMs;

    /// <summary>The first window that is shown.</summary>
    public long FirstShownEndMs => FirstBookedEndMs + Math.Max(0, Config.IgnoreFirstIntervals) * IntervalMs;

    /// <summary>The end of the window (start, end] of a time.</summary>
    public long EndOf(long timeMs)
    {
        var endMs = (timeMs - OffsetMs) / IntervalMs * IntervalMs + OffsetMs;
        while (endMs < timeMs)
        {
            endMs += IntervalMs;
        }
        while (endMs - IntervalMs >= timeMs)
        {
            endMs -= IntervalMs;
        }
        return endMs;
    }

    public bool Matches(LabelSet series) =>
        Config.Match is null || _match.Exists(selector => selector.Matches(series));

    /// <summary>The identity of a series inside the rule.</summary>
    public LabelSet SeriesOf(LabelSet series) => Keep(series, name => !Config.DropInputLabels.Contains(name));

    public LabelSet GroupOf(LabelSet series) => Keep(SeriesOf(series), name =>
        Config.By.Count > 0 ? name == LabelSet.MetricName || Config.By.Contains(name) : !Config.Without.Contains(name));

    /// <summary>The labels of an output series as text.</summary>
    /// <param name="label">The label that the output sets; null: none.</param>
    public string OutputSeries(LabelSet group, string output, string? label, string value)
    {
        // topk(5, pod, increase) is called topk_pod_increase, quantiles(0.5) just quantiles.
        var parts = output.Split('(', ',', ')').Select(part => part.Trim()).ToList();
        var called = parts[0] is "distinct" or "topk"
            ? string.Join('_', parts.Where(part => part.Length > 0 && !char.IsDigit(part[0])))
            : parts[0];
        var name = group[LabelSet.MetricName] + (Config.KeepMetricNames ? "" : _suffix + called);
        var labels = new List<Label> { new(LabelSet.MetricName, name) };
        foreach (var kept in group.Labels)
        {
            if (kept.Name != LabelSet.MetricName)
            {
                labels.Add(kept.Name == label ? kept with { Name = "exported_" + label } : kept);
            }
        }
        if (label is not null)
        {
            labels.Add(new Label(label, value));
        }
        return LabelSet.From(labels).ToString();
    }

    private static LabelSet Keep(LabelSet series, Func<string, bool> keeps)
    {
        var kept = new List<Label>();
        foreach (var label in series.Labels)
        {
            if (keeps(label.Name))
            {
                kept.Add(label);
            }
        }
        return LabelSet.From(kept);
    }

    private static string Listed(string word, IReadOnlyList<string> labels)
    {
        var sorted = new SortedSet<string>(labels, StringComparer.Ordinal);
        sorted.Remove(LabelSet.MetricName);
        return sorted.Count == 0 ? "" : word + string.Join('_', sorted);
    }
}
