namespace Millrace.Delivery;

/// <summary>How a block is put on the wire.</summary>
internal enum WireProtocol : byte
{
    /// <summary>Remote write 2.0, snappy.</summary>
    PrometheusV2,

    /// <summary>Remote write 1.0 in zstd, as VictoriaMetrics speaks it.</summary>
    VictoriaMetrics,

    /// <summary>Remote write 1.0, snappy.</summary>
    PrometheusV1,
}

/// <summary>How a request ended.</summary>
internal enum SendOutcome : byte
{
    Answered,

    /// <summary>Refused connection, reset, name not found: the answer, if any, was lost.</summary>
    NetworkError,

    Timeout,
}

/// <summary>What the backend of remote write 2.0 says it wrote.</summary>
internal readonly record struct WrittenCounts(long Samples, long Histograms, long Exemplars);

/// <summary>What came back for a request.</summary>
internal readonly record struct SendResult
{
    public SendOutcome Outcome { get; init; }

    public int StatusCode { get; init; }

    /// <summary>
    /// With a network error: no connection came about, so the backend has seen nothing of the request.
    /// </summary>
    public bool WasNeverSent { get; init; }

    /// <summary>From Retry-After, seconds or date, already a delay; null where absent or unreadable.</summary>
    public TimeSpan? RetryAfter { get; init; }

    /// <summary>Null when none of the three headers came.</summary>
    public WrittenCounts? Written { get; init; }

    /// <summary>The beginning of the answer's text.</summary>
    public string Body { get; init; }

    public bool IsSuccess => Outcome == SendOutcome.Answered && StatusCode is >= 200 and < 300;

    public static SendResult Status(int statusCode, string body = "") => new() { StatusCode = statusCode, Body = body };

    public static SendResult WrittenBy(int statusCode, long samples, string body = "") =>
        new() { StatusCode = statusCode, Written = new WrittenCounts(samples, 0, 0), Body = body };

    public static readonly SendResult NetworkError = new() { Outcome = SendOutcome.NetworkError, Body = "" };

    public static readonly SendResult Timeout = new() { Outcome = SendOutcome.Timeout, Body = "" };
}
