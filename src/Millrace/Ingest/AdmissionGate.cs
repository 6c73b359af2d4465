using Millrace.Pipeline;

namespace Millrace.Ingest;

/// <summary>
/// Lets requests in as long as there is room: a bound on requests at once and a bound on bytes under way, from the
/// first byte read to the last worker's share. Checked before memory is spent; beyond it the sender is told to come
/// back, and keeps what it has.
/// </summary>
internal sealed class AdmissionGate(IngestLimits limits, IngestCounters counters, Engine engine)
{
    /// <summary>Asks for room for a body of so many bytes; true must be followed by <see cref="Leave"/>.</summary>
    public bool TryEnter(long bodyBytes, out string refusal)
    {
        if (counters.Enter() > limits.MaxConcurrentRequests)
        {
            counters.Leave();
            refusal = $"{limits.MaxConcurrentRequests} requests are under way (ingest.max_concurrent_requests)";
            return false;
        }
        if (counters.AddBytesBeingRead(bodyBytes) + engine.BytesInFlight > limits.MaxInFlightBytes)
        {
            Leave(bodyBytes);
            refusal = $"{limits.MaxInFlightBytes} bytes are under way (ingest.max_in_flight_bytes)";
            return false;
        }
        refusal = "";
        return true;
    }

    public void Leave(long bodyBytes)
    {
        counters.AddBytesBeingRead(-bodyBytes);
        counters.Leave();
    }
}
