using Millrace.Ingest;
using Millrace.Log;
using Millrace.Pipeline;

namespace Millrace.Telemetry;

/// <summary>
/// The page <c>/metrics</c>: read from the live objects when it is asked for, a method per slice. Each metric is
/// described in docs/metrics.md, which a test compares with this page.
/// </summary>
internal sealed class MetricsPage
{
    private readonly RunningPipeline _pipeline;
    private readonly IngestCounters _ingest;
    private readonly TimeProvider _time;
    private readonly DateTimeOffset _startedAt;
    private readonly ReloadLog _reloads;

    public MetricsPage(
        RunningPipeline pipeline, IngestCounters ingest, ReloadLog reloads, DateTimeOffset startedAt,
        TimeProvider time)
    {
        (_pipeline, _ingest, _reloads, _startedAt, _time) = (pipeline, ingest, reloads, startedAt, time);
    }

    public string Write()
    {
        var page = new ExpositionWriter();
        WriteLedger(page);
        WriteIngest(page);
        WritePipeline(page);
        WriteSeriesCache(page);
        WriteLogs(page);
        WriteRecovery(page);
        RuleMetrics.Write(page, RuleReading.TakeAll(_pipeline));
        DestinationMetrics.Write(page, DestinationReading.TakeAll(_pipeline));
        ShardMetrics.Write(page, _pipeline.Sharded);
        _reloads.Write(page);
        ProcessMetrics.Write(page, _startedAt, _time);
        return page.ToString();
    }

    /// <summary>
    /// What became of the samples. While the log is replayed the ledger runs from the base's numbers to today's: shown
    /// then, counters would go back, and every rate over them would leap; so they wait for the end of the replay.
    /// </summary>
    private void WriteLedger(ExpositionWriter page)
    {
        if (!_pipeline.Ingest.IsLive)
        {
            return;
        }
        var ledger = LedgerReading.Take(_pipeline.Engine.Ledger);
        page.Counter("millrace_ingest_samples_total", "Samples that came in and were applied.", ledger.Samples);
        page.Counter("millrace_ingest_histograms_total", "Native histograms that came in.", ledger.Histograms);
        page.Counter("millrace_ingest_exemplars_total", "Exemplars that came in.", ledger.Exemplars);
        page.Counter(
            "millrace_aggregation_samples_total", "Samples taken by at least one rule.", ledger.Aggregated);
        page.Counter(
            "millrace_aggregation_derived_samples_total",
            "Outputs of rules that came to other rules; none of them is among the samples that came in.",
            ledger.Derived);
        page.Counter(
            "millrace_pipeline_forwarded_only_samples_total",
            "Samples forwarded to a destination and taken by no rule.", ledger.ForwardedOnly);
        page.Counter("millrace_dropped_samples_total", "Samples dropped, by reason.");
        foreach (var (reason, samples) in ledger.Dropped)
        {
            page.Sample(samples, ("reason", reason));
        }
        page.Counter(
            "millrace_filtering_too_old_samples_total",
            "Samples dropped as too_old, by the age up to which they were.");
        for (var i = 0; i < ledger.TooOldByAge.Count; i++)
        {
            page.Sample(ledger.TooOldByAge[i], ("age", LabelText.OfBucket(Ledger.AgeBoundsMs, i)));
        }
        page.Counter(
            "millrace_pipeline_dropped_extras_total",
            "Native histograms and exemplars dropped, because only rules wanted their series.", ledger.DroppedExtras);
    }

    private void WriteIngest(ExpositionWriter page)
    {
        page.Counter("millrace_ingest_requests_total", "Write requests, by protocol and status of the answer.");
        for (var protocol = 0; protocol < IngestCounters.Protocols.Length; protocol++)
        {
            for (var status = 0; status < IngestCounters.Statuses.Length; status++)
            {
                // Of the many pairs only those that happened, and success, so that a rate has a start.
                var requests = _ingest.Requests(protocol, status);
                if (requests > 0 || IngestCounters.Statuses[status] == 204)
                {
                    page.Sample(
                        requests,
                        ("protocol", IngestCounters.Protocols[protocol]),
                        ("status", LabelText.Of(IngestCounters.Statuses[status])));
                }
            }
        }
        page.Counter(
            "millrace_ingest_logged_requests_total", "Write requests whose body was appended to the log.",
            _pipeline.Ingest.AcceptedRequests);
        page.Counter(
            "millrace_ingest_repeated_requests_total", "Write requests answered as repeats and not stored again.",
            _pipeline.Ingest.RepeatedRequests);
        page.Counter("millrace_ingest_body_bytes_total", "Bytes of accepted bodies, as received.", _ingest.BodyBytes);
        page.Counter(
            "millrace_ingest_refused_samples_total",
            "Samples, histograms and exemplars refused for good (400) while the rest of their body was taken.",
            _ingest.RefusedSamples);
        page.Gauge("millrace_ingest_concurrent_requests", "Write requests under way.", _ingest.ConcurrentRequests);
        page.Gauge("millrace_ingest_reading_bytes", "Memory set aside for bodies being read.", _ingest.BytesBeingRead);
    }

    private void WritePipeline(ExpositionWriter page)
    {
        var (engine, emitter) = (_pipeline.Engine, _pipeline.Engine.Emitter);
        page.Gauge(
            "millrace_pipeline_caught_up", "1 when the log has been replayed, 0 before.",
            _pipeline.Ingest.IsLive ? 1 : 0);
        page.Gauge(
            "millrace_pipeline_in_flight_bytes", "Decoded bytes in the log and not yet applied by every worker.",
            engine.BytesInFlight);
        page.Gauge("millrace_pipeline_workers", "Workers that apply records.", engine.WorkerCount);
        page.Gauge(
            "millrace_pipeline_emitter_queue_length", "Closes and bases waiting for the emitter.",
            emitter.QueueLength);
        page.Counter(
            "millrace_pipeline_emitted_windows_total", "Windows appended to the output log.", emitter.EmittedWindows);
        page.Counter(
            "millrace_pipeline_corrected_windows_total",
            "Windows of which changed samples were appended again, with late: correct.", emitter.CorrectedWindows);
        page.Counter(
            "millrace_pipeline_emitted_samples_total", "Output samples appended to the output log.",
            emitter.EmittedSamples);
        page.Counter(
            "millrace_pipeline_windows_found_again_total",
            "Windows that a replay closed and found in the output log: not sent anew.", emitter.WindowsFoundAgain);
        page.Gauge(
            "millrace_pipeline_closes_held_until_timestamp_seconds",
            "Until then no window closes, as senders deliver what they kept while nothing was accepted; 0: never held.",
            _pipeline.ClosesHeldUntilMs / 1e3);
        page.Counter("millrace_pipeline_bases_total", "Bases written.", _pipeline.BasesWritten);
        page.Counter(
            "millrace_pipeline_base_failures_total", "Bases that could not be written.", _pipeline.BasesFailed);
    }

    private void WriteSeriesCache(ExpositionWriter page)
    {
        var cache = _pipeline.Ingest.Generation.Cache;
        page.Gauge("millrace_pipeline_cached_series", "Series whose fate is remembered.", cache.Count);
        page.Gauge(
            "millrace_pipeline_cached_series_max", "Bound of the series cache (ingest.max_cached_series).",
            _pipeline.Ingest.Generation.Config.Ingest.MaxCachedSeries);
        page.Gauge("millrace_pipeline_cached_label_bytes", "Bytes of labels in the series cache.", cache.LabelBytes);
    }

    private IEnumerable<(string Name, RecordLog Log)> Logs()
    {
        if (_pipeline.InputLog is { } input)
        {
            yield return ("input", input);
        }
        yield return ("output", _pipeline.OutputLog);
    }

    private void WriteLogs(ExpositionWriter page)
    {
        WriteLogs(page, "size_bytes", "Size on disk.", static log => log.SizeBytes);
        WriteLogs(page, "segments", "Segment files.", static log => log.SegmentCount);
        WriteLogs(page, "first_lsn", "The first record that is kept.", static log => log.FirstLsn);
        WriteLogs(page, "next_lsn", "The number of the next record.", static log => log.NextLsn);
        WriteLogs(page, "synced_lsn", "Records below it survive power loss.", static log => log.SyncedLsn);
        WriteLogs(
            page, "has_space", "0 while the disk is too full to accept (log.min_free_bytes).",
            static log => log.HasSpace() ? 1 : 0);
        WriteLogs(
            page, "failed", "1 when the log refuses everything until a restart.",
            static log => log.Failure is null ? 0 : 1);
        page.Counter(
            "millrace_log_dropped_segments_total",
            "Segments of the input log dropped at log.max_bytes although something still needed them.",
            _pipeline.DroppedSegments);
    }

    private void WriteLogs(ExpositionWriter page, string noun, string help, Func<RecordLog, double> read)
    {
        page.Gauge($"millrace_log_{noun}", help);
        foreach (var (name, log) in Logs())
        {
            page.Sample(read(log), ("log", name));
        }
    }

    /// <summary>What the last start found.</summary>
    private void WriteRecovery(ExpositionWriter page)
    {
        WriteLogs(
            page, "recovered_segments", "Segments found at the start.", static log => log.Recovery.Segments);
        WriteLogs(
            page, "recovery_truncated_bytes", "Bytes of a torn tail cut off at the start.",
            static log => log.Recovery.TruncatedBytes);
        WriteLogs(
            page, "recovery_skipped_records", "Damaged records passed over at the start.",
            static log => log.Recovery.SkippedRecords);
        WriteLogs(
            page, "recovery_damaged_headers", "Damaged segment headers found at the start.",
            static log => log.Recovery.DamagedHeaders);
        var progress = ReplayProgress.Of(_pipeline);
        page.Gauge("millrace_pipeline_replayed_records", "Records replayed since the start.", progress.Replayed);
        page.Gauge(
            "millrace_pipeline_replay_remaining_records", "Records still to be replayed.", progress.Remaining);
        page.Gauge(
            "millrace_pipeline_replay_lost_records", "Records that the replay could not read or use.", progress.Lost);
        page.Gauge(
            "millrace_pipeline_lookback_lost_records",
            "Records behind the newest base that log.max_bytes had cut off before the start.",
            _pipeline.Replayer?.LookbackLostRecords ?? 0);
    }
}

/// <summary>How far the start has come through the log.</summary>
internal readonly record struct ReplayProgress(bool IsDone, long Replayed, long Remaining, long Lost)
{
    /// <summary>Of the records, whatever is in them.</summary>
    public int Percent => IsDone ? 100 : (int)(Replayed * 100 / Math.Max(1, Replayed + Remaining));

    public static ReplayProgress Of(RunningPipeline pipeline)
    {
        var isDone = pipeline.Ingest.IsLive;
        if (pipeline.Replayer is not { } replayer || pipeline.InputLog is not { } log)
        {
            return new ReplayProgress(isDone, 0, 0, 0);
        }
        var remaining = isDone ? 0 : Math.Max(0, log.NextLsn - replayer.NextLsn);
        return new ReplayProgress(isDone, replayer.ReplayedRecords, remaining, replayer.LostRecords);
    }
}
