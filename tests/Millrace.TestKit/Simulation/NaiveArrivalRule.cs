using Millrace.Aggregation;

namespace Millrace.TestKit.Simulation;

/// <summary>
/// Arrival time: a window holds what stands in the log between its close and the one before, in that order.
/// </summary>
internal sealed class NaiveArrivalRule : NaiveRule
{
    private sealed class Counter
    {
        public long LastMs { get; set; }

        public double LastValue { get; set; }

        public long DeadlineMs { get; set; }
    }

    private readonly Dictionary<string, Counter> _counters = [];
    private readonly List<(PlainSample Sample, long ArrivalMs)> _open = [];

    public NaiveArrivalRule(AggregationRuleConfig config, long startMs, long? handoverMs)
        : base(config, startMs, handoverMs) =>
        // What another version counts is not held for the first window.
        ClosedThrough = handoverMs is null ? FirstWholeWindow - 1 : WindowOf(startMs) - 1;

    public override int OpenSamples => _open.Count;

    public override void Add(in PlainSample sample, long arrivalMs)
    {
        if (double.IsNaN(sample.Value))
        {
            return;
        }
        Touch(GroupOf(sample.Series).Text, arrivalMs);
        _open.Add((sample, arrivalMs));
    }

    public override void Close(long throughWindow, List<ExpectedOutput> outputs)
    {
        while (ClosedThrough < throughWindow)
        {
            if (AliveGroups.Count == 0)
            {
                ClosedThrough = throughWindow;
                return;
            }
            var increases = new Dictionary<string, (ExactSum All, ExactSum Prometheus, HashSet<string> Series)>();
            foreach (var (sample, arrivalMs) in _open)
            {
                var group = GroupOf(sample.Series).Text;
                if (!increases.TryGetValue(group, out var state))
                {
                    increases[group] = state = (new ExactSum(), new ExactSum(), []);
                }
                state.Series.Add(sample.Series.Text);
                var (all, prometheus) = Increase(sample, arrivalMs);
                state.All.Add(all);
                state.Prometheus.Add(prometheus);
            }
            Emit(ClosedThrough + 1, (group, output) => increases.TryGetValue(group, out var state)
                ? ValueOf(group, state.All, state.Prometheus, state.Series.Count, output) : null, outputs);
            _open.Clear();
            ClosedThrough++;
            foreach (var (series, counter) in new List<KeyValuePair<string, Counter>>(_counters))
            {
                if (EndOf(ClosedThrough) > counter.DeadlineMs)
                {
                    _counters.Remove(series);
                }
            }
        }
    }

    private (double All, double Prometheus) Increase(in PlainSample sample, long arrivalMs)
    {
        if (!_counters.TryGetValue(sample.Series.Text, out var counter))
        {
            _counters[sample.Series.Text] = counter = new Counter { DeadlineMs = long.MinValue };
        }
        var isKnown = counter.DeadlineMs / 1000 >= arrivalMs / 1000;
        if (isKnown && sample.TimestampMs < counter.LastMs)
        {
            return (0, 0);
        }
        var (all, prometheus) = (0.0, 0.0);
        if (isKnown)
        {
            all = prometheus = sample.Value >= counter.LastValue ? sample.Value - counter.LastValue : sample.Value;
        }
        else if (Config.FirstSample != FirstSample.Zero
            && arrivalMs / 1000 >= (StartMs / 1000) + (long)(Config.IgnoreFirstSampleInterval
                ?? Config.StalenessInterval ?? Config.Interval).TotalSeconds)
        {
            all = sample.Value;
        }
        (counter.LastMs, counter.LastValue) = (sample.TimestampMs, sample.Value);
        counter.DeadlineMs = Math.Max(counter.DeadlineMs, arrivalMs + StalenessMs);
        return (all, prometheus);
    }

    private double? ValueOf(string group, ExactSum all, ExactSum prometheus, int series, string output)
    {
        var sum = new ExactSum();
        var values = new List<(long TimeMs, double Value)>();
        foreach (var (sample, _) in _open)
        {
            if (GroupOf(sample.Series).Text == group)
            {
                sum.Add(sample.Value);
                values.Add((sample.TimestampMs, sample.Value));
            }
        }
        switch (output)
        {
            case "total" or "increase":
                return all.Value;
            case "total_prometheus" or "increase_prometheus":
                return prometheus.Value;
            case "count_series":
                return series;
            case "count_samples":
                return values.Count;
            case "sum_samples":
                return sum.Value;
            case "avg":
                return sum.Value / values.Count;
            default:
                var best = values[0];
                foreach (var value in values)
                {
                    var isBetter = output switch
                    {
                        "min" => value.Value < best.Value,
                        "max" => value.Value > best.Value,
                        "last" => value.TimeMs >= best.TimeMs, // of equal ones, the one that came last
                        _ => throw new ArgumentOutOfRangeException(nameof(output), output, null),
                    };
                    best = isBetter ? value : best;
                }
                return best.Value;
        }
    }
}
