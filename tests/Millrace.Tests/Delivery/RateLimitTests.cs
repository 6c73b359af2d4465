using Millrace.Delivery;
using Millrace.TestKit;

namespace Millrace.Tests.Delivery;

public sealed class RateLimitTests
{
    [Fact]
    public void A_bucket_gives_a_second_s_worth_and_then_what_flows_in()
    {
        var limit = new RateLimit(1_000);
        limit.Take(999, 5_000);
        limit.OpenAtMs.ShouldBeLessThan(5_000);
        limit.Take(501, 5_000);
        limit.OpenAtMs.ShouldBe(5_501);
        limit.Take(100, 5_501);
        limit.OpenAtMs.ShouldBe(5_601);
        // A long silence is no credit for more than a second.
        limit.Take(1_500, 99_000);
        limit.OpenAtMs.ShouldBe(99_501);
    }

    [Fact]
    public void A_clock_that_goes_back_gives_nothing()
    {
        var limit = new RateLimit(1_000);
        limit.Take(2_000, 5_000);
        limit.Take(0, 1_000);
        limit.OpenAtMs.ShouldBe(6_001);
    }

    [Fact]
    public void Off_never_holds()
    {
        var limit = new RateLimit(0);
        limit.Take(long.MaxValue, 0);
        limit.OpenAtMs.ShouldBe(long.MinValue);
    }

    [Fact]
    public void A_destination_sends_no_faster_and_loses_nothing()
    {
        using var rig = new DestinationRig(
            DestinationRig.Plain with { RateLimitBytes = 1_000 }, new FakeBackend(BackendKind.Prometheus));
        rig.Backend.LatencyMs = 0;
        var start = rig.NowMs;
        for (var lsn = 1; lsn <= 200; lsn++)
        {
            rig.OfferRaw(lsn % 4, lsn, ($"m{lsn % 4}", rig.NowMs + lsn, lsn));
        }
        rig.RunUntilQuiet();
        rig.Counters.Delivered.ShouldBe(200);
        // All but the first second's worth has to flow in.
        var expectedMs = rig.Counters.BytesSent - 1_000;
        (rig.NowMs - start).ShouldBeInRange(expectedMs - 100, expectedMs + 300);
    }
}
