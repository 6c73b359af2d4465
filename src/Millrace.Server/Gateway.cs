using System.Globalization;
using System.Linq;
using System.Net;
using System.Net.Http;
using System.Runtime.InteropServices;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Millrace.Configuration;
using Millrace.Delivery;
using Millrace.Delivery.Authentication;
using Millrace.Ingest;
using Millrace.Log;
using Millrace.Membership;
using Millrace.Pipeline;
using Millrace.Server.Commands;
using Millrace.Telemetry;
using Millrace.Web;

namespace Millrace.Server;

/// <summary>
/// The process: one pipeline, its HTTP listener, a pump per destination and the ticks. It stops on SIGTERM or Ctrl-C:
/// no more input, what is in memory is sent for <c>server.shutdown_timeout</c>, the rest waits on disk, and a base is
/// written. Exit code 1 when the log fails: the next start goes on from what is on disk.
/// </summary>
internal sealed partial class Gateway : IDisposable
{
    private static readonly TimeSpan TickInterval = TimeSpan.FromMilliseconds(100);

    private readonly MillraceConfig _config;
    private readonly Func<ConfigLoadResult> _reload;
    private readonly TimeProvider _time = TimeProvider.System;
    private readonly IngestCounters _counters = new();
    private readonly ReloadLog _reloads = new(); // its lock: one reload at a time
    private readonly DateTimeOffset _startedAt;
    private readonly CancellationTokenSource _failed = new();
    private readonly ILoggerFactory _logs;
    private readonly ILogger _log;
    private volatile string? _failure;
    private volatile bool _isStopping;
    private RunningPipeline? _pipeline;

    private Gateway(MillraceConfig config, Func<ConfigLoadResult> reload)
    {
        (_config, _reload, _startedAt) = (config, reload, _time.GetUtcNow());
        _logs = LogSetup.CreateFactory(config.Server);
        _log = _logs.CreateLogger("millrace");
    }

    private RunningPipeline Pipeline => _pipeline!;

    /// <returns>The exit code.</returns>
    public static async Task<int> RunAsync(
        MillraceConfig config, Func<ConfigLoadResult> reload, bool isDemo, CancellationToken stop)
    {
        using var gateway = new Gateway(config, reload);
        try
        {
            return await gateway.RunAsync(isDemo, stop);
        }
        catch (LogOpenException e)
        {
            Log.CannotStart(gateway._log, e.Message);
            return ExitCode.Failure;
        }
    }

    public void Dispose()
    {
        _logs.Dispose();
        _failed.Dispose();
    }

    private async Task<int> RunAsync(bool isDemo, CancellationToken stop)
    {
        _pipeline = PipelineBuilder.Build(_config, new PipelineEnvironment
        {
            Time = _time,
            Random = NewRandom(),
            Workers = Math.Max(1, Environment.ProcessorCount),
            Failed = Fail,
            Warned = text => Log.Warning(_log, text),
        });
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(stop, _failed.Token);
        // Before the listener: senders that come first must not be sent away.
        if (!Pipeline.TryBegin())
        {
            return ExitCode.Failure;
        }
        var app = BuildApp();
        try
        {
            await app.StartAsync(ended.Token);
        }
        catch (System.IO.IOException e)
        {
            Log.CannotStart(_log, $"cannot listen on {_config.Server.Listen}: {e.Message}");
            return ExitCode.Failure;
        }
        using var pumps = new CancellationTokenSource();
        var background = new List<Task> { CatchUpAsync(ended.Token), TickAsync(ended.Token) };
        var pumping = PumpAsync(pumps.Token);
        background.Add(ProbeAsync(ended.Token));
        if (isDemo)
        {
            background.Add(Demo.RunAsync(_config.Server.Listen, _time, ended.Token));
        }
        Log.Started(_log, _config.Server.Listen, Pipeline.Destinations.Count, _config.Aggregation.Rules.Count);
        using var hangup = PosixSignalRegistration.Create(PosixSignal.SIGHUP, context =>
        {
            context.Cancel = true;
            TryReload();
        });
        await Task.WhenAny(Task.Delay(Timeout.Infinite, ended.Token), Task.WhenAll(background));
        await StopAsync(app, background, pumping, pumps);
        return _failure is null ? ExitCode.Ok : ExitCode.Failure;
    }

    private async Task CatchUpAsync(CancellationToken stop)
    {
        try
        {
            var started = _time.GetTimestamp();
            await Pipeline.CatchUpAsync(stop);
            if (Pipeline.Replayer is { } replayer)
            {
                Log.CaughtUp(_log, replayer.ReplayedRecords, replayer.LostRecords,
                    (long)_time.GetElapsedTime(started).TotalMilliseconds);
            }
        }
        catch (OperationCanceledException)
        {
            // Stopped while replaying: the next start replays again.
        }
        catch (Exception e)
        {
            // Our bug: better a restart than a gateway that accepts and never aggregates.
            Fail($"the replay of the log failed: {e}");
        }
    }

    private async Task TickAsync(CancellationToken stop)
    {
        try
        {
            using var timer = new PeriodicTimer(TickInterval, _time);
            while (await timer.WaitForNextTickAsync(stop))
            {
                Pipeline.Tick();
            }
        }
        catch (OperationCanceledException)
        {
            // Stopping.
        }
        catch (Exception e)
        {
            Fail($"a tick failed: {e}");
        }
    }

    /// <summary>Looks once whether a backend would store a repeated block twice, and says so.</summary>
    private async Task ProbeAsync(CancellationToken stop)
    {
        try
        {
            foreach (var destination in Pipeline.Destinations)
            {
                using var client = new HttpClient(HttpConnections.Create(destination.Config, _time));
                foreach (var node in destination.Nodes)
                {
                    var handling = await BackendProbe.AskAsync(
                        destination.Config with { Url = node.Url }, client, _time, stop);
                    if (BackendProbe.Warning(destination.Name, handling) is { } warning)
                    {
                        Log.Warning(_log, warning);
                    }
                }
            }
        }
        catch (OperationCanceledException)
        {
            // Stopping.
        }
    }

    private async Task PumpAsync(CancellationToken stop)
    {
        var pumps = new List<Task>();
        foreach (var destination in Pipeline.Destinations)
        {
            pumps.Add(RunPumpAsync(destination, stop));
        }
        await Task.WhenAll(pumps);
    }

    private async Task RunPumpAsync(Destination destination, CancellationToken stop)
    {
        var sharded = Pipeline.Sharded.FirstOrDefault(nodes => nodes.Destination == destination);
        using var watch = sharded is null ? null : new ShardWatch(sharded, _time, NewRandom(), _logs);
        using var pump = new DestinationPump(destination, _time, _logs.CreateLogger("delivery"))
        {
            Answered = watch is null ? null : watch.Observe,
        };
        await Task.WhenAll(watch?.RunAsync(stop) ?? Task.CompletedTask, pump.RunAsync(stop));
    }

    private async Task StopAsync(
        WebApplication app, List<Task> background, Task pumping, CancellationTokenSource pumps)
    {
        _isStopping = true;
        Log.Stopping(_log);
        await app.StopAsync(CancellationToken.None);
        await app.DisposeAsync();
        await Task.WhenAll(background);
        if (_failure is null)
        {
            if (Pipeline.Ingest.IsLive)
            {
                await Pipeline.Ingest.FlushAsync(Pipeline.Ingest.NowMs, everything: true);
            }
            await DrainAsync(_config.Server.ShutdownTimeout);
        }
        foreach (var destination in Pipeline.Destinations)
        {
            destination.BeginStop();
        }
        await pumps.CancelAsync();
        await pumping;
        foreach (var destination in Pipeline.Destinations)
        {
            var report = destination.FinishStop(Pipeline.Ingest.NowMs);
            Log.DestinationStopped(_log, destination.Name, report.PendingSamples);
        }
        await Pipeline.StopAsync();
        Log.Stopped(_log);
    }

    /// <summary>Waits until every destination has taken what there is, or the time is up.</summary>
    private async Task DrainAsync(TimeSpan atMost)
    {
        var until = Pipeline.Ingest.NowMs + (long)atMost.TotalMilliseconds;
        while (Pipeline.Ingest.NowMs < until)
        {
            var pending = 0L;
            foreach (var destination in Pipeline.Destinations)
            {
                pending += destination.Snapshot().Pending;
            }
            if (pending == 0)
            {
                return;
            }
            await Task.Delay(TickInterval, _time, CancellationToken.None);
        }
    }

    private WebApplication BuildApp()
    {
        // Empty: the others watch every file below the working directory, where our log may be.
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.Services.AddRoutingCore();
        builder.Services.Configure<HostOptions>(static options => options.ShutdownTimeout = TimeSpan.FromSeconds(5));
        var intake = new WriteIntake(Pipeline.Ingest, _config.Ingest, _counters, NotAccepting);
        builder.Services.AddSingleton<IConnectionListenerFactory>(
            services => new ReceiveLoops(
                intake, services.GetRequiredService<ILoggerFactory>(), _time, slowness: TimeSpan.FromSeconds(30)));
        builder.WebHost.UseKestrelCore();
        builder.WebHost.ConfigureKestrel(options =>
        {
            options.AddServerHeader = false;
            options.Limits.MaxRequestBodySize = _config.Ingest.MaxRequestBytes + 1;
            options.Limits.MinRequestBodyDataRate = new MinDataRate(
                RequestBody.MinBytesPerSecond, TimeSpan.FromSeconds(30));
            Listen(options, _config.Server.Listen);
        });
        var app = builder.Build();
        new WriteEndpoints(intake).Map(app);
        var state = new GatewayState
        {
            Pipeline = Pipeline,
            Config = _config,
            Ingest = _counters,
            Reloads = _reloads,
            StartedAt = _startedAt,
            Time = _time,
            NotReady = NotAccepting,
        };
        new StatusEndpoints(state).Map(app);
        new LetterEndpoints(state).Map(app);
        new ShardEndpoints(state).Map(app);
        app.MapMethods("/-/reload", ["GET", "POST"], (RequestDelegate)ReloadAsync);
        return app;
    }

    private static void Listen(KestrelServerOptions options, string listen)
    {
        var colon = listen.LastIndexOf(':');
        var host = listen[..colon].Trim('[', ']');
        var port = int.Parse(listen.AsSpan(colon + 1), CultureInfo.InvariantCulture);
        if (host is "" or "0.0.0.0" or "*")
        {
            options.ListenAnyIP(port);
        }
        else if (host == "localhost")
        {
            options.ListenLocalhost(port);
        }
        else
        {
            options.Listen(IPAddress.Parse(host), port);
        }
    }

    private string? NotAccepting() =>
        _failure is { } failure ? $"The gateway has failed and is about to end: {failure}"
        : _isStopping ? "The gateway is stopping."
        : null;

    private async Task ReloadAsync(HttpContext context)
    {
        var problems = TryReload();
        context.Response.StatusCode = problems.Count == 0
            ? StatusCodes.Status200OK : StatusCodes.Status400BadRequest;
        foreach (var line in problems.Count > 0 ? problems : _reloads.Last?.Changes ?? [])
        {
            await context.Response.WriteAsync(line + "\n");
        }
    }

    /// <summary>Reads the configuration again; a bad one changes nothing.</summary>
    private List<string> TryReload()
    {
        lock (_reloads)
        {
            var problems = new List<string>();
            var changes = TryReloadLocked(problems);
            _reloads.Add(new Reload(Pipeline.Ingest.NowMs, problems, changes));
            foreach (var change in changes)
            {
                Log.Changed(_log, change);
            }
            foreach (var problem in problems)
            {
                Log.ReloadRefused(_log, problem);
            }
            return problems;
        }
    }

    /// <returns>What has changed.</returns>
    private List<string> TryReloadLocked(List<string> problems)
    {
        var loaded = _reload();
        foreach (var problem in loaded.Problems)
        {
            problems.Add(problem.ToString());
        }
        if (loaded.Config is not { } config || problems.Count > 0
            || ReloadRules.NeedsRestart(_config, config, problems))
        {
            return [];
        }
        var running = Pipeline.Ingest.Generation.Config;
        if (config.CanonicalText != running.CanonicalText && !Pipeline.TryReload(config))
        {
            problems.Add("the log could not take the configuration: is the disk full?");
            return [];
        }
        foreach (var sharded in Pipeline.Sharded)
        {
            foreach (var destination in config.Destinations)
            {
                if (destination.Name == sharded.Destination.Name
                    && destination.Sharded is { Nodes: { Kind: NodeSourceKind.List, Nodes: var nodes } })
                {
                    sharded.SetNodes(nodes);
                }
            }
        }
        Log.Reloaded(_log, config.Aggregation.Rules.Count);
        return [.. ConfigDiff.Between(running, config).Lines()];
    }

    private void Fail(string reason)
    {
        if (Interlocked.CompareExchange(ref _failure, reason, null) is null)
        {
            Log.Failed(_log, reason);
            _failed.CancelAsync();
        }
    }

    private static Random NewRandom()
    {
        Span<byte> seed = stackalloc byte[4];
        System.Security.Cryptography.RandomNumberGenerator.Fill(seed);
        return new Random(BitConverter.ToInt32(seed));
    }

    private static partial class Log
    {
        [LoggerMessage(LogLevel.Information, "Listening on {Address}: {Destinations} destinations, {Rules} rules.")]
        public static partial void Started(ILogger logger, string address, int destinations, int rules);

        [LoggerMessage(LogLevel.Information,
            "Caught up with the log: {Records} records replayed, {Lost} lost, in {DurationMs} ms.")]
        public static partial void CaughtUp(ILogger logger, long records, long lost, long durationMs);

        [LoggerMessage(LogLevel.Information, "Stopping: no more input, sending what is left.")]
        public static partial void Stopping(ILogger logger);

        [LoggerMessage(LogLevel.Information,
            "Destination {Destination} stopped; {Samples} samples remain on disk for the next start.")]
        public static partial void DestinationStopped(ILogger logger, string destination, long samples);

        [LoggerMessage(LogLevel.Information, "Stopped.")]
        public static partial void Stopped(ILogger logger);

        [LoggerMessage(LogLevel.Information, "The configuration was read again: {Rules} rules.")]
        public static partial void Reloaded(ILogger logger, int rules);

        [LoggerMessage(LogLevel.Information, "Reload: {Change}")]
        public static partial void Changed(ILogger logger, string change);

        [LoggerMessage(LogLevel.Error, "The configuration was read again and refused, nothing changes: {Problem}")]
        public static partial void ReloadRefused(ILogger logger, string problem);

        [LoggerMessage(LogLevel.Warning, "{Text}")]
        public static partial void Warning(ILogger logger, string text);

        [LoggerMessage(LogLevel.Critical, "Cannot start: {Reason}")]
        public static partial void CannotStart(ILogger logger, string reason);

        [LoggerMessage(LogLevel.Critical, "Ending, because {Reason}")]
        public static partial void Failed(ILogger logger, string reason);
    }
}
