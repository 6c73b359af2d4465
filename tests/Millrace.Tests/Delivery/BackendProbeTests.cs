using Millrace.Delivery;

namespace Millrace.Tests.Delivery;

public sealed class BackendProbeTests
{
    [Theory]
    [InlineData("http://u:p@vm:8428/api/v1/write?x=1", "http://vm:8428/flags")]
    [InlineData("https://vm/metrics/api/v1/write", "https://vm/metrics/flags")]
    [InlineData("http://vm:8428/prometheus/api/v1/write", "http://vm:8428/flags")]
    public void Finds_the_flags_beside_the_write_address(string url, string flags) =>
        BackendProbe.FlagsUrl(new Uri(url)).ShouldBe(new Uri(flags));

    [Fact]
    public void Asks_nothing_of_an_address_it_does_not_know() =>
        BackendProbe.FlagsUrl(new Uri("http://thanos:1/api/v1/receive")).ShouldBeNull();

    [Theory]
    [InlineData("-a=\"1\"\n-dedup.minScrapeInterval=\"0s\"\n-b=\"2\"", (int)RepeatHandling.KeepsRepeats)]
    [InlineData("-dedup.minScrapeInterval=\"1ms\"\r\n", (int)RepeatHandling.Deduplicates)]
    [InlineData("-dedup.minScrapeInterval=\"0s\"", (int)RepeatHandling.KeepsRepeats)]
    [InlineData("<html>flags of something else 1</html>", (int)RepeatHandling.Unknown)]
    public void Tells_who_keeps_repeats(string flags, int handling)
    {
        BackendProbe.Read(flags).ShouldBe((RepeatHandling)handling);
        (BackendProbe.Warning("storage", (RepeatHandling)handling) is not null)
            .ShouldBe((RepeatHandling)handling == RepeatHandling.KeepsRepeats);
    }
}
