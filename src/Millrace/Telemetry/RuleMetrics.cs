using Millrace.Aggregation;

namespace Millrace.Telemetry;

/// <summary>What the rules took, refused and gave: the slice Aggregation, rule by rule.</summary>
internal static class RuleMetrics
{
    /// <summary>Bounds of the shown histogram of lags: 127 ms, 255 ms … 70 minutes, as they were counted.</summary>
    private const int FirstLagBits = 7;
    private const int LastLagBits = 22;

    public static void Write(ExpositionWriter page, IReadOnlyList<RuleReading> rules)
    {
        WriteInfo(page, rules);
        WriteCounters(page, rules);
        WritePolicies(page, rules);
        WriteLate(page, rules);
        WriteLags(page, rules);
        WriteState(page, rules);
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

    private static void WriteCounters(ExpositionWriter page, IReadOnlyList<RuleReading> rules)
    {
        page.Counter("millrace_aggregation_rule_samples_total", "Samples handed to the rule.");
        WriteEach(page, rules, static rule => rule.Samples);
        page.Counter(
            "millrace_aggregation_too_far_ahead_samples_total", "Samples further ahead than the rule keeps windows.");
        WriteEach(page, rules, static rule => rule.TooFarAhead);
        page.Counter("millrace_aggregation_nan_samples_total", "Stale markers and other values that are no number.");
        WriteEach(page, rules, static rule => rule.NotANumber);
        page.Counter(
            "millrace_aggregation_repeated_samples_total", "Samples equal in time to one that was counted already.");
        WriteEach(page, rules, static rule => rule.Repeats);
        page.Counter(
            "millrace_aggregation_dedup_dropped_samples_total",
            "Samples that gave way to another one of their series and dedup interval.");
        WriteEach(page, rules, static rule => rule.DedupDropped);
        page.Counter(
            "millrace_aggregation_replica_dropped_samples_total", "Samples of replicas that were not the chosen one.");
        WriteEach(page, rules, static rule => rule.ReplicaDropped);
        page.Counter(
            "millrace_aggregation_replica_failovers_total", "Times that another replica took over, series by series.");
        WriteEach(page, rules, static rule => rule.ReplicaFailovers);
        page.Counter(
            "millrace_aggregation_out_of_order_samples_total", "Samples older than the last one of their series.");
        WriteEach(page, rules, static rule => rule.OutOfOrder);
        page.Counter("millrace_aggregation_resets_total", "Counter resets.");
        WriteEach(page, rules, static rule => rule.CounterResets);
        page.Counter(
            "millrace_aggregation_ambiguous_resets_total",
            "Out-of-order and late samples that might witness a reset nobody else saw.");
        WriteEach(page, rules, static rule => rule.AmbiguousResets);
        page.Counter("millrace_aggregation_histograms_total", "Native histograms handed to the rule.");
        WriteEach(page, rules, static rule => rule.Histograms);
        page.Counter(
            "millrace_aggregation_unused_histograms_total",
            "Native histograms that the rule can make nothing of, and stale markers among them.");
        WriteEach(page, rules, static rule => rule.UnusedHistograms);
        page.Counter(
            "millrace_aggregation_unlike_histograms_total",
            "Native histograms left out, because their buckets do not fit those of the others.");
        WriteEach(page, rules, static rule => rule.UnlikeHistograms);
        page.Counter("millrace_aggregation_exemplars_total", "Exemplars handed to the rule.");
        WriteEach(page, rules, static rule => rule.Exemplars);
        page.Counter(
            "millrace_aggregation_sent_exemplars_total", "Exemplars that went with output series of closed windows.");
        WriteEach(page, rules, static rule => rule.SentExemplars);
        page.Counter(
            "millrace_aggregation_dropped_exemplars_total",
            "Exemplars for which there was no place, repeats among them. The rest waits for its window's end.");
        WriteEach(page, rules, static rule => rule.DroppedExemplars);
        page.Counter("millrace_aggregation_output_samples_total", "Output samples of closed windows.");
        WriteEach(page, rules, static rule => rule.OutputSamples);
    }

    /// <summary>What the rule's policies did: late, gap, dedup, and its bounds.</summary>
    private static void WritePolicies(ExpositionWriter page, IReadOnlyList<RuleReading> rules)
    {
        page.Counter(
            "millrace_aggregation_carried_samples_total",
            "Late samples that were booked into the oldest open window, with late: carry.");
        WriteEach(page, rules, static rule => rule.Carried);
        page.Counter(
            "millrace_aggregation_correcting_samples_total",
            "Late samples that came in time to correct a window written before, with late: correct.");
        WriteEach(page, rules, static rule => rule.CorrectingSamples);
        page.Counter(
            "millrace_aggregation_corrections_total",
            "Output samples written again with another value, with late: correct.");
        WriteEach(page, rules, static rule => rule.Corrections);
        page.Counter(
            "millrace_aggregation_capped_gaps_total",
            "Increases across a gap that were cut to one interval's share, with gap: cap.");
        WriteEach(page, rules, static rule => rule.CappedGaps);
        page.Counter(
            "millrace_aggregation_not_remembered_samples_total",
            "Samples beyond the bounds of dedup: exact; their series are treated as without it.");
        WriteEach(page, rules, static rule => rule.NotRemembered);
        page.Counter(
            "millrace_aggregation_overflow_series_total",
            "Series that came to an overflow group because of max_groups.");
        WriteEach(page, rules, static rule => rule.OverflowSeries);
        page.Counter(
            "millrace_aggregation_overflow_samples_total",
            "Samples of series beyond max_series, booked into overflow groups without their series' state.");
        WriteEach(page, rules, static rule => rule.OverflowSamples);
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

    private static void WriteState(ExpositionWriter page, IReadOnlyList<RuleReading> rules)
    {
        page.Gauge("millrace_aggregation_series", "Input series that the rule remembers.");
        WriteEach(page, rules, static rule => rule.Series);
        page.Gauge("millrace_aggregation_groups", "Groups that the rule keeps.");
        WriteEach(page, rules, static rule => rule.Groups);
        page.Gauge("millrace_aggregation_overflow_groups", "Overflow groups among them.");
        WriteEach(page, rules, static rule => rule.OverflowGroups);
        page.Gauge("millrace_aggregation_lateness_seconds", "How long after its end a window stays open, as of now.");
        WriteEach(page, rules, static rule => rule.LatenessMs / 1e3);
        page.Gauge(
            "millrace_aggregation_closed_through_timestamp_seconds", "The end of the last window that was closed.");
        WriteEach(page, rules, static rule => rule.ClosedThroughMs / 1e3);
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
