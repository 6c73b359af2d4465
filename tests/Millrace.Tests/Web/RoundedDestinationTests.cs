using Millrace.TestKit;

namespace Millrace.Tests.Web;

/// <summary>Labels and rounding of one destination, through the whole gateway.</summary>
public sealed class RoundedDestinationTests
{
    [Fact]
    public void Each_destination_rounds_and_labels_for_itself_behind_the_rules()
    {
        using var gateway = new GatewayRig("""
            aggregation:
              rules: [{match: load, interval: 10s, without: [i, job], outputs: [sum_samples], allowed_lateness: 0s}]
              catch_up: 0s
            routes: [{keep_input: true}]
            destinations:
            - name: round
              remote_write: {url: 'http://a/', protocol: prometheus_v1}
              labels: {site: '$1', job: b}
              significant_figures: 3
              round_digits: 1
            - name: exact
              remote_write: {url: 'http://b/', protocol: prometheus_v1}
            """);
        gateway.Run(TimeSpan.FromSeconds(25));
        gateway.Push("""
            load{job="a"} 1.2345 NOW
            load{job="a",i="2"} 1.2345 NOW
            other 123456 NOW
            other2 NaN NOW
            """);
        gateway.Run(TimeSpan.FromSeconds(30));

        Values(gateway.Backends["exact"]).ShouldBe([
            "load:10s_without_i_job_sum_samples 2.469", "load{i=\"2\",job=\"a\"} 1.2345", "load{job=\"a\"} 1.2345",
            "other 123456", "other2 NaN",
        ]);
        // The rule has summed what came, not what is sent.
        Values(gateway.Backends["round"]).ShouldBe([
            "load:10s_without_i_job_sum_samples{job=\"b\",site=\"$1\"} 2.5", "load{i=\"2\",job=\"b\",site=\"$1\"} 1.2",
            "load{job=\"b\",site=\"$1\"} 1.2", "other2{job=\"b\",site=\"$1\"} NaN",
            "other{job=\"b\",site=\"$1\"} 123000",
        ]);
    }

    private static IEnumerable<string> Values(FakeBackend backend) => backend.Series
        .SelectMany(series => series.Value.Select(
            point => FormattableString.Invariant($"{series.Key} {point.Value:R}")))
        .Order(StringComparer.Ordinal);
}
