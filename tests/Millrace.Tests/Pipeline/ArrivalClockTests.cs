using Millrace.Pipeline;
using Millrace.Tests.Simulation;

namespace Millrace.Tests.Pipeline;

public sealed class ArrivalClockTests
{
    private readonly SimulationClock _time = new();
    private readonly ArrivalClock _clock;

    public ArrivalClockTests() => _clock = new ArrivalClock(_time);

    [Fact]
    public void Shows_the_wall_clock_while_that_goes_on_evenly()
    {
        _time.Advance(1_234);
        _clock.NowMs().ShouldBe(_time.TrueMs);
    }

    [Theory]
    [InlineData(3_600)]
    [InlineData(-3_600)]
    public void Is_drawn_to_a_wall_clock_that_leapt_by_a_tenth_of_the_time_that_passes(int seconds)
    {
        var before = _clock.NowMs();
        _time.WallOffset = TimeSpan.FromSeconds(seconds);
        _clock.NowMs().ShouldBe(before);
        _time.Advance(10_000);
        _clock.NowMs().ShouldBe(before + (seconds > 0 ? 11_000 : 9_000));
    }

    [Fact]
    public void Reaches_the_wall_clock_and_stays_there()
    {
        _time.WallOffset = TimeSpan.FromSeconds(5);
        for (var i = 0; i < 120; i++)
        {
            _time.Advance(1_000);
            _clock.NowMs();
        }
        _clock.NowMs().ShouldBe(_time.TrueMs + 5_000);
    }

    [Fact]
    public void Never_stands_below_what_the_log_holds()
    {
        var ahead = _clock.NowMs() + 60_000;
        _clock.NotBefore(ahead);
        _clock.NowMs().ShouldBe(ahead);
        _time.Advance(10_000);
        _clock.NowMs().ShouldBe(ahead + 9_000);
        _clock.NotBefore(0);
        _clock.NowMs().ShouldBe(ahead + 9_000);
    }
}
