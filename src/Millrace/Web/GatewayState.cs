using Millrace.Configuration;
using Millrace.Ingest;
using Millrace.Pipeline;
using Millrace.Telemetry;

namespace Millrace.Web;

/// <summary>What the status pages look at.</summary>
internal sealed record GatewayState
{
    public required RunningPipeline Pipeline { get; init; }

    /// <summary>As the process began with it; rules and routes may have been reloaded since.</summary>
    public required MillraceConfig Config { get; init; }

    public required IngestCounters Ingest { get; init; }

    public ReloadLog Reloads { get; init; } = new();

    public required DateTimeOffset StartedAt { get; init; }

    public required TimeProvider Time { get; init; }

    /// <summary>Why the process as a whole takes no input, such as that it is stopping; null when it does.</summary>
    public required Func<string?> NotReady { get; init; }

    /// <summary>Rules and routes in force.</summary>
    public MillraceConfig CurrentConfig => Pipeline.Ingest.Generation.Config;

    /// <summary>Why input is refused now; null when it is taken, which it is during a replay, too.</summary>
    public string? WhyNotReady()
    {
        if (NotReady() is { } reason)
        {
            return reason;
        }
        if (Pipeline.InputLog is { } input)
        {
            if (input.Failure is { } failure)
            {
                return $"The input log has failed: {failure}";
            }
            if (!input.HasSpace())
            {
                return $"The disk of the log is full: less than log.min_free_bytes ({Config.Log.MinFreeBytes} bytes) "
                    + $"is free at '{Config.Log.Path}'. Input is refused with 503 and senders keep it; free some "
                    + "space.";
            }
        }
        return Pipeline.OutputLog.Failure is { } outputFailure ? $"The output log has failed: {outputFailure}" : null;
    }

    public ReplayProgress Replay => ReplayProgress.Of(Pipeline);
}
