namespace Millrace.Aggregation.Outputs;

/// <summary>What an output makes of native histograms.</summary>
internal enum HistogramUse
{
    /// <summary>Nothing.</summary>
    None,

    /// <summary>Adds up all samples.</summary>
    Samples,

    /// <summary>Adds up the last sample of each series.</summary>
    Last,

    /// <summary>Adds up what the series gained.</summary>
    Increase,

    /// <summary>The same without first samples.</summary>
    IncreasePrometheus,

    /// <summary>The same per second.</summary>
    Rate,
}

/// <summary>What an output of a rule is: its name, where its state comes from, and when it shows.</summary>
internal sealed record OutputKind(string Name, Func<OutputSetting, OutputWindow> NewWindow)
{
    /// <summary>How its series are called, behind the grouping.</summary>
    public string Suffix { get; init; } = Name;

    /// <summary>Fed sample by sample; otherwise series by series at the close.</summary>
    public bool UsesSamples { get; init; }

    /// <summary>Needs the last sample of each series.</summary>
    public bool UsesLastSamples { get; init; }

    /// <summary>Needs the increase of counters.</summary>
    public bool IsCounter { get; init; }

    /// <summary>Needs the increase per second.</summary>
    public bool UsesRates { get; init; }

    /// <summary>Needs the increase without first samples.</summary>
    public bool IgnoresFirstSamples { get; init; }

    /// <summary>Shows the sum over all windows so far.</summary>
    public bool IsCumulative { get; init; }

    /// <summary>Shows at each close until the group is stale, not only with samples in the window.</summary>
    public bool EmitsWhileAlive { get; init; }

    /// <summary>Adds what samples bring, so that it may be booked into another window: <c>late: carry</c>.</summary>
    public bool CarriesLate { get; init; }

    /// <summary>Shows exemplars of its input: with labels, on the series of <see cref="ExemplarLabel"/>.</summary>
    public bool CarriesExemplars => Label is null
        ? IsCounter || Name is "sum_samples" or "sum_samples_total"
        : ExemplarLabel is not null;

    /// <summary>The value of <see cref="Label"/> on whose series exemplars are shown; null: on none.</summary>
    public string? ExemplarLabel { get; init; }

    /// <summary>The label that tells apart its series of a group; null: it shows one.</summary>
    public string? Label { get; init; }

    /// <summary>The values of <see cref="Label"/>, where they are known beforehand.</summary>
    public IReadOnlyList<string> LabelValues { get; init; } = [];

    /// <summary>The label of the input that it looks at; null: none.</summary>
    public string? InputLabel { get; init; }

    public HistogramUse OfHistograms { get; init; }

    /// <summary>Those without arguments, by name.</summary>
    public static IReadOnlyList<OutputKind> Plain { get; } =
    [
        new("total", _ => new Increase())
        {
            IsCounter = true, IsCumulative = true, EmitsWhileAlive = true, OfHistograms = HistogramUse.Increase,
        },
        new("total_prometheus", _ => new IncreasePrometheus())
        {
            IsCounter = true, IsCumulative = true, EmitsWhileAlive = true, IgnoresFirstSamples = true,
            OfHistograms = HistogramUse.IncreasePrometheus,
        },
        new("increase", _ => new Increase()) { IsCounter = true, OfHistograms = HistogramUse.Increase },
        new("increase_prometheus", _ => new IncreasePrometheus())
        {
            IsCounter = true, IgnoresFirstSamples = true, OfHistograms = HistogramUse.IncreasePrometheus,
        },
        new("rate_sum", _ => new Rate(average: false))
        {
            IsCounter = true, UsesRates = true, OfHistograms = HistogramUse.Rate,
        },
        new("rate_avg", _ => new Rate(average: true)) { IsCounter = true, UsesRates = true },
        new("sum_samples", _ => new SumSamples())
        {
            UsesSamples = true, EmitsWhileAlive = true, CarriesLate = true, OfHistograms = HistogramUse.Samples,
        },
        new("sum_samples_total", _ => new SumSamples())
        {
            UsesSamples = true, IsCumulative = true, EmitsWhileAlive = true, CarriesLate = true,
            OfHistograms = HistogramUse.Samples,
        },
        new("sum_last", _ => new SumLast()) { UsesLastSamples = true, OfHistograms = HistogramUse.Last },
        new("count_samples", _ => new CountSamples()) { UsesSamples = true, CarriesLate = true },
        new("count_series", _ => new CountSeries()),
        new("unique_samples", _ => new UniqueSamples()) { UsesSamples = true },
        new("min", _ => new Min()) { UsesSamples = true },
        new("max", _ => new Max()) { UsesSamples = true },
        new("range", _ => new ValueRange()) { UsesSamples = true },
        new("avg", _ => new Avg()) { UsesSamples = true },
        new("stddev", _ => new StdVar(isRoot: true)) { UsesSamples = true },
        new("stdvar", _ => new StdVar(isRoot: false)) { UsesSamples = true },
        new("first", setting => new First(setting.IsArrivalTime)) { UsesSamples = true },
        new("last", setting => new Last(setting.IsArrivalTime)) { UsesSamples = true },
        new("histogram_bucket", _ => new HistogramBucket())
        {
            UsesSamples = true, IsCumulative = true, EmitsWhileAlive = true, CarriesLate = true, Label = "vmrange",
        },
    ];

    /// <summary>The output with that text in a rule; null if there is none, or its arguments are wrong.</summary>
    public static OutputKind? Find(string text) => OutputText.TryRead(text, out var kind, out _) ? kind : null;
}

/// <summary>What the state of an output depends on beside its kind.</summary>
/// <param name="IsArrivalTime">Windows are those of the arrival.</param>
/// <param name="InputLabel">Where its input label stands among those of the rule.</param>
internal readonly record struct OutputSetting(bool IsArrivalTime, int InputLabel);
