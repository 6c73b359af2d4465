using Millrace.TestKit.Conformance;
using Millrace.TestKit.Simulation;

namespace Millrace.SystemTests.Conformance;

/// <summary>How vmagent takes the answers of a backend, beside the gateway with the converted flags.</summary>
public sealed class DeliveryScenarioTests
{
    private static readonly Dictionary<string, string> NoFiles = [];
    private static readonly int[] Both = [SideBySide.Vmagent, SideBySide.Millrace];

    [Theory]
    [InlineData(400)]
    [InlineData(415)]
    public async Task A_backend_that_does_not_read_zstd_gets_the_same_samples_in_snappy(int status)
    {
        await using var both = await SideBySide.StartAsync(NoFiles, "");
        foreach (var backend in Both)
        {
            // Whatever is tried first, only snappy is taken.
            both.Sink.Refuse(backend, [.. Enumerable.Repeat(new WriteRefusal(status, Encoding: "zstd"), 20)]);
        }
        for (var number = 1; number <= 8; number++)
        {
            await both.PushAsync(Sample(number));
            await both.WaitForAsync(number, number);
        }

        foreach (var backend in Both)
        {
            both.Received(backend).ShouldBe(Expected(1, 8));
            both.Sink.AttemptsAt(backend)[^1].Encoding.ShouldBe("snappy");
            // Both learn: what is refused comes at most three times before the protocol is given up.
            both.Sink.AttemptsAt(backend).Count(attempt => attempt.Status == status).ShouldBeInRange(1, 3);
        }
        both.Sink.Problems.ShouldBeEmpty();
    }

    [Fact]
    public async Task A_server_error_is_tried_again_with_growing_pauses_until_it_is_over()
    {
        await using var both = await SideBySide.StartAsync(NoFiles, "?a=b", "-remoteWrite.forcePromProto");
        foreach (var backend in Both)
        {
            both.Sink.Refuse(backend, new WriteRefusal(500), new WriteRefusal(404));
        }
        await both.PushAsync(Sample(1));
        await both.WaitForAsync(1, 1);

        foreach (var backend in Both)
        {
            both.Received(backend).ShouldBe(Expected(1, 1));
            var attempts = both.Sink.AttemptsAt(backend);
            attempts.Select(attempt => attempt.Status).ShouldBe([500, 404, 204]);
            attempts.Select(attempt => attempt.BodyHash).Distinct().Count().ShouldBe(1);
            attempts.ShouldAllBe(attempt => attempt.Query == "?a=b");
            (attempts[1].AtMs - attempts[0].AtMs).ShouldBeGreaterThanOrEqualTo(950);
            (attempts[2].AtMs - attempts[1].AtMs).ShouldBeGreaterThanOrEqualTo(1_900);
        }
    }

    [Fact]
    public async Task A_backend_that_names_a_pause_is_left_alone_for_it()
    {
        await using var both = await SideBySide.StartAsync(NoFiles, "", "-remoteWrite.forcePromProto");
        foreach (var backend in Both)
        {
            both.Sink.Refuse(backend, new WriteRefusal(429, RetryAfterSeconds: 3));
        }
        await both.PushAsync(Sample(1));
        await both.WaitForAsync(1, 1);

        foreach (var backend in Both)
        {
            both.Received(backend).ShouldBe(Expected(1, 1));
            var attempts = both.Sink.AttemptsAt(backend);
            attempts.Count.ShouldBe(2);
            (attempts[1].AtMs - attempts[0].AtMs).ShouldBeGreaterThanOrEqualTo(2_900);
        }
    }

    [Theory]
    [InlineData(400)]
    [InlineData(409)]
    public async Task What_is_refused_for_good_is_not_sent_again_and_costs_no_later_block(int status)
    {
        await using var both = await SideBySide.StartAsync(NoFiles, "", "-remoteWrite.forcePromProto");
        foreach (var backend in Both)
        {
            both.Sink.Refuse(backend, new WriteRefusal(status));
        }
        await both.PushAsync(Sample(1));
        await WaitForAttemptsAsync(both, 1);
        await both.PushAsync(Sample(2));
        await both.WaitForAsync(1, 1);

        foreach (var backend in Both)
        {
            both.Received(backend).ShouldBe(Expected(2, 1));
            both.Sink.AttemptsAt(backend).Select(attempt => attempt.Status).ShouldBe([status, 204]);
        }
        // vmagent has lost it; here it lies in the dead letters.
        var metrics = await both.Gateway.ScrapeAsync();
        metrics.Sum("millrace_destination_samples_total", "state=\"parked\"").ShouldBe(1);
    }

    private static async Task WaitForAttemptsAsync(SideBySide both, int count)
    {
        for (var left = 100; left > 0 && Both.Any(backend => both.Sink.AttemptsAt(backend).Count < count); left--)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(100));
        }
    }

    private static string[] Expected(int first, int count) =>
        [.. Enumerable.Range(first, count).Select(number => $"m{{n=\"{number}\"}} {number}")];

    private static PlainSample Sample(int number) => new(
        PlainSeries.Of((PlainSeries.MetricName, "m"), ("n", $"{number}")), LiveVmagent.NowMs, number);
}
