using Millrace.Delivery;
using Millrace.Ingest;
using Millrace.Log;
using Millrace.Model;
using Millrace.Pipeline;
using Millrace.Protocols;
using Millrace.Telemetry;

namespace Millrace.Web;

/// <summary>Makes the reports of the status API from the live objects.</summary>
internal sealed class StatusReporter(GatewayState state)
{
    /// <summary>A backend may answer with a whole page; its beginning tells enough.</summary>
    private const int MaxAnswerChars = 300;

    private readonly RunningPipeline _pipeline = state.Pipeline;

    public PipelineReport Pipeline()
    {
        var ledger = LedgerReading.Take(_pipeline.Engine.Ledger);
        var notReady = state.WhyNotReady();
        var replay = state.Replay;
        var generation = _pipeline.Ingest.Generation;
        return new PipelineReport
        {
            Version = typeof(StatusReporter).Assembly.GetName().Version?.ToString(3) ?? "",
            NowMs = _pipeline.Ingest.NowMs,
            StartedAtMs = state.StartedAt.ToUnixTimeMilliseconds(),
            State = notReady is not null ? "not_ready"
                : !replay.IsDone ? "replaying"
                : _pipeline.Ingest.NowMs < _pipeline.ClosesHeldUntilMs ? "holding"
                : "ready",
            NotReady = notReady,
            Replay = new ReplayReport(replay.IsDone, replay.Percent, replay.Replayed, replay.Remaining, replay.Lost),
            ClosesHeldUntilMs = _pipeline.ClosesHeldUntilMs,
            Listen = state.Config.Server.Listen,
            Input = new InputReport(
                ledger.Samples, ledger.Aggregated, ledger.ForwardedOnly, Requests(),
                _pipeline.Ingest.RepeatedRequests, _pipeline.Engine.BytesInFlight),
            Dropped = [.. Reasons(ledger.Dropped)],
            Logs = [.. Logs()],
            Durability = state.Config.Log.Durability switch
            {
                Durability.LogSynced => "log_synced",
                Durability.Memory => "memory",
                _ => "log",
            },
            CachedSeries = generation.Cache.Count,
            MaxCachedSeries = generation.Config.Ingest.MaxCachedSeries,
            BasesWritten = _pipeline.BasesWritten,
            Warnings = StatusWarnings.Of(state, ledger),
        };
    }

    public IReadOnlyList<RuleReport> Rules()
    {
        var reports = new List<RuleReport>();
        foreach (var reading in RuleReading.TakeAll(_pipeline))
        {
            reports.Add(Describe(reading));
        }
        return reports;
    }

    public IReadOnlyList<DestinationReport> Destinations()
    {
        var reports = new List<DestinationReport>();
        foreach (var reading in DestinationReading.TakeAll(_pipeline))
        {
            reports.Add(Describe(reading));
        }
        return reports;
    }

    public IReadOnlyList<RouteReport> Routes()
    {
        var reports = new List<RouteReport>();
        var all = new List<string>();
        foreach (var destination in _pipeline.Destinations)
        {
            all.Add(destination.Name);
        }
        foreach (var route in state.CurrentConfig.Routes)
        {
            reports.Add(new RouteReport(
                route.Name, route.Match, route.RelabelConfigs.Count,
                route.Aggregate ? route.AggregateRules : [], route.KeepInput, route.DropInput, route.To ?? all,
                route.Inputs));
        }
        return reports;
    }

    public ReloadReport Reload()
    {
        var last = state.Reloads.Last;
        var rules = _pipeline.Engine.Rules;
        var retiring = new List<RetiringReport>();
        for (var i = rules.Generation.Rules.Length; i < rules.Terms.Length; i++)
        {
            if (!rules.Generation.IsFinished(i))
            {
                var rule = rules.Generation.RulesInForce[i];
                var term = rules.Terms[i];
                retiring.Add(new RetiringReport(rule.Name, rule.EndOf(term.LastWindow, term.Clock.OffsetMs)));
            }
        }
        return new ReloadReport(last?.AtMs, last?.Problems ?? [], last?.Changes ?? [], retiring);
    }

    private List<RequestCount> Requests()
    {
        var counts = new List<RequestCount>();
        for (var protocol = 0; protocol < IngestCounters.Protocols.Length; protocol++)
        {
            for (var status = 0; status < IngestCounters.Statuses.Length; status++)
            {
                if (state.Ingest.Requests(protocol, status) is > 0 and var requests)
                {
                    counts.Add(new RequestCount(
                        IngestCounters.Protocols[protocol], IngestCounters.Statuses[status], requests));
                }
            }
        }
        return counts;
    }

    private static IEnumerable<ReasonCount> Reasons(IReadOnlyList<(string Reason, long Samples)> dropped)
    {
        foreach (var (reason, samples) in dropped)
        {
            yield return new ReasonCount(reason, samples);
        }
    }

    private IEnumerable<LogReport> Logs()
    {
        if (_pipeline.InputLog is { } input)
        {
            yield return Describe("input", input, state.Config.Log.MaxBytes);
        }
        yield return Describe("output", _pipeline.OutputLog, maxBytes: 0);
    }

    private static LogReport Describe(string name, RecordLog log, long maxBytes) => new(
        name, log.SizeBytes, maxBytes, log.FirstLsn, log.NextLsn, log.SyncedLsn, log.HasSpace(), log.Failure);

    private RuleReport Describe(RuleReading reading)
    {
        var rule = reading.Rule;
        var config = rule.Config;
        return new RuleReport
        {
            Name = reading.Name,
            Place = config.File.Length == 0 ? config.Path : $"{config.File}:{config.Line}",
            Match = config.Match,
            By = config.By,
            Without = config.Without,
            Outputs = config.Outputs,
            Interval = config.IntervalText,
            IntervalMs = rule.IntervalMs,
            Time = rule.IsArrivalTime ? "arrival" : "event",
            LatenessMs = reading.LatenessMs,
            LatenessIsAuto = !rule.IsArrivalTime && config.AllowedLateness is null,
            ClosedThroughMs = reading.ClosedThroughMs,
            NextPointMs = NextPointMs(reading),
            Series = reading.Series,
            Groups = reading.Groups,
            Samples = reading.Samples,
            OutputSamples = reading.OutputSamples,
            LateSamples = reading.LateSamples,
            TooFarAhead = reading.TooFarAhead,
            NotANumber = reading.NotANumber,
            Repeats = reading.Repeats,
            OutOfOrder = reading.OutOfOrder,
            CounterResets = reading.CounterResets,
            AmbiguousResets = reading.AmbiguousResets,
            Recent = reading.Recent is { } recent ? Describe(recent) : null,
        };
    }

    private long? NextPointMs(RuleReading reading)
    {
        var dueMs = reading.ClosedThroughMs + reading.Rule.IntervalMs + reading.LatenessMs;
        var isHeld = !reading.Rule.IsArrivalTime && _pipeline.Ingest.NowMs < _pipeline.ClosesHeldUntilMs;
        return isHeld && dueMs < _pipeline.ClosesHeldUntilMs ? _pipeline.ClosesHeldUntilMs : dueMs;
    }

    private static WindowReport Describe(RecentWindow window)
    {
        var samples = new List<OutputReport>();
        foreach (var sample in window.First)
        {
            samples.Add(new OutputReport(SeriesText(sample.Labels.ToArray()), sample.Value));
        }
        return new WindowReport(window.EndMs, window.SampleCount, samples);
    }

    private static string SeriesText(byte[] block)
    {
        var labels = new List<Label>();
        // Our own output: the limits are for senders.
        return LabelBlock.TryParse(block, new LabelLimits(int.MaxValue, int.MaxValue, int.MaxValue), labels, out _)
            || labels.Count > 0
            ? LabelSet.From(labels).ToString()
            : "{}";
    }

    public IReadOnlyList<ShardReport> Sharding()
    {
        var reports = new List<ShardReport>();
        foreach (var sharded in _pipeline.Sharded)
        {
            reports.Add(ShardReport.Of(sharded));
        }
        return reports;
    }

    private static DestinationReport Describe(DestinationReading reading)
    {
        var (destination, counters) = (reading.Destination, reading.Counters);
        var dropped = new List<ReasonCount>();
        for (var reason = 0; reason < counters.DroppedByReason.Count; reason++)
        {
            if (counters.DroppedByReason[reason] is > 0 and var samples)
            {
                dropped.Add(new ReasonCount(DestinationReading.NameOf((DropReason)reason), samples));
            }
        }
        return new DestinationReport
        {
            Name = destination.Name,
            Url = destination.Config.Sharded is null
                ? ShownUrl(destination.Config.Url) : $"{destination.Nodes.Count} nodes",
            State = StateOf(destination),
            Protocol = DestinationReading.NameOf(destination.Protocol),
            LastAnswer = destination.LastAnswer is { } answer ? AnswerText(answer) : null,
            DiskFailure = destination.DiskFailure,
            Queued = counters.Queued,
            Delivered = counters.Delivered,
            Parked = counters.Parked,
            Pending = counters.Pending,
            Building = reading.SamplesInBlocks,
            Dropped = dropped,
            Retries = counters.Retries,
            PossiblyRepeatedSamples = counters.PossiblyRepeatedSamples,
            MemoryBytes = destination.MemoryBytes,
            StoredBytes = destination.StoredBytes(Feed.Raw) + destination.StoredBytes(Feed.Outputs),
            QueueMaxBytes = destination.Config.QueueMaxBytes,
            DeadLetterBytes = destination.DeadLetters.SizeBytes,
            Lanes = destination.Lanes,
            ConcurrentLanes = destination.ConcurrentLanes,
        };
    }

    /// <summary>User info and queries may hold secrets, and are left out.</summary>
    internal static string ShownUrl(Uri url) =>
        url.GetComponents(UriComponents.SchemeAndServer | UriComponents.Path, UriFormat.UriEscaped);

    internal static string StateOf(Destination destination) =>
        destination.DiskFailure is not null ? "disk_failed"
        : destination.LastAnswer is not { } answer ? "idle"
        : answer.Outcome == SendOutcome.Answered && answer.StatusCode is >= 200 and < 300 ? "ok"
        : "failing";

    internal static string AnswerText(in SendResult answer)
    {
        var text = answer.Outcome switch
        {
            SendOutcome.NetworkError => "no connection",
            SendOutcome.Timeout => "no answer in time",
            _ => $"status {answer.StatusCode}",
        };
        var body = (answer.Body ?? "").Trim();
        return body.Length == 0 ? text
            : body.Length <= MaxAnswerChars ? $"{text}: {body}"
            : $"{text}: {body[..MaxAnswerChars]}…";
    }
}
