using System.Net;

namespace Millrace.Membership;

internal enum HealthSignalKind : byte
{
    /// <summary>A probe was answered by a node that takes requests.</summary>
    ProbeAnswered,

    /// <summary>A probe met no connection, or no answer in time.</summary>
    ProbeUnanswered,

    /// <summary>A probe was answered with a server error: the node does not want requests.</summary>
    ProbeRefused,

    /// <summary>A request was answered, be it with a refusal: the node lives.</summary>
    Answered,

    /// <summary>A request met no connection, no answer in time, or a server error.</summary>
    Failed,

    /// <summary>The node asks for rest (429, or 503 with Retry-After): that is load, and a sign of life.</summary>
    Overloaded,
}

/// <summary>One thing that was seen of a node: by a probe, or by the way while sending.</summary>
internal readonly record struct HealthSignal(HealthSignalKind Kind, long LatencyMs = 0)
{
    /// <summary>No connection, a connection that broke, or no answer in time.</summary>
    public static readonly HealthSignal Unreachable = new(HealthSignalKind.Failed);

    public static readonly HealthSignal ProbeUnanswered = new(HealthSignalKind.ProbeUnanswered);

    /// <summary>What an answer to a request for writing says of the node.</summary>
    public static HealthSignal OfAnswer(int statusCode, bool hasRetryAfter, long latencyMs) => statusCode switch
    {
        (int)HttpStatusCode.TooManyRequests => new(HealthSignalKind.Overloaded),
        (int)HttpStatusCode.ServiceUnavailable when hasRetryAfter => new(HealthSignalKind.Overloaded),
        // "Not implemented" is how a protocol is refused.
        >= 500 and not (int)HttpStatusCode.NotImplemented => new(HealthSignalKind.Failed),
        _ => new(HealthSignalKind.Answered, latencyMs),
    };

    /// <summary>
    /// What the answer to a probe says. A server that is stopping says 503, be it with Retry-After or without; a page
    /// that does not exist is an answer as good as any.
    /// </summary>
    public static HealthSignal OfProbe(int statusCode, long latencyMs) => statusCode switch
    {
        >= 500 and not (int)HttpStatusCode.NotImplemented => new(HealthSignalKind.ProbeRefused),
        _ => new(HealthSignalKind.ProbeAnswered, latencyMs),
    };
}
