using Millrace.Memory;

namespace Millrace.Pipeline;

/// <summary>What was stored of a request, as remote write 2.0 tells it to the sender.</summary>
internal readonly record struct WrittenCounts(int Samples, int Histograms, int Exemplars);

/// <summary>A request that is in the log, and how it was answered.</summary>
internal readonly record struct RememberedRequest(UInt128 Hash, long ArrivalMs, long Lsn, WrittenCounts Written)
{
    /// <summary>What of it was refused for good; a repeat is refused in the same words.</summary>
    public int Refused { get; init; }

    /// <summary>
    /// Why; empty when nothing was refused. A constant text, so that memory does not grow with refusals.
    /// </summary>
    public string Refusal { get; init; } = "";

    public static RememberedRequest Of(UInt128 hash, long arrivalMs, long lsn, DecodedBatch batch) =>
        new(hash, arrivalMs, lsn, new WrittenCounts(batch.Count, batch.HistogramCount, batch.ExemplarCount))
        {
            Refused = batch.RefusedSamples + batch.RefusedExtras,
            Refusal = batch.Refusal ?? "",
        };

    public static void WriteAll(SnapshotWriter writer, ReadOnlySpan<RememberedRequest> requests)
    {
        writer.Write(requests.Length);
        foreach (ref readonly var request in requests)
        {
            writer.Write(request.Hash);
            writer.Write(request.ArrivalMs);
            writer.Write(request.Lsn);
            writer.Write(request.Written);
            writer.Write(request.Refused);
            writer.Write(request.Refusal);
        }
    }

    public static RememberedRequest[] ReadAll(SnapshotReader reader)
    {
        var requests = new RememberedRequest[reader.ReadInt32()];
        for (var i = 0; i < requests.Length; i++)
        {
            requests[i] = new RememberedRequest(
                reader.Read<UInt128>(), reader.ReadInt64(), reader.ReadInt64(), reader.Read<WrittenCounts>())
            {
                Refused = reader.ReadInt32(),
                Refusal = string.Intern(reader.ReadString()),
            };
        }
        return requests;
    }
}

/// <summary>
/// Recognises a repeated request by the hash of its body, for ten minutes: Prometheus and vmagent repeat the same bytes
/// when they saw no answer. Bounded; what is forgotten early is stored twice, and the counters still come out right.
/// Not thread-safe: it belongs to the append lock.
/// </summary>
internal sealed class RequestMemory(int maxRequests = 1 << 20)
{
    private const long MemoryMs = 600_000;

    private readonly Dictionary<UInt128, RememberedRequest> _requests = [];
    private readonly Queue<RememberedRequest> _byAge = new();

    public int Count => _requests.Count;

    public IEnumerable<RememberedRequest> All => _requests.Values;

    public bool TryGet(UInt128 hash, out RememberedRequest request) => _requests.TryGetValue(hash, out request);

    /// <summary>
    /// False: an equal request stands before this one in the log. A request that is repeated while the log is still
    /// being replayed may come in twice; the first one counts, in every replay.
    /// </summary>
    public bool Add(in RememberedRequest request)
    {
        var isKnown = _requests.TryGetValue(request.Hash, out var known);
        if (isKnown && known.Lsn < request.Lsn)
        {
            return false;
        }
        _requests[request.Hash] = request;
        if (!isKnown)
        {
            _byAge.Enqueue(request);
        }
        while (_byAge.TryPeek(out var oldest)
            && (oldest.ArrivalMs < request.ArrivalMs - MemoryMs || _byAge.Count > maxRequests))
        {
            _byAge.Dequeue();
            _requests.Remove(oldest.Hash);
        }
        return true;
    }
}
