using Millrace.Aggregation;

namespace Millrace.TestKit.Simulation;

/// <summary>
/// Event time: a sample belongs to the window of its own timestamp; what comes behind the close is late.
/// </summary>
internal sealed class NaiveEventRule : NaiveRule
{
    private sealed class Series(PlainSeries labels)
    {
        public PlainSeries Labels { get; } = labels;

        /// <summary>Samples of windows not closed yet.</summary>
        public SortedDictionary<long, double> Open { get; } = [];

        /// <summary>The last counted sample of the closed windows.</summary>
        public (long TimeMs, double Value)? Base { get; set; }

        /// <summary>The window in which the samples began that lead to the base without a long pause.</summary>
        public long FirstWindow { get; set; }
    }

    private sealed class GroupWindow
    {
        public ExactSum Increase { get; } = new();

        public ExactSum IncreasePrometheus { get; } = new();

        public ExactSum Rate { get; } = new();

        public ExactSum Sum { get; } = new();

        public int RateCount { get; set; }

        public int SeriesCount { get; set; }

        public List<(long TimeMs, double Value)> Samples { get; } = [];
    }

    private readonly Dictionary<string, Series> _series = [];
    private readonly long _counterMemoryMs;

    public NaiveEventRule(AggregationRuleConfig config, long startMs, long? handoverMs)
        : base(config, startMs, handoverMs)
    {
        ClosedThrough = WindowOf(startMs) - 1;
        _counterMemoryMs = Math.Max(StalenessMs, 300_000);
    }

    public override int OpenSamples
    {
        get
        {
            var count = 0;
            foreach (var series in _series.Values)
            {
                count += series.Open.Count;
            }
            return count;
        }
    }

    public override void Add(in PlainSample sample, long arrivalMs)
    {
        if (double.IsNaN(sample.Value))
        {
            return;
        }
        var window = WindowOf(sample.TimestampMs);
        if (window <= ClosedThrough || window > WindowOf(arrivalMs) + 1)
        {
            LateSamples++;
            return;
        }
        if (!_series.TryGetValue(sample.Series.Text, out var series))
        {
            _series[sample.Series.Text] = series = new Series(sample.Series);
        }
        var known = series.Open.TryGetValue(sample.TimestampMs, out var value);
        series.Open[sample.TimestampMs] = known ? Math.Max(value, sample.Value) : sample.Value;
    }

    public override void Close(long throughWindow, List<ExpectedOutput> outputs)
    {
        while (ClosedThrough < throughWindow)
        {
            var window = ClosedThrough + 1;
            if (AliveGroups.Count == 0 && FirstOpenMs() is var first
                && (first is null || WindowOf(first.Value) > window))
            {
                ClosedThrough = first is null
                    ? throughWindow : Math.Min(throughWindow, WindowOf(first.Value) - 1);
                continue;
            }
            var groups = new Dictionary<string, GroupWindow>();
            var known = KnownTargets(window);
            foreach (var series in _series.Values)
            {
                CloseSeries(series, window, groups, known);
            }
            if (window >= FirstBookedWindow)
            {
                Emit(window,
                (group, output) => groups.TryGetValue(group, out var state) ? ValueOf(state, output) : null,
                    outputs);
            }
            ClosedThrough = window;
        }
    }

    private long? FirstOpenMs()
    {
        long? first = null;
        foreach (var series in _series.Values)
        {
            foreach (var timeMs in series.Open.Keys)
            {
                first = first is null ? timeMs : Math.Min(first.Value, timeMs);
                break;
            }
        }
        return first;
    }

    /// <summary>
    /// By group and instance: when a series of it was seen last that was seen two windows ago or before.
    /// </summary>
    private Dictionary<string, long> KnownTargets(long window)
    {
        var known = new Dictionary<string, long>();
        foreach (var series in _series.Values)
        {
            if (series.Base is not { } last || series.FirstWindow > window - 2)
            {
                continue;
            }
            var lastMs = last.TimeMs;
            foreach (var (timeMs, _) in SamplesOf(series, window))
            {
                lastMs = timeMs - lastMs <= _counterMemoryMs ? timeMs : lastMs;
            }
            var target = TargetOf(series);
            known[target] = Math.Max(lastMs, known.GetValueOrDefault(target, lastMs));
        }
        return known;
    }

    private string TargetOf(Series series) => $"{GroupOf(series.Labels).Text} {series.Labels["instance"]}";

    private List<(long TimeMs, double Value)> SamplesOf(Series series, long window)
    {
        var samples = new List<(long TimeMs, double Value)>();
        foreach (var (timeMs, value) in series.Open)
        {
            if (timeMs <= EndOf(window))
            {
                samples.Add((timeMs, value));
            }
        }
        return samples;
    }

    private void CloseSeries(
        Series series, long window, Dictionary<string, GroupWindow> groups, Dictionary<string, long> knownTargets)
    {
        var samples = SamplesOf(series, window);
        if (samples.Count == 0)
        {
            return;
        }
        foreach (var (timeMs, _) in samples)
        {
            series.Open.Remove(timeMs);
        }
        var before = series.Base is { } known && samples[0].TimeMs - known.TimeMs <= _counterMemoryMs
            ? series.Base : null;
        series.FirstWindow = before is null ? window : series.FirstWindow;
        series.Base = samples[^1];
        if (window < FirstBookedWindow)
        {
            return;
        }
        var group = GroupOf(series.Labels).Text;
        Touch(group, samples[^1].TimeMs);
        if (!groups.TryGetValue(group, out var state))
        {
            groups[group] = state = new GroupWindow();
        }
        var isBirth = knownTargets.TryGetValue(TargetOf(series), out var seenMs)
            && samples[0].TimeMs - seenMs <= _counterMemoryMs && series.Labels["instance"].Length > 0;
        AddIncrease(state, before, samples, isBirth);
        state.SeriesCount++;
        foreach (var sample in samples)
        {
            state.Samples.Add(sample);
            state.Sum.Add(sample.Value);
        }
    }

    private void AddIncrease(
        GroupWindow state, (long TimeMs, double Value)? before, List<(long TimeMs, double Value)> samples, bool isBirth)
    {
        var increase = 0.0;
        var last = before;
        foreach (var sample in samples)
        {
            if (last is { } from)
            {
                increase += sample.Value >= from.Value ? sample.Value - from.Value : sample.Value;
            }
            last = sample;
        }
        var counts = before is null
            && (Config.FirstSample == FirstSample.Count || (Config.FirstSample == FirstSample.Auto && isBirth))
            && samples[0].TimeMs >= StartMs + (long)(Config.IgnoreFirstSampleInterval
                ?? Config.StalenessInterval ?? Config.Interval).TotalMilliseconds;
        state.IncreasePrometheus.Add(increase);
        state.Increase.Add(increase + (counts ? samples[0].Value : 0));
        var sinceMs = before?.TimeMs ?? samples[0].TimeMs;
        if (samples[^1].TimeMs > sinceMs)
        {
            state.Rate.Add(increase / ((samples[^1].TimeMs - sinceMs) / 1000.0));
            state.RateCount++;
        }
    }

    private static double? ValueOf(GroupWindow state, string output)
    {
        switch (output)
        {
            case "total" or "increase":
                return state.Increase.Value;
            case "total_prometheus" or "increase_prometheus":
                return state.IncreasePrometheus.Value;
            case "rate_sum":
                return state.RateCount == 0 ? null : state.Rate.Value;
            case "rate_avg":
                return state.RateCount == 0 ? null : state.Rate.Value / state.RateCount;
            case "count_series":
                return state.SeriesCount;
            case "count_samples":
                return state.Samples.Count;
            case "sum_samples":
                return state.Sum.Value;
            case "avg":
                return state.Sum.Value / state.Samples.Count;
            default:
                var best = state.Samples[0];
                foreach (var sample in state.Samples)
                {
                    var isBetter = output switch
                    {
                        "min" => sample.Value < best.Value,
                        "max" => sample.Value > best.Value,
                        "last" => sample.TimeMs > best.TimeMs
                            || (sample.TimeMs == best.TimeMs && sample.Value > best.Value),
                        _ => throw new ArgumentOutOfRangeException(nameof(output), output, null),
                    };
                    best = isBetter ? sample : best;
                }
                return best.Value;
        }
    }
}
