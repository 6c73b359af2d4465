using System.Globalization;
using Millrace.Aggregation;
using Millrace.TestKit.Oracle;
using Millrace.Tests.Configuration;

namespace Millrace.Tests.Aggregation;

/// <summary>
/// Plays tests/cases/aggregation in process, in arrival time on a manual clock. The same files are meant to be played
/// against a real vmagent.
/// </summary>
public sealed class AggregationCaseTests
{
    public static TheoryData<string, string> Cases => [.. AggregationCase.ReadAll().Select(c => (c.File, c.Name))];

    [Theory]
    [MemberData(nameof(Cases))]
    public void Aggregates_as_the_case_says(string file, string name)
    {
        var one = AggregationCase.ReadAll().Single(c => c.File == file && c.Name == name);
        var loaded = LoadedConfig.LoadRules(one.RulesYaml);
        loaded.Problems.ShouldBeEmpty();
        var rules = loaded.Config!.Aggregation.Rules;

        var actual = new SortedDictionary<(long, string), double>();
        foreach (var rule in rules)
        {
            foreach (var (window, value) in Play(one, rule with { Time = RuleTime.Arrival }))
            {
                actual.Add(window, value);
            }
        }

        Lines(actual).ShouldBe(Lines(one.Expected));
    }

    private static SortedDictionary<(long EndMs, string Series), double> Play(
        AggregationCase one, AggregationRuleConfig config)
    {
        var rig = new ShardRig(config, one.StartMs, AggregationCase.Origin);
        foreach (var sample in one.Samples)
        {
            rig.Close(sample.PushedMs);
            rig.Add(sample.PushedMs, new StreamSample(sample.Series, sample.TimestampMs, sample.Value));
        }
        rig.Close(one.EndMs);
        return rig.Emitted;
    }

    private static IEnumerable<string> Lines(IEnumerable<KeyValuePair<(long EndMs, string Series), double>> values) =>
        values.Select(one => string.Create(
                CultureInfo.InvariantCulture, $"={one.Key.EndMs / 1000.0} {one.Key.Series} {one.Value:R}"))
            .Order(StringComparer.Ordinal);
}
