namespace Millrace.Aggregation;

/// <summary>
/// The <c>aggregation.ha</c> section: several Prometheus servers scrape the same targets and send the same series, but
/// for the label that tells them apart. Of each series the samples of one of them count.
/// </summary>
public sealed record HaConfig
{
    public string ReplicaLabel { get; init; } = "";

    /// <summary>
    /// How far the chosen replica may fall behind another one as long as nobody knows how often it scrapes.
    /// </summary>
    public TimeSpan FailoverTimeout { get; init; } = TimeSpan.FromSeconds(30);
}
