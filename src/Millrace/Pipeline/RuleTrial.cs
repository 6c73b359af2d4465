using Millrace.Aggregation;
using Millrace.Configuration;
using Millrace.Log;
using Millrace.Memory;

namespace Millrace.Pipeline;

/// <summary>A window that a trial closed: how many output series it has, and the first of them.</summary>
internal sealed record TrialWindow(long EndMs, int SampleCount, IReadOnlyList<OutputSample> First);

/// <summary>What a rule made of the time.</summary>
internal sealed class TrialRule(AggregationRule rule)
{
    private readonly HashSet<UInt128> _outputSeries = [];

    public AggregationRule Rule { get; } = rule;

    public List<TrialWindow> Windows { get; } = [];

    /// <summary>Series that it took; those forgotten before the end of the time are not among them.</summary>
    public long InputSeries { get; set; }

    public long OutputSeries => _outputSeries.Count;

    public long Samples { get; set; }

    public long LateSamples { get; set; }

    public long TooFarAhead { get; set; }

    public long NotANumber { get; set; }

    public long Repeats { get; set; }

    public long AmbiguousResets { get; set; }

    /// <summary>Samples given again because late ones came, with <c>late: correct</c>.</summary>
    public long Corrections { get; private set; }

    public void Add(long endMs, ClosedWindow window, int limit)
    {
        foreach (var sample in window.Samples)
        {
            _outputSeries.Add(sample.Key);
        }
        if (window.IsCorrection)
        {
            Corrections += window.Count;
            Correct(endMs, window.Samples, limit);
            return;
        }
        Windows.Add(new TrialWindow(endMs, window.Count, window.First(limit)));
    }

    /// <summary>What is shown of a window are its last values.</summary>
    private void Correct(long endMs, IEnumerable<OutputSample> samples, int limit)
    {
        var at = Windows.FindIndex(window => window.EndMs >= endMs);
        if (at < 0 || Windows[at].EndMs != endMs)
        {
            at = at < 0 ? Windows.Count : at;
            Windows.Insert(at, new TrialWindow(endMs, 0, []));
        }
        var first = new List<OutputSample>(Windows[at].First);
        foreach (var sample in samples)
        {
            var known = first.FindIndex(one => one.Key == sample.Key && one.BeforeMs == sample.BeforeMs);
            if (known >= 0)
            {
                first[known] = sample;
            }
            else if (Windows[at].SampleCount == Windows[at].First.Count && first.Count < limit)
            {
                first.Add(sample); // All were shown, so this one is new.
            }
        }
        Windows[at] = Windows[at] with { SampleCount = Math.Max(Windows[at].SampleCount, first.Count), First = first };
    }
}

/// <summary>
/// Runs a configuration over the end of a log, as if it had been in force: the records go through the same engine, and
/// windows close by the same policy at the arrival times of the log. Nothing is written, and the log may be one that a
/// gateway is writing.
/// </summary>
internal sealed class RuleTrial
{
    private readonly RecordLog _log;
    private readonly Engine _engine;
    private readonly Generation _generation;
    private readonly Dictionary<UInt128, TrialRule> _rules = [];
    private readonly Dictionary<UInt128, ClosePolicy> _policies = [];
    private readonly BodyDecoder _decoder = new();
    private readonly DerivedWriter _derivedWriter = new();
    private readonly DerivedDecoder _derivedDecoder = new();
    private readonly Queue<CloseItem> _closed = new(); // with rules that take what they give
    private readonly RequestMemory _requests = new();
    private readonly int _limit;
    private long _nextObserveMs;

    /// <param name="log">The input log.</param>
    /// <param name="config">Rules, routes and relabeling; destinations are left out.</param>
    /// <param name="limit">Output series that are kept of each window.</param>
    /// <param name="time">For the engine, which asks it nothing that decides a value.</param>
    public RuleTrial(RecordLog log, MillraceConfig config, int limit, TimeProvider time)
    {
        (_log, _limit) = (log, limit);
        var hash = new KeyedHash(new Random(1));
        _generation = new Generation(config, [], hash);
        // A trial has no output log: what it would append is captured.
        var emitter = new Emitter(null, null!, [], time) { Captured = Capture };
        _engine = new Engine(Generation.Empty([], hash), [], emitter, workers: 1, time);
        foreach (var rule in _generation.Rules)
        {
            _rules[rule.Key] = new TrialRule(rule);
        }
    }

    public long Records { get; private set; }

    public long Samples => _engine.Ledger.Total.Samples;

    public long FirstArrivalMs { get; private set; }

    public long LastArrivalMs { get; private set; }

    /// <summary>Records that are damaged, or gone before they could be read.</summary>
    public long LostRecords { get; private set; }

    /// <summary>In the order of the configuration.</summary>
    public IEnumerable<TrialRule> Rules
    {
        get
        {
            foreach (var rule in _generation.Rules)
            {
                yield return _rules[rule.Key];
            }
        }
    }

    /// <summary>Over the records that came within a time before the last one.</summary>
    public void Run(TimeSpan last, CancellationToken stop)
    {
        var fromMs = PipelineBuilder.LastTimes(_log).ArrivalMs - (long)last.TotalMilliseconds;
        using var reader = _log.OpenReader(_log.StartBefore(fromMs));
        while (reader.NextLsn < _log.NextLsn && reader.TryRead(out var record))
        {
            stop.ThrowIfCancellationRequested();
            if (record.Header.Type == RecordType.Batch && record.Header.ArrivalMs >= fromMs)
            {
                Apply(record);
            }
        }
        if (Records > 0)
        {
            CloseUpTo(LastArrivalMs);
        }
        LostRecords = reader.SkippedRecords + reader.DroppedRecords;
        foreach (var shard in _engine.Shards)
        {
            Count(_rules[shard.Rule.Key], shard);
        }
    }

    private void Apply(in LogRecord record)
    {
        var arrivalMs = Math.Max(LastArrivalMs, record.Header.ArrivalMs);
        if (Records++ == 0)
        {
            FirstArrivalMs = arrivalMs;
            _engine.HandOverConfiguration(_generation, record.Lsn, arrivalMs);
        }
        LastArrivalMs = arrivalMs;
        CloseUpTo(arrivalMs);
        var item = _engine.RentItem();
        var encoding = BodyEncoding.FromNumber(record.Header.Encoding);
        var outcome = _decoder.Decode(
            record.Payload.Span, encoding, _engine.Generation, BodyLimits.None, item.Batch, out _);
        var hash = record.Header.RequestHash;
        if (outcome != DecodeOutcome.Ok
            || (hash != default && !_requests.Add(RememberedRequest.Of(hash, arrivalMs, record.Lsn, item.Batch))))
        {
            _engine.ReturnItem(item);
            return;
        }
        item.Lsn = record.Lsn;
        item.ArrivalMs = arrivalMs;
        item.Batch.Stamp(arrivalMs);
        item.Deal.Deal(item.Batch, arrivalMs, _generation.TaskCount, _engine.Lanes.Length);
        _engine.HandOver(item);
    }

    /// <summary>Rules that take what others write close behind them.</summary>
    private void CloseUpTo(long nowMs)
    {
        while (TryCloseUpTo(nowMs))
        {
            while (_closed.TryDequeue(out var item))
            {
                Derive(item, nowMs);
            }
        }
    }

    private bool TryCloseUpTo(long nowMs)
    {
        var rules = _engine.Rules;
        var observes = nowMs >= _nextObserveMs;
        _nextObserveMs = observes ? nowMs + RunningPipeline.LatenessMs : _nextObserveMs;
        List<(UInt128, long)>? closes = null;
        for (var i = 0; i < rules.Terms.Length; i++)
        {
            var rule = rules.Generation.RulesInForce[i];
            if (!_policies.TryGetValue(rule.Key, out var policy))
            {
                policy = new ClosePolicy(rule, rules.Terms[i].Clock, _generation.Config.Aggregation);
                _policies.Add(rule.Key, policy);
            }
            if (observes)
            {
                policy.Observe(LagsOf(rule));
            }
            var through = policy.CloseThrough(
                nowMs, isCatchingUp: false,
                rules.Generation.Chain.ReadyThrough(rules, i, _engine.Emitter.Derivations));
            if (through > rules.ClosedThrough[i])
            {
                (closes ??= []).Add((rule.Key, through));
            }
        }
        if (closes is not null)
        {
            _engine.HandOverClose(closes, 0, nowMs);
        }
        return _closed.Count > 0;
    }

    /// <summary>As the emitter does, without a log.</summary>
    private void Derive(CloseItem closed, long nowMs)
    {
        foreach (var payload in _derivedWriter.Write(closed))
        {
            var item = _engine.RentItem();
            if (!_derivedDecoder.TryDecode(payload.Bytes, _engine.Generation, item.Batch, out _))
            {
                throw new InvalidOperationException($"The record {payload.Part} cannot be read again.");
            }
            item.ArrivalMs = nowMs;
            item.Deal.Deal(item.Batch, nowMs, _generation.TaskCount, _engine.Lanes.Length);
            _engine.HandOver(item);
        }
        foreach (var (taker, fromMs) in closed.Takers)
        {
            _engine.Emitter.Derivations.End(taker, fromMs);
        }
    }

    private IEnumerable<LagHistogram> LagsOf(AggregationRule rule)
    {
        foreach (var shard in _engine.ShardsOf(rule))
        {
            yield return shard.Counters.Lags;
        }
    }

    private void Capture(CloseItem item)
    {
        if (item.Takers.Count > 0)
        {
            _closed.Enqueue(item);
        }
        for (var i = 0; i < item.Closes.Count; i++)
        {
            var rule = item.Generation.RulesInForce[item.Closes[i].Rule];
            foreach (var (endMs, window) in Emitter.Windows(item.Parts[i]))
            {
                _rules[rule.Key].Add(endMs, window, _limit);
            }
        }
    }

    private static void Count(TrialRule rule, RuleShard shard)
    {
        var counters = shard.Counters;
        rule.InputSeries += shard.SeriesCount;
        rule.Samples += counters.Samples;
        rule.TooFarAhead += counters.TooFarAhead;
        rule.NotANumber += counters.NotANumber;
        rule.Repeats += counters.Repeats;
        rule.AmbiguousResets += counters.AmbiguousResets;
        foreach (var late in counters.LateSamples)
        {
            rule.LateSamples += late;
        }
    }
}
