using Millrace.Aggregation;

namespace Millrace.Tests.Configuration;

/// <summary><c>late: correct</c> needs a destination that takes corrections, and windows to keep.</summary>
public sealed class CorrectionCheckTests
{
    private const string Rules = """
        aggregation:
          rules:
          - {name: corrected, interval: 1m, outputs: [total], late: correct}
          - {name: plain, interval: 1m, outputs: [max]}
        destinations:
        - {name: prometheus, remote_write: {url: 'http://h/'}}
        - {name: victoria, remote_write: {url: 'http://h/'}, corrections: true}

        """;

    [Theory]
    [InlineData("", true)]
    [InlineData("routes: [{to: [victoria]}]", true)]
    [InlineData("routes: [{to: [prometheus]}]", false)]
    [InlineData("routes: [{aggregate: [plain], to: [victoria]}, {name: two, to: [prometheus]}]", false)]
    [InlineData("routes: [{aggregate: [plain], to: [prometheus]}]", true)]
    [InlineData(
        "routes: [{name: a, to: [prometheus]}, {name: b, inputs: [a], aggregate: false, to: [victoria]}]", true)]
    [InlineData(
        "routes: [{name: a, aggregate: [corrected], to: [prometheus]}, "
        + "{name: b, inputs: [a], aggregate: [plain], drop_input: true, to: [victoria]}]",
        false)] // b keeps what it takes to itself
    public void Asks_for_one_destination_of_the_rule_that_takes_corrections(string routes, bool isGood)
    {
        if (isGood)
        {
            LoadedConfig.Good(Rules + routes);
            return;
        }
        var problem = LoadedConfig.Bad(Rules + routes).ShouldHaveSingleItem();
        problem.Path.ShouldBe("aggregation.rules[0].late");
        problem.Line.ShouldBe(3);
        problem.Message.ShouldContain("(\"prometheus\")");
        problem.Message.ShouldContain("corrections: true");
    }

    [Theory]
    [InlineData("allowed_lateness: 10s, corrections_for: 61m", true)]
    [InlineData("allowed_lateness: 10s, corrections_for: 62m", false)]
    [InlineData("corrections_for: 61m", true)]
    [InlineData("corrections_for: 61m1s", false)]
    public void Corrected_windows_count_among_the_open_ones(string keys, bool isGood)
    {
        var text = Rules.Replace("late: correct", $"late: correct, {keys}", StringComparison.Ordinal);
        if (isGood)
        {
            LoadedConfig.Good(text);
            return;
        }
        var problem = LoadedConfig.Bad(text).ShouldHaveSingleItem();
        problem.Path.ShouldBe("aggregation.rules[0].corrections_for");
        problem.Message.ShouldContain("keep 65 windows open, more than aggregation.max_open_windows, 64");
    }

    [Fact]
    public void The_time_is_counted_in_whole_windows()
    {
        AggregationRuleConfig Read(string keys) => LoadedConfig.Good(Rules.Replace(
            "late: correct", $"late: correct{keys}", StringComparison.Ordinal)).Aggregation.Rules[0];
        Read("").CountCorrectedWindows().ShouldBe(5);
        Read(", corrections_for: 1s").CountCorrectedWindows().ShouldBe(1);
        Read(", corrections_for: 2m").CountCorrectedWindows().ShouldBe(2);
        LoadedConfig.Good(Rules).Aggregation.Rules[1].CountCorrectedWindows().ShouldBe(0);
    }
}
