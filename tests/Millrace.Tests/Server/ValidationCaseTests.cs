using Millrace.TestKit.Conformance;

namespace Millrace.Tests.Server;

/// <summary>
/// <c>millrace check</c> on the files of tests/cases/validation. The system tests give them to a real vmagent.
/// </summary>
public sealed class ValidationCaseTests
{
    private const string Config = """
        aggregation: {rule_files: [rules.yml]}
        destinations:
        - name: sink
          remote_write: {url: "http://127.0.0.1:9/"}
        """;

    [Fact]
    public async Task Check_answers_as_the_cases_say()
    {
        var wrong = new List<string>();
        foreach (var one in ValidationCase.ReadAll())
        {
            using var run = new CommandRun();
            run.File("rules.yml", one.RulesYaml);
            var code = await run.RunAsync("check", run.File("millrace.yml", Config));
            if (code == 0 != one.IsAcceptedHere)
            {
                wrong.Add($"line {one.Line}: exit code {code} for {one.RulesYaml}{run.Output}{run.Error}");
            }
            else if (code != 0 && !(run.Output + run.Error).Contains("rules.yml:", StringComparison.Ordinal))
            {
                wrong.Add($"line {one.Line}: nothing says where the problem is: {run.Output}{run.Error}");
            }
        }
        wrong.ShouldBeEmpty();
    }
}
