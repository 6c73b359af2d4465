using Millrace.Log;
using Millrace.Pipeline;
using Millrace.TestKit;
using Millrace.TestKit.Simulation;

namespace Millrace.Tests.Simulation;

/// <summary>
/// One run: senders, the process, its disk, the backends and all that goes wrong with them, from one seed. After the
/// faults have stopped and everything has come to rest, <see cref="SimulationChecks"/> judges. Model: TigerBeetle's
/// VOPR.
/// </summary>
internal sealed class Simulation
{
    private readonly Scenario _scenario;
    private readonly Random _random;
    private readonly SimulationClock _clock = new();
    private readonly LogArchive _archive = new();
    private readonly List<SimulatedBackend> _backends;
    private readonly Senders _senders;
    private readonly List<(SentRequest Request, long Lsn)> _waitingForSync = [];
    private readonly List<string>? _trace;
    private FaultyDisk _disk;
    private SimulatedGateway? _gateway;
    private FaultPlan _faults;
    private int _config;
    private long _startAtMs;
    private long _diskIsFullUntilMs;
    private long _syncedLsn;
    private long _releasedLsn;

    public Simulation(Scenario scenario, bool traces = false)
    {
        _scenario = scenario;
        _random = scenario.Random;
        _faults = scenario.Faults;
        _trace = traces ? [] : null;
        _disk = new FaultyDisk(_random.Next());
        _backends = [.. scenario.DestinationNames.Select(name => new SimulatedBackend(name, _random.Next())
        {
            FaultRate = _faults.BackendFaults,
            LatencyMs = _random.Next(4) == 0 ? 2_000 : 20,
        })];
        _senders = new Senders(scenario, _clock.TrueMs);
    }

    public Scenario Scenario => _scenario;

    public LogArchive Archive => _archive;

    public IReadOnlyList<SimulatedBackend> Backends => _backends;

    public IReadOnlyList<SentRequest> Requests => _senders.Requests;

    public SimulatedGateway Gateway => _gateway!;

    public int Lives { get; private set; }

    public int Crashes { get; private set; }

    public int PowerLosses { get; private set; }

    public int Rotten { get; private set; }

    /// <summary>How long it took to come to rest after the faults.</summary>
    public long DrainMs { get; private set; }

    /// <summary>Acknowledged requests that a power loss took, as it may for 200 ms.</summary>
    public int LostRequests { get; private set; }

    public IReadOnlyList<string> Trace => _trace ?? [];

    public void Run()
    {
        while (_clock.ElapsedMs < _scenario.DurationMs)
        {
            Step();
        }
        Drain();
    }

    private void Step()
    {
        _clock.Advance(_scenario.StepMs);
        Guarded(() =>
        {
            MakeTrouble();
            if (_gateway is null && _clock.TrueMs >= _startAtMs)
            {
                Start();
            }
            if (_gateway is { Failure: not null })
            {
                return;
            }
            PushDue();
            _gateway?.Tick();
            _gateway?.Deliver();
        });
        if (_gateway?.Failure is { } failure)
        {
            Say($"the process ends itself: {failure}");
            Crash(CrashKind.Kill);
        }
        if (_gateway is not null)
        {
            Guarded(FollowLog);
        }
    }

    private void Drain()
    {
        Say("faults stop");
        _faults = FaultPlan.None;
        _disk.CapacityBytes = long.MaxValue;
        _diskIsFullUntilMs = 0;
        _disk.FailNextReads(0);
        _disk.FailNextWrites(0);
        _disk.FailNextSyncs(0);
        _disk.HaltAfterWrites(int.MaxValue);
        foreach (var backend in _backends)
        {
            backend.FaultRate = 0;
            backend.DownUntilMs = 0;
        }
        var startMs = _clock.TrueMs;
        var limit = new DrainLimit(startMs);
        while (!IsAtRest())
        {
            if (limit.Judge(_clock.TrueMs, AccountedSamples()) is { } wrong)
            {
                throw new SimulationFailure($"{wrong}: {Unrest()}");
            }
            Step();
        }
        DrainMs = _clock.TrueMs - startMs;
    }

    private long AccountedSamples() => _gateway is not { } gateway ? 0 : gateway.Pipeline.Destinations
        .Select(destination => destination.Snapshot())
        .Sum(ledger => ledger.Delivered + ledger.Parked + ledger.Dropped);

    /// <summary>All was sent, every window that holds a sample is closed, and every block is delivered.</summary>
    private bool IsAtRest()
    {
        if (_gateway is not { } gateway || !_senders.AllDone || _waitingForSync.Count > 0 || !gateway.IsQuiet)
        {
            return false;
        }
        // Two windows of any rule beyond the last sample; the clock of arrivals may lag behind the true one.
        var lastMs = _clock.TrueMs - _clock.ElapsedMs + _scenario.DurationMs;
        return gateway.Pipeline.Ingest.NowMs > lastMs + 4 * _scenario.IntervalMs + _scenario.LatenessMs
            && gateway.Pipeline.Ingest.NowMs > gateway.Pipeline.ClosesHeldUntilMs + 2 * _scenario.IntervalMs;
    }

    private string Unrest() => _gateway is not { } gateway ? "the process does not start"
        : $"all requests done: {_senders.AllDone}, waiting for a sync: {_waitingForSync.Count}, "
                + $"quiet: {gateway.IsQuiet}, "
            + $"closes in the queue: {gateway.Pipeline.Engine.Emitter.QueueLength}, pending: "
            + string.Join(", ", gateway.Pipeline.Destinations.Select(destination => destination.Snapshot().Pending))
            + ", lanes need: "
            + string.Join(", ", gateway.Pipeline.Engine.Lanes.Select(lane => lane.NeededFromLsn));

    private void Start()
    {
        Lives++;
        Say($"life {Lives} starts");
        try
        {
            var gateway = new SimulatedGateway(
                _scenario.Configs[_config].Config, _disk, _clock, _backends, Lives, _random.Next());
            var lost = _archive.Recover(gateway.InputLog, _releasedLsn);
            JudgeLosses(lost);
            _gateway = gateway;
            gateway.Deleting = () => _archive.Follow(gateway.InputLog);
            gateway.Start(duringReplay: () =>
            {
                if (_random.Next(2) == 0)
                {
                    PushDue();
                }
            });
            if (_trace is not null)
            {
                gateway.Warnings.ForEach(Say);
                Say($"replayed {gateway.Pipeline.Replayer?.ReplayedRecords} records up to {gateway.InputLog.NextLsn}");
            }
        }
        catch (LogOpenException e)
        {
            Say($"the process cannot start: {e.Message}");
            Crash(CrashKind.Kill);
        }
    }

    /// <summary>
    /// Requests whose records are gone: only a power loss may do that, and only to what was not synced.
    /// </summary>
    private void JudgeLosses(List<long> lost)
    {
        if (lost.Count == 0)
        {
            return;
        }
        Say($"the log lost {lost.Count} records: {string.Join(", ", lost)}");
        if (_scenario.MayRot)
        {
            return;
        }
        if (PowerLosses == 0)
        {
            throw new SimulationFailure($"records {string.Join(", ", lost)} are gone without a power loss");
        }
        foreach (var lsn in lost)
        {
            if (lsn < _syncedLsn && lsn >= _releasedLsn)
            {
                throw new SimulationFailure(
                    $"record {lsn} was synced (up to {_syncedLsn}), and the power loss took it");
            }
        }
        foreach (var request in _senders.Requests)
        {
            if (request.IsAcknowledged && lost.Contains(request.Lsn))
            {
                if (_scenario.Durability == Durability.LogSynced)
                {
                    throw new SimulationFailure($"request {request.Number} was acknowledged as synced and is gone");
                }
                LostRequests++;
                request.IsAcknowledged = false;
            }
        }
    }

    private void FollowLog()
    {
        _archive.Follow(_gateway!.InputLog);
        (_syncedLsn, _releasedLsn) = (_gateway.InputLog.SyncedLsn, _gateway.InputLog.FirstLsn);
        for (var i = 0; i < _waitingForSync.Count;)
        {
            var (request, lsn) = _waitingForSync[i];
            if (lsn >= _syncedLsn)
            {
                i++;
                continue;
            }
            _waitingForSync.RemoveAt(i);
            Acknowledge(request, lsn);
        }
    }

    private void PushDue()
    {
        while (_senders.TryNext(_clock.TrueMs, out var request))
        {
            var retryMs = _clock.TrueMs + _random.Next(300, 1_500);
            if (_gateway is null)
            {
                _senders.Again(request, retryMs);
                continue;
            }
            PushResult result;
            long lsn;
            try
            {
                result = _gateway.Push(request.Body, out lsn);
            }
            catch (DiskHaltedException)
            {
                _senders.Again(request, retryMs);
                throw;
            }
            request.TimesDuringReplay += _gateway.Pipeline.Ingest.IsLive ? 0 : 1;
            Say($"request {request.Number} of {request.Samples.Count}: {result.Status} at {lsn}"
                + (result.IsRepeat ? ", a repeat" : ""));
            switch (result.Status)
            {
                case PushStatus.Accepted when _scenario.Durability == Durability.LogSynced:
                    result.Written.Samples.ShouldBe(request.Samples.Count);
                    _waitingForSync.Add((request, lsn));
                    break;
                case PushStatus.Accepted:
                    result.Written.Samples.ShouldBe(request.Samples.Count);
                    Acknowledge(request, lsn);
                    break;
                case PushStatus.DiskFull or PushStatus.Failed or PushStatus.NotReady:
                    _senders.Again(request, retryMs);
                    break;
                default:
                    throw new SimulationFailure($"request {request.Number} was answered with {result}");
            }
        }
    }

    private void Acknowledge(SentRequest request, long lsn)
    {
        request.IsAcknowledged = true;
        request.Lsn = lsn;
        if (_random.NextDouble() < _faults.LostAnswers)
        {
            _senders.Again(request, _clock.TrueMs + _random.Next(300, 20_000));
        }
    }

    private void MakeTrouble()
    {
        TroubleDisk();
        TroubleSurroundings();
        TroubleProcess();
    }

    private void TroubleDisk()
    {
        if (Happens(_faults.FullDisks))
        {
            _disk.CapacityBytes = _disk.UsedBytes + _random.Next(20 << 10);
            _diskIsFullUntilMs = _clock.TrueMs + _random.Next(1_000, 20_000);
            Say("the disk is filling up");
        }
        if (_diskIsFullUntilMs != 0 && _clock.TrueMs >= _diskIsFullUntilMs)
        {
            _disk.CapacityBytes = long.MaxValue;
            _diskIsFullUntilMs = 0;
            Say("the disk has room again");
        }
        if (Happens(_faults.FailedWrites))
        {
            _disk.FailNextWrites(_random.Next(1, 4));
            Say("writes will fail");
        }
        if (Happens(_faults.FailedSyncs))
        {
            _disk.FailNextSyncs(1);
            Say("a sync will fail");
        }
        if (Happens(_faults.FailedReads))
        {
            _disk.FailNextReads(_random.Next(1, 3));
            Say("reads will fail");
        }
        if (Happens(_faults.BitFlips))
        {
            FlipBit();
        }
    }

    private void TroubleSurroundings()
    {
        if (Happens(_faults.ClockLeaps))
        {
            var seconds = _random.Next(5) == 0 ? _random.Next(-250, 250) : _random.Next(-30, 30);
            _clock.WallOffset = TimeSpan.FromSeconds(seconds);
            Say($"the wall clock is {seconds} s off");
        }
        if (Happens(_faults.BackendOutages))
        {
            var backend = _backends[_random.Next(_backends.Count)];
            backend.DownUntilMs = _clock.TrueMs + _random.Next(500, 60_000);
            Say($"{backend.Name} is down for {backend.DownUntilMs - _clock.TrueMs} ms");
        }
    }

    private void TroubleProcess()
    {
        if (_gateway is null)
        {
            return;
        }
        if (Happens(_faults.Reloads))
        {
            var config = _random.Next(_scenario.Configs.Count);
            if (_gateway.Pipeline.TryReload(_scenario.Configs[config].Config))
            {
                _config = config;
                Say($"configuration {config} came into force");
            }
        }
        if (Happens(_faults.KillsInWrite))
        {
            _disk.HaltAfterWrites(_random.Next(40));
            Say("the process will die in a write");
        }
        if (Happens(_faults.Kills))
        {
            Crash(CrashKind.Kill);
        }
        else if (Happens(_faults.PowerLosses))
        {
            PowerLosses++;
            Crash(_random.Next(2) == 0 ? CrashKind.PowerLossPrefix : CrashKind.PowerLossSubset);
        }
        else if (Happens(_faults.GracefulStops))
        {
            Say("a graceful stop");
            FollowLog();
            _gateway.Stop();
            _gateway = null;
            Crashes++; // A request that was out may be in the backend all the same.
            _startAtMs = _clock.TrueMs + _random.Next(5_000);
        }
    }

    private void FlipBit()
    {
        var folder = _random.Next(3) switch { 0 => "/data/input", 1 => "/data/output", _ => "/data/bases" };
        var names = _disk.ListFiles(folder);
        if (names.Count == 0)
        {
            return;
        }
        var name = names.Order(StringComparer.Ordinal).ElementAt(_random.Next(names.Count));
        var path = System.IO.Path.Combine(folder, name);
        var length = _disk.ReadAll(path).Length;
        if (length > 0)
        {
            _disk.FlipBit(path, _random.Next(length), _random.Next(8));
            Rotten++;
            Say($"a bit of '{path}' turned over");
        }
    }

    /// <summary>Runs what may end in the death of the process.</summary>
    private void Guarded(Action action)
    {
        try
        {
            action();
        }
        catch (DiskHaltedException)
        {
            Say("the process died in a write");
            Crash(CrashKind.Kill);
        }
    }

    private void Crash(CrashKind kind)
    {
        Say($"crash: {kind}");
        Crashes++;
        foreach (var (request, _) in _waitingForSync)
        {
            _senders.Again(request, _clock.TrueMs + _random.Next(300, 1_500));
        }
        _waitingForSync.Clear();
        _gateway = null;
        _disk = _disk.Crash(kind);
        _startAtMs = _clock.TrueMs + (_random.Next(4) == 0 ? _random.Next(30_000) : _random.Next(2_000));
    }

    private bool Happens(double chance) => chance > 0 && _random.NextDouble() < chance;

    private void Say(string text) => _trace?.Add($"{_clock.ElapsedMs,8} {text}");
}

/// <summary>A guarantee is broken.</summary>
internal sealed class SimulationFailure(string message) : Exception(message);
