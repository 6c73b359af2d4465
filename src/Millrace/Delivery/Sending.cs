namespace Millrace.Delivery;

/// <summary>A part of a block on its way: the whole block at first, its pieces when a backend refuses it.</summary>
internal sealed class BlockPart(SealedBlock block)
{
    /// <summary>Always canonical; what goes on the wire is made from it for each request.</summary>
    public SealedBlock Block { get; } = block;

    /// <summary>Step in the list of protocols.</summary>
    public int Step { get; set; }

    /// <summary>Why it is not sent in the newest protocol any more.</summary>
    public Refusal Downgrade { get; set; }

    /// <summary>An earlier request with these bytes may have been committed, its answer lost.</summary>
    public bool IsRepeated { get; set; }
}

/// <summary>The block that a lane has under way.</summary>
internal sealed class BlockUnderWay(QueuedBlock queued)
{
    /// <summary>Requests that a refused block may cost before the rest of it is parked.</summary>
    public const int SplitBudget = 64;

    public QueuedBlock Queued { get; } = queued;

    /// <summary>What is not accounted for yet, in the order of sending.</summary>
    public Stack<BlockPart> Parts { get; } = new();

    public long DueMs { get; set; }

    /// <summary>Failed requests in a row.</summary>
    public int Failures { get; set; }

    /// <summary>A request without an answer, or a refused one, may still hold the bytes.</summary>
    public bool WasRetried { get; set; }

    public bool IsOut { get; set; }

    public bool IsMarked { get; set; }

    public bool IsSplit { get; set; }

    public int RequestsLeft { get; set; } = SplitBudget;

    /// <summary>To be counted when it is sent.</summary>
    public bool IsPossiblyRepeated { get; set; }

    public bool RepeatIsCounted { get; set; }
}

/// <summary>One request: given out by <see cref="Destination.TryTakeDue"/>, returned to its Complete.</summary>
internal sealed class Sending
{
    public required int Lane { get; init; }

    public required WireProtocol Protocol { get; init; }

    /// <summary>Encoded for <see cref="Protocol"/>.</summary>
    public required ReadOnlyMemory<byte> Body { get; init; }

    public required int SampleCount { get; init; }

    /// <summary>These bytes may be in the backend already.</summary>
    public required bool IsRepeat { get; init; }

    public required long StartedAtMs { get; init; }

    public required BlockPart Part { get; init; }

    public string ContentType => Protocol == WireProtocol.PrometheusV2
        ? "application/x-protobuf;proto=io.prometheus.write.v2.Request"
        : "application/x-protobuf";

    public string ContentEncoding => Protocol == WireProtocol.VictoriaMetrics ? "zstd" : "snappy";

    public string VersionHeader => Protocol == WireProtocol.VictoriaMetrics
        ? "X-VictoriaMetrics-Remote-Write-Version"
        : "X-Prometheus-Remote-Write-Version";

    public string Version => Protocol switch
    {
        WireProtocol.PrometheusV2 => "2.0.0",
        WireProtocol.VictoriaMetrics => "1",
        _ => "0.1.0",
    };
}

/// <summary>What a stopped destination leaves behind; all of it is on disk and goes on with the next start.</summary>
/// <param name="PendingSamples">Not delivered.</param>
/// <param name="UnansweredRequests">Sent, no answer seen: these blocks will be possibly repeated.</param>
/// <param name="IsSafe">False when the spill could not take what was in memory; the input log still has it, if there
/// is one.</param>
internal readonly record struct StopReport(long PendingSamples, int UnansweredRequests, bool IsSafe);
