using System.Globalization;
using Millrace.TestKit.Conformance;
using Millrace.TestKit.Oracle;

namespace Millrace.Tests.Aggregation;

/// <summary>
/// Plays tests/cases/aggregation in process, in arrival time on a manual clock, through the whole gateway. The system
/// tests play the same files against a real vmagent.
/// </summary>
public sealed class AggregationCaseTests
{
    public static TheoryData<string, string> Cases => [.. AggregationCase.ReadAll().Select(c => (c.File, c.Name))];

    [Theory]
    [MemberData(nameof(Cases))]
    public void Aggregates_as_the_case_says(string file, string name)
    {
        var one = AggregationCase.ReadAll().Single(c => c.File == file && c.Name == name);

        Lines(AggregationCaseRun.Play(one)).ShouldBe(Lines(one.ExpectedOf(AggregationCasePlayer.Ours)));
    }

    private static IEnumerable<string> Lines(IEnumerable<KeyValuePair<(long EndMs, string Series), double>> values) =>
        values.Select(one => string.Create(
                CultureInfo.InvariantCulture, $"={one.Key.EndMs / 1000.0} {one.Key.Series} {one.Value:R}"))
            .Order(StringComparer.Ordinal);
}
