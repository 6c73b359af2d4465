using Millrace.Aggregation;
using Millrace.Model;
using Millrace.Relabeling;
using Millrace.TestKit.Oracle;
using Millrace.TestKit.Simulation;

namespace Millrace.TestKit.Conformance;

/// <summary>A value, and the sum of the amounts that were added up to it: what rounding is measured against.</summary>
internal readonly record struct ModelValue(double Value, double Scale);

/// <summary>
/// vmagent's stream aggregation by arrival time, written down plainly: what it does to one rule's samples. Between
/// versions, and between vmagent and ours, stand the conditions on the player, and nothing else: that a live vmagent
/// agrees with the model, and ours does, says that these are all the differences.
/// </summary>
internal sealed class VmagentModel
{
    private readonly AggregationRuleConfig _config;
    private readonly AggregationRule _rule;
    private readonly Relabeler _outputRelabeling;
    private readonly LabelBuilder _builder = new();
    private readonly AggregationCasePlayer _player;
    private readonly Dictionary<UInt128, Group> _groups = [];
    private readonly long _intervalMs;
    private readonly long _stalenessMs;
    private readonly long _countsFirstFromSecond;
    private long _windowStartMs;
    private int _ignoredIntervals;

    public VmagentModel(AggregationRuleConfig config, long startMs, AggregationCasePlayer player)
    {
        (_config, _player, _rule) = (config, player, new AggregationRule(config, 0));
        _outputRelabeling = Relabeler.Compile(config.OutputRelabelConfigs, [], RelabelDialect.VmAgent);
        _intervalMs = (long)config.Interval.TotalMilliseconds;
        var staleness = config.StalenessInterval ?? config.Interval * (Is145 ? 2 : 1);
        _stalenessMs = (long)staleness.TotalMilliseconds;
        _countsFirstFromSecond = startMs / 1000 + (long)(config.IgnoreFirstSampleInterval ?? staleness).TotalSeconds;
        _windowStartMs = config.NoAlignFlushToInterval ? startMs
            : (startMs + _intervalMs - 1) / _intervalMs * _intervalMs;
        _ignoredIntervals = config.IgnoreFirstIntervals;
    }

    public Dictionary<(long TimestampMs, string Series), ModelValue> Written { get; } = [];

    private bool Is145 => _player == AggregationCasePlayer.Vmagent145;

    /// <summary>Samples in the order of their arrival; windows that have ended are flushed before.</summary>
    public void Add(PlainSample sample, long arrivalMs)
    {
        FlushUntil(arrivalMs);
        var labels = new List<Label>();
        foreach (var (name, labelValue) in sample.Series.Labels)
        {
            labels.Add(new Label(name, labelValue));
        }
        if (_rule.TryTake(LabelSet.From(labels), _builder, out var taken) != RuleVerdict.Taken
            || double.IsNaN(sample.Value)
            || (_config.IgnoreOldSamples && sample.TimestampMs < _windowStartMs))
        {
            return;
        }
        if (!_groups.TryGetValue(taken.GroupKey, out var group))
        {
            _groups[taken.GroupKey] = group = new Group(taken.Group);
        }
        group.DeadlineMs = arrivalMs + _stalenessMs;
        group.Values.Add((sample.TimestampMs, sample.Value));
        group.SeriesInWindow.Add(taken.Key);
        AddToTotals(group, taken.Key, sample, arrivalMs);
        AddToRates(group, taken.Key, sample, arrivalMs);
    }

    public void FlushUntil(long timeMs)
    {
        while (_windowStartMs + _intervalMs <= timeMs)
        {
            _windowStartMs += _intervalMs;
            Flush(_windowStartMs);
        }
    }

    private void AddToTotals(Group group, UInt128 key, PlainSample sample, long arrivalMs)
    {
        var isKnown = group.Last.TryGetValue(key, out var last);
        if (isKnown && !Is145 && last!.DeadlineMs < arrivalMs / 1000 * 1000)
        {
            isKnown = false;
        }
        if (isKnown && sample.TimestampMs < last!.TimestampMs)
        {
            return;
        }
        if (isKnown)
        {
            var delta = sample.Value >= last!.Value ? sample.Value - last.Value : sample.Value;
            group.Increase += delta;
            group.IncreasePrometheus += delta;
            group.IncreaseScale += Math.Abs(sample.Value) + Math.Abs(last.Value);
        }
        else if (arrivalMs / 1000 >= _countsFirstFromSecond)
        {
            group.Increase += sample.Value;
            group.IncreaseScale += Math.Abs(sample.Value);
        }
        group.Last[key] = new LastSample(sample.TimestampMs, sample.Value, arrivalMs + _stalenessMs);
    }

    private void AddToRates(Group group, UInt128 key, PlainSample sample, long arrivalMs)
    {
        var isKnown = group.Rates.TryGetValue(key, out var rate);
        if (!isKnown || (!Is145 && rate!.DeadlineMs < arrivalMs / 1000 * 1000))
        {
            group.Rates[key] = rate = new RateState { SinceMs = sample.TimestampMs };
        }
        else
        {
            if (sample.TimestampMs < rate!.TimestampMs || (!Is145 && sample.TimestampMs < rate.SinceMs))
            {
                return;
            }
            rate.Increase += sample.Value >= rate.Value ? sample.Value - rate.Value : sample.Value;
            rate.Scale += Math.Abs(sample.Value) + Math.Abs(rate.Value);
        }
        rate.Value = sample.Value;
        rate.TimestampMs = sample.TimestampMs;
        rate.DeadlineMs = arrivalMs + _stalenessMs;
    }

    private void Flush(long endMs)
    {
        var isShown = _ignoredIntervals-- <= 0;
        foreach (var (key, group) in new List<KeyValuePair<UInt128, Group>>(_groups))
        {
            if (endMs > group.DeadlineMs)
            {
                _groups.Remove(key);
                continue;
            }
            foreach (var (series, last) in new List<KeyValuePair<UInt128, LastSample>>(group.Last))
            {
                if (endMs > last.DeadlineMs)
                {
                    group.Last.Remove(series);
                }
            }
            var rates = FlushRates(group, endMs);
            foreach (var output in _config.Outputs)
            {
                if (ValueOf(group, output, rates) is { } value && isShown)
                {
                    Write(group, output, endMs, value);
                }
            }
            group.EndWindow();
        }
    }

    private static (double Sum, double Scale, int Series) FlushRates(Group group, long endMs)
    {
        var (sum, scale, count) = (0.0, 0.0, 0);
        foreach (var (series, rate) in new List<KeyValuePair<UInt128, RateState>>(group.Rates))
        {
            if (endMs > rate.DeadlineMs)
            {
                group.Rates.Remove(series);
            }
            else if (rate.TimestampMs > 0)
            {
                var seconds = (rate.TimestampMs - rate.SinceMs) / 1000.0;
                if (seconds > 0)
                {
                    sum += rate.Increase / seconds;
                    scale += rate.Scale / seconds;
                    count++;
                }
                rate.SinceMs = rate.TimestampMs;
                rate.TimestampMs = 0;
                rate.Increase = 0;
                rate.Scale = 0;
            }
        }
        return (sum, scale, count);
    }

    private ModelValue? ValueOf(Group group, string output, (double Sum, double Scale, int Series) rates)
    {
        var isIdle = group.Values.Count == 0;
        switch (output)
        {
            case "total" or "total_prometheus":
                return Total(group, output);
            case "increase" or "increase_prometheus" when isIdle:
                return Is145 ? new ModelValue(0, 0) : null;
            case "increase":
                return new ModelValue(group.Increase, group.IncreaseScale);
            case "increase_prometheus":
                return new ModelValue(group.IncreasePrometheus, group.IncreaseScale);
            case "rate_sum" or "rate_avg" when rates.Series == 0:
                return null;
            case "rate_sum":
                return new ModelValue(rates.Sum, rates.Scale);
            case "rate_avg":
                return new ModelValue(rates.Sum / rates.Series, rates.Scale);
            case "sum_samples":
                return Sum(group);
            default:
                return isIdle ? null : OfValues(group, output);
        }
    }

    private ModelValue Total(Group group, string output)
    {
        const double Largest = 1L << 53;
        var (before, scale) = group.Totals.GetValueOrDefault(output);
        var total = new ModelValue(
            before + (output == "total" ? group.Increase : group.IncreasePrometheus), scale + group.IncreaseScale);
        // Ours: one sample that is not finite must not spoil the total for good.
        var isReset = Math.Abs(total.Value) >= Largest
            || (_player == AggregationCasePlayer.Ours && !double.IsFinite(total.Value));
        group.Totals[output] = isReset ? default : total;
        return total;
    }

    private static ModelValue? OfValues(Group group, string output)
    {
        var (bestMs, best) = group.Values[0];
        foreach (var (timeMs, value) in group.Values)
        {
            var isBetter = output switch
            {
                "min" => value < best,
                "max" => value > best,
                _ => timeMs >= bestMs, // last: of equal ones, the one that came last
            };
            (bestMs, best) = isBetter ? (timeMs, value) : (bestMs, best);
        }
        return output switch
        {
            "min" or "max" or "last" => new ModelValue(best, 0),
            "count_samples" => new ModelValue(group.Values.Count, 0),
            "count_series" => new ModelValue(group.SeriesInWindow.Count, 0),
            "avg" => new ModelValue(
                Sum(group).Value / group.Values.Count, Sum(group).Scale / group.Values.Count),
            _ => throw new ArgumentOutOfRangeException(nameof(output), output, "is not in the model"),
        };
    }

    private static ModelValue Sum(Group group)
    {
        var (sum, scale) = (0.0, 0.0);
        foreach (var (_, value) in group.Values)
        {
            sum += value;
            scale += Math.Abs(value);
        }
        return new ModelValue(sum, scale);
    }

    private void Write(Group group, string output, long endMs, ModelValue value)
    {
        var labels = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (var label in group.Labels.Labels)
        {
            labels[label.Name] = label.Value;
        }
        if (!_config.KeepMetricNames)
        {
            labels[LabelSet.MetricName] = labels.GetValueOrDefault(LabelSet.MetricName, "") + ":"
                + _config.IntervalText + Grouping("_by_", _config.By) + Grouping("_without_", _config.Without)
                + "_" + output;
        }
        var list = new List<Label>();
        foreach (var (name, text) in labels)
        {
            list.Add(new Label(name, text));
        }
        if (_outputRelabeling.TryApply(LabelSet.From(list), _builder, out var series))
        {
            Written[(endMs, series.ToString())] = value;
        }
    }

    private static string Grouping(string word, IReadOnlyList<string> labels)
    {
        var named = new SortedSet<string>(labels, StringComparer.Ordinal);
        named.Remove(LabelSet.MetricName);
        return named.Count == 0 ? "" : word + string.Join('_', named);
    }

    private sealed record LastSample(long TimestampMs, double Value, long DeadlineMs);

    private sealed class RateState
    {
        public long SinceMs { get; set; }

        public long TimestampMs { get; set; }

        public double Value { get; set; }

        public double Increase { get; set; }

        public double Scale { get; set; }

        public long DeadlineMs { get; set; }
    }

    private sealed class Group(LabelSet labels)
    {
        public LabelSet Labels { get; } = labels;

        public long DeadlineMs { get; set; }

        public List<(long TimestampMs, double Value)> Values { get; } = [];

        public HashSet<UInt128> SeriesInWindow { get; } = [];

        public Dictionary<UInt128, LastSample> Last { get; } = [];

        public Dictionary<UInt128, RateState> Rates { get; } = [];

        public Dictionary<string, ModelValue> Totals { get; } = [];

        public double Increase { get; set; }

        public double IncreasePrometheus { get; set; }

        public double IncreaseScale { get; set; }

        public void EndWindow()
        {
            Values.Clear();
            SeriesInWindow.Clear();
            Increase = 0;
            IncreasePrometheus = 0;
            IncreaseScale = 0;
        }
    }
}
