using Millrace.TestKit.Conformance;

namespace Millrace.Tests.Ingest;

/// <summary>One gateway takes all cases, one after the other; each must be answered and stored as it says.</summary>
public sealed class ReceiverComplianceTests
{
    [Fact]
    public void The_public_suite_is_covered_case_for_case()
    {
        ReceiverCases.All.Count.ShouldBe(121);
        ReceiverCases.SuiteSubTests.ShouldBe(201);
        ReceiverCases.All.Concat(ReceiverEdgeCases.All).Select(one => one.Name).ShouldBeUnique();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Answers_and_stores_what_the_public_suite_asks_for(bool hasReceiveLoops) =>
        await ShouldPassAsync(ReceiverCases.All, hasReceiveLoops);

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Answers_and_stores_what_the_specifications_ask_for(bool hasReceiveLoops) =>
        await ShouldPassAsync(ReceiverEdgeCases.All, hasReceiveLoops);

    private static async Task ShouldPassAsync(IReadOnlyList<ReceiverCase> cases, bool hasReceiveLoops)
    {
        await using var host = await IngestHost.StartAsync(hasReceiveLoops: hasReceiveLoops);
        var problems = new List<string>();
        foreach (var one in cases)
        {
            // Or equal bodies of two cases would be one request and its repeat.
            host.Advance(TimeSpan.FromMilliseconds(10));
            var nowMs = host.NowMs;
            using var request = one.Request(host.WriteUrl, nowMs);
            using var response = await host.Http.SendAsync(request);
            if (one.Judge(response) is { } problem)
            {
                problems.Add($"{problem}: {await response.Content.ReadAsStringAsync()}");
            }
            var expected = StoredLines.Of(one, nowMs).Order(StringComparer.Ordinal).ToList();
            var stored = host.TakeStored().Order(StringComparer.Ordinal).ToList();
            if (!stored.SequenceEqual(expected))
            {
                problems.Add($"{one.Name}: stored is [{string.Join(" | ", stored.Except(expected).Take(3))}], "
                    + $"missing is [{string.Join(" | ", expected.Except(stored).Take(3))}]");
            }
        }
        problems.ShouldBeEmpty($"{cases.Count - problems.Count} of {cases.Count}");
        (host.Counters.ConcurrentRequests, host.Counters.BytesBeingRead).ShouldBe((0, 0));
    }
}
