using Millrace.Relabeling;

namespace Millrace.Aggregation;

/// <summary>Which clock decides the window of a sample.</summary>
public enum RuleTime
{
    /// <summary>The sample's own timestamp.</summary>
    Event,

    /// <summary>The arrival at the append to the log: what vmagent does without windows, with its arithmetic.</summary>
    Arrival,
}

/// <summary>What the first sample of a counter adds.</summary>
public enum FirstSample
{
    /// <summary>
    /// Its value only where the counter is known to have begun under the rule's eyes: by its start timestamp, or
    /// because the group knew its target before.
    /// </summary>
    Auto,

    /// <summary>Its value.</summary>
    Count,

    /// <summary>Nothing.</summary>
    Zero,
}

/// <summary>Where the increase between two samples of a counter goes that lie in different windows.</summary>
public enum GapPolicy
{
    /// <summary>To the window of the later sample.</summary>
    Attribute,

    /// <summary>To the windows between, by their share of the time, as far as they are still open.</summary>
    Spread,

    /// <summary>
    /// To the window of the later sample, but not more than one interval's share; the rest is dropped.
    /// </summary>
    Cap,
}

/// <summary>What a decrease of a counter means.</summary>
public enum ResetPolicy
{
    /// <summary>A reset to zero: the new value counts in full.</summary>
    Prometheus,

    /// <summary>
    /// A decrease by less than an eighth of the value is a rollback, which adds nothing; any other is a reset.
    /// </summary>
    VictoriaMetrics,
}

/// <summary>What becomes of a sample whose window is closed.</summary>
public enum LatePolicy
{
    Drop,

    /// <summary>What it adds to sums and counts, and to counters, goes to the oldest open window.</summary>
    Carry,

    /// <summary>
    /// For a bounded time it still counts in its window, whose changed values are emitted again. After that it is
    /// dropped.
    /// </summary>
    Correct,
}

/// <summary>One aggregation rule as validated by the configuration loader: vmagent's fields, and ours below.</summary>
public sealed record AggregationRuleConfig
{
    public const int DefaultExemplars = 3;
    public const int MostExemplars = 16;
    private const long DefaultCorrectedWindows = 5;

    public string Name { get; init; } = "";

    /// <summary>Series selectors, any of which must match. Null: everything.</summary>
    public IReadOnlyList<string>? Match { get; init; }

    public TimeSpan Interval { get; init; }

    /// <summary>The interval as written: it is part of the output name.</summary>
    public string IntervalText { get; init; } = "";

    /// <summary>Of each series one sample per interval counts: the one with the largest time. Null: all.</summary>
    public TimeSpan? DedupInterval { get; init; }

    public TimeSpan? StalenessInterval { get; init; }

    public TimeSpan? IgnoreFirstSampleInterval { get; init; }

    public bool NoAlignFlushToInterval { get; init; }

    public bool FlushOnShutdown { get; init; }

    /// <summary>Output names as written, such as <c>total</c> or <c>quantiles(0.5, 0.99)</c>.</summary>
    public IReadOnlyList<string> Outputs { get; init; } = [];

    /// <summary>Sorted, each once.</summary>
    public IReadOnlyList<string> By { get; init; } = [];

    /// <summary>Sorted, each once.</summary>
    public IReadOnlyList<string> Without { get; init; } = [];

    public bool KeepMetricNames { get; init; }

    public bool IgnoreOldSamples { get; init; }

    public int IgnoreFirstIntervals { get; init; }

    public IReadOnlyList<string> DropInputLabels { get; init; } = [];

    public IReadOnlyList<RelabelConfig> InputRelabelConfigs { get; init; } = [];

    public IReadOnlyList<RelabelConfig> OutputRelabelConfigs { get; init; } = [];

    /// <summary>vmagent's windows; in a file of vmagent <c>true</c> means <see cref="RuleTime.Event"/>.</summary>
    public bool EnableWindows { get; init; }

    public RuleTime Time { get; init; } = RuleTime.Event;

    /// <summary>How late a sample may arrive after its window's end. Null: <c>auto</c>.</summary>
    public TimeSpan? AllowedLateness { get; init; }

    public FirstSample FirstSample { get; init; } = FirstSample.Auto;

    public GapPolicy Gap { get; init; } = GapPolicy.Attribute;

    public ResetPolicy Resets { get; init; } = ResetPolicy.Prometheus;

    public LatePolicy Late { get; init; } = LatePolicy.Drop;

    /// <summary>
    /// With <see cref="LatePolicy.Correct"/>, how long after its close a window is corrected. Null: the default.
    /// </summary>
    public TimeSpan? CorrectionsFor { get; init; }

    /// <summary><c>dedup: exact</c>: the samples of open windows are remembered one by one.</summary>
    public bool RemembersSamples { get; init; }

    /// <summary>A 0 one interval before the first value of a new cumulative series.</summary>
    public bool ZeroInjection { get; init; }

    /// <summary>The most series with a state of their own; 0: no bound.</summary>
    public long MaxSeries { get; init; }

    /// <summary>The most groups beside the overflow groups; 0: no bound.</summary>
    public long MaxGroups { get; init; }

    /// <summary>Exemplars per group and window; 0: none. Null: <see cref="DefaultExemplars"/>.</summary>
    public int? Exemplars { get; init; }

    /// <summary><c>partial_windows: emit</c>: also emit the window during which the rule began.</summary>
    public bool EmitPartialWindows { get; init; }

    /// <summary>Replicas whose samples count once: the section's, for every rule. Null: none.</summary>
    public HaConfig? Ha { get; init; }

    /// <summary>
    /// Not a rule of a file: standalone deduplication, which passes on one sample per series and interval.
    /// </summary>
    public bool IsDeduplicator { get; init; }

    /// <summary>
    /// With <see cref="LatePolicy.Correct"/>, how many windows behind the last closed one are corrected: the time in
    /// whole intervals; otherwise 0.
    /// </summary>
    public long CountCorrectedWindows() => Late != LatePolicy.Correct ? 0
        : CorrectionsFor is not { } time || Interval <= TimeSpan.Zero ? DefaultCorrectedWindows
        : (time.Ticks + Interval.Ticks - 1) / Interval.Ticks;

    /// <summary>Where the rule stands, for error texts and the page.</summary>
    public string File { get; init; } = "";

    public int Line { get; init; }

    public string Path { get; init; } = "";
}

/// <summary>The <c>aggregation</c> section.</summary>
public sealed record AggregationConfig
{
    public const int DefaultTaskCount = 128;

    public int TaskCount { get; init; } = DefaultTaskCount;

    /// <summary>Labels of the task key; both lists empty: derived from the rules.</summary>
    public IReadOnlyList<string> TaskBy { get; init; } = [];

    /// <summary>Labels left out of the task key.</summary>
    public IReadOnlyList<string> TaskWithout { get; init; } = [];

    /// <summary>
    /// Deduplicates what is forwarded as it came, and is the rules' <c>dedup_interval</c> where they have none of
    /// their own. Zero: off.
    /// </summary>
    public TimeSpan DedupInterval { get; init; }

    /// <summary>Labels that deduplication leaves out of what it forwards, and rules out of their input.</summary>
    public IReadOnlyList<string> DropInputLabels { get; init; } = [];

    /// <summary>Senders of the same series, told apart by a label. Null: none are known.</summary>
    public HaConfig? Ha { get; init; }

    /// <summary>Rules of all files and those written in place, in order.</summary>
    public IReadOnlyList<AggregationRuleConfig> Rules { get; init; } = [];

    /// <summary>Replayed and late input: how long closes wait at the most after a start.</summary>
    public TimeSpan CatchUp { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>The most windows that a rule keeps open at once.</summary>
    public int MaxOpenWindows { get; init; } = 64;
}
