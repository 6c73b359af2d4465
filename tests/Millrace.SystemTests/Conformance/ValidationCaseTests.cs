using System.Collections.Concurrent;
using Millrace.TestKit.Conformance;
using Millrace.TestKit.Processes;

namespace Millrace.SystemTests.Conformance;

/// <summary>A real vmagent accepts and refuses the files of tests/cases/validation as they say.</summary>
public sealed class ValidationCaseTests
{
    [Fact]
    public async Task Vmagent_answers_as_the_cases_say()
    {
        Needs.Peer(Peers.Vmagent);
        var wrong = new ConcurrentQueue<string>();
        await Parallel.ForEachAsync(
            ValidationCase.ReadAll(), new ParallelOptions { MaxDegreeOfParallelism = 2 }, async (one, _) =>
            {
                var (isAccepted, output) = await VmagentProcess.CheckRulesAsync(one.RulesYaml);
                var answer = isAccepted ? ValidationAnswer.Accepted
                    : output.Contains("panic:", StringComparison.Ordinal) ? ValidationAnswer.Crashes
                    : ValidationAnswer.Refused;
                if (answer != one.Vmagent)
                {
                    wrong.Enqueue($"line {one.Line}: {answer}: {one.RulesYaml}{output}");
                }
            });
        wrong.ShouldBeEmpty();
    }
}
