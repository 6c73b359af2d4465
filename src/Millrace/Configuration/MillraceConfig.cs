using Millrace.Aggregation;
using Millrace.Delivery;
using Millrace.Filtering;
using Millrace.Ingest;
using Millrace.Log;
using Millrace.Relabeling;
using Millrace.Routing;

namespace Millrace.Configuration;

/// <summary>The whole configuration file, validated.</summary>
public sealed record MillraceConfig
{
    public ServerConfig Server { get; init; } = new();

    public IngestLimits Ingest { get; init; } = new();

    public LogConfig Log { get; init; } = new();

    public TimeWindowConfig TimeWindow { get; init; } = new();

    public IReadOnlyList<RelabelConfig> RelabelConfigs { get; init; } = [];

    public AggregationConfig Aggregation { get; init; } = new();

    /// <summary>Never empty: without a <c>routes</c> section one route takes everything to every destination.</summary>
    public IReadOnlyList<RouteConfig> Routes { get; init; } = [new()];

    /// <summary><c>route_mode: all</c>: a series takes every route that matches it, not only the first.</summary>
    public bool AllMatchingRoutes { get; init; }

    public IReadOnlyList<DestinationConfig> Destinations { get; init; } = [];

    /// <summary>
    /// Everything that decides what becomes of a sample (this file with the rule files in place), as text that loads
    /// to the same configuration. It is what a configuration record in the log holds.
    /// </summary>
    public string CanonicalText { get; init; } = "";
}

/// <summary>The <c>server</c> section.</summary>
public sealed record ServerConfig
{
    /// <summary>Host and port of the HTTP listener.</summary>
    public string Listen { get; init; } = "127.0.0.1:8480";

    /// <summary><c>debug</c>, <c>info</c>, <c>warn</c> or <c>error</c>.</summary>
    public string LogLevel { get; init; } = "info";

    /// <summary><c>text</c> or <c>json</c>.</summary>
    public string LogFormat { get; init; } = "text";

    /// <summary>How long a graceful stop waits for destinations.</summary>
    public TimeSpan ShutdownTimeout { get; init; } = TimeSpan.FromSeconds(10);
}
