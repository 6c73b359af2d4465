using Millrace.Delivery;

namespace Millrace.Tests.Delivery;

public sealed class BackendProbeTests
{
    [Theory]
    [InlineData("http://u:p@vm:8428/api/v1/write?x=1", "http://vm:8428/metrics")]
    [InlineData("https://vm/metrics/api/v1/write", "https://vm/metrics/metrics")]
    [InlineData("http://vm:8428/prometheus/api/v1/write", "http://vm:8428/metrics")]
    public void Finds_the_metrics_beside_the_write_address(string url, string metrics) =>
        BackendProbe.MetricsUrl(new Uri(url)).ShouldBe(new Uri(metrics));

    [Fact]
    public void Asks_nothing_of_an_address_it_does_not_know() =>
        BackendProbe.MetricsUrl(new Uri("http://thanos:1/api/v1/receive")).ShouldBeNull();

    [Theory]
    [InlineData(
        "flag{name=\"dedup.minScrapeInterval\", value=\"0s\", is_set=\"false\"} 1\n", (int)RepeatHandling.KeepsRepeats)]
    [InlineData(
        "a 1\nflag{name=\"dedup.minScrapeInterval\",value=\"1ms\",is_set=\"true\"} 1",
        (int)RepeatHandling.Deduplicates)]
    [InlineData("some_metric 1", (int)RepeatHandling.Unknown)]
    public void Tells_who_keeps_repeats(string metrics, int handling)
    {
        BackendProbe.Read(metrics).ShouldBe((RepeatHandling)handling);
        (BackendProbe.Warning("storage", (RepeatHandling)handling) is not null)
            .ShouldBe((RepeatHandling)handling == RepeatHandling.KeepsRepeats);
    }
}
