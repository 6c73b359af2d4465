using System.Text.Json.Serialization;

namespace Millrace.Web;

/// <summary>What <c>/api/v1/status/pipeline</c> answers. Times are milliseconds since the epoch.</summary>
internal sealed record PipelineReport
{
    public required string Version { get; init; }

    public required long NowMs { get; init; }

    public required long StartedAtMs { get; init; }

    /// <summary>
    /// <c>not_ready</c>, <c>replaying</c>, <c>holding</c> (caught up, closes wait for late senders) or <c>ready</c>.
    /// </summary>
    public required string State { get; init; }

    /// <summary>Why it is not ready; null when it is.</summary>
    public string? NotReady { get; init; }

    public required ReplayReport Replay { get; init; }

    public long ClosesHeldUntilMs { get; init; }

    public required string Listen { get; init; }

    public required InputReport Input { get; init; }

    public required IReadOnlyList<ReasonCount> Dropped { get; init; }

    public required IReadOnlyList<LogReport> Logs { get; init; }

    public required string Durability { get; init; }

    public long CachedSeries { get; init; }

    public long MaxCachedSeries { get; init; }

    public long BasesWritten { get; init; }

    public required IReadOnlyList<string> Warnings { get; init; }
}

internal sealed record ReplayReport(bool IsDone, int Percent, long Records, long Remaining, long Lost);

/// <param name="Samples">Came in.</param>
/// <param name="Aggregated">Taken by a rule; some of them were forwarded, too.</param>
/// <param name="ForwardedOnly">Forwarded, and taken by no rule.</param>
/// <param name="Requests">By protocol and status, those that happened.</param>
/// <param name="RepeatedRequests">Answered, not stored again.</param>
/// <param name="InFlightBytes">In the log and not yet applied.</param>
internal sealed record InputReport(
    long Samples, long Aggregated, long ForwardedOnly, IReadOnlyList<RequestCount> Requests, long RepeatedRequests,
    long InFlightBytes);

internal sealed record RequestCount(string Protocol, int Status, long Requests);

internal sealed record ReasonCount(string Reason, long Samples);

internal sealed record LogReport(
    string Name, long SizeBytes, long MaxBytes, long FirstLsn, long NextLsn, long SyncedLsn, bool HasSpace,
    string? Failure);

/// <summary>A rule, in <c>/api/v1/status/rules</c>.</summary>
internal sealed record RuleReport
{
    public required string Name { get; init; }

    /// <summary>File and line.</summary>
    public required string Place { get; init; }

    /// <summary>Null: everything.</summary>
    public IReadOnlyList<string>? Match { get; init; }

    public required IReadOnlyList<string> By { get; init; }

    public required IReadOnlyList<string> Without { get; init; }

    public required IReadOnlyList<string> Outputs { get; init; }

    public required string Interval { get; init; }

    public required long IntervalMs { get; init; }

    /// <summary><c>event</c> or <c>arrival</c>.</summary>
    public required string Time { get; init; }

    public long? LatenessMs { get; init; }

    public bool LatenessIsAuto { get; init; }

    public long? ClosedThroughMs { get; init; }

    /// <summary>When the next point appears: the next window's end and the lateness; a second later at most.</summary>
    public long? NextPointMs { get; init; }

    public long Series { get; init; }

    public long Groups { get; init; }

    public long Samples { get; init; }

    public long OutputSamples { get; init; }

    public long LateSamples { get; init; }

    public long TooFarAhead { get; init; }

    public long NotANumber { get; init; }

    public long Repeats { get; init; }

    public long OutOfOrder { get; init; }

    public long CounterResets { get; init; }

    public long AmbiguousResets { get; init; }

    /// <summary>The window emitted last; null before the first.</summary>
    public WindowReport? Recent { get; init; }
}

internal sealed record WindowReport(long EndMs, int SampleCount, IReadOnlyList<OutputReport> Samples);

internal sealed record OutputReport(string Series, double Value);

/// <summary>
/// A destination, in <c>/api/v1/status/destinations</c>. Never holds headers, user info or queries of URLs.
/// </summary>
internal sealed record DestinationReport
{
    public required string Name { get; init; }

    public required string Url { get; init; }

    /// <summary><c>idle</c> (nothing was sent yet), <c>ok</c>, <c>failing</c> or <c>disk_failed</c>.</summary>
    public required string State { get; init; }

    public required string Protocol { get; init; }

    public string? LastAnswer { get; init; }

    public string? DiskFailure { get; init; }

    public long Queued { get; init; }

    public long Delivered { get; init; }

    public long Parked { get; init; }

    public long Pending { get; init; }

    public long Building { get; init; }

    public required IReadOnlyList<ReasonCount> Dropped { get; init; }

    public long Retries { get; init; }

    public long PossiblyRepeatedSamples { get; init; }

    public long MemoryBytes { get; init; }

    public long StoredBytes { get; init; }

    public long QueueMaxBytes { get; init; }

    public long DeadLetterBytes { get; init; }

    public int Lanes { get; init; }

    public int ConcurrentLanes { get; init; }
}

/// <summary>A route, in <c>/api/v1/status/routes</c>.</summary>
/// <param name="Name">As written.</param>
/// <param name="Match">Its selector.</param>
/// <param name="RelabelRules">How many.</param>
/// <param name="Rules">Names of the rules that see it; null: all.</param>
/// <param name="KeepInput">Samples that a rule takes are forwarded, too.</param>
/// <param name="DropInput">Samples that no rule takes are not forwarded.</param>
/// <param name="To">Destinations.</param>
internal sealed record RouteReport(
    string Name, string Match, int RelabelRules, IReadOnlyList<string>? Rules, bool KeepInput, bool DropInput,
    IReadOnlyList<string> To, IReadOnlyList<string> Inputs);

/// <summary>The last reload since the start, in <c>/api/v1/status/reload</c>.</summary>
/// <param name="AtMs">When; null: there was none.</param>
/// <param name="Problems">Why it changed nothing.</param>
/// <param name="Changes">What it changed, a line each.</param>
/// <param name="Retiring">Rules of configurations before that still answer for their last windows.</param>
internal sealed record ReloadReport(
    long? AtMs, IReadOnlyList<string> Problems, IReadOnlyList<string> Changes, IReadOnlyList<RetiringReport> Retiring);

/// <param name="Rule">Its name.</param>
/// <param name="UntilMs">The end of its last window.</param>
internal sealed record RetiringReport(string Rule, long UntilMs);

/// <summary>A value that is no number is the text NaN or Infinity.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals)]
[JsonSerializable(typeof(PipelineReport))]
[JsonSerializable(typeof(IReadOnlyList<RuleReport>))]
[JsonSerializable(typeof(IReadOnlyList<DestinationReport>))]
[JsonSerializable(typeof(IReadOnlyList<RouteReport>))]
[JsonSerializable(typeof(IReadOnlyList<ShardReport>))]
[JsonSerializable(typeof(ReloadReport))]
[JsonSerializable(typeof(IReadOnlyList<LetterReport>))]
[JsonSerializable(typeof(LetterSettlementReport))]
internal sealed partial class StatusJson : JsonSerializerContext;
