namespace Millrace.Telemetry;

/// <summary>The process, under the names that Prometheus' client libraries use, and its garbage collector.</summary>
internal static class ProcessMetrics
{
    public static void Write(ExpositionWriter page, DateTimeOffset startedAt, TimeProvider time)
    {
        page.Gauge("millrace_build_info", "1 for the running version.");
        page.Sample(1, ("version", typeof(ProcessMetrics).Assembly.GetName().Version?.ToString(3) ?? ""));
        page.Gauge(
            "process_start_time_seconds", "When the process began, since the epoch.",
            startedAt.ToUnixTimeMilliseconds() / 1e3);
        page.Gauge(
            "process_uptime_seconds", "How long the process has run.", (time.GetUtcNow() - startedAt).TotalSeconds);
        page.Counter(
            "process_cpu_seconds_total", "CPU time, user and system.", Environment.CpuUsage.TotalTime.TotalSeconds);
        page.Gauge("process_resident_memory_bytes", "Resident memory.", Environment.WorkingSet);
        page.Gauge("process_gc_heap_bytes", "Managed heap after the last collection.", GC.GetGCMemoryInfo().HeapSizeBytes);
        page.Counter("process_gc_allocated_bytes_total", "Managed bytes allocated.", GC.GetTotalAllocatedBytes());
        page.Counter(
            "process_gc_pause_seconds_total", "Time that collections stopped the process.",
            GC.GetTotalPauseDuration().TotalSeconds);
        page.Counter("process_gc_collections_total", "Garbage collections, by the oldest generation collected.");
        for (var generation = 0; generation <= GC.MaxGeneration; generation++)
        {
            // The runtime counts a collection in all younger generations, too.
            var older = generation < GC.MaxGeneration ? GC.CollectionCount(generation + 1) : 0;
            page.Sample(GC.CollectionCount(generation) - older, ("generation", LabelText.Of(generation)));
        }
    }
}
