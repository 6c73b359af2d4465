using Millrace.TestKit.Conformance;
using Millrace.TestKit.Oracle;

namespace Millrace.Tests.Aggregation;

/// <summary>
/// Random rules and streams in arrival time against the model of vmagent. The system tests hold a live vmagent against
/// the same model, with the same runs.
/// </summary>
public sealed class ArrivalShardPropertyTests
{
    private const long Origin = AggregationCase.Origin;
    private const int RunCount = 200;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Writes_what_the_model_of_vmagent_says(int seed)
    {
        var set = new RandomRunSet([.. Enumerable.Range(0, RunCount).Select(n => RandomRun.Make(seed, n))]);

        var output = set.PlayInProcess(Origin);

        output.Repeats.ShouldBeEmpty();
        foreach (var run in set.Runs)
        {
            RandomRunSet.Differences(run, output, Origin, Origin + RandomRun.StartMs, AggregationCasePlayer.Ours)
                .ShouldBeEmpty(run.Describe());
        }
    }
}
