namespace Millrace.Ingest;

/// <summary>Requests by protocol and status, as the endpoints answered them.</summary>
internal sealed class IngestCounters
{
    /// <summary>Not an answer: the sender went away in mid-body. The number is nginx's.</summary>
    public const int SenderGone = 499;

    /// <summary>The statuses that the endpoints give; anything else counts as the last.</summary>
    public static readonly int[] Statuses = [200, 204, 400, 405, 408, 413, 415, 429, SenderGone, 503, 500];

    public static readonly string[] Protocols = ["remote_write_v1", "remote_write_v2", "prometheus_text", "unknown"];

    private readonly long[] _requests = new long[Statuses.Length * Protocols.Length];
    private long _bodyBytes;
    private long _refusedSamples;
    private int _concurrent;
    private long _bytesBeingRead;

    public long BodyBytes => Interlocked.Read(ref _bodyBytes);

    /// <summary>
    /// Samples of accepted bodies that were refused for good, such as those with bad labels; repeats do not count.
    /// </summary>
    public long RefusedSamples => Interlocked.Read(ref _refusedSamples);

    public int ConcurrentRequests => Volatile.Read(ref _concurrent);

    public long BytesBeingRead => Interlocked.Read(ref _bytesBeingRead);

    public long Requests(int protocol, int status) =>
        Interlocked.Read(ref _requests[protocol * Statuses.Length + status]);

    public int Enter() => Interlocked.Increment(ref _concurrent);

    public void Leave() => Interlocked.Decrement(ref _concurrent);

    public long AddBytesBeingRead(long bytes) => Interlocked.Add(ref _bytesBeingRead, bytes);

    public void Answered(int protocol, int status, long bodyBytes, int refusedSamples)
    {
        var index = Array.IndexOf(Statuses, status);
        Interlocked.Increment(
            ref _requests[protocol * Statuses.Length + (index < 0 ? Statuses.Length - 1 : index)]);
        Interlocked.Add(ref _bodyBytes, bodyBytes);
        Interlocked.Add(ref _refusedSamples, refusedSamples);
    }
}
