using Millrace.Aggregation;

namespace Millrace.TestKit.Simulation;

/// <summary>One value that a rule must deliver.</summary>
internal readonly record struct ExpectedOutput(string Series, long EndMs, double Value);

/// <summary>
/// An aggregation rule by its definition, the slow and obvious way: all samples are kept until their window is closed,
/// then sorted and gone through once. What it is told comes from the log: when the rule began, samples, closes.
/// </summary>
internal abstract class NaiveRule
{
    protected sealed class Group
    {
        public long LastMs { get; set; }

        public bool IsNew { get; set; } = true;

        public Dictionary<string, ExactSum> Totals { get; } = [];
    }

    private readonly Dictionary<string, Group> _groups = []; // those alive
    private readonly Dictionary<string, PlainSeries> _groupOf = [];
    private readonly Dictionary<string, PlainSeries> _groupLabels = [];

    /// <param name="config">The rule.</param>
    /// <param name="startMs">Arrival of its configuration.</param>
    /// <param name="handoverMs">Up to when an older version of the rule answers; null: there is none.</param>
    protected NaiveRule(AggregationRuleConfig config, long startMs, long? handoverMs)
    {
        Config = config;
        StartMs = startMs;
        IntervalMs = (long)config.Interval.TotalMilliseconds;
        StalenessMs = (long)(config.StalenessInterval ?? config.Interval).TotalMilliseconds;
        OffsetMs = config.NoAlignFlushToInterval ? (handoverMs ?? startMs) % IntervalMs : 0;
        // Seen from its first moment: the window that begins at or after the start.
        FirstWholeWindow = WindowOf(handoverMs ?? startMs) + 1;
        FirstBookedWindow = FirstWholeWindow
            - (config.EmitPartialWindows && config.Time == RuleTime.Event && handoverMs is null ? 1 : 0);
        Answers.Add((EndOf(FirstBookedWindow - 1), long.MaxValue));
    }

    public AggregationRuleConfig Config { get; }

    public long LateSamples { get; protected set; }

    public abstract int OpenSamples { get; }

    protected long StartMs { get; }

    protected long IntervalMs { get; }

    protected long StalenessMs { get; }

    protected long OffsetMs { get; }

    protected long FirstWholeWindow { get; }

    /// <summary>With <c>partial_windows: emit</c> the one under way at the start, too.</summary>
    protected long FirstBookedWindow { get; }

    /// <summary>The times for which the rule answers: windows that lie in one of them as a whole are given.</summary>
    private List<(long FromMs, long ToMs)> Answers { get; } = [];

    protected long ClosedThrough { get; set; }

    protected IReadOnlyCollection<string> AliveGroups => _groups.Keys;

    public static NaiveRule Create(AggregationRuleConfig config, long startMs, long? handoverMs = null) =>
        config.Time == RuleTime.Arrival ? new NaiveArrivalRule(config, startMs, handoverMs)
            : new NaiveEventRule(config, startMs, handoverMs);

    public long AnswersUntilMs => Answers[^1].ToMs;

    /// <summary>The window under way at a time is one for which the rule answers.</summary>
    public bool AnswersAt(long timeMs) => IsAnswered(WindowOf(timeMs));

    /// <summary>The rule's first boundary at or after a time.</summary>
    public long BoundaryFromMs(long timeMs) => EndOf(WindowOf(timeMs));

    /// <summary>The rule is in the configuration again, and answers from a time on.</summary>
    public void Resume(long fromMs)
    {
        if (Answers[^1].ToMs >= fromMs)
        {
            Answers[^1] = (Answers[^1].FromMs, long.MaxValue);
        }
        else
        {
            Answers.Add((fromMs, long.MaxValue));
        }
    }

    /// <summary>What it was to answer for in future is off.</summary>
    public void Forget() => Answers.RemoveAt(Answers.Count - 1);

    /// <summary>It answers up to its last boundary at or before a time, be that sooner or later than planned.</summary>
    public void AnswerUntil(long timeMs)
    {
        var untilMs = BoundaryFromMs(timeMs);
        untilMs -= untilMs > timeMs ? IntervalMs : 0;
        Answers.RemoveAll(answer => answer.FromMs >= untilMs);
        Answers[^1] = (Answers[^1].FromMs, untilMs);
    }

    /// <summary>It is not in the configuration, and every window that it answers for is closed.</summary>
    public bool IsDone => Answers.TrueForAll(answer => answer.ToMs <= EndOf(ClosedThrough));

    public abstract void Add(in PlainSample sample, long arrivalMs);

    public abstract void Close(long throughWindow, List<ExpectedOutput> outputs);

    /// <summary>The window (start, end] of a time.</summary>
    protected long WindowOf(long timeMs)
    {
        var window = (timeMs - OffsetMs) / IntervalMs;
        return window * IntervalMs + OffsetMs >= timeMs ? window : window + 1;
    }

    protected long EndOf(long window) => window * IntervalMs + OffsetMs;

    protected PlainSeries GroupOf(PlainSeries series)
    {
        if (!_groupOf.TryGetValue(series.Text, out var group))
        {
            group = series.Where(name => Config.By.Count > 0
                ? name == PlainSeries.MetricName || Contains(Config.By, name)
                : !Contains(Config.Without, name));
            _groupOf[series.Text] = group;
            _groupLabels[group.Text] = group;
        }
        return group;
    }

    protected void Touch(string group, long timeMs)
    {
        if (!_groups.TryGetValue(group, out var state))
        {
            _groups[group] = state = new Group { LastMs = timeMs };
        }
        state.LastMs = Math.Max(state.LastMs, timeMs);
    }

    /// <summary>The outputs of a window for all groups alive, from the values that groups have in it.</summary>
    /// <param name="value">Null: the group has none in this window.</param>
    protected void Emit(long window, Func<string, string, double?> value, List<ExpectedOutput> outputs)
    {
        var endMs = EndOf(window);
        foreach (var (text, group) in new List<KeyValuePair<string, Group>>(_groups))
        {
            if (endMs > group.LastMs + StalenessMs)
            {
                _groups.Remove(text);
                continue;
            }
            foreach (var output in Config.Outputs)
            {
                var seen = value(text, output);
                var shown = seen;
                if (output.StartsWith("total", StringComparison.Ordinal))
                {
                    if (!group.Totals.TryGetValue(output, out var total))
                    {
                        group.Totals[output] = total = new ExactSum();
                    }
                    total.Add(seen ?? 0);
                    shown = total.Value;
                }
                else if (output == "sum_samples")
                {
                    shown = seen ?? 0;
                }
                if (shown is { } result && IsAnswered(window)
                    && window >= FirstBookedWindow + Config.IgnoreFirstIntervals)
                {
                    var series = OutputSeries(_groupLabels[text], output);
                    outputs.Add(new ExpectedOutput(series, endMs, result));
                    if (group.IsNew && window > FirstBookedWindow && Config.ZeroInjection
                        && output.StartsWith("total", StringComparison.Ordinal))
                    {
                        outputs.Add(new ExpectedOutput(series, endMs - IntervalMs, 0));
                    }
                }
            }
            group.IsNew = false;
        }
    }

    private bool IsAnswered(long window) =>
        Answers.Exists(answer => EndOf(window - 1) >= answer.FromMs && EndOf(window) <= answer.ToMs);

    /// <summary>vmagent's naming.</summary>
    private string OutputSeries(PlainSeries group, string output)
    {
        var name = group.Name;
        if (!Config.KeepMetricNames)
        {
            var labels = new List<string>(Config.By.Count > 0 ? Config.By : Config.Without);
            labels.Remove(PlainSeries.MetricName);
            labels.Sort(string.CompareOrdinal);
            name += ":" + Config.IntervalText;
            name += labels.Count == 0 ? ""
                : (Config.By.Count > 0 ? "_by_" : "_without_") + string.Join('_', labels);
            name += "_" + output;
        }
        return group.With(PlainSeries.MetricName, name).Text;
    }

    private static bool Contains(IReadOnlyList<string> names, string name)
    {
        foreach (var candidate in names)
        {
            if (candidate == name)
            {
                return true;
            }
        }
        return false;
    }
}
