using Millrace.Pipeline;

namespace Millrace.Ingest;

/// <summary>
/// Lets requests in as long as there is room: a bound on requests at once and a bound on bytes under way, from the
/// first byte read to the last worker's share. Checked before memory is spent; beyond it the sender is told to come
/// back, and keeps what it has.
/// </summary>
internal sealed class AdmissionGate(IngestLimits limits, IngestCounters counters, Engine engine)
{
    public string TooManyRequests =>
        $"{limits.MaxConcurrentRequests} requests are under way (ingest.max_concurrent_requests)";

    public string TooManyBytes => $"{limits.MaxInFlightBytes} bytes are under way (ingest.max_in_flight_bytes)";

    /// <summary>Asks to come in; true must be followed by <see cref="Leave"/>.</summary>
    public bool TryEnter()
    {
        if (counters.Enter() > limits.MaxConcurrentRequests)
        {
            counters.Leave();
            return false;
        }
        return true;
    }

    public void Leave() => counters.Leave();

    /// <summary>Asks for room for so many bytes; true must be followed by <see cref="Release"/>.</summary>
    public bool TryReserve(long bytes)
    {
        if (counters.AddBytesBeingRead(bytes) + engine.BytesInFlight > limits.MaxInFlightBytes)
        {
            Release(bytes);
            return false;
        }
        return true;
    }

    public void Release(long bytes) => counters.AddBytesBeingRead(-bytes);
}
