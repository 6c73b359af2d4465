namespace Millrace.Delivery;

/// <summary>
/// So many bytes per second on average: a bucket that holds a second's worth. A request goes out when it is not empty,
/// and may leave it in debt, so that one larger than the bucket goes out too, with a longer rest behind it. No clock
/// of its own.
/// </summary>
internal sealed class RateLimit(long bytesPerSecond)
{
    private double _bytes = bytesPerSecond;
    private long _atMs = long.MinValue;

    /// <summary>When the next request may go out; in the past: now.</summary>
    public long OpenAtMs { get; private set; } = long.MinValue;

    public void Take(long sizeBytes, long nowMs)
    {
        if (bytesPerSecond <= 0)
        {
            return;
        }
        if (nowMs > _atMs)
        {
            var elapsedMs = _atMs == long.MinValue ? 0 : nowMs - _atMs;
            _bytes = Math.Min(bytesPerSecond, _bytes + elapsedMs * (bytesPerSecond / 1e3));
            _atMs = nowMs;
        }
        _bytes -= sizeBytes;
        OpenAtMs = _bytes > 0 ? long.MinValue : _atMs + 1 + (long)(-_bytes * 1e3 / bytesPerSecond);
    }
}
