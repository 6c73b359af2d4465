using Millrace.Delivery;
using Millrace.Log;
using Millrace.TestKit;

namespace Millrace.Tests.Delivery;

/// <summary>A destination on a disk in memory, its output log, its backend and a clock, driven by hand.</summary>
internal sealed class DestinationRig : IDisposable
{
    public const string Name = "storage";

    private static readonly Guid InputLog = new("11111111-2222-3333-4444-555555555555");

    private readonly int _seed;
    private readonly List<(long AtMs, Sending Sending, SendResult Result)> _answers = [];
    private int _starts;

    public DestinationRig(DestinationConfig config, FakeBackend backend, int seed = 1)
    {
        (Config, Backend, _seed, Disk) = (config with { Name = Name }, backend, seed, new FaultyDisk(seed));
        (OutputLog, Destination) = Start();
    }

    public static DestinationConfig Plain { get; } = new()
    {
        Name = Name,
        Protocol = RemoteWriteProtocol.PrometheusV1,
        Lanes = 4,
        QueueMemoryBytes = 1 << 20,
        QueueMaxBytes = 64 << 20,
    };

    public DestinationConfig Config { get; set; }

    public FakeBackend Backend { get; set; }

    /// <summary>By name of node, where there are several.</summary>
    public Func<string, FakeBackend>? BackendOf { get; set; }

    /// <summary>Of a sharded destination.</summary>
    public ShardedNodes? Nodes { get; private set; }

    public FaultyDisk Disk { get; private set; }

    /// <summary>Groups survive power loss before they are offered.</summary>
    public bool SyncsOutputs { get; set; }

    public Guid InputLogId { get; set; } = InputLog;

    public RecordLog OutputLog { get; private set; }

    public Destination Destination { get; private set; }

    public long NowMs { get; set; } = 1_700_000_000_000;

    public int RequestsOut => _answers.Count;

    public CountersSnapshot Counters
    {
        get
        {
            var counters = Destination.Snapshot();
            counters.Imbalance.ShouldBe(0);
            return counters;
        }
    }

    public SealedBlock Raw(int lane, long lsn, params ReadOnlySpan<(string, long, double)> samples) =>
        SampleBlocks.Seal(Feed.Raw, lane, new LogPosition(lsn, 0), NowMs, samples);

    public void OfferRaw(int lane, long lsn, params ReadOnlySpan<(string, long, double)> samples) =>
        Destination.Offer(Raw(lane, lsn, samples), NowMs);

    /// <summary>Appends one group with a block per lane named, and offers the blocks.</summary>
    public void OfferGroup(params ReadOnlySpan<(int Lane, string Metric, long TimestampMs, double Value)> outputs)
    {
        using var writer = new OutputGroupWriter();
        writer.Begin(1, "rule", NowMs, 1);
        writer.AddBlock("another", 0, 1, 0, 0, [1, 2, 3]);
        var blocks = new List<SealedBlock>();
        foreach (var (lane, metric, timestampMs, value) in outputs)
        {
            var block = SampleBlocks.Seal(Feed.Outputs, lane, default, NowMs, (metric, timestampMs, value));
            var index = writer.AddBlock(Name, lane, 1, timestampMs, timestampMs, block.Bytes.Span);
            blocks.Add(block with { End = new LogPosition(OutputLog.NextLsn, index) });
        }
        var header = new RecordHeader { Type = RecordType.OutputGroup, FormatVersion = 1, ArrivalMs = NowMs };
        OutputLog.Append(header, writer.Finish([]).Span, out var lsn).ShouldBe(AppendOutcome.Written);
        if (SyncsOutputs)
        {
            OutputLog.Sync().ShouldBeTrue();
        }
        foreach (var block in blocks)
        {
            Destination.Offer(block, NowMs);
        }
        Destination.Passed(Feed.Outputs, new LogPosition(lsn, int.MaxValue));
    }

    /// <summary>Makes the requests that are due; their answers are on the way.</summary>
    public int SendDue()
    {
        var sent = 0;
        for (; Destination.TryTakeDue(NowMs, out var sending); sent++)
        {
            var backend = BackendOf?.Invoke(sending.Node.Name) ?? Backend;
            var (result, delayMs) = backend.Receive(sending, NowMs);
            _answers.Add((NowMs + delayMs, sending, result));
        }
        return sent;
    }

    /// <summary>Goes to the next thing that happens; false when nothing will.</summary>
    public bool Step()
    {
        if (SendDue() > 0)
        {
            return true;
        }
        var due = Destination.NextDueMs(NowMs);
        foreach (var (atMs, _, _) in _answers)
        {
            due = Math.Min(due, atMs);
        }
        if (due == long.MaxValue)
        {
            return false;
        }
        NowMs = Math.Max(NowMs, due);
        Deliver();
        return true;
    }

    public void Deliver()
    {
        for (var i = 0; i < _answers.Count; i++)
        {
            var (atMs, sending, result) = _answers[i];
            if (sending.Part.GivenUp.IsCancellationRequested)
            {
                // As the sender does: nobody waits, and what became of it is not known.
                (atMs, result) = (NowMs, SendResult.Timeout);
            }
            if (atMs <= NowMs)
            {
                _answers.RemoveAt(i--);
                Destination.Complete(sending, result, NowMs);
            }
        }
    }

    /// <summary>Until everything is accounted for; what never ends fails the test.</summary>
    public void RunUntilQuiet(int maxSteps = 20_000)
    {
        for (var i = 0; Step(); i++)
        {
            i.ShouldBeLessThan(maxSteps, "The destination does not come to rest.");
        }
        Counters.Pending.ShouldBe(0);
    }

    public void RunFor(TimeSpan span)
    {
        var end = NowMs + (long)span.TotalMilliseconds;
        while (NowMs < end)
        {
            var due = Destination.NextDueMs(NowMs);
            foreach (var (atMs, _, _) in _answers)
            {
                due = Math.Min(due, atMs);
            }
            NowMs = Math.Min(end, Math.Max(NowMs, due));
            Deliver();
            SendDue();
        }
    }

    /// <summary>The process dies as it stands; another one starts on what the disk kept.</summary>
    /// <param name="kind">How it dies.</param>
    /// <param name="writesWhileOpening">If given, the next one dies too, at so many writes, unless it has opened by
    /// then.</param>
    public void Crash(CrashKind kind = CrashKind.Kill, int writesWhileOpening = int.MaxValue)
    {
        _answers.Clear();
        Disk = Disk.Crash(kind);
        Disk.HaltAfterWrites(writesWhileOpening);
        try
        {
            (OutputLog, Destination) = Start();
        }
        catch (DiskHaltedException)
        {
            Disk = Disk.Crash(kind);
            (OutputLog, Destination) = Start();
        }
        Disk.HaltAfterWrites(int.MaxValue);
    }

    public void Restart()
    {
        Destination.BeginStop();
        while (_answers.Count > 0)
        {
            NowMs++;
            Deliver();
        }
        Destination.FinishStop(NowMs).IsSafe.ShouldBeTrue();
        Dispose();
        (OutputLog, Destination) = Start();
    }

    public void Dispose()
    {
        Destination.Dispose();
        OutputLog.Dispose();
    }

    private (RecordLog OutputLog, Destination Destination) Start()
    {
        var log = RecordLog.Open("/data/outputs", new RecordLogOptions(), Disk, TimeProvider.System);
        var destination = new Destination(Config, new DestinationEnvironment
        {
            Folder = "/data/destinations/storage",
            Disk = Disk,
            OutputLog = log,
            InputLogId = InputLogId,
            Random = new Random(_seed + ++_starts),
        });
        Nodes = Config.Sharded is null ? null
            : new ShardedNodes(destination, new TaskTableFile("/data/destinations/storage", Disk));
        return (log, destination);
    }
}
