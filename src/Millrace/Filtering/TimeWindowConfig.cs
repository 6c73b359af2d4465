namespace Millrace.Filtering;

/// <summary>The <c>time_window</c> section: judged against the record's arrival time. Null: no bound.</summary>
public sealed record TimeWindowConfig
{
    public TimeSpan? MaxAge { get; init; } = TimeSpan.FromHours(1);

    public TimeSpan? MaxFuture { get; init; } = TimeSpan.FromMinutes(5);
}
