using Millrace.Aggregation;
using Millrace.Delivery;
using Millrace.Log;

namespace Millrace.Pipeline;

/// <summary>What a rule emitted last, for the page and <c>explain</c>.</summary>
internal sealed record RecentWindow(long EndMs, int SampleCount, IReadOnlyList<OutputSample> First);

/// <summary>
/// Finishes closed windows, in the order of their close records: the shards' parts become sealed blocks per destination
/// and lane, one output group is appended to the output log, and only then the blocks are offered for sending. A window
/// that was appended is never built again for delivery: a restart replays its close and finds it in the output log.
/// </summary>
internal sealed class Emitter
{
    private const int RecentSamples = 20;
    private const int RetryMs = 200;

    private readonly RecordLog? _input;
    private readonly RecordLog _output;
    private readonly IReadOnlyList<Destination> _destinations;
    private readonly TimeProvider _time;
    private readonly OutputBlockWriter _blocks;
    private readonly Dictionary<UInt128, long> _lastEmitted = [];
    private readonly Dictionary<UInt128, RecentWindow> _recent = [];

    // Windows that the output log holds behind the base. Each by itself: a power loss may leave a hole in the log.
    private readonly HashSet<(UInt128 Rule, long EndMs)> _found = [];

    // A window may be corrected several times: once by one close.
    private readonly HashSet<(UInt128 Rule, long EndMs, long InputLsn)> _foundCorrections = [];

    private readonly object _signal = new(); // covers _queue and _isStopping
    private readonly Queue<LogItem> _queue = new();
    private bool _isStopping;
    private Thread? _thread;

    private readonly DerivedWriter _derived = new();

    /// <param name="input">Synced before the outputs that rest on it are appended; null: there is no log.</param>
    /// <param name="output">The output log.</param>
    /// <param name="destinations">By their numbers.</param>
    /// <param name="time">For the moment of sealing.</param>
    public Emitter(RecordLog? input, RecordLog output, IReadOnlyList<Destination> destinations, TimeProvider time)
    {
        (_input, _output, _destinations, _time) = (input, output, destinations, time);
        _blocks = new OutputBlockWriter(destinations);
    }

    /// <summary>
    /// For a trial: is given the closed windows instead of the output log, which is then never touched.
    /// </summary>
    public Action<CloseItem>? Captured { get; init; }

    /// <summary>Brings what rules wrote to the rules that take it; null: there is no log to bring it into.</summary>
    public Func<DerivedPayload, DeriveOutcome>? Derive { get; set; }

    /// <summary>What is on its way from rule to rule.</summary>
    public Derivations Derivations { get; } = new();

    /// <summary>Called with the finished base item once every worker has written its part.</summary>
    public Action<BaseItem>? BaseFinished { get; set; }

    /// <summary>Called when the output log can take nothing more until it is opened again.</summary>
    public Action<string>? Failed { get; set; }

    public long EmittedWindows { get; private set; }

    /// <summary>Windows emitted before, of which changed samples were emitted again.</summary>
    public long CorrectedWindows { get; private set; }

    public long EmittedSamples { get; private set; }

    /// <summary>Windows found in the output log when their close was replayed.</summary>
    public long WindowsFoundAgain { get; private set; }

    public IReadOnlyDictionary<UInt128, long> LastEmitted => _lastEmitted;

    public int QueueLength
    {
        get
        {
            lock (_signal)
            {
                return _queue.Count;
            }
        }
    }

    public RecentWindow? RecentOf(AggregationRule rule)
    {
        lock (_recent)
        {
            return _recent.GetValueOrDefault(rule.Key);
        }
    }

    /// <summary>What the output log holds already, by rule: the end of the last window.</summary>
    public void Restore(IReadOnlyDictionary<UInt128, long> lastEmitted)
    {
        foreach (var (rule, endMs) in lastEmitted)
        {
            Remember(rule, endMs);
        }
    }

    /// <summary>Reads which windows the output log holds from a record on: those are not emitted again.</summary>
    public void ReadOutputLog(long fromLsn)
    {
        using var reader = _output.OpenReader(Math.Max(fromLsn, _output.FirstLsn));
        while (reader.TryRead(out var record))
        {
            if (record.Header.Type == RecordType.OutputGroup
                && OutputGroup.TryRead(record.Payload, out var group, out _))
            {
                if (group.IsCorrection)
                {
                    _foundCorrections.Add((group.RuleKey, group.WindowEndMs, group.InputLsn));
                }
                else
                {
                    _found.Add((group.RuleKey, group.WindowEndMs));
                }
            }
        }
        if (reader.Failure is { } failure)
        {
            throw new LogOpenException($"The output log cannot be read, so nobody knows what was emitted: {failure}");
        }
    }

    /// <summary>
    /// The input log lacks records, so a window cannot be built again as it was: whatever ends before a window that the
    /// output log holds is taken to have been emitted, also where its group was damaged.
    /// </summary>
    public void TakeEarlierAsEmitted()
    {
        foreach (var (rule, endMs) in _found)
        {
            Remember(rule, endMs);
        }
    }

    public void StartThread()
    {
        _thread = new Thread(Run) { IsBackground = true, Name = "emitter" };
        _thread.Start();
    }

    /// <summary>Finishes what is queued, as far as the disk lets it, and ends the thread.</summary>
    public void StopThread()
    {
        lock (_signal)
        {
            _isStopping = true;
            Monitor.Pulse(_signal);
        }
        _thread?.Join();
        _thread = null;
        _isStopping = false;
    }

    public void Enqueue(LogItem item)
    {
        lock (_signal)
        {
            _queue.Enqueue(item);
            Monitor.Pulse(_signal);
        }
        if (_thread is null)
        {
            Pump();
        }
    }

    /// <summary>Works off the queue until it is empty or the disk refuses; then it is called again later.</summary>
    public bool Pump()
    {
        while (true)
        {
            LogItem? item;
            lock (_signal)
            {
                if (!_queue.TryPeek(out item))
                {
                    return true;
                }
            }
            if (item is CloseItem close && !TryEmit(close))
            {
                return false;
            }
            if (item is BaseItem finished)
            {
                BaseFinished?.Invoke(finished);
            }
            lock (_signal)
            {
                _queue.Dequeue();
            }
        }
    }

    private void Run()
    {
        while (true)
        {
            var isDone = Pump();
            lock (_signal)
            {
                // What the disk does not take now, or what waits for the end of a replay, the next start builds again.
                if (_isStopping && (!isDone || _queue.Count == 0))
                {
                    return;
                }
                if (_queue.Count == 0 || !isDone)
                {
                    Monitor.Wait(_signal, isDone ? Timeout.Infinite : RetryMs);
                }
            }
        }
    }

    private bool TryEmit(CloseItem item)
    {
        if (Captured is not null)
        {
            Captured(item);
            return true;
        }
        if (!TryDerive(item))
        {
            return false;
        }
        for (var i = 0; i < item.Closes.Count; i++)
        {
            var rule = item.Generation.RulesInForce[item.Closes[i].Rule];
            foreach (var (endMs, window) in Windows(item.Parts[i]))
            {
                if (window.IsCorrection && _foundCorrections.Remove((rule.Key, endMs, item.Lsn)))
                {
                    WindowsFoundAgain++;
                }
                else if (!window.IsCorrection && IsEmitted(rule.Key, endMs))
                {
                    Remember(rule.Key, endMs);
                    WindowsFoundAgain++;
                }
                else if (!TryEmit(item, item.Closes[i].Rule, rule, endMs, window))
                {
                    return false;
                }
            }
        }
        return true;
    }

    /// <summary>
    /// Rules that take what others write get it before anybody else does: their own windows wait for nothing more.
    /// False: the log cannot take it now; what it has taken is not offered again.
    /// </summary>
    private bool TryDerive(CloseItem item)
    {
        if (item.Takers.Count == 0)
        {
            return true;
        }
        item.Derived ??= _derived.Write(item);
        while (item.Derived.TryPeek(out var payload))
        {
            if (Derive!(payload) != DeriveOutcome.Done)
            {
                return false;
            }
            item.Derived.Dequeue();
        }
        foreach (var (taker, fromMs) in item.Takers)
        {
            Derivations.End(taker, fromMs);
        }
        item.Takers.Clear();
        return true;
    }

    /// <summary>The windows of all tasks, oldest first. A close gives one in all of them, or corrects it.</summary>
    public static SortedDictionary<long, ClosedWindow> Windows(List<WindowPart>?[] partsByTask)
    {
        var windows = new SortedDictionary<long, ClosedWindow>();
        foreach (var parts in partsByTask)
        {
            foreach (var part in parts ?? [])
            {
                if (!windows.TryGetValue(part.EndMs, out var window))
                {
                    windows.Add(part.EndMs, window = new ClosedWindow(part.IsCorrection));
                }
                window.Add(part);
            }
        }
        return windows;
    }

    private bool TryEmit(CloseItem item, int ruleNumber, AggregationRule rule, long endMs, ClosedWindow window)
    {
        if (window.Count == 0)
        {
            return true;
        }
        // Whatever stands in the output log rests on input that a power cut cannot take away any more.
        if (_input is not null && !_input.SyncTo(item.Lsn + 1))
        {
            Failed?.Invoke($"the input log could not be synced: {_input.Failure ?? _input.LastError}");
            return false;
        }
        using var payload = _blocks.Build(item.Generation, ruleNumber, endMs, item.Lsn, window, item.Families!);
        var header = new RecordHeader
        {
            Type = RecordType.OutputGroup,
            FormatVersion = window.IsCorrection ? OutputGroup.CorrectionVersion : OutputGroup.FormatVersion,
            ArrivalMs = item.ArrivalMs,
        };
        var outcome = _output.Append(header, payload.Bytes.Span, out var lsn, reserved: true);
        if (outcome != AppendOutcome.Written)
        {
            if (outcome != AppendOutcome.DiskFull)
            {
                Failed?.Invoke($"the output log refused a window of rule \"{rule.Name}\": {outcome} {_output.Failure}");
            }
            return false;
        }
        EmittedSamples += window.Count;
        if (window.IsCorrection)
        {
            CorrectedWindows++;
        }
        else
        {
            Remember(rule.Key, endMs);
            EmittedWindows++;
            lock (_recent)
            {
                _recent[rule.Key] = new RecentWindow(endMs, window.Count, window.First(RecentSamples));
            }
        }
        Offer(payload.Blocks, lsn);
        return true;
    }

    private void Offer(IReadOnlyList<BuiltBlock> blocks, long lsn)
    {
        // After the last block: nothing else of this record is for anybody.
        var end = new LogPosition(lsn, int.MaxValue);
        var nowMs = _time.GetUtcNow().ToUnixTimeMilliseconds();
        for (var i = 0; i < blocks.Count; i++)
        {
            var block = blocks[i];
            _destinations[block.Destination].Offer(
                new SealedBlock
                {
                    Feed = Feed.Outputs,
                    Lane = block.Lane,
                    End = new LogPosition(lsn, i),
                    Bytes = block.Bytes,
                    SampleCount = block.SampleCount,
                    MinTimestampMs = block.MinTimestampMs,
                    MaxTimestampMs = block.MaxTimestampMs,
                    SealedAtMs = nowMs,
                },
                nowMs);
        }
        foreach (var destination in _destinations)
        {
            destination.Passed(Feed.Outputs, end);
        }
    }

    private bool IsEmitted(UInt128 rule, long endMs) =>
        _found.Remove((rule, endMs)) || (_lastEmitted.TryGetValue(rule, out var last) && endMs <= last);

    private void Remember(UInt128 rule, long endMs)
    {
        if (!_lastEmitted.TryGetValue(rule, out var last) || endMs > last)
        {
            _lastEmitted[rule] = endMs;
        }
    }
}
