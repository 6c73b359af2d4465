using System.Linq;
using Millrace.Aggregation;
using Millrace.Model;

namespace Millrace.TestKit.Oracle;

/// <summary>
/// Aggregation in event time by its definition, the slow and obvious way. It is told what stands in the log, in its
/// order: samples and closes. At the end it sorts the samples of each series by time and applies the definition:
/// <list type="bullet">
/// <item>A sample belongs to the window (start, end] of its own time. It is in if that window was not closed before it,
/// and is not beyond the window after the one under way at its arrival. NaN is nothing.</item>
/// <item>Of several samples of a series at one time the largest value counts, and once. Only <c>min</c>, <c>range</c>
/// and <c>unique_samples</c> see them all.</item>
/// <item>A counter gains from each sample to the next, in the window of the later: the difference, or the new value if
/// that is smaller or if the counter's start lies between the two.</item>
/// <item>A sample with none before it within max(staleness, 5m) is a first one. It adds its value if the rule says so:
/// <c>auto</c>: its start timestamp lies in the window; <c>count</c>: the first-sample interval has passed since
/// the rule's start.</item>
/// <item>A group is alive at a window's end if its last sample is not older than the staleness interval; otherwise its
/// running totals start again. What came before the first booked window leaves nothing but bases.</item>
/// </list>
/// </summary>
public sealed class AggregationOracle(OracleRule rule)
{
    private readonly Dictionary<string, OracleSeries> _series = [];
    private readonly List<(long EndMs, int Number)> _closes = [];
    private long _closedMs = rule.PartialEndMs - rule.IntervalMs;
    private int _number;

    public OracleRule Rule { get; } = rule;

    /// <summary>Samples dropped because their window was closed.</summary>
    public int Late { get; private set; }

    public int TooFarAhead { get; private set; }

    public int NotANumber { get; private set; }

    /// <summary>
    /// Late samples that are the only witness of a reset, the documented exception: where there is one, the engine's
    /// counters may be lower. See <see cref="ResetWitness"/>.
    /// </summary>
    public int Undecidable { get; private set; }

    /// <summary>
    /// Repeats neither of the first nor of the last time of their series and window: sums count them twice.
    /// </summary>
    public int InnerRepeats { get; private set; }

    /// <summary>The next sample in the log. Samples of series that do not match the rule are left out.</summary>
    public void Add(LabelSet labels, long timeMs, double value, long arrivalMs, long startMs = 0)
    {
        if (!Rule.Matches(labels))
        {
            return;
        }
        var endMs = Rule.EndOf(timeMs);
        if (double.IsNaN(value))
        {
            NotANumber++;
            var isMarker = BitConverter.DoubleToUInt64Bits(value) == 0x7FF0000000000002;
            if (isMarker && endMs > _closedMs && endMs <= Rule.EndOf(arrivalMs) + Rule.IntervalMs)
            {
                var window = SeriesOf(labels).Open(endMs);
                window.StaleMs = Math.Max(window.StaleMs, timeMs);
            }
        }
        else if (endMs <= _closedMs)
        {
            Late++;
            if (Rule.Config.Late == LatePolicy.Carry && endMs >= Rule.FirstBookedEndMs)
            {
                Carry(SeriesOf(labels), new OracleSample(timeMs, value, startMs > timeMs ? 0 : startMs, _number++));
            }
        }
        else if (endMs > Rule.EndOf(arrivalMs) + Rule.IntervalMs)
        {
            TooFarAhead++;
        }
        else
        {
            var series = SeriesOf(labels);
            var window = series.Window(endMs);
            var sample = new OracleSample(timeMs, value, startMs > timeMs ? 0 : startMs, _number++);
            Undecidable += ResetWitness.IsDecidable(window, sample, Rule.Config.Resets) ? 0 : 1;
            InnerRepeats += IsInnerRepeat(window, timeMs) ? 1 : 0;
            series.Open(endMs).Add(sample);
        }
    }

    /// <summary>Late samples go to the oldest open window, but for repeats of the last counted one.</summary>
    private void Carry(OracleSeries series, OracleSample sample)
    {
        var baseMs = long.MinValue;
        foreach (var (endMs, window) in series.Windows)
        {
            if (endMs <= _closedMs)
            {
                baseMs = Math.Max(baseMs, window.Times.LastOrDefault(baseMs));
            }
        }
        foreach (var late in Rule.HasCounters ? series.Carried : [])
        {
            // A counter goes on from a late sample, if it had something to go on from.
            baseMs = baseMs + Rule.MemoryMs >= late.ClosedMs && late.TimeMs > baseMs ? late.TimeMs : baseMs;
        }
        if (sample.TimeMs == baseMs && sample.TimeMs + Rule.MemoryMs >= _closedMs)
        {
            return;
        }
        var oldest = series.Open(_closedMs + Rule.IntervalMs);
        oldest.Carried.Add(sample);
        series.Carried.Add((sample.TimeMs, _closedMs));
        oldest.AliveMs = Math.Max(oldest.AliveMs, _closedMs + 1);
    }

    private OracleSeries SeriesOf(LabelSet labels)
    {
        var identity = Rule.SeriesOf(labels);
        if (!_series.TryGetValue(identity.ToString(), out var series))
        {
            var target = labels["instance"].Length == 0 ? null : $"{labels["job"]}\n{labels["instance"]}";
            _series.Add(identity.ToString(), series = new OracleSeries(identity, Rule.GroupOf(labels), target));
        }
        return series;
    }

    /// <summary>False if the sample, added now, would count as <see cref="Undecidable"/>.</summary>
    public bool IsDecidable(LabelSet labels, long timeMs, double value) =>
        WindowOf(labels, timeMs) is not { } window || double.IsNaN(value)
        || ResetWitness.IsDecidable(window, new OracleSample(timeMs, value, 0), Rule.Config.Resets);

    /// <summary>Whether the sample, added now, would count among <see cref="InnerRepeats"/>.</summary>
    public bool IsInnerRepeat(LabelSet labels, long timeMs) =>
        WindowOf(labels, timeMs) is { } window && IsInnerRepeat(window, timeMs);

    /// <summary>The next record in the log closes the windows that end at or before a time.</summary>
    public void Close(long throughEndMs)
    {
        var endMs = Rule.EndOf(throughEndMs);
        endMs = endMs > throughEndMs ? endMs - Rule.IntervalMs : endMs;
        if (endMs > _closedMs)
        {
            _closedMs = endMs;
            _closes.Add((endMs, _number));
        }
    }

    /// <summary>The closed windows: a value per window's end and output series.</summary>
    public SortedDictionary<(long EndMs, string Series), double> Compute()
    {
        var result = new SortedDictionary<(long, string), double>();
        var groups = new Dictionary<string, List<OracleSeries>>();
        foreach (var series in _series.Values)
        {
            if (!groups.TryGetValue(series.Group.ToString(), out var members))
            {
                groups.Add(series.Group.ToString(), members = []);
            }
            OracleCounter.FindChains(Rule, series);
            members.Add(series);
        }
        foreach (var members in groups.Values)
        {
            foreach (var series in members)
            {
                new OracleCounter(
                    Rule, series, endMs => _closes.First(close => close.EndMs >= endMs).Number,
                    (sample, endMs) => IsBirth(members, series, sample, endMs)).Follow(_closedMs);
            }
            ComputeGroup(members, result);
        }
        return result;
    }

    private OracleWindow? WindowOf(LabelSet labels, long timeMs) =>
        _series.TryGetValue(Rule.SeriesOf(labels).ToString(), out var series)
            ? series.Window(Rule.EndOf(timeMs))
            : null;

    /// <summary>
    /// Whether the group knew the series' target two windows before: a chain of another of the target's series began
    /// then or earlier, and was not over when the sample came.
    /// </summary>
    private bool IsBirth(List<OracleSeries> members, OracleSeries series, OracleSample sample, long endMs)
    {
        if (Rule.Config.FirstSample != FirstSample.Auto || series.Target is null
            || sample.TimeMs - Rule.StartMs < Rule.IgnoreFirstSampleMs)
        {
            return false;
        }
        foreach (var other in members)
        {
            foreach (var chain in other.Target == series.Target ? other.Chains : [])
            {
                var last = chain.Links.LastOrDefault(link => link.EndMs <= endMs);
                if (chain.FirstEndMs <= endMs - 2 * Rule.IntervalMs && last.EndMs != 0
                    && sample.TimeMs - last.TimeMs <= Rule.MemoryMs)
                {
                    return true;
                }
            }
        }
        return false;
    }

    private static bool IsInnerRepeat(OracleWindow window, long timeMs) =>
        window.Times.IndexOf(timeMs) is var at && at > 0 && at < window.Times.Count - 1;

    private void ComputeGroup(List<OracleSeries> members, SortedDictionary<(long EndMs, string Series), double> result)
    {
        var outputs = NewOutputs();
        var isNew = true;
        for (var endMs = Rule.FirstBookedEndMs; endMs <= _closedMs; endMs += Rule.IntervalMs)
        {
            var lastMs = long.MinValue / 2;
            var windows = new List<OracleMember>();
            var others = new List<OracleMember>(); // with what is booked from elsewhere
            foreach (var series in members)
            {
                lastMs = Math.Max(lastMs, series.LastTimeMs(Rule.FirstBookedEndMs - Rule.IntervalMs, endMs));
                if (series.Windows.TryGetValue(endMs, out var window))
                {
                    (window.Times.Count > 0 ? windows : others).Add(new OracleMember(series.Labels, window));
                }
            }
            if (endMs - lastMs > Rule.StalenessMs)
            {
                outputs = NewOutputs();
                isNew = true;
                continue;
            }
            foreach (var (text, output) in outputs)
            {
                foreach (var (label, value) in output.Close(windows, others))
                {
                    if (endMs < Rule.FirstShownEndMs)
                    {
                        continue;
                    }
                    var series = Rule.OutputSeries(members[0].Group, text, output.Label, label);
                    result.Add((endMs, series), value + 0.0);
                    if (isNew && endMs > Rule.FirstBookedEndMs && Rule.Config.ZeroInjection && output.IsCumulative)
                    {
                        result.Add((endMs - Rule.IntervalMs, series), 0);
                    }
                }
            }
            isNew = false;
        }
    }

    private List<(string Text, OracleOutput State)> NewOutputs() =>
        [.. Rule.Config.Outputs.Select(text => (text, OracleOutput.Create(text)))];
}
