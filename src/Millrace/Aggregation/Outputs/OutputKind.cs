namespace Millrace.Aggregation.Outputs;

/// <summary>What an output of a rule is: its name, where its state comes from, and when it shows.</summary>
internal sealed record OutputKind(string Name, Func<RuleTime, OutputWindow> NewWindow)
{
    /// <summary>Fed sample by sample; otherwise series by series at the close.</summary>
    public bool UsesSamples { get; init; }

    /// <summary>Needs the increase of counters.</summary>
    public bool IsCounter { get; init; }

    /// <summary>Shows the sum over all windows so far.</summary>
    public bool IsCumulative { get; init; }

    /// <summary>Shows at each close until the group is stale, not only with samples in the window.</summary>
    public bool EmitsWhileAlive { get; init; }

    /// <summary>Adds what samples bring, so that it may be booked into another window: <c>late: carry</c>.</summary>
    public bool CarriesLate { get; init; }

    private static readonly OutputKind[] All =
    [
        new("total", _ => new Increase()) { IsCounter = true, IsCumulative = true, EmitsWhileAlive = true },
        new("total_prometheus", _ => new IncreasePrometheus())
        {
            IsCounter = true, IsCumulative = true, EmitsWhileAlive = true,
        },
        new("increase", _ => new Increase()) { IsCounter = true },
        new("increase_prometheus", _ => new IncreasePrometheus()) { IsCounter = true },
        new("rate_sum", _ => new Rate(average: false)) { IsCounter = true },
        new("rate_avg", _ => new Rate(average: true)) { IsCounter = true },
        new("sum_samples", _ => new SumSamples()) { UsesSamples = true, EmitsWhileAlive = true, CarriesLate = true },
        new("count_samples", _ => new CountSamples()) { UsesSamples = true, CarriesLate = true },
        new("count_series", _ => new CountSeries()),
        new("min", _ => new Min()) { UsesSamples = true },
        new("max", _ => new Max()) { UsesSamples = true },
        new("avg", _ => new Avg()) { UsesSamples = true },
        new("last", time => new Last(latestArrivalWins: time == RuleTime.Arrival)) { UsesSamples = true },
    ];

    /// <summary>The outputs of this version, by their names in vmagent's rule files.</summary>
    public static OutputKind? Find(string name) => Array.Find(All, kind => kind.Name == name);
}
