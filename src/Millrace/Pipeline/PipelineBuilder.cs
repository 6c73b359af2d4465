using System.IO;
using Millrace.Configuration;
using Millrace.Delivery;
using Millrace.Log;
using Millrace.Memory;

namespace Millrace.Pipeline;

/// <summary>What a pipeline takes from its surroundings.</summary>
internal sealed record PipelineEnvironment
{
    public IDisk Disk { get; init; } = new SystemDisk();

    public TimeProvider Time { get; init; } = TimeProvider.System;

    /// <summary>Keys of hashes, jitter of retries.</summary>
    public required Random Random { get; init; }

    /// <summary>Threads that apply records; 0: everything happens on the caller's thread.</summary>
    public int Workers { get; init; }

    /// <summary>Told about what cannot be mended without a restart.</summary>
    public Action<string> Failed { get; init; } = static _ => { };

    /// <summary>Told about what a human should know.</summary>
    public Action<string> Warned { get; init; } = static _ => { };
}

/// <summary>
/// Puts a pipeline together: opens the logs and the destinations, takes over the newest base, and leaves the rest of
/// the
/// log to the replayer. Folders below <c>log.path</c>: <c>input</c>, <c>output</c>, <c>bases</c>,
/// <c>destinations/NAME</c>.
/// </summary>
internal static class PipelineBuilder
{
    /// <exception cref="LogOpenException">A folder is in use, of a newer release, or cannot be read.</exception>
    public static RunningPipeline Build(MillraceConfig config, PipelineEnvironment environment)
    {
        var (disk, time) = (environment.Disk, environment.Time);
        var folder = config.Log.Path;
        var basesFolder = Path.Combine(folder, "bases");
        var hasLog = config.Log.Durability != Durability.Memory;
        var options = new RecordLogOptions
        {
            SegmentBytes = config.Log.SegmentBytes,
            MinFreeBytes = config.Log.MinFreeBytes,
            NewLogId = NewId(environment.Random),
        };
        disk.CreateFolder(basesFolder);
        var inputOptions = options with { IsRarelyRead = true };
        var input = hasLog ? RecordLog.Open(Path.Combine(folder, "input"), inputOptions, disk, time) : null;
        var output = RecordLog.Open(
            Path.Combine(folder, "output"), options with { NewLogId = NewId(environment.Random) }, disk, time);
        var metadata = new MetadataStore();
        var destinations = OpenDestinations(config, environment, input, output, metadata);
        var hash = new KeyedHash(environment.Random);
        var configs = destinations.ConvertAll(static destination => destination.Config);
        var generation = new Generation(config, configs, hash, metadata);

        var problems = new List<string>();
        var state = hasLog ? Base.TryOpenNewest(basesFolder, disk, problems) : null;
        problems.ForEach(environment.Warned);
        Generation? Compile(string text) => CompileText(text, generation, configs, hash, environment.Warned);
        var begin = state is null ? Generation.Empty(configs, hash)
            : Compile(state.ConfigurationText) ?? throw new LogOpenException(
                $"The configuration that the newest base in '{basesFolder}' was written under cannot be read by this "
                + "release. Start the release that wrote it, or give this one another folder (log.path).");
        RefuseOtherTaskCount(begin, generation, state, folder);

        var emitter = new Emitter(input, output, destinations, time);
        var engine = new Engine(begin, destinations, emitter, Math.Max(1, environment.Workers), time);
        if (state is not null)
        {
            engine.Restore(state, Compile);
        }
        emitter.ReadOutputLog(state?.OutputLsn ?? 0);
        var clock = new ArrivalClock(time);
        var (lastArrivalMs, lastInputMs) = input is null ? default : LastTimes(input);
        clock.NotBefore(lastArrivalMs);
        var pipeline = new IngestPipeline(input, config.Log, engine, generation, clock);
        emitter.Derive = pipeline.Derive;
        foreach (var request in state?.Requests ?? [])
        {
            pipeline.Remember(request);
        }
        var replayer = input is null ? null
            : new Replayer(
                input, pipeline, state?.Lsn ?? 0, state?.LanesNeedFromLsn ?? long.MaxValue, Compile, time);
        if (replayer is { LookbackLostRecords: > 0 and var lost })
        {
            emitter.TakeEarlierAsEmitted();
            environment.Warned(
                $"{lost} records behind the newest base that can be read are no longer in the log (its bound is "
                + $"log.max_bytes, {config.Log.MaxBytes}): windows of that time lack them, and none of them is written "
                + "again");
        }
        return new RunningPipeline(config, environment, pipeline, replayer, clock, input, output, destinations, state)
        {
            NewGeneration = reloaded => new Generation(reloaded, configs, hash, metadata),
            LastInputMs = lastInputMs,
            Sharded = [.. ShardedOf(config, disk, destinations)],
        };
    }

    private static List<Destination> OpenDestinations(
        MillraceConfig config, PipelineEnvironment environment, RecordLog? input, RecordLog output,
        MetadataStore metadata)
    {
        var destinations = new List<Destination>();
        var (inputLsn, outputLsn) = (0L, 0L);
        foreach (var destination in config.Destinations)
        {
            var opened = new Destination(destination, new DestinationEnvironment
            {
                Folder = Path.Combine(config.Log.Path, "destinations", destination.Name),
                Disk = environment.Disk,
                OutputLog = output,
                InputLogId = input?.Id ?? NewId(environment.Random),
                RawStart = new LogPosition((input?.NextLsn ?? 1) - 1, int.MaxValue),
                Time = environment.Time,
                MetadataOf = metadata.Find,
                Random = new Random(environment.Random.Next()),
            });
            inputLsn = Math.Max(inputLsn, opened.HighestLsn(Feed.Raw));
            outputLsn = Math.Max(outputLsn, opened.HighestLsn(Feed.Outputs));
            destinations.Add(opened);
        }
        // After a power loss a destination may be further than the log: those numbers are not given out again.
        input?.SkipTo(inputLsn + 1);
        output.SkipTo(outputLsn + 1);
        return destinations;
    }

    private static IEnumerable<ShardedNodes> ShardedOf(
        MillraceConfig config, IDisk disk, List<Destination> destinations)
    {
        foreach (var destination in destinations)
        {
            if (destination.Config.Sharded is not null)
            {
                var folder = Path.Combine(config.Log.Path, "destinations", destination.Name);
                yield return new ShardedNodes(destination, new TaskTableFile(folder, disk));
            }
        }
    }

    private static Generation? CompileText(
        string text, Generation current, IReadOnlyList<DestinationConfig> destinations, KeyedHash hash,
        Action<string> warned)
    {
        if (text == current.Config.CanonicalText)
        {
            return current;
        }
        var loaded = ConfigLoader.LoadCanonical(text);
        if (loaded.Config is null)
        {
            warned($"a configuration record of the log cannot be read: {loaded.Problems[0]}");
            return null;
        }
        return new Generation(loaded.Config, destinations, hash, current.Metadata);
    }

    private static void RefuseOtherTaskCount(Generation begin, Generation now, Base? state, string folder)
    {
        if (state is not null && begin.TaskCount != now.TaskCount)
        {
            throw new LogOpenException(
                $"aggregation.tasks.count is {now.TaskCount}, but the state in '{folder}' was written with "
                + $"{begin.TaskCount}. The number of tasks is fixed for a log: set it back, or give log.path a new "
                + "folder.");
        }
    }

    /// <summary>
    /// The largest arrival time of the last records, and the last at which a process took input or closed windows: one
    /// that only wrote its configuration before it ended has taken nothing. 0: the log is empty.
    /// </summary>
    internal static (long ArrivalMs, long InputMs) LastTimes(RecordLog log)
    {
        const int SomeMayBeDamaged = 32;
        var (arrivalMs, inputMs) = (0L, 0L);
        using var reader = log.OpenReader(Math.Max(log.FirstLsn, log.NextLsn - SomeMayBeDamaged));
        while (reader.TryRead(out var record))
        {
            var header = record.Header;
            arrivalMs = Math.Max(arrivalMs, header.ArrivalMs);
            if (inputMs == 0 || header.Type is RecordType.Batch or RecordType.Close)
            {
                inputMs = arrivalMs;
            }
        }
        return (arrivalMs, inputMs);
    }

    private static Guid NewId(Random random)
    {
        Span<byte> bytes = stackalloc byte[16];
        random.NextBytes(bytes);
        return new Guid(bytes);
    }
}
