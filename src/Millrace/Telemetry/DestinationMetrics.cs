using Millrace.Delivery;

namespace Millrace.Telemetry;

/// <summary>The slice Delivery, destination by destination.</summary>
internal static class DestinationMetrics
{
    public static void Write(ExpositionWriter page, IReadOnlyList<DestinationReading> destinations)
    {
        WriteLedger(page, destinations);
        WriteRequests(page, destinations);
        WriteQueues(page, destinations);
    }

    private static void WriteLedger(ExpositionWriter page, IReadOnlyList<DestinationReading> destinations)
    {
        page.Counter(
            "millrace_destination_samples_total",
            "Samples, by what became of them; queued and replayed count those that came.");
        foreach (var reading in destinations)
        {
            var (name, counters) = (reading.Destination.Name, reading.Counters);
            page.Sample(counters.Queued, ("destination", name), ("state", "queued"));
            page.Sample(counters.Replayed, ("destination", name), ("state", "replayed"));
            page.Sample(counters.Delivered, ("destination", name), ("state", "delivered"));
            page.Sample(counters.Parked, ("destination", name), ("state", "parked"));
            page.Sample(counters.Dropped, ("destination", name), ("state", "dropped"));
        }
        page.Gauge("millrace_destination_pending_samples", "Samples queued that nothing has become of yet.");
        WriteEach(page, destinations, static reading => reading.Counters.Pending);
        page.Gauge("millrace_destination_building_samples", "Samples in blocks being built, before they are queued.");
        WriteEach(page, destinations, static reading => reading.SamplesInBlocks);
        page.Counter("millrace_destination_dropped_samples_total", "Samples dropped, by reason.");
        foreach (var reading in destinations)
        {
            for (var reason = 0; reason < DestinationCounters.DropReasons; reason++)
            {
                page.Sample(
                    reading.Counters.DroppedByReason[reason],
                    ("destination", reading.Destination.Name),
                    ("reason", DestinationReading.NameOf((DropReason)reason)));
            }
        }
        page.Counter(
            "millrace_destination_possibly_repeated_blocks_total", "Blocks sent again whose first answer was lost.");
        WriteEach(page, destinations, static reading => reading.Counters.PossiblyRepeatedBlocks);
        page.Counter(
            "millrace_destination_possibly_repeated_samples_total", "Samples in blocks sent again, their answer lost.");
        WriteEach(page, destinations, static reading => reading.Counters.PossiblyRepeatedSamples);
    }

    private static void WriteRequests(ExpositionWriter page, IReadOnlyList<DestinationReading> destinations)
    {
        page.Counter("millrace_destination_requests_total", "Answered requests, by status.");
        foreach (var reading in destinations)
        {
            foreach (var (status, requests) in reading.Counters.RequestsByStatus)
            {
                page.Sample(requests, ("destination", reading.Destination.Name), ("status", status));
            }
        }
        page.Histogram("millrace_destination_request_seconds", "How long answers took.");
        WriteLatencies(page, destinations, static reading => reading.Destination.Counters.Requests);
        page.Histogram(
            "millrace_destination_distribution_seconds",
            "From the arrival of a block's first sample, or the close of its window, to the backend's answer.");
        WriteLatencies(page, destinations, static reading => reading.Destination.Counters.Distribution);
        page.Counter("millrace_destination_retries_total", "Requests that failed and are made again.");
        WriteEach(page, destinations, static reading => reading.Counters.Retries);
        page.Counter("millrace_destination_sent_bytes_total", "Bytes of request bodies.");
        WriteEach(page, destinations, static reading => reading.Counters.BytesSent);
        page.Gauge("millrace_destination_protocol_info", "1 for the protocol that new blocks are sent in.");
        foreach (var reading in destinations)
        {
            page.Sample(
                1, ("destination", reading.Destination.Name),
                ("protocol", DestinationReading.NameOf(reading.Destination.Protocol)));
        }
    }

    private static void WriteQueues(ExpositionWriter page, IReadOnlyList<DestinationReading> destinations)
    {
        page.Gauge("millrace_destination_memory_bytes", "Bytes of blocks in memory.");
        WriteEach(page, destinations, static reading => reading.Destination.MemoryBytes);
        page.Gauge("millrace_destination_stored_bytes", "Bytes of blocks waiting on disk, by what feeds them.");
        foreach (var reading in destinations)
        {
            var destination = reading.Destination;
            page.Sample(destination.StoredBytes(Feed.Raw), ("destination", destination.Name), ("feed", "raw"));
            page.Sample(destination.StoredBytes(Feed.Outputs), ("destination", destination.Name), ("feed", "outputs"));
        }
        page.Gauge("millrace_destination_queue_max_bytes", "Bound of what waits on disk (queue.max_bytes).");
        WriteEach(page, destinations, static reading => reading.Destination.Config.QueueMaxBytes);
        page.Gauge("millrace_destination_lanes", "Ordered streams to the backend.");
        WriteEach(page, destinations, static reading => reading.Destination.Lanes);
        page.Gauge("millrace_destination_concurrent_lanes", "Lanes that may have a request under way, as of now.");
        WriteEach(page, destinations, static reading => reading.Destination.ConcurrentLanes);
        page.Gauge("millrace_destination_requests_under_way", "Requests sent and not answered yet.");
        WriteEach(page, destinations, static reading => reading.Destination.RequestsOut);
        WriteLetters(page, destinations);
        page.Gauge("millrace_destination_disk_failed", "1 while the destination's disk does not work.");
        WriteEach(page, destinations, static reading => reading.Destination.DiskFailure is null ? 0 : 1);
    }

    private static void WriteLetters(ExpositionWriter page, IReadOnlyList<DestinationReading> destinations)
    {
        page.Gauge("millrace_destination_dead_letters", "Refused blocks that wait to be replayed or dropped.");
        WriteEach(page, destinations, static reading => reading.Destination.DeadLetters.State.Letters);
        page.Gauge("millrace_destination_dead_letter_samples", "Samples in them that the backend did not take.");
        WriteEach(page, destinations, static reading => reading.Destination.DeadLetters.State.Samples);
        page.Counter(
            "millrace_destination_dead_letter_settled_samples_total", "Samples of dead letters that wait no more.");
        foreach (var reading in destinations)
        {
            var totals = reading.Destination.DeadLetters.State.Totals;
            page.Sample(totals.Replayed, ("destination", reading.Destination.Name), ("fate", "replayed"));
            page.Sample(totals.Discarded, ("destination", reading.Destination.Name), ("fate", "discarded"));
            page.Sample(totals.Evicted, ("destination", reading.Destination.Name), ("fate", "evicted"));
        }
        page.Gauge("millrace_destination_dead_letter_bytes", "Size on disk of refused blocks kept to be looked at.");
        WriteEach(page, destinations, static reading => reading.Destination.DeadLetters.SizeBytes);
        page.Counter(
            "millrace_destination_dead_letter_dropped_segments_total",
            "Segments of dead letters dropped at their bound.");
        WriteEach(page, destinations, static reading => reading.Destination.DeadLetters.DroppedSegments);
    }

    private static void WriteLatencies(
        ExpositionWriter page, IReadOnlyList<DestinationReading> destinations,
        Func<DestinationReading, LatencyHistogram> read)
    {
        var bounds = Array.ConvertAll(LatencyHistogram.BoundsMs, static bound => bound / 1e3);
        foreach (var reading in destinations)
        {
            var latency = read(reading);
            page.Buckets(
                bounds, latency.Counts(), latency.SumMs / 1e3, ("destination", reading.Destination.Name));
        }
    }

    private static void WriteEach(
        ExpositionWriter page, IReadOnlyList<DestinationReading> destinations, Func<DestinationReading, double> read)
    {
        foreach (var reading in destinations)
        {
            page.Sample(read(reading), ("destination", reading.Destination.Name));
        }
    }
}
