using Millrace.Aggregation;
using Millrace.Model;
using Millrace.Relabeling;
using Millrace.TestKit.Oracle;
using Millrace.TestKit.Simulation;

namespace Millrace.TestKit.Conformance;

/// <summary>A value, and the sum of the amounts that were added up to it: what rounding is measured against.</summary>
internal readonly record struct ModelValue(double Value, double Scale)
{
    /// <summary>
    /// How far values may be apart, as a share of the scale: 16 units in the last place. vmagent adds in plain floating
    /// point, rates in random order.
    /// </summary>
    public const double Tolerance = 1.0 / (1L << 48);

    public bool IsSame(double other) =>
        other.Equals(Value) || other == Value || Math.Abs(other - Value) <= Scale * Tolerance;
}

/// <summary>
/// vmagent's stream aggregation by arrival time, written down plainly: what it does to one rule's samples. Between
/// versions, and between vmagent and ours, stand the conditions on the player, and nothing else: that a live vmagent
/// agrees with the model, and ours does, says that these are all the differences.
/// </summary>
internal sealed partial class VmagentModel
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
    private readonly long _firstMs; // the first boundary
    private readonly long _tickMs;  // the dedup interval, where there is one
    private readonly Dictionary<UInt128, (RuleSeries Series, PlainSample Sample)> _held = [];
    private long _lastTickMs;
    private int _ignoredIntervals;

    public VmagentModel(AggregationRuleConfig config, long startMs, AggregationCasePlayer player)
    {
        (_config, _player, _rule) = (config, player, new AggregationRule(config, 0));
        _outputRelabeling = Relabeler.Compile(config.OutputRelabelConfigs, [], RelabelDialect.VmAgent);
        _intervalMs = (long)config.Interval.TotalMilliseconds;
        var staleness = config.StalenessInterval ?? config.Interval * (Is145 ? 2 : 1);
        _stalenessMs = (long)staleness.TotalMilliseconds;
        _countsFirstFromSecond = startMs / 1000 + (long)(config.IgnoreFirstSampleInterval ?? staleness).TotalSeconds;
        _firstMs = config.NoAlignFlushToInterval ? startMs
            : (startMs + _intervalMs - 1) / _intervalMs * _intervalMs;
        _lastTickMs = _firstMs;
        var dedupMs = (long)(config.DedupInterval ?? TimeSpan.Zero).TotalMilliseconds;
        _tickMs = dedupMs > 0 ? dedupMs : _intervalMs;
        _ignoredIntervals = config.IgnoreFirstIntervals;
    }

    public Dictionary<(long TimestampMs, string Series), ModelValue> Written { get; } = [];

    private bool HasDedup => _config.DedupInterval > TimeSpan.Zero;

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
            || (_config.IgnoreOldSamples && sample.TimestampMs < _lastTickMs))
        {
            return;
        }
        if (!HasDedup)
        {
            Book(taken, sample, arrivalMs);
        }
        else if (!_held.TryGetValue(taken.Key, out var held) || held.Sample.TimestampMs < sample.TimestampMs
            || (held.Sample.TimestampMs == sample.TimestampMs && held.Sample.Value < sample.Value))
        {
            _held[taken.Key] = (taken, sample);
        }
    }

    public void FlushUntil(long timeMs)
    {
        while (_lastTickMs + _tickMs <= timeMs)
        {
            _lastTickMs += _tickMs;
            foreach (var (series, sample) in _held.Values)
            {
                Book(series, sample, _lastTickMs);
            }
            _held.Clear();
            if ((_lastTickMs - _firstMs) % _intervalMs == 0)
            {
                Flush(_lastTickMs);
            }
        }
    }

    private void Book(RuleSeries taken, PlainSample sample, long arrivalMs)
    {
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
                foreach (var (label, text, value) in ValuesOf(group, output, rates))
                {
                    if (isShown)
                    {
                        Write(group, output, endMs, new Label(label, text), value);
                    }
                }
            }
            group.EndWindow();
        }
    }

    private (double Sum, double Scale, int Series) FlushRates(Group group, long endMs)
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
                // Ours: a series that has shown both infinities has no rate.
                var hasRate = seconds > 0 && !(_player == AggregationCasePlayer.Ours && double.IsNaN(rate.Increase));
                if (hasRate)
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

        public Dictionary<string, int> Buckets { get; } = [];

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
