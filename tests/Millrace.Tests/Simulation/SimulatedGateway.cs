using Millrace.Configuration;
using Millrace.Delivery;
using Millrace.Log;
using Millrace.Pipeline;
using Millrace.TestKit;
using Millrace.TestKit.Simulation;

namespace Millrace.Tests.Simulation;

/// <summary>
/// One life of the process: the whole pipeline on one thread, and what the server would do around it. A life ends by
/// <see cref="Stop"/>, or is just left behind with its disk halted.
/// </summary>
internal sealed class SimulatedGateway
{
    private readonly SimulationClock _clock;
    private readonly RunningPipeline _pipeline;
    private readonly IReadOnlyList<SimulatedBackend> _backends;
    private readonly int _life;
    private readonly WatchedDisk _disk;
    private readonly List<(long AtMs, int Destination, Sending Sending, SendResult Result)> _answers = [];

    public SimulatedGateway(
        MillraceConfig config, FaultyDisk disk, SimulationClock clock, IReadOnlyList<SimulatedBackend> backends,
        int life, int seed)
    {
        (_clock, _backends, _life, _disk) = (clock, backends, life, new WatchedDisk(disk));
        _pipeline = PipelineBuilder.Build(config, new PipelineEnvironment
        {
            Disk = _disk,
            Time = clock,
            Random = new Random(seed),
            Workers = 0,
            Failed = message => Failure ??= message,
            Warned = message => Warnings.Add(message),
        });
    }

    /// <summary>Called before the process deletes a file.</summary>
    public Action? Deleting
    {
        set => _disk.Deleting = value;
    }

    /// <summary>The process said that it cannot go on: its server would end it.</summary>
    public string? Failure { get; private set; }

    public List<string> Warnings { get; } = [];

    public RunningPipeline Pipeline => _pipeline;

    public RecordLog InputLog => _pipeline.InputLog!;

    /// <param name="duringReplay">Called now and then before the replay has come to its end.</param>
    public void Start(Action duringReplay)
    {
        var endLsn = InputLog.NextLsn;
        _disk.Reading = () =>
        {
            if (_pipeline.Replayer!.NextLsn < endLsn && InputLog.NextLsn > endLsn)
            {
                duringReplay();
            }
        };
        var started = _pipeline.StartAsync(CancellationToken.None);
        _disk.Reading = null;
        if (started.IsFaulted)
        {
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(started.Exception!.InnerException!);
        }
        started.IsCompletedSuccessfully.ShouldBeTrue("without threads nothing waits");
        if (Failure is null)
        {
            _pipeline.Ingest.IsLive.ShouldBeTrue();
        }
    }

    public PushResult Push(ReadOnlySpan<byte> body, out long lsn) =>
        _pipeline.Ingest.Push(body, new BodyEncoding(BodyProtocol.RemoteWriteV1, BodyCompression.Snappy), out lsn);

    public void Tick() => _pipeline.Tick();

    /// <summary>Hands in the answers that have come, and makes the requests that are due.</summary>
    public void Deliver()
    {
        var nowMs = _pipeline.Ingest.NowMs;
        for (var i = 0; i < _answers.Count;)
        {
            var (atMs, destination, sending, result) = _answers[i];
            if (atMs > _clock.TrueMs)
            {
                i++;
                continue;
            }
            _answers.RemoveAt(i);
            _pipeline.Destinations[destination].Complete(sending, result, nowMs);
        }
        for (var i = 0; i < _pipeline.Destinations.Count; i++)
        {
            while (_pipeline.Destinations[i].TryTakeDue(nowMs, out var sending))
            {
                var (result, delayMs) = _backends[i].Receive(sending, _clock.TrueMs, _life);
                _answers.Add((_clock.TrueMs + delayMs, i, sending, result));
            }
        }
    }

    /// <summary>A graceful stop that does not wait for the backends.</summary>
    public void Stop()
    {
        foreach (var destination in _pipeline.Destinations)
        {
            destination.BeginStop();
        }
        foreach (var destination in _pipeline.Destinations)
        {
            destination.FinishStop(_pipeline.Ingest.NowMs);
        }
        var stopped = _pipeline.StopAsync();
        if (stopped.IsFaulted)
        {
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(stopped.Exception!.InnerException!);
        }
        stopped.IsCompletedSuccessfully.ShouldBeTrue("without threads nothing waits");
    }

    public bool IsQuiet =>
        _answers.Count == 0
        && _pipeline.Engine.Emitter.QueueLength == 0
        && _pipeline.Destinations.All(destination => destination.Snapshot().Pending == 0)
        && _pipeline.Engine.Lanes.All(lane => lane.NeededFromLsn == long.MaxValue);
}
