using System.Globalization;
using System.Text;
using Millrace.Aggregation;
using Millrace.Model;

namespace Millrace.Tests.Aggregation;

/// <summary>
/// Corrections output by output, and their bounds. Windows of ten seconds, corrected for 20 s; the rule is in force
/// since 20 seconds before 0.
/// </summary>
public sealed class CorrectionTests
{
    private const long Origin = 1_700_000_040_000;

    private static readonly AggregationRuleConfig Rule = new()
    {
        Interval = TimeSpan.FromSeconds(10),
        IntervalText = "10s",
        Outputs = ["increase"],
        By = ["none"],
        FirstSample = FirstSample.Zero,
        Late = LatePolicy.Correct,
        CorrectionsFor = TimeSpan.FromSeconds(20),
    };

    /// <summary>What is given at 10, 20 and 30; the late sample comes between 20 and 30.</summary>
    public static TheoryData<string, string> Given => new()
    {
        { "increase", "10: 15 | 20: 40 | 10: 45!, 20: 10!, 30: 5" },
        { "increase_prometheus", "10: 15 | 20: 40 | 10: 45!, 20: 10!, 30: 5" },
        { "total", "10: 15 | 20: 55 | 10: 45!, 30: 60" },
        { "total_prometheus", "10: 15 | 20: 55 | 10: 45!, 30: 60" },
        { "rate_sum", "10: 1.0714285714285714 | 20: 4 | 10: 3!, 20: 1.1111111111111112!, 30: 0.5" },
        { "rate_avg", "10: 1.0714285714285714 | 20: 4 | 10: 3!, 20: 1.1111111111111112!, 30: 0.5" },
        { "sum_samples", "10: 30 | 20: 60 | 10: 80!, 30: 65" },
        { "sum_samples_total", "10: 35 | 20: 95 | 10: 85!, 20: 145!, 30: 210" },
        { "count_samples", "10: 2 | 20: 1 | 10: 3!, 30: 1" },
        { "count_series", "10: 1 | 20: 1 | 30: 1" },
        { "unique_samples", "10: 2 | 20: 1 | 10: 3!, 30: 1" },
        { "min", "10: 10 | 20: 60 | 30: 65" },
        { "max", "10: 20 | 20: 60 | 10: 50!, 30: 65" },
        { "avg", "10: 15 | 20: 60 | 10: 26.666666666666668!, 30: 65" },
        { "stddev", "10: 5 | 20: 0 | 10: 16.99673171197595!, 30: 0" },
        { "stdvar", "10: 25 | 20: 0 | 10: 288.8888888888889!, 30: 0" },
        { "last", "10: 20 | 20: 60 | 10: 50!, 30: 65" },
        { "sum_last", "10: 20 | 20: 60 | 10: 50!, 30: 65" },
        { "first", "10: 10 | 20: 60 | 30: 65" },
        { "range", "10: 10 | 20: 0 | 10: 40!, 30: 0" },
        { "quantiles(1)", "10: 20 | 20: 60 | 10: 50!, 30: 65" },
        { "distinct(i)", "10: 1 | 20: 1 | 30: 1" },
        { "topk(1, i)", "10: 20 | 20: 60 | 10: 50!, 30: 65" },
        { "topk(1, i, increase)", "10: 15 | 20: 40 | 10: 45!, 20: 10!, 30: 5" },
    };

    [Theory]
    [MemberData(nameof(Given))]
    public void Gives_again_what_a_late_sample_changes(string output, string expected)
    {
        var rig = Rig(Rule with { Outputs = [output] });
        rig.Add(-5_000, At(-5, 5));
        rig.Add(9_500, At(3, 10), At(9, 20));
        rig.Close(10_000);
        rig.Add(19_500, At(19, 60));
        rig.Close(20_000);
        rig.Add(25_000, At(10, 50));
        rig.Add(29_500, At(29, 65));
        rig.Close(30_000);

        var text = Text(rig);
        (output is "quantiles(1)" ? Rounded(text) : text).ShouldBe(expected);
        rig.Shard.Counters.CorrectingSamples.ShouldBe(1);
        rig.Shard.Counters.LateSamples.Sum().ShouldBe(0);
    }

    [Theory]
    [InlineData("count_samples", "10: 2 | 10: 3!, 20: 1 | 30: 1")]
    [InlineData("increase", "10: 5 | 10: 15!, 20: 15 | 30: 1")]
    [InlineData("total", "10: 5 | 10: 15!, 20: 30 | 30: 31")]
    public void The_example_of_the_documentation(string output, string expected)
    {
        var rig = Rig(Rule with { Outputs = [output] });
        rig.Add(10_000, At(3, 10), At(5, 15));
        rig.Close(10_000);
        rig.Add(14_000, At(9, 25));
        rig.Add(16_000, At(16, 40));
        rig.Close(20_000);
        rig.Add(26_000, At(26, 41));
        rig.Close(30_000);

        Text(rig).ShouldBe(expected);
    }

    [Fact]
    public void A_histogram_bucket_that_fills_late_is_given_for_all_windows_since()
    {
        var rig = Rig(Rule with { Outputs = ["histogram_bucket"] });
        rig.Add(9_500, At(3, 10));
        rig.Close(10_000);
        rig.Add(19_500, At(19, 10));
        rig.Close(20_000);
        rig.Add(25_000, At(9, 1_000));
        rig.Close(30_000);

        rig.Parts.Where(part => part.IsCorrection).SelectMany(part => part.Samples).Select(ShardRig.SeriesOf)
            .ShouldAllBe(series => series.Contains("vmrange=\"8.799e+02...1.000e+03\""));
        Text(rig).ShouldBe("10: 1 | 20: 2 | 10: 1!, 20: 1!");
    }

    [Fact]
    public void A_group_that_comes_late_is_given_as_if_it_had_been_there()
    {
        var rig = Rig(Rule with { By = ["i"], Outputs = ["count_samples", "total"] });
        rig.Add(9_500, At(3, 10));
        rig.Close(10_000);
        rig.Add(12_000, At(5, 7, "b"));
        rig.Close(20_000);

        var corrected = rig.Parts.Where(part => part.IsCorrection).ShouldHaveSingleItem();
        corrected.EndMs.ShouldBe(Origin + 10_000);
        corrected.Samples.Select(sample => (ShardRig.SeriesOf(sample), sample.Value)).ShouldBe(
            [("m:10s_by_i_count_samples{i=\"b\"}", 1), ("m:10s_by_i_total{i=\"b\"}", 0)], ignoreOrder: true);
    }

    [Fact]
    public void Later_than_that_a_sample_is_late_as_ever()
    {
        var rig = Rig(Rule with { Outputs = ["count_samples", "increase"] });
        rig.Add(-5_000, At(-5, 5));
        rig.Add(9_500, At(3, 10));
        rig.Close(10_000);
        rig.Close(29_000);
        rig.Add(29_500, At(5, 11));
        rig.Close(30_000); // The last close that corrects the window.
        rig.Add(30_500, At(6, 12));
        rig.Add(39_500, At(39, 20));
        rig.Close(40_000);

        Text(rig).ShouldBe("10: 1, 10: 5 | 10: 2!, 10: 6!, 40: 1, 40: 9");
        rig.Shard.Counters.CorrectingSamples.ShouldBe(1);
        rig.Shard.Counters.Corrections.ShouldBe(2);
        rig.Shard.Counters.LateSamples[2].ShouldBe(1, "of an age between 10 s and 1 m");
        rig.Shard.Counters.LateSamples.Sum().ShouldBe(1);
    }

    [Fact]
    public void A_value_that_changes_back_is_given_each_time()
    {
        var rig = Rig(Rule with { Outputs = ["avg"] });
        rig.Add(9_500, At(3, 10));
        rig.Close(10_000);
        rig.Add(12_000, At(4, 20));
        rig.Close(20_000);
        rig.Add(22_000, At(2, 0));
        rig.Close(30_000);

        Text(rig).ShouldBe("10: 10 | 10: 15! | 10: 10!");
    }

    [Fact]
    public void A_repeat_of_what_was_counted_corrects_nothing()
    {
        var rig = Rig(Rule with { Outputs = ["sum_samples", "increase", "count_series"] });
        rig.Add(9_500, At(3, 10), At(9, 20));
        rig.Close(10_000);
        rig.Add(12_000, At(3, 10), At(9, 20));
        rig.Close(20_000);

        rig.Parts.ShouldNotContain(part => part.IsCorrection);
    }

    public static TheoryData<string> Interplays => [.. AllInterplays.Keys];

    private static readonly Dictionary<string, Func<AggregationRuleConfig, int, AggregationRuleConfig>> AllInterplays =
        new()
        {
            ["deduplication"] = (rule, seed) => rule with { DedupInterval = rule.Interval / (1 + seed % 4) },
            ["bounds"] = (rule, seed) => rule with { MaxSeries = 1 + seed % 4, MaxGroups = 1 + seed % 3 },
            ["replicas"] = (rule, _) => rule with { Ha = new HaConfig { ReplicaLabel = "b" } },
        };

    /// <summary>The last values are those of a rule that closes its windows later by the time of corrections.</summary>
    [Theory]
    [MemberData(nameof(Interplays))]
    public void Equals_a_rule_that_had_waited(string interplay)
    {
        var corrections = 0L;
        for (var seed = 1; seed <= 100; seed++)
        {
            var stream = new RandomStream(seed, new StreamShape
            {
                Disorder = 1.3,
                HasRepeats = true,
                IsGauge = seed % 2 == 0,
                Rule = rule => AllInterplays[interplay](rule, seed) with
                {
                    Late = LatePolicy.Correct,
                    CorrectionsFor = rule.Interval * (1 + seed % 3),
                    Outputs = [.. rule.Outputs.Where(output => output[0] != 't' || output[1] == 'o' && output[2] == 't')
                        .DefaultIfEmpty("max")],
                },
            });
            var (corrected, waited) = (new ShardRig(stream.Config, stream.StartMs), new ShardRig(
                stream.Config with { Late = LatePolicy.Drop, CorrectionsFor = null }, stream.StartMs));
            var closedBefore = corrected.Shard.ClosedThrough + 1; // nobody closes a window twice
            var waitMs = (long)stream.Config.CorrectionsFor!.Value.TotalMilliseconds;
            foreach (var record in stream.Records)
            {
                corrected.Add(record.ArrivalMs, record.Samples);
                waited.Add(record.ArrivalMs, record.Samples);
                var clock = corrected.Shard.Clock;
                if (record.CloseThroughMs is { } throughMs
                    && corrected.Shard.Rule.WindowOf(throughMs + 1, clock.OffsetMs) > closedBefore)
                {
                    closedBefore = corrected.Shard.Rule.WindowOf(throughMs + 1, clock.OffsetMs);
                    corrected.Close(throughMs);
                    waited.Close(throughMs - (record == stream.Records[^1] ? 0 : waitMs));
                }
            }

            var emitted = corrected.Emitted;
            foreach (var stayed in emitted.Keys.Except(waited.Emitted.Keys).ToList())
            {
                // A late stale marker, or a later sample of the dedup interval, ends what was given.
                (stayed.Series.Contains("_sum_last", StringComparison.Ordinal) || interplay == "deduplication")
                    .ShouldBeTrue($"{stayed}, seed {seed}");
                emitted.Remove(stayed);
            }
            WindowValues.Difference(emitted, waited.Emitted).ShouldBeEmpty($"seed {seed}, {stream.Config}");
            corrected.Shard.Counters.LateSamples.ShouldBe(waited.Shard.Counters.LateSamples, $"seed {seed}");
            corrections += corrected.Shard.Counters.Corrections;
        }
        corrections.ShouldBeGreaterThan(100);
    }

    private static ShardRig Rig(AggregationRuleConfig rule) => new(rule, startMs: -20_000, Origin);

    private static StreamSample At(double second, double value, string i = "a") =>
        new(LabelSet.Of(("__name__", "m"), ("i", i)), (long)(second * 1_000), value);

    /// <summary>"second: value" of each sample, ! for a correction, | between closes.</summary>
    private static string Text(ShardRig rig)
    {
        var text = new StringBuilder();
        var separator = "";
        foreach (var part in rig.Parts)
        {
            if (part.EndMs <= Origin)
            {
                continue;
            }
            foreach (var sample in part.Samples)
            {
                text.Append(separator).Append(CultureInfo.InvariantCulture,
                    $"{(part.EndMs - Origin) / 1_000}: {sample.Value:R}{(part.IsCorrection ? "!" : "")}");
                separator = ", ";
            }
            // A close gives corrections first, and the new window last.
            separator = text.Length > 0 && !part.IsCorrection ? " | " : separator;
        }
        return text.ToString();
    }

    /// <summary>A quantile is known to within a share of its value.</summary>
    private static string Rounded(string text) => string.Join(' ', text.Split(' ').Select(word =>
        double.TryParse(word.Trim(',', '!'), CultureInfo.InvariantCulture, out var value)
            ? Math.Round(value).ToString(CultureInfo.InvariantCulture) + word[word.Trim(',', '!').Length..] : word));
}
