using System.Net.Http;
using Millrace.TestKit.Conformance;
using Millrace.TestKit.Processes;

namespace Millrace.SystemTests.Conformance;

/// <summary>
/// The executable takes the cases that <c>Millrace.Tests</c> runs in process, and counts what it took.
/// </summary>
public sealed class ReceiverTests
{
    private const string Config = """
        destinations:
        - name: storage
          remote_write: {url: "http://127.0.0.1:9/api/v1/write"}
        """;

    [Fact]
    public async Task Every_request_is_answered_as_the_specifications_say()
    {
        await Needs.GatewayAsync();
        await using var millrace = new MillraceProcess();
        await millrace.StartAsync(Config);
        using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(10) };
        var problems = new List<string>();
        var samples = 0;
        // A millisecond each, or equal bodies of two cases would be one request and its repeat.
        var nowMs = TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds();
        foreach (var one in ReceiverCases.All.Concat(ReceiverEdgeCases.All))
        {
            using var request = one.Request(millrace.WriteUrl, ++nowMs);
            using var response = await http.SendAsync(request);
            if (one.Judge(response) is { } problem)
            {
                problems.Add(problem);
            }
            samples += one.Written.Samples;
        }

        problems.ShouldBeEmpty();
        var metrics = await millrace.ScrapeAsync();
        var refused = metrics.Sum("millrace_dropped_samples_total", "reason=\"invalid_labels\"");
        (metrics.Sum("millrace_ingest_samples_total") - refused).ShouldBe(samples);
    }
}
