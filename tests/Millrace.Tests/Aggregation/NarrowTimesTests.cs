using Millrace.Aggregation;

namespace Millrace.Tests.Aggregation;

public sealed class NarrowTimesTests
{
    private const long Day = 24L * 3600 * 1000;
    private const long Origin = 1_700_000_000_000;

    [Fact]
    public void Every_time_comes_back_as_it_was_however_far_and_however_often_the_origin_moves()
    {
        var random = new Random(4);
        var times = new NarrowTimes(Origin);
        var offsets = new int[50];
        var expected = new long[offsets.Length];
        var nowMs = Origin;
        for (var row = 0; row < offsets.Length; row++)
        {
            offsets[row] = times.OffsetOf(row, expected[row] = Any(random, nowMs));
        }
        for (var step = 0; step < 5_000; step++)
        {
            nowMs += random.NextInt64(Day);
            var row = random.Next(offsets.Length);
            offsets[row] = times.OffsetOf(row, expected[row] = Any(random, nowMs));
            if (times.MustMove(nowMs))
            {
                var byMs = times.Move(nowMs);
                for (var i = 0; i < offsets.Length; i++)
                {
                    offsets[i] = times.Moved(i, offsets[i], byMs);
                }
            }
            for (var i = 0; i < offsets.Length; i++)
            {
                times.TimeOf(i, offsets[i]).ShouldBe(expected[i], $"step {step}");
            }
        }
    }

    [Fact]
    public void The_present_needs_nothing_beside_the_row()
    {
        var times = new NarrowTimes(Origin);
        var offset = times.OffsetOf(1, Origin + 5_000);
        times.Forget(1);
        times.TimeOf(1, offset).ShouldBe(Origin + 5_000);
        times.MustMove(Origin + 9 * Day).ShouldBeFalse();
        times.MustMove(Origin + 11 * Day).ShouldBeTrue();
    }

    private static long Any(Random random, long nowMs) => random.Next(6) switch
    {
        0 => long.MinValue,
        1 => long.MaxValue,
        2 => random.NextInt64(long.MinValue, long.MaxValue),
        3 => nowMs - random.NextInt64(60 * Day),
        _ => nowMs - random.NextInt64(60_000),
    };
}
