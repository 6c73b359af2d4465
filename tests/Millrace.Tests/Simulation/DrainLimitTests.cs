namespace Millrace.Tests.Simulation;

public sealed class DrainLimitTests
{
    private const long StartMs = 1_000_000;

    [Fact]
    public void A_process_from_which_nothing_goes_out_is_stuck_after_an_hour()
    {
        var limit = new DrainLimit(StartMs);
        limit.Judge(StartMs, 7).ShouldBeNull();
        limit.Judge(StartMs + DrainLimit.MaxStillMs, 7).ShouldBeNull();
        limit.Judge(StartMs + DrainLimit.MaxStillMs + 1, 7).ShouldNotBeNull().ShouldContain("nothing was delivered");
    }

    [Fact]
    public void A_process_that_still_delivers_is_not_stuck_after_an_hour()
    {
        var limit = new DrainLimit(StartMs);
        for (var block = 0; block < 10; block++)
        {
            limit.Judge(StartMs + block * DrainLimit.MaxStillMs, 3 * block).ShouldBeNull();
        }
    }

    [Fact]
    public void Samples_counted_again_are_no_progress()
    {
        var limit = new DrainLimit(StartMs);
        limit.Judge(StartMs, 10).ShouldBeNull();
        limit.Judge(StartMs + DrainLimit.MaxStillMs - 1, 4).ShouldBeNull();
        limit.Judge(StartMs + DrainLimit.MaxStillMs + 1, 10).ShouldNotBeNull();
    }

    [Fact]
    public void A_process_that_never_runs_out_of_blocks_is_found_after_a_day()
    {
        var limit = new DrainLimit(StartMs);
        for (var minute = 0; minute <= 24 * 60; minute++)
        {
            limit.Judge(StartMs + minute * 60_000L, minute).ShouldBeNull();
        }
        limit.Judge(StartMs + DrainLimit.MaxMs + 1, 1_000_000).ShouldNotBeNull().ShouldContain("a day");
    }
}
