using Millrace.Delivery.Authentication;
using Millrace.Relabeling;

namespace Millrace.Delivery;

/// <summary>How blocks are encoded on the wire to a remote-write backend.</summary>
public enum RemoteWriteProtocol
{
    /// <summary>Remote write 2.0 where offered, VictoriaMetrics' zstd next, remote write 1.0 last.</summary>
    Auto,
    PrometheusV1,
    PrometheusV2,
    VictoriaMetrics,
}

/// <summary>A destination of kind <c>remote_write</c>, with its queue.</summary>
public sealed record DestinationConfig
{
    public string Name { get; init; } = "";

    public Uri Url { get; init; } = new("http://127.0.0.1:8428/api/v1/write");

    /// <summary>Its nodes share the series; null: <see cref="Url"/> gets all.</summary>
    public ShardedConfig? Sharded { get; init; }

    public RemoteWriteProtocol Protocol { get; init; } = RemoteWriteProtocol.Auto;

    /// <summary>Extra request headers, such as <c>Authorization</c>. Values are secrets: never shown.</summary>
    public IReadOnlyDictionary<string, string> Headers { get; init; } = new Dictionary<string, string>();

    /// <summary>Who we are to the backend, TLS and proxy.</summary>
    public HttpClientConfig Http { get; init; } = new();

    /// <summary>
    /// A second value for a timestamp is not an error to the backend: rules that correct windows may send it one.
    /// </summary>
    public bool Corrections { get; init; }

    public TimeSpan SendTimeout { get; init; } = TimeSpan.FromMinutes(1);

    public TimeSpan RetryMinInterval { get; init; } = TimeSpan.FromSeconds(1);

    public TimeSpan RetryMaxInterval { get; init; } = TimeSpan.FromMinutes(1);

    public IReadOnlyList<RelabelConfig> RelabelConfigs { get; init; } = [];

    /// <summary>Significant figures that values are rounded to; 0: all.</summary>
    public int SignificantFigures { get; init; }

    /// <summary>Digits behind the point that values are rounded to; 100: all.</summary>
    public int RoundDigits { get; init; } = ValueRounding.AllDigits;

    /// <summary>Request bodies per second on average; 0: no bound.</summary>
    public long RateLimitBytes { get; init; }

    /// <summary>
    /// One sample per series and interval is sent of what is forwarded as it came, after relabeling. Zero: that of
    /// <c>aggregation.dedup_interval</c> alone.
    /// </summary>
    public TimeSpan DedupInterval { get; init; }

    /// <summary>Labels that this destination's deduplication leaves out.</summary>
    public IReadOnlyList<string> DropInputLabels { get; init; } = [];

    /// <summary>Ordered streams to the backend; a series always takes the same one.</summary>
    public int Lanes { get; init; } = 16;

    /// <summary>Blocks kept in memory before they wait on disk.</summary>
    public long QueueMemoryBytes { get; init; } = 64L << 20;

    /// <summary>Blocks kept on disk; past it the oldest goes, counted.</summary>
    public long QueueMaxBytes { get; init; } = 1L << 30;

    /// <summary>Refused blocks kept to be looked at; past it the oldest goes.</summary>
    public long DeadLetterMaxBytes { get; init; } = 256L << 20;

    public TimeSpan QueueMaxAge { get; init; } = TimeSpan.FromHours(24);

    /// <summary>A block is sealed at the latest this long after its first sample.</summary>
    public TimeSpan FlushInterval { get; init; } = TimeSpan.FromSeconds(1);

    public int MaxSamplesPerBlock { get; init; } = 10_000;
}
