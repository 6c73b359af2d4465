using System.Text;
using Millrace.Aggregation;
using Millrace.Configuration;
using Millrace.Log;
using Millrace.Memory;
using Millrace.Model;
using Millrace.Protocols;
using Millrace.Relabeling;

namespace Millrace.Pipeline;

/// <summary>A series that fed a point, as the log tells of it.</summary>
internal sealed class Contribution(LabelSet series)
{
    public LabelSet Series { get; } = series;

    /// <summary>The samples in the window, by time; of several at one time the largest.</summary>
    public SortedDictionary<long, double> Samples { get; } = [];

    /// <summary>The last sample before the window.</summary>
    public (long TimeMs, double Value)? Before { get; set; }

    /// <summary>Samples of the window that stand behind the cut.</summary>
    public int LateSamples { get; set; }

    /// <summary>Samples in the window that came when a later one was there already.</summary>
    public int OutOfOrder { get; set; }

    /// <summary>Values that are no number.</summary>
    public int NotANumber { get; set; }

    /// <summary>
    /// What a counter of these samples gained: from the sample before the window on, a decrease being a reset.
    /// </summary>
    public double Increase(long memoryMs)
    {
        var gained = 0.0;
        double? last = null;
        foreach (var (timeMs, value) in Samples)
        {
            last ??= Before is { } before && timeMs - before.TimeMs <= memoryMs ? before.Value : value;
            gained += value >= last ? value - last.Value : value;
            last = value;
        }
        return gained;
    }

    /// <summary>Decreases among the samples.</summary>
    public int Resets(long memoryMs)
    {
        var resets = 0;
        double? last = null;
        foreach (var (timeMs, value) in Samples)
        {
            last ??= Before is { } before && timeMs - before.TimeMs <= memoryMs ? before.Value : value;
            resets += value < last ? 1 : 0;
            last = value;
        }
        return resets;
    }
}

/// <summary>
/// What a point of an output series was made of: goes through the log the plain way, sample by sample, and so explains
/// the engine without being it. Reads only; the log may be one that a gateway is writing.
/// </summary>
internal sealed class WindowInquiry
{
    private readonly RecordLog _log;
    private readonly Generation _generation;
    private readonly LabelSet _output;
    private readonly Dictionary<LabelSet, Contribution?> _bySeries = [];
    private readonly BodyDecoder _decoder = new();
    private readonly List<(UInt128, long)> _closes = [];
    private readonly Dictionary<(UInt128 Rule, LabelSet Series), Contribution?> _byDerived = [];
    private readonly List<Label> _labels = [];
    private readonly LabelBuilder _scratch = new();
    private byte[] _derivedBuffer = [];

    /// <param name="log">The input log.</param>
    /// <param name="config">The configuration whose rule made the point.</param>
    /// <param name="output">The series, before the relabeling of destinations.</param>
    public WindowInquiry(RecordLog log, MillraceConfig config, LabelSet output)
    {
        (_log, _output) = (log, output);
        _generation = new Generation(config, [], new KeyedHash(new Random(1)));
    }

    /// <summary>The rule that some series in the log feeds the output by; null: none does.</summary>
    public AggregationRule? Rule { get; private set; }

    public long StartMs { get; private set; }

    public long EndMs { get; private set; }

    /// <summary>
    /// The record behind which no sample counts any more; 0: there is none yet, or another configuration was in force.
    /// </summary>
    public long CutLsn { get; private set; }

    /// <summary>
    /// The record with which the window was first written. With <c>late: correct</c> samples between it and the cut
    /// are in, by corrections.
    /// </summary>
    public long FirstCutLsn { get; private set; }

    public long FirstCutArrivalMs { get; private set; }

    public long CutArrivalMs { get; private set; }

    /// <summary>The configuration record in force at the cut says the same of the rule.</summary>
    public bool WasInForce { get; private set; } = true;

    /// <summary>The log no longer reaches back to where samples of the window could stand.</summary>
    public bool IsCutOff { get; private set; }

    public IReadOnlyList<Contribution> Contributions
    {
        get
        {
            var found = new List<Contribution>();
            foreach (var contribution in _bySeries.Values)
            {
                if (contribution is { Samples.Count: > 0 } or { LateSamples: > 0 })
                {
                    found.Add(contribution);
                }
            }
            foreach (var contribution in _byDerived.Values)
            {
                if (contribution is { Samples.Count: > 0 } or { LateSamples: > 0 })
                {
                    found.Add(contribution);
                }
            }
            found.Sort(static (a, b) => string.CompareOrdinal(a.Series.ToString(), b.Series.ToString()));
            return found;
        }
    }

    /// <param name="endMs">The point's timestamp.</param>
    /// <param name="stop">Ends it early.</param>
    public void Run(long endMs, CancellationToken stop)
    {
        EndMs = endMs;
        var memoryMs = 0L;
        var longestMs = 0L;
        foreach (var rule in _generation.Rules)
        {
            memoryMs = Math.Max(memoryMs, rule.CounterMemoryMs);
            longestMs = Math.Max(longestMs, rule.IntervalMs);
        }
        var fromMs = endMs - longestMs - memoryMs;
        var fromLsn = _log.StartBefore(fromMs);
        using var reader = _log.OpenReader(fromLsn);
        var isFirst = true;
        while (reader.NextLsn < _log.NextLsn && reader.TryRead(out var record))
        {
            stop.ThrowIfCancellationRequested();
            IsCutOff |= isFirst && record.Header.ArrivalMs > endMs - longestMs && fromLsn > 1;
            isFirst = false;
            Apply(record);
        }
    }

    private void Apply(in LogRecord record)
    {
        switch (record.Header.Type)
        {
            case RecordType.Batch:
                var sink = new TellingSink(this, record.Header.ArrivalMs);
                _decoder.TryTell(record.Payload.Span, BodyEncoding.FromNumber(record.Header.Encoding), ref sink);
                break;
            case RecordType.Derived:
                DerivedRecord.Tell(record.Payload, ref _derivedBuffer, TakeDerived);
                break;
            case RecordType.Configuration when CutLsn == 0:
                WasInForce = IsInForce(Encoding.UTF8.GetString(record.Payload.Span));
                break;
            case RecordType.Close when CutLsn == 0 && CloseRecord.TryRead(record.Payload.Span, _closes):
                Close(record);
                break;
            default:
                break;
        }
    }

    private void Close(in LogRecord record)
    {
        foreach (var (key, through) in _closes)
        {
            if (Rule is not { } rule || key != rule.Key)
            {
                continue;
            }
            // With no_align_flush_to_interval the windows' offset is the end's own.
            var window = rule.WindowOf(EndMs, ((EndMs % rule.IntervalMs) + rule.IntervalMs) % rule.IntervalMs);
            if (through >= window && FirstCutLsn == 0)
            {
                (FirstCutLsn, FirstCutArrivalMs) = (record.Lsn, record.Header.ArrivalMs);
            }
            if (through >= window + rule.CorrectedWindows)
            {
                (CutLsn, CutArrivalMs) = (record.Lsn, record.Header.ArrivalMs);
            }
        }
    }

    private bool IsInForce(string text)
    {
        var loaded = ConfigLoader.LoadCanonical(text);
        return Rule is null || loaded.Config is null
            || Array.Exists(AggregationRule.CompileAll(loaded.Config.Aggregation.Rules), rule => rule.Key == Rule.Key);
    }

    private Contribution? Find(LabelSet series)
    {
        if (!_bySeries.TryGetValue(series, out var contribution))
        {
            contribution = Feeds(series) ? new Contribution(series) : null;
            _bySeries.Add(series, contribution);
        }
        return contribution;
    }

    private bool Feeds(LabelSet series)
    {
        foreach (var (number, _, taken) in _generation.Resolver.Resolve(series.Labels.ToArray()).Aggregates)
        {
            if (Feeds(_generation.Rules[number], taken, out var isRule))
            {
                return isRule;
            }
        }
        return false;
    }

    private bool Feeds(AggregationRule rule, in RuleSeries taken, out bool isRule)
    {
        foreach (var output in rule.Outputs)
        {
            // Of an output with several series, the one that is asked for.
            var value = output.Label is null ? "" : _output[output.Label];
            if (rule.OutputLabels(taken.Group, output, value) is { } labels && labels.Equals(_output))
            {
                Rule ??= rule;
                StartMs = EndMs - rule.IntervalMs;
                isRule = ReferenceEquals(Rule, rule);
                return true;
            }
        }
        isRule = false;
        return false;
    }

    /// <summary>What other rules wrote for the rule.</summary>
    private void TakeDerived(UInt128 taker, ReadOnlySpan<byte> labels, long timeMs, double value)
    {
        var number = RuleHandover.NumberOf(_generation, taker);
        if (number < 0 || OutputBlockWriter.SeriesOf(labels, _labels) is not { } series)
        {
            return;
        }
        if (!_byDerived.TryGetValue((taker, series), out var contribution))
        {
            var rule = _generation.Rules[number];
            contribution = rule.TryTake(series, _scratch, out var taken) == RuleVerdict.Taken
                && Feeds(rule, taken, out var isRule) && isRule ? new Contribution(series) : null;
            _byDerived.Add((taker, series), contribution);
        }
        if (contribution is not null)
        {
            Add(contribution, timeMs, value);
        }
    }

    private void Add(Contribution contribution, long timeMs, double value)
    {
        if (timeMs > EndMs)
        {
            return;
        }
        if (timeMs <= StartMs)
        {
            if (CutLsn == 0 && !double.IsNaN(value)
                && (contribution.Before is not { } before || timeMs >= before.TimeMs))
            {
                contribution.Before = (timeMs, value);
            }
            return;
        }
        if (CutLsn > 0)
        {
            contribution.LateSamples++;
            return;
        }
        if (double.IsNaN(value))
        {
            contribution.NotANumber++;
            return;
        }
        foreach (var later in contribution.Samples.Keys)
        {
            if (later > timeMs)
            {
                contribution.OutOfOrder++;
                break;
            }
        }
        var known = contribution.Samples.TryGetValue(timeMs, out var other);
        contribution.Samples[timeMs] = known ? Math.Max(other, value) : value;
    }

    /// <summary>Tells samples with their labels in plain form.</summary>
    private struct TellingSink(WindowInquiry inquiry, long arrivalMs) : IWriteSink
    {
        private static readonly LabelLimits AnyLabels = new(int.MaxValue, int.MaxValue, int.MaxValue);

        private Contribution? _current;

        public readonly bool TryKnownSeries(ReadOnlySpan<byte> labels) => false;

        public void BeginSeries(ReadOnlySpan<byte> labels)
        {
            var parsed = new List<Label>();
            _current = LabelBlock.TryParse(labels, AnyLabels, parsed, out _)
                ? inquiry.Find(LabelSet.From(parsed)) : null;
        }

        public readonly void Sample(long timestampMs, double value, long startTimestampMs)
        {
            if (_current is not null)
            {
                inquiry.Add(_current, timestampMs == IWriteSink.NoTimestamp ? arrivalMs : timestampMs, value);
            }
        }

        public readonly void Histogram(ReadOnlySpan<byte> histogram, long timestampMs, long startTimestampMs)
        {
        }

        public readonly void Exemplar(ReadOnlySpan<byte> labels, double value, long timestampMs)
        {
        }

        public readonly void Metadata(
            ReadOnlySpan<byte> family, MetricType type, ReadOnlySpan<byte> help, ReadOnlySpan<byte> unit)
        {
        }

        public readonly void Refused(string reason, int samples, int histograms, int exemplars)
        {
        }
    }
}
