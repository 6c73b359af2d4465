using Millrace.Aggregation;

namespace Millrace.Tests.Aggregation;

/// <summary>
/// <c>late: correct</c> against the oracle: for any order of arrival inside the lateness and the time of corrections,
/// the last value given of each series and window is that of a rule that had waited for all of it, bit by bit.
/// </summary>
public sealed class CorrectionPropertyTests
{
    private const int Cases = 60;

    public static TheoryData<string> Shapes => [.. AllShapes.Keys];

    private static readonly Dictionary<string, StreamShape> AllShapes = new()
    {
        ["counters and gauges"] = new() { Disorder = 1, Rule = Correct },
        ["gauges, repeats with other values"] =
            new() { Disorder = 1, HasRepeats = true, HasConflicts = true, IsGauge = true, Rule = Correct },
        ["some too late"] = new() { Disorder = 2, HasRepeats = true, Rule = Correct },
        ["births on known targets, start timestamps"] =
            new() { Disorder = 1.5, HasTargets = true, HasStarts = true, HasRepeats = true, Rule = Correct },
        ["fractions"] = new() { Disorder = 1.2, HasFractions = true, HasRepeats = true, Rule = Correct },
        ["gaps spread"] = new()
        {
            Disorder = 1.2,
            HasStarts = true,
            HasRepeats = true,
            Rule = r => Correct(r) with { Gap = GapPolicy.Spread },
        },
        ["gaps capped, resets as in VictoriaMetrics"] = new()
        {
            Disorder = 1.2,
            HasFractions = true,
            Rule = r => Correct(r) with { Gap = GapPolicy.Cap, Resets = ResetPolicy.VictoriaMetrics },
        },
        ["remembered samples"] = new()
        {
            Disorder = 1.2,
            HasRepeats = true,
            HasConflicts = true,
            HasStarts = true,
            Rule = r => Correct(r) with { RemembersSamples = true },
        },
        ["zeros injected"] =
            new() { Disorder = 1, HasTargets = true, Rule = r => Correct(r) with { ZeroInjection = true } },
        ["in order"] = new() { Rule = Correct },
    };

    private static AggregationRuleConfig Correct(AggregationRuleConfig rule) => rule with
    {
        Late = LatePolicy.Correct,
        CorrectionsFor = rule.Interval * (1 + rule.Outputs.Count % 4),
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void The_last_value_given_equals_the_oracle(string shape)
    {
        var corrections = 0L;
        for (var seed = 1; seed <= Cases; seed++)
        {
            var stream = new RandomStream(seed, AllShapes[shape]);
            var rig = new ShardRig(stream.Config, stream.StartMs);
            rig.Play(stream);

            var (emitted, expected) = (rig.Emitted, stream.Oracle.Compute());
            foreach (var stayed in emitted.Keys.Except(expected.Keys).ToList())
            {
                MayStay(stayed.Series, emitted[stayed], AllShapes[shape], stream.Config).ShouldBeTrue(
                    $"{stayed}, seed {seed}, {stream.Config}");
                emitted.Remove(stayed);
            }
            WindowValues.Difference(emitted, expected).ShouldBeEmpty($"seed {seed}, {stream.Config}");
            rig.Shard.Counters.LateSamples.Sum().ShouldBe(stream.Oracle.Late, $"late samples, seed {seed}");
            rig.Shard.Counters.OutputSamples.ShouldBe(rig.Parts.Sum(part => part.Samples.Count), $"seed {seed}");
            rig.Shard.Counters.Corrections.ShouldBe(
                rig.Parts.Where(part => part.IsCorrection).Sum(part => part.Samples.Count), $"seed {seed}");
            corrections += rig.Shard.Counters.Corrections;
        }
        if (shape == "in order")
        {
            corrections.ShouldBe(0);
        }
        else
        {
            corrections.ShouldBeGreaterThan(Cases, "the streams must need corrections");
        }
    }

    /// <summary>
    /// A point that was given cannot be taken back. That shows where another series may push one out, where a late
    /// stale marker ends one, where a bucket was filled by a value that gave way to a larger one, and where a zero was
    /// injected for a group that turns out to have begun before.
    /// </summary>
    private static bool MayStay(string series, double value, StreamShape shape, AggregationRuleConfig rule) =>
        series.Contains("_topk_", StringComparison.Ordinal) || series.Contains("_sum_last", StringComparison.Ordinal)
        || (series.Contains("_histogram_bucket", StringComparison.Ordinal) && shape.HasConflicts)
        || (rule.ZeroInjection && value == 0);

    /// <summary>What was given at first is what the rule gives without corrections.</summary>
    [Fact]
    public void Windows_are_given_when_and_as_they_would_be_without_corrections()
    {
        for (var seed = 1; seed <= Cases; seed++)
        {
            var stream = new RandomStream(seed, AllShapes["in order"]);
            var (corrected, plain) = (new ShardRig(stream.Config, stream.StartMs),
                new ShardRig(stream.Config with { Late = LatePolicy.Drop, CorrectionsFor = null }, stream.StartMs));
            corrected.Play(stream);
            plain.Play(stream);

            SequenceOf(corrected).ShouldBe(SequenceOf(plain), $"seed {seed}, {stream.Config}");
        }
    }

    [Fact]
    public void A_restart_at_any_record_gives_the_same_sequence()
    {
        var shapes = AllShapes.Values.ToArray();
        for (var seed = 1; seed <= Cases; seed++)
        {
            var stream = new RandomStream(seed, shapes[seed % shapes.Length]);
            var undisturbed = new ShardRig(stream.Config, stream.StartMs);
            undisturbed.Play(stream);
            for (var at = seed % 5; at < stream.Records.Count; at += 5)
            {
                var restarted = new ShardRig(stream.Config, stream.StartMs);
                restarted.Play(stream, restartAt: at);

                SequenceOf(restarted).ShouldBe(SequenceOf(undisturbed), $"seed {seed}, record {at}");
                ShardRig.Snapshot(restarted.Shard).ShouldBe(
                    ShardRig.Snapshot(undisturbed.Shard), $"seed {seed}, record {at}");
            }
        }
    }

    private static List<string> SequenceOf(ShardRig rig)
    {
        var sequence = new List<string>();
        foreach (var part in rig.Parts)
        {
            foreach (var sample in part.Samples)
            {
                var bits = BitConverter.DoubleToInt64Bits(sample.Value);
                sequence.Add(
                    $"{part.EndMs - sample.BeforeMs} {part.IsCorrection} {ShardRig.SeriesOf(sample)} {bits:x}");
            }
        }
        return sequence;
    }
}
