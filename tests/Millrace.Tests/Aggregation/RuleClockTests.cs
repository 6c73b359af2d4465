using Millrace.Aggregation;

namespace Millrace.Tests.Aggregation;

public sealed class RuleClockTests
{
    [Theory]
    [InlineData(20_000, 2)] // a window includes its end and not its start
    [InlineData(20_001, 3)]
    [InlineData(30_000, 3)]
    [InlineData(0, 0)]
    [InlineData(1, 1)]
    [InlineData(-1, 0)]
    [InlineData(-9_999, 0)]
    [InlineData(-10_000, -1)]
    [InlineData(-10_001, -1)]
    public void A_window_is_open_at_its_start_and_closed_at_its_end(long timeMs, long window)
    {
        var rule = Rule(isAligned: true);
        rule.WindowOf(timeMs, 0).ShouldBe(window);
        rule.WindowOf(timeMs + 123, 123).ShouldBe(window);
        rule.EndOf(window, 0).ShouldBeInRange(timeMs, timeMs + 9_999);
    }

    [Theory]
    [InlineData(20_000, 20_000)] // begins at a boundary: that window is seen from its first moment
    [InlineData(20_001, 30_000)]
    [InlineData(29_999, 30_000)]
    public void The_first_whole_window_begins_at_or_after_the_start(long startMs, long windowStartMs)
    {
        var rule = Rule(isAligned: true);
        var clock = RuleClock.StartAt(rule, startMs);

        rule.EndOf(clock.FirstWholeWindow - 1, clock.OffsetMs).ShouldBe(windowStartMs);
    }

    [Fact]
    public void Without_alignment_windows_begin_with_the_rule()
    {
        var rule = Rule(isAligned: false);
        var clock = RuleClock.StartAt(rule, 1_700_000_012_345);

        rule.EndOf(clock.FirstWholeWindow - 1, clock.OffsetMs).ShouldBe(1_700_000_012_345);
        rule.EndOf(clock.FirstWholeWindow, clock.OffsetMs).ShouldBe(1_700_000_022_345);
    }

    [Theory]
    [InlineData(RuleTime.Event, 2)]   // the window under way stays open, for bases
    [InlineData(RuleTime.Arrival, 1)] // what comes before the first boundary is held for the first whole window
    public void What_is_closed_at_the_start_depends_on_the_clock_of_the_windows(RuleTime time, int before)
    {
        var rule = Rule(isAligned: true, time);
        var clock = RuleClock.StartAt(rule, 25_000);

        clock.ClosedAtStart(rule).ShouldBe(clock.FirstWholeWindow - before);
    }

    [Fact]
    public void Any_time_has_a_window()
    {
        var rule = Rule(isAligned: true);
        foreach (var timeMs in new[] { long.MinValue, long.MinValue + 1, long.MaxValue, long.MaxValue - 1 })
        {
            Should.NotThrow(() => rule.WindowOf(timeMs, 9_999));
        }
    }

    private static AggregationRule Rule(bool isAligned, RuleTime time = RuleTime.Event) => new(
        new AggregationRuleConfig
        {
            Interval = TimeSpan.FromSeconds(10),
            IntervalText = "10s",
            Outputs = ["total"],
            NoAlignFlushToInterval = !isAligned,
            Time = time,
        },
        0);
}
