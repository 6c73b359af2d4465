using Millrace.TestKit.Processes;

namespace Millrace.SystemTests.Sharding;

/// <summary>Waits for a gateway that forwards everything to its only destination.</summary>
internal static class Drained
{
    private const int MostTries = 100;
    private static readonly TimeSpan PollInterval = TimeSpan.FromMilliseconds(200);

    /// <summary>Until every sample that came in is delivered.</summary>
    public static async Task DrainAsync(this MillraceProcess gateway)
    {
        for (var tries = 0; ; tries++)
        {
            var metrics = await gateway.ScrapeAsync();
            var delivered = metrics.Sum("millrace_destination_samples_total", "state=\"delivered\"");
            if (delivered > 0 && delivered == metrics.Sum("millrace_ingest_samples_total"))
            {
                return;
            }
            tries.ShouldBeLessThan(MostTries, $"{delivered} samples delivered.\n{gateway.Process.Output}");
            await Task.Delay(PollInterval);
        }
    }
}
