using Millrace.Aggregation;

namespace Millrace.Tests.Aggregation;

/// <summary>Windows of one minute; times are milliseconds.</summary>
public sealed class ClosePolicyTests
{
    private static readonly AggregationRuleConfig Minute = new()
    {
        Interval = TimeSpan.FromMinutes(1),
        IntervalText = "1m",
        Outputs = ["total"],
    };

    private readonly LagHistogram _lags = new();

    [Theory]
    [InlineData(124_999, 1)]
    [InlineData(125_000, 2)] // the window ends at 120 s; five seconds later it closes
    [InlineData(184_999, 2)]
    public void Closes_a_window_when_its_end_is_past_by_the_lateness(long nowMs, long window)
    {
        var policy = Policy(Minute with { AllowedLateness = TimeSpan.FromSeconds(5) });
        policy.CloseThrough(nowMs, isCatchingUp: false).ShouldBe(window);
    }

    [Fact]
    public void Waits_for_other_rules()
    {
        var policy = Policy(Minute with { AllowedLateness = TimeSpan.Zero });
        policy.CloseThrough(600_000, isCatchingUp: false, readyThrough: 7).ShouldBe(7);
        policy.CloseThrough(600_000, isCatchingUp: false, readyThrough: 20).ShouldBe(10);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Follows_other_rules_behind_an_outage_but_does_not_wait_without_end(bool isCatchingUp)
    {
        const long Bound = 4 * 60_000;
        var policy = Policy(Minute with { AllowedLateness = TimeSpan.Zero }, maxOpenWindows: 4);
        policy.CloseThrough(600_000, isCatchingUp, readyThrough: 7).ShouldBe(isCatchingUp ? 6 : 7);

        const long After = 6_000_000; // window 100
        policy.CloseThrough(After, isCatchingUp, readyThrough: 7).ShouldBe(7);
        policy.CloseThrough(After + Bound - 1, isCatchingUp, readyThrough: 7).ShouldBe(7);
        policy.CloseThrough(After + Bound - 1, isCatchingUp, readyThrough: 50).ShouldBe(50, "they got on");
        policy.CloseThrough(After + 2 * Bound - 2, isCatchingUp, readyThrough: 50).ShouldBe(50);
        policy.CloseThrough(After + 2 * Bound - 1, isCatchingUp, readyThrough: 50)
            .ShouldBe(104, "window 108 is the current one");
    }

    [Fact]
    public void Closes_at_once_in_arrival_time()
    {
        var policy = Policy(Minute with { Time = RuleTime.Arrival });
        policy.CloseThrough(119_999, isCatchingUp: false).ShouldBe(1);
        policy.CloseThrough(120_000, isCatchingUp: true).ShouldBe(2, "a sender's delay changes nothing there");
    }

    [Fact]
    public void Needs_no_input_to_close()
    {
        var policy = Policy(Minute);
        policy.Observe([]);
        policy.CloseThrough(600_000, isCatchingUp: false).ShouldBe(9);
    }

    [Fact]
    public void Holds_closes_back_while_senders_catch_up_but_not_beyond_the_bound_on_windows()
    {
        var policy = Policy(Minute, maxOpenWindows: 4);
        policy.CloseThrough(600_000, isCatchingUp: true).ShouldBe(6);
        policy.CloseThrough(600_000, isCatchingUp: false).ShouldBe(9);
    }

    [Fact]
    public void Keeps_no_more_windows_open_than_the_bound_however_long_the_lateness()
    {
        var policy = Policy(Minute with { AllowedLateness = TimeSpan.FromHours(1) }, maxOpenWindows: 4);
        policy.CloseThrough(600_000, isCatchingUp: false).ShouldBe(6);
    }

    [Theory]
    [InlineData(60, 10_000)]
    [InlineData(5, 5_000)] // at most one interval
    public void Starts_with_ten_seconds(int intervalSeconds, long latenessMs) =>
        Policy(Minute with { Interval = TimeSpan.FromSeconds(intervalSeconds) }).LatenessMs.ShouldBe(latenessMs);

    [Fact]
    public void Follows_the_lag_of_the_samples()
    {
        var policy = Policy(Minute);
        ObservePeriods(policy, periods: 5, lagMs: 3_000);
        policy.LatenessMs.ShouldBeInRange(3_000, 3_800);

        ObservePeriods(policy, periods: 3, lagMs: 20_000);
        policy.LatenessMs.ShouldBeInRange(20_000, 25_000);

        ObservePeriods(policy, periods: 10, lagMs: 3_000);
        policy.LatenessMs.ShouldBeInRange(3_000, 3_800);
    }

    [Theory]
    [InlineData(1, 30)]     // one sample of a small sender
    [InlineData(1, 400)]
    [InlineData(200, 400)]  // a whole request that came late
    public void One_outlier_does_not_move_the_lateness(int outliers, int observations)
    {
        var policy = Policy(Minute);
        ObservePeriods(policy, periods: 5, lagMs: 3_000, observations);
        for (var i = 0; i < outliers; i++)
        {
            _lags.Observe(50_000);
        }
        ObservePeriods(policy, periods: 1, lagMs: 3_000, observations);
        policy.LatenessMs.ShouldBeInRange(3_000, 3_800);
    }

    [Theory]
    [InlineData(0, 1_000)]
    [InlineData(-5_000, 1_000)]
    [InlineData(10_000_000, 60_000)]
    [InlineData(long.MaxValue, 60_000)]
    public void Stays_between_a_second_and_an_interval(long lagMs, long latenessMs)
    {
        var policy = Policy(Minute);
        ObservePeriods(policy, periods: 5, lagMs);
        policy.LatenessMs.ShouldBe(latenessMs);
    }

    [Fact]
    public void A_stated_lateness_does_not_move()
    {
        var policy = Policy(Minute with { AllowedLateness = TimeSpan.FromSeconds(7) });
        ObservePeriods(policy, periods: 5, lagMs: 30_000);
        policy.LatenessMs.ShouldBe(7_000);
    }

    private void ObservePeriods(ClosePolicy policy, int periods, long lagMs, int observations = 100)
    {
        for (; periods > 0; periods--)
        {
            for (var i = 0; i < observations; i++)
            {
                _lags.Observe(lagMs);
            }
            policy.Observe([_lags]);
        }
    }

    private static ClosePolicy Policy(AggregationRuleConfig config, int maxOpenWindows = 64)
    {
        var rule = new AggregationRule(config, 0);
        return new ClosePolicy(
            rule, RuleClock.StartAt(rule, 0), new AggregationConfig { MaxOpenWindows = maxOpenWindows });
    }
}
