using System.Globalization;
using Millrace.Aggregation;
using Millrace.Model;
using Millrace.TestKit.Oracle;

namespace Millrace.Tests.Aggregation;

/// <summary>What a random stream may hold.</summary>
internal sealed record StreamShape
{
    /// <summary>
    /// Samples come late by up to that share of the time in which they count, the allowed lateness and that of
    /// corrections; above 1 some come too late.
    /// </summary>
    public double Disorder { get; init; }

    public bool HasRepeats { get; init; }

    /// <summary>Repeats may bring another value.</summary>
    public bool HasConflicts { get; init; }

    /// <summary>Samples carry the time at which their counter began.</summary>
    public bool HasStarts { get; init; }

    /// <summary>Values that do not add up exactly.</summary>
    public bool HasFractions { get; init; }

    /// <summary>Series belong to targets, of which some begin before others.</summary>
    public bool HasTargets { get; init; }

    /// <summary>What the rule says besides.</summary>
    public Func<AggregationRuleConfig, AggregationRuleConfig> Rule { get; init; } = rule => rule;

    /// <summary>Values go up and down like those of a gauge.</summary>
    public bool IsGauge { get; init; }
}

/// <summary>A record of the log: samples that arrived together, and then, perhaps, a close.</summary>
internal sealed record StreamRecord(long ArrivalMs, StreamSample[] Samples, long? CloseThroughMs);

/// <summary>
/// A random rule and a random log for it, from a seed. Samples that are the only witness of a reset, the documented
/// exception, are left out; the oracle tells which those are. So are, for rules whose sums would see them, repeats
/// that are neither at the first nor at the last time of their series and window.
/// </summary>
internal sealed class RandomStream
{
    private static readonly string[] CounterOutputs =
        ["total", "total_prometheus", "increase", "increase_prometheus", "rate_sum", "rate_avg"];

    private static readonly string[] SampleOutputs =
    [
        "sum_samples", "count_samples", "count_series", "min", "max", "avg", "last", "sum_samples_total",
        "unique_samples", "stddev", "stdvar", "histogram_bucket", "sum_last", "first", "range",
    ];

    /// <summary>Exact only while a group has few different values, as gauges of this stream have.</summary>
    private const string Quantiles = "quantiles(0, 0.3, 0.5, 0.99, 1)";

    /// <summary>For groups that do not keep the labels.</summary>
    private static readonly string[] LabelOutputs =
        ["distinct(i)", "distinct(none)", "topk(2, i)", "topk(1, i, increase)"];

    private static readonly string[] SumOutputs =
    [
        "sum_samples", "sum_samples_total", "count_samples", "avg", "stddev", "stdvar", "histogram_bucket", Quantiles,
    ];

    private readonly Random _random;
    private readonly StreamShape _shape;
    private readonly List<(long ArrivalMs, StreamSample Sample)> _arrivals = [];
    private readonly long _latenessMs;
    private readonly long _correctedMs;

    public RandomStream(int seed, StreamShape shape)
    {
        _random = new Random(seed);
        _shape = shape;
        StartMs = 1_700_000_000_000 + _random.Next(600_000) * (long)_random.Next(1, 3);
        Config = shape.Rule(NewRule());
        _latenessMs = (long)(Config.Interval.TotalMilliseconds * _random.Next(0, 30) / 10);
        _correctedMs = Config.CountCorrectedWindows() * (long)Config.Interval.TotalMilliseconds;
        Oracle = new AggregationOracle(new OracleRule(Config, StartMs));
        Records = NewRecords();
    }

    public AggregationRuleConfig Config { get; }

    public long StartMs { get; }

    public List<StreamRecord> Records { get; }

    /// <summary>Has seen all records.</summary>
    public AggregationOracle Oracle { get; }

    private AggregationRuleConfig NewRule()
    {
        var intervalSeconds = Pick(1, 5, 10, 60, 600);
        var outputs = new List<string>();
        foreach (var output in Pick<string[]>(
            CounterOutputs, SampleOutputs, [.. CounterOutputs, .. SampleOutputs], ["total"], ["increase", "max"]))
        {
            if (_random.Next(4) > 0 || outputs.Count == 0)
            {
                outputs.Add(output);
            }
        }
        var isBy = _random.Next(2) == 0;
        string[] grouping = Pick<string[]>([], ["a"], ["b"], ["a", "b"], ["a", "none"]);
        if (_shape.IsGauge && _random.Next(2) == 0)
        {
            outputs.Add(Quantiles);
        }
        if (isBy && grouping.Length > 0 && !grouping.Contains("none") && _random.Next(2) == 0)
        {
            outputs.AddRange(LabelOutputs);
        }
        return new AggregationRuleConfig
        {
            Interval = TimeSpan.FromSeconds(intervalSeconds),
            IntervalText = $"{intervalSeconds}s",
            StalenessInterval = _random.Next(2) == 0
                ? null
                : TimeSpan.FromSeconds(intervalSeconds * _random.Next(10, 40) / 10.0),
            IgnoreFirstSampleInterval = _random.Next(2) == 0
                ? null
                : TimeSpan.FromSeconds(intervalSeconds * _random.Next(0, 3)),
            NoAlignFlushToInterval = _random.Next(2) == 0,
            Outputs = outputs,
            By = isBy ? grouping : [],
            Without = isBy ? [] : grouping,
            IgnoreFirstIntervals = Pick(0, 0, 0, 1, 3),
            EmitPartialWindows = _random.Next(4) == 0,
            FirstSample = Pick(FirstSample.Auto, FirstSample.Count, FirstSample.Zero),
        };
    }

    private List<StreamRecord> NewRecords()
    {
        for (var i = _random.Next(1, _shape.HasTargets ? 14 : 7); i > 0; i--)
        {
            AddSeries(i);
        }
        _arrivals.Sort((a, b) => a.ArrivalMs.CompareTo(b.ArrivalMs));
        var records = new List<StreamRecord>();
        var closedMs = StartMs;
        var needsFirstOrLast = Config.Outputs.Any(SumOutputs.Contains) && !Config.RemembersSamples;
        var hasCounters = Config.Outputs.Any(
            text => CounterOutputs.Contains(text) || text.EndsWith("increase)", StringComparison.Ordinal))
            && !Config.RemembersSamples;
        for (var at = 0; at < _arrivals.Count;)
        {
            var arrivalMs = _arrivals[at].ArrivalMs;
            var samples = new List<StreamSample>();
            for (; at < _arrivals.Count && _arrivals[at].ArrivalMs == arrivalMs; at++)
            {
                var one = _arrivals[at].Sample;
                var isKept = (!hasCounters || Oracle.IsDecidable(one.Labels, one.TimeMs, one.Value))
                    && (!needsFirstOrLast || !Oracle.IsInnerRepeat(one.Labels, one.TimeMs));
                if (isKept)
                {
                    samples.Add(one);
                    Oracle.Add(one.Labels, one.TimeMs, one.Value, arrivalMs, one.StartMs);
                }
            }
            long? close = null;
            if (arrivalMs - _latenessMs > closedMs && _random.Next(3) > 0)
            {
                close = closedMs = arrivalMs - _latenessMs;
                Oracle.Close(closedMs - _correctedMs); // until then the window may be corrected
            }
            records.Add(new StreamRecord(arrivalMs, [.. samples], close));
        }
        var endMs = records[^1].ArrivalMs + 3 * (long)Config.Interval.TotalMilliseconds;
        Oracle.Close(endMs);
        records.Add(new StreamRecord(endMs, [], endMs));
        return records;
    }

    private void AddSeries(int number)
    {
        var labels = LabelSet.Of(("__name__", Pick("x", "y")), ("a", Pick("1", "2")), ("b", Pick("", "1", "2")),
            ("i", number.ToString(CultureInfo.InvariantCulture)),
            ("instance", _shape.HasTargets ? Pick("", "one", "two") : ""), ("job", Pick("", "j")));
        var intervalMs = (long)Config.Interval.TotalMilliseconds;
        var scrapeMs = Math.Max(1, intervalMs / _random.Next(1, 12));
        var timeMs = StartMs + _random.NextInt64(-2 * intervalMs, (_shape.HasTargets ? 9 : 3) * intervalMs);
        var endMs = timeMs + _random.NextInt64(1, 12) * intervalMs;
        var beganMs = timeMs - _random.NextInt64(0, 3 * intervalMs);
        var value = (double)_random.Next(0, 50);
        while (timeMs < endMs)
        {
            Push(labels, timeMs, value, beganMs);
            var beforeMs = timeMs;
            timeMs += Math.Max(1, scrapeMs + (_random.Next(2) == 0 ? 0 : _random.NextInt64(-scrapeMs, scrapeMs)));
            if (_random.Next(20) == 0)
            {
                timeMs += Pick(intervalMs, intervalMs * 3, 290_000, 400_000); // around the five minutes
                endMs = Math.Max(endMs, timeMs + 2 * intervalMs);
            }
            if (_shape.IsGauge)
            {
                value = _random.Next(-5, 6);
            }
            else if (_random.Next(8) == 0)
            {
                beganMs = _random.NextInt64(beforeMs + 1, timeMs + 1);
                value = _shape.HasStarts && _random.Next(2) == 0 ? value + _random.Next(5) : _random.Next(0, 20);
            }
            else
            {
                value += Increment();
            }
        }
    }

    private double Increment() => _shape.HasFractions
        ? _random.NextDouble() * Math.Pow(10, _random.Next(-5, 6))
        : _random.Next(3) * _random.Next(100) / 4.0;

    private void Push(LabelSet labels, long timeMs, double value, long beganMs)
    {
        if (_random.Next(60) == 0)
        {
            value = _random.Next(2) == 0 ? double.NaN : BitConverter.UInt64BitsToDouble(0x7FF0000000000002);
        }
        var sample = new StreamSample(labels, timeMs, value, _shape.HasStarts ? beganMs : 0);
        Arrive(sample);
        if (_random.Next(200) == 0)
        {
            // From a clock that runs far ahead. No other sample of the series may have this time.
            Arrive(sample with { TimeMs = timeMs + 50 * (long)Config.Interval.TotalMilliseconds }, timeMs);
        }
        while (_shape.HasRepeats && _random.Next(4) == 0)
        {
            Arrive(_shape.HasConflicts && _random.Next(2) == 0
                ? sample with { Value = value + _random.Next(-20, 20) }
                : sample);
        }
    }

    private void Arrive(StreamSample sample, long? sentMs = null)
    {
        var isInOrder = _shape.Disorder == 0 || _random.Next(3) == 0;
        var lagMs = isInOrder ? 0 : _random.NextDouble() * _shape.Disorder * (_latenessMs + _correctedMs);
        // Arrival in steps, so that some samples share a record.
        var stepMs = Math.Max(1, (long)Config.Interval.TotalMilliseconds / 10);
        var arrivalMs = Math.Max(StartMs, (sentMs ?? sample.TimeMs) + (long)lagMs);
        _arrivals.Add(((arrivalMs + stepMs - 1) / stepMs * stepMs, sample));
    }

    private T Pick<T>(params ReadOnlySpan<T> choices) => choices[_random.Next(choices.Length)];
}
