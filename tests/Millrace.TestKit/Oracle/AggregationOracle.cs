using System.Linq;
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
    private long _closedMs = rule.PartialEndMs - rule.IntervalMs;

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
        }
        else if (endMs <= _closedMs)
        {
            Late++;
        }
        else if (endMs > Rule.EndOf(arrivalMs) + Rule.IntervalMs)
        {
            TooFarAhead++;
        }
        else
        {
            var identity = Rule.SeriesOf(labels);
            if (!_series.TryGetValue(identity.ToString(), out var series))
            {
                series = new OracleSeries(identity, Rule.GroupOf(labels));
                _series.Add(identity.ToString(), series);
            }
            var window = series.Window(endMs);
            var sample = new OracleSample(timeMs, value, startMs > timeMs ? 0 : startMs);
            Undecidable += ResetWitness.IsDecidable(window, sample) ? 0 : 1;
            InnerRepeats += IsInnerRepeat(window, timeMs) ? 1 : 0;
            series.Add(endMs, sample);
        }
    }

    /// <summary>False if the sample, added now, would count as <see cref="Undecidable"/>.</summary>
    public bool IsDecidable(LabelSet labels, long timeMs, double value) =>
        WindowOf(labels, timeMs) is not { } window || double.IsNaN(value)
        || ResetWitness.IsDecidable(window, new OracleSample(timeMs, value, 0));

    /// <summary>Whether the sample, added now, would count among <see cref="InnerRepeats"/>.</summary>
    public bool IsInnerRepeat(LabelSet labels, long timeMs) =>
        WindowOf(labels, timeMs) is { } window && IsInnerRepeat(window, timeMs);

    /// <summary>The next record in the log closes the windows that end at or before a time.</summary>
    public void Close(long throughEndMs)
    {
        var endMs = Rule.EndOf(throughEndMs);
        _closedMs = Math.Max(_closedMs, endMs > throughEndMs ? endMs - Rule.IntervalMs : endMs);
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
            series.Follow(Rule);
            members.Add(series);
        }
        foreach (var members in groups.Values)
        {
            ComputeGroup(members, result);
        }
        return result;
    }

    private OracleWindow? WindowOf(LabelSet labels, long timeMs) =>
        _series.TryGetValue(Rule.SeriesOf(labels).ToString(), out var series)
            ? series.Window(Rule.EndOf(timeMs))
            : null;

    private static bool IsInnerRepeat(OracleWindow window, long timeMs) =>
        window.Times.IndexOf(timeMs) is var at && at > 0 && at < window.Times.Count - 1;

    private void ComputeGroup(List<OracleSeries> members, SortedDictionary<(long EndMs, string Series), double> result)
    {
        var outputs = Rule.Config.Outputs.Select(text => (Text: text, State: OracleOutput.Create(text))).ToList();
        for (var endMs = Rule.FirstBookedEndMs; endMs <= _closedMs; endMs += Rule.IntervalMs)
        {
            var lastMs = long.MinValue / 2;
            var windows = new List<(LabelSet Series, OracleWindow Window)>();
            foreach (var series in members)
            {
                lastMs = Math.Max(lastMs, series.LastTimeMs(Rule.FirstBookedEndMs - Rule.IntervalMs, endMs));
                if (series.Windows.TryGetValue(endMs, out var window) && window.Times.Count > 0)
                {
                    windows.Add((series.Labels, window));
                }
            }
            if (endMs - lastMs > Rule.StalenessMs)
            {
                outputs = [.. outputs.Select(output => (output.Text, OracleOutput.Create(output.Text)))];
                continue;
            }
            foreach (var (text, output) in outputs)
            {
                foreach (var (label, value) in output.Close(windows))
                {
                    if (endMs >= Rule.FirstShownEndMs)
                    {
                        var series = Rule.OutputSeries(members[0].Group, text, output.Label, label);
                        result.Add((endMs, series), value + 0.0);
                    }
                }
            }
        }
    }
}
