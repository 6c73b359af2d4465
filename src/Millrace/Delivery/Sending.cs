namespace Millrace.Delivery;

/// <summary>A part of a block on its way: the whole block at first, its pieces when a backend refuses it.</summary>
/// <param name="block">Always canonical; what goes on the wire is made from it for each request.</param>
/// <param name="isRepeated">The process before us may have sent it, to whomever.</param>
/// <param name="node">Where the whole was sent.</param>
internal sealed class BlockPart(SealedBlock block, bool isRepeated, BackendNode? node = null)
{
    private BackendNode? _mayBeTakenBy;

    public SealedBlock Block { get; } = block;

    /// <summary>Where it was sent last.</summary>
    public BackendNode? Node { get; private set; } = node;

    /// <summary>Step in the list of protocols.</summary>
    public int Step { get; set; }

    /// <summary>Why it is not sent in the newest protocol any more.</summary>
    public Refusal Downgrade { get; set; }

    /// <summary>The node may have committed an earlier request with these bytes, whose answer was lost.</summary>
    public bool IsRepeated => isRepeated || (_mayBeTakenBy is not null && ReferenceEquals(_mayBeTakenBy, Node));

    /// <summary>Some node may have.</summary>
    public bool MayBeRepeated => isRepeated || _mayBeTakenBy is not null;

    /// <summary>Its request is not to be waited for any longer.</summary>
    public CancellationToken GivenUp { get; private set; }

    public void GoesTo(BackendNode node)
    {
        GivenUp = node.GivenUp;
        if (!ReferenceEquals(Node, node))
        {
            // What the node before made of its protocols says nothing of this one.
            (Node, Step, Downgrade) = (node, 0, Refusal.None);
        }
    }

    public void MayBeTaken() => _mayBeTakenBy = Node;
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

    public required BackendNode Node { get; init; }

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
