using Millrace.Pipeline;

namespace Millrace.Tests.Pipeline;

public sealed class RequestMemoryTests
{
    [Fact]
    public void Knows_a_request_for_ten_minutes()
    {
        var memory = new RequestMemory();
        memory.Add(Request(1, arrivalMs: 0, lsn: 1)).ShouldBeTrue();
        memory.Add(Request(2, arrivalMs: 600_000, lsn: 2));
        memory.TryGet(1, out var known).ShouldBeTrue();
        known.Lsn.ShouldBe(1);
        memory.Add(Request(3, arrivalMs: 600_001, lsn: 3));
        memory.TryGet(1, out _).ShouldBeFalse();
        memory.TryGet(2, out _).ShouldBeTrue();
    }

    [Fact]
    public void The_first_of_equal_requests_in_the_log_counts_in_whatever_order_they_are_told()
    {
        var memory = new RequestMemory();
        memory.Add(Request(1, arrivalMs: 500, lsn: 9)).ShouldBeTrue(); // while the replay had not come so far
        memory.Add(Request(1, arrivalMs: 100, lsn: 3)).ShouldBeTrue();
        memory.Add(Request(1, arrivalMs: 500, lsn: 9)).ShouldBeFalse(); // the replay comes to the repeat
        memory.TryGet(1, out var known).ShouldBeTrue();
        known.Lsn.ShouldBe(3);
        memory.All.Count().ShouldBe(1);
    }

    [Fact]
    public void Is_bounded()
    {
        var memory = new RequestMemory(maxRequests: 2);
        for (var i = 1; i <= 5; i++)
        {
            memory.Add(Request((UInt128)i, arrivalMs: i, lsn: i));
        }
        memory.Count.ShouldBe(2);
        memory.TryGet(3, out _).ShouldBeFalse();
        memory.TryGet(4, out _).ShouldBeTrue();
    }

    private static RememberedRequest Request(UInt128 hash, long arrivalMs, long lsn) =>
        new(hash, arrivalMs, lsn, new WrittenCounts(1, 0, 0));
}
