using Millrace.Model;
using Millrace.Relabeling;
using Millrace.TestKit;

namespace Millrace.Tests.Relabeling;

/// <summary>Runs tests/cases/relabel in process. The same files are meant to run against a real vmagent.</summary>
public sealed class RelabelCaseTests
{
    public static TheoryData<string, string> Cases => [.. RelabelCase.ReadAll().Select(c => (c.File, c.Name))];

    [Theory]
    [MemberData(nameof(Cases))]
    public void Relabels_as_the_case_says(string file, string name)
    {
        var relabelCase = RelabelCase.ReadAll().Single(c => c.File == file && c.Name == name);
        foreach (var dialect in relabelCase.Dialects)
        {
            var problems = new List<ConfigProblem>();
            var relabeler = Relabeler.Compile(RelabelYaml.Read(relabelCase.RulesYaml), problems, dialect);
            problems.ShouldBeEmpty();
            var builder = new LabelBuilder();
            foreach (var (input, output) in relabelCase.Series)
            {
                var kept = relabeler.TryApply(input, builder, out var result);
                var trace = RelabelTrace.Run(relabeler, input);

                (kept ? result.ToString() : "dropped")
                    .ShouldBe(output?.ToString() ?? "dropped", $"{dialect}: {input}\n{string.Join('\n', trace.Steps)}");
                (trace.Output?.ToString() ?? "dropped").ShouldBe(output?.ToString() ?? "dropped", "in the trace");
            }
        }
    }
}
