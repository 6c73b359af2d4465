using System.Globalization;
using System.IO;
using System.Text;
using Millrace.Aggregation;
using Millrace.Aggregation.Histograms;
using Millrace.Memory;
using Millrace.Model;
using Millrace.Protocols;
using Millrace.Relabeling;

namespace Millrace.Tests.Aggregation;

/// <summary>One sample on its way into a shard.</summary>
internal readonly record struct StreamSample(LabelSet Labels, long TimeMs, double Value, long StartMs = 0);

/// <summary>One shard, fed as a worker feeds it; what it emitted stands in a table.</summary>
internal sealed class ShardRig
{
    private readonly ShardScratch _scratch = new();
    private readonly PendingSamples _pending = new();
    private readonly LabelBuilder _builder = new();
    private readonly long _originMs;

    /// <param name="originMs">Added to all times on the way in, so that a test may count from 0.</param>
    /// <param name="handoverMs">Up to when an older version of the rule answers; null: there is none.</param>
    public ShardRig(AggregationRuleConfig config, long startMs, long originMs = 0, long? handoverMs = null)
    {
        _originMs = originMs;
        var rule = new AggregationRule(config, 0);
        var clock = handoverMs is { } fromMs
            ? RuleClock.Succeed(rule, originMs + startMs, originMs + fromMs)
            : RuleClock.StartAt(rule, originMs + startMs);
        Shard = RuleShard.Create(rule, clock, clock.ClosedAtStart(rule));
    }

    public RuleShard Shard { get; private set; }

    public List<WindowPart> Parts { get; } = [];

    /// <summary>A value per window's end and output series; of several, by corrections, the last.</summary>
    public SortedDictionary<(long EndMs, string Series), double> Emitted
    {
        get
        {
            var table = new SortedDictionary<(long, string), double>();
            foreach (var part in Parts)
            {
                foreach (var sample in part.Samples)
                {
                    var key = (part.EndMs - sample.BeforeMs - _originMs, SeriesOf(sample));
                    if (Shard.Rule.CorrectedWindows > 0)
                    {
                        table[key] = sample.Value;
                    }
                    else
                    {
                        table.Add(key, sample.Value);
                    }
                }
            }
            return table;
        }
    }

    public void Add(long arrivalMs, params ReadOnlySpan<StreamSample> samples)
    {
        foreach (var sample in samples)
        {
            if (Shard.Rule.TryTake(sample.Labels, _builder, out var taken) != RuleVerdict.Taken)
            {
                continue;
            }
            var at = _pending.Count++;
            _pending.Slots[at] =
                Shard.SlotOf(taken.Key, taken.GroupKey, taken.Group, taken.Target, taken.Labels);
            _pending.TimesMs[at] = _originMs + sample.TimeMs;
            _pending.Values[at] = sample.Value;
            _pending.StartsMs[at] = sample.StartMs == 0 ? 0 : _originMs + sample.StartMs;
            _pending.Replicas[at] = taken.Replica;
            if (_pending.Count == PendingSamples.Capacity)
            {
                Flush(arrivalMs);
            }
        }
        Flush(arrivalMs);
    }

    /// <param name="trace">The value of its only label.</param>
    public void AddExemplar(long arrivalMs, LabelSet series, long timeMs, double value, string trace)
    {
        if (Shard.Rule.TryTake(series, _builder, out var taken) == RuleVerdict.Taken)
        {
            Shard.AddExemplar(
                Shard.SlotOf(taken.Key, taken.GroupKey, taken.Group, taken.Target, taken.Labels), _originMs + timeMs,
                value, LabelBlock.Encode(LabelSet.Of(("trace_id", trace))), _originMs + arrivalMs);
        }
    }

    public void AddHistogram(long arrivalMs, LabelSet series, long timeMs, NativeHistogram histogram)
    {
        if (Shard.Rule.TryTake(series, _builder, out var taken) == RuleVerdict.Taken)
        {
            Shard.TakeHistogram(
                Shard.SlotOf(taken.Key, taken.GroupKey, taken.Group, taken.Target, taken.Labels), taken.Replica,
                _originMs + timeMs, HistogramCodec.Write(histogram), _originMs + arrivalMs, _scratch);
        }
    }

    /// <summary>Closes the windows that end at or before a time.</summary>
    public void Close(long throughMs)
    {
        var after = Shard.Rule.WindowOf(_originMs + throughMs + 1, Shard.Clock.OffsetMs);
        Shard.Close(after - 1, _scratch, Parts);
    }

    /// <summary>All records of a stream; behind one of them it restarts, if a number is given.</summary>
    public void Play(RandomStream stream, int restartAt = -1)
    {
        for (var i = 0; i < stream.Records.Count; i++)
        {
            var record = stream.Records[i];
            Add(record.ArrivalMs, record.Samples);
            if (i == restartAt)
            {
                Restart();
            }
            if (record.CloseThroughMs is { } throughMs)
            {
                Close(throughMs);
            }
        }
    }

    /// <summary>Writes the shard's state and goes on with a new shard that read it.</summary>
    public void Restart()
    {
        var bytes = Snapshot(Shard);
        var shard = RuleShard.Create(Shard.Rule, Shard.Clock, Shard.Clock.ClosedAtStart(Shard.Rule));
        using var reader = new SnapshotReader(new MemoryStream(bytes));
        shard.Read(reader);
        Snapshot(shard).ShouldBe(bytes, "the state written again");
        Shard = shard;
    }

    public static byte[] Snapshot(RuleShard shard)
    {
        var stream = new MemoryStream();
        using (var writer = new SnapshotWriter(stream))
        {
            shard.Write(writer);
        }
        return stream.ToArray();
    }

    public static string SeriesOf(OutputSample sample)
    {
        var labels = new List<Label>();
        (LabelBlock.TryParse(sample.Labels.ToArray(), LabelLimits.Default, labels, out var defect)
            || defect == LabelDefect.MissingMetricName).ShouldBeTrue();
        var set = LabelSet.From(labels);
        ((SeriesKey)sample.Key).ShouldBe((SeriesKey)set.StableKey());
        return set.ToString();
    }

    private void Flush(long arrivalMs)
    {
        if (_pending.Count > 0)
        {
            Shard.Take(_pending, _originMs + arrivalMs, _scratch);
            _pending.Count = 0;
        }
    }
}

/// <summary>Tables of output values: comparing and printing.</summary>
internal static class WindowValues
{
    /// <summary>Where two tables are not the same bit by bit; empty when they are.</summary>
    public static string Difference(
        SortedDictionary<(long EndMs, string Series), double> actual,
        SortedDictionary<(long EndMs, string Series), double> expected)
    {
        var text = new StringBuilder();
        foreach (var key in expected.Keys.Union(actual.Keys).Order())
        {
            var isThere = actual.TryGetValue(key, out var value);
            var isExpected = expected.TryGetValue(key, out var wanted);
            if (isThere != isExpected
                || BitConverter.DoubleToInt64Bits(value) != BitConverter.DoubleToInt64Bits(wanted))
            {
                text.Append(CultureInfo.InvariantCulture, $"  {key.EndMs} {key.Series}: ")
                    .Append(CultureInfo.InvariantCulture, $"{(isThere ? value : null):R}, ")
                    .Append(CultureInfo.InvariantCulture, $"expected {(isExpected ? wanted : null):R}\n");
            }
        }
        return text.ToString();
    }
}
