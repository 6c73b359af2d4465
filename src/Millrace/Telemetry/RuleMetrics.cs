using Millrace.Aggregation;

namespace Millrace.Telemetry;

/// <summary>What the rules took, refused and gave: the slice Aggregation, rule by rule.</summary>
internal static class RuleMetrics
{
    /// <summary>Bounds of the shown histogram of lags: 127 ms, 255 ms … 70 minutes, as they were counted.</summary>
    private const int FirstLagBits = 7;
    private const int LastLagBits = 22;

    private sealed record Metric(string Name, string Help, Func<RuleReading, double?> Read);

    private static readonly Metric[] Counters =
    [
        new("millrace_aggregation_rule_samples_total", "Samples handed to the rule.", static rule => rule.Samples),
        new(
            "millrace_aggregation_too_far_ahead_samples_total",
            "Samples further ahead than the rule keeps windows.", static rule => rule.TooFarAhead),
        new(
            "millrace_aggregation_nan_samples_total",
            "Stale markers and other values that are no number.", static rule => rule.NotANumber),
        new(
            "millrace_aggregation_repeated_samples_total",
            "Samples equal in time to one that was counted already.", static rule => rule.Repeats),
        new(
            "millrace_aggregation_dedup_dropped_samples_total",
            "Samples that gave way to another one of their series and dedup interval.",
            static rule => rule.DedupDropped),
        new(
            "millrace_aggregation_replica_dropped_samples_total",
            "Samples of replicas that were not the chosen one.", static rule => rule.ReplicaDropped),
        new(
            "millrace_aggregation_replica_failovers_total",
            "Times that another replica took over, series by series.", static rule => rule.ReplicaFailovers),
        new(
            "millrace_aggregation_out_of_order_samples_total",
            "Samples older than the last one of their series.", static rule => rule.OutOfOrder),
        new("millrace_aggregation_resets_total", "Counter resets.", static rule => rule.CounterResets),
        new(
            "millrace_aggregation_ambiguous_resets_total",
            "Out-of-order and late samples that might witness a reset nobody else saw.",
            static rule => rule.AmbiguousResets),
        new(
            "millrace_aggregation_histograms_total",
            "Native histograms handed to the rule.", static rule => rule.Histograms),
        new(
            "millrace_aggregation_unused_histograms_total",
            "Native histograms that the rule can make nothing of, and stale markers among them.",
            static rule => rule.UnusedHistograms),
        new(
            "millrace_aggregation_unlike_histograms_total",
            "Native histograms left out, because their buckets do not fit those of the others.",
            static rule => rule.UnlikeHistograms),
        new("millrace_aggregation_exemplars_total", "Exemplars handed to the rule.", static rule => rule.Exemplars),
        new(
            "millrace_aggregation_sent_exemplars_total",
            "Exemplars that went with output series of closed windows.", static rule => rule.SentExemplars),
        new(
            "millrace_aggregation_dropped_exemplars_total",
            "Exemplars for which there was no place, repeats among them. The rest waits for its window's end.",
            static rule => rule.DroppedExemplars),
        new(
            "millrace_aggregation_output_samples_total",
            "Output samples of closed windows.", static rule => rule.OutputSamples),
        new(
            "millrace_aggregation_carried_samples_total",
            "Late samples that were booked into the oldest open window, with late: carry.",
            static rule => rule.Carried),
        new(
            "millrace_aggregation_correcting_samples_total",
            "Late samples that came in time to correct a window written before, with late: correct.",
            static rule => rule.CorrectingSamples),
        new(
            "millrace_aggregation_corrections_total",
            "Output samples written again with another value, with late: correct.", static rule => rule.Corrections),
        new(
            "millrace_aggregation_capped_gaps_total",
            "Increases across a gap that were cut to one interval's share, with gap: cap.",
            static rule => rule.CappedGaps),
        new(
            "millrace_aggregation_not_remembered_samples_total",
            "Samples beyond the bounds of dedup: exact; their series are treated as without it.",
            static rule => rule.NotRemembered),
        new(
            "millrace_aggregation_overflow_series_total",
            "Series that came to an overflow group because of max_groups.", static rule => rule.OverflowSeries),
        new(
            "millrace_aggregation_overflow_samples_total",
            "Samples of series beyond max_series, booked into overflow groups without their series' state.",
            static rule => rule.OverflowSamples),
    ];

    private static readonly Metric[] Gauges =
    [
        new("millrace_aggregation_series", "Input series that the rule remembers.", static rule => rule.Series),
        new("millrace_aggregation_groups", "Groups that the rule keeps.", static rule => rule.Groups),
        new("millrace_aggregation_overflow_groups", "Overflow groups among them.", static rule => rule.OverflowGroups),
        new(
            "millrace_aggregation_lateness_seconds",
            "How long after its end a window stays open, as of now.", static rule => rule.LatenessMs / 1e3),
        new(
            "millrace_aggregation_closed_through_timestamp_seconds",
            "The end of the last window that was closed.", static rule => rule.ClosedThroughMs / 1e3),
    ];

    public static void Write(ExpositionWriter page, IReadOnlyList<RuleReading> rules)
    {
        WriteInfo(page, rules);
        foreach (var counter in Counters)
        {
            page.Counter(counter.Name, counter.Help);
            WriteEach(page, rules, counter.Read);
        }
        WriteLate(page, rules);
        WriteLags(page, rules);
        foreach (var gauge in Gauges)
        {
            page.Gauge(gauge.Name, gauge.Help);
            WriteEach(page, rules, gauge.Read);
        }
    }

    private static void WriteInfo(ExpositionWriter page, IReadOnlyList<RuleReading> rules)
    {
        page.Gauge("millrace_aggregation_rule_info", "1 for each rule in force.");
        foreach (var rule in rules)
        {
            var config = rule.Rule.Config;
            page.Sample(
                1, ("rule", rule.Name), ("interval", config.IntervalText),
                ("outputs", string.Join(',', config.Outputs)), ("time", rule.Rule.IsArrivalTime ? "arrival" : "event"));
        }
    }

    private static void WriteLate(ExpositionWriter page, IReadOnlyList<RuleReading> rules)
    {
        page.Counter(
            "millrace_aggregation_late_samples_total",
            "Samples that came after their window had closed, by the lag up to which they did.");
        foreach (var rule in rules)
        {
            for (var i = 0; i < rule.Late.Length; i++)
            {
                page.Sample(
                    rule.Late[i], ("rule", rule.Name), ("age", LabelText.OfBucket(ShardCounters.LateBoundsMs, i)));
            }
        }
    }

    private static void WriteLags(ExpositionWriter page, IReadOnlyList<RuleReading> rules)
    {
        page.Histogram(
            "millrace_aggregation_lag_seconds", "Arrival minus timestamp, one observation per handful of samples.");
        var bounds = new List<double>();
        for (var bits = FirstLagBits; bits <= LastLagBits; bits++)
        {
            bounds.Add(((1L << bits) - 1) / 1e3);
        }
        foreach (var rule in rules)
        {
            var counts = new long[bounds.Count + 1];
            for (var bucket = 0; bucket < rule.Lags.Length; bucket++)
            {
                var upperSeconds = LagHistogram.UpperBoundMs(bucket) / 1e3;
                var at = bounds.FindIndex(bound => upperSeconds <= bound);
                counts[at < 0 ? bounds.Count : at] += rule.Lags[bucket];
            }
            page.Buckets(bounds, counts, sumSeconds: null, ("rule", rule.Name));
        }
    }

    /// <summary>A rule of which the number is not known yet is left out.</summary>
    private static void WriteEach(
        ExpositionWriter page, IReadOnlyList<RuleReading> rules, Func<RuleReading, double?> read)
    {
        foreach (var rule in rules)
        {
            if (read(rule) is { } value)
            {
                page.Sample(value, ("rule", rule.Name));
            }
        }
    }
}
