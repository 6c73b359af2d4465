using Millrace.Aggregation;

namespace Millrace.Tests.Aggregation;

/// <summary>
/// A shard in event time against the oracle: random rules and random logs, compared bit by bit. The one documented
/// exception, a late sample that is the only witness of a reset, is left out by the generator.
/// </summary>
public sealed class EventShardPropertyTests
{
    private const int Cases = 80;

    public static TheoryData<string> Shapes => [.. AllShapes.Keys];

    private static readonly Dictionary<string, StreamShape> AllShapes = new()
    {
        ["in order"] = new(),
        ["in order, with start timestamps"] = new() { HasStarts = true },
        ["gauges"] = new() { IsGauge = true, Disorder = 1 },
        ["any order inside the lateness"] = new() { Disorder = 0.9 },
        ["some too late"] = new() { Disorder = 3 },
        ["repeats"] = new() { Disorder = 1, HasRepeats = true },
        ["repeats with other values"] = new() { Disorder = 1, HasRepeats = true, HasConflicts = true },
        ["gauges, repeats with other values"] =
            new() { Disorder = 1, HasRepeats = true, HasConflicts = true, IsGauge = true },
        ["disorder and start timestamps"] = new() { Disorder = 1.2, HasStarts = true, HasRepeats = true },
        ["resets as in VictoriaMetrics"] =
            new() { Disorder = 1.2, HasRepeats = true, Rule = r => r with { Resets = ResetPolicy.VictoriaMetrics } },
        ["births on known targets"] = new() { Disorder = 1, HasTargets = true, Rule = Auto },
        ["births on known targets, with start timestamps, too late"] =
            new() { Disorder = 3, HasTargets = true, HasStarts = true, HasRepeats = true, Rule = Auto },
        ["gaps spread"] = new() { Disorder = 1, Rule = Spread },
        ["gaps spread, start timestamps, fractions"] =
            new() { Disorder = 1.2, HasStarts = true, HasFractions = true, HasRepeats = true, Rule = Spread },
        ["gaps spread, resets as in VictoriaMetrics, conflicts"] = new()
        {
            Disorder = 1,
            HasRepeats = true,
            HasConflicts = true,
            Rule = r => Spread(r) with { Resets = ResetPolicy.VictoriaMetrics },
        },
        ["gaps capped"] = new() { Disorder = 1, HasStarts = true, Rule = Cap },
        ["gaps capped, fractions, resets as in VictoriaMetrics"] = new()
        {
            Disorder = 1,
            HasFractions = true,
            Rule = r => Cap(r) with { Resets = ResetPolicy.VictoriaMetrics },
        },
        ["late samples carried"] = new() { Disorder = 3, Rule = Carry },
        ["late samples carried, repeats, start timestamps, targets"] =
            new() { Disorder = 4, HasRepeats = true, HasStarts = true, HasTargets = true, Rule = Carry },
        ["late samples carried, gaps spread"] = new() { Disorder = 4, HasRepeats = true, Rule = r => Carry(Spread(r)) },
        ["late samples carried, gaps capped"] = new() { Disorder = 4, HasFractions = true, Rule = r => Carry(Cap(r)) },
        ["remembered samples"] = new() { Disorder = 1, HasRepeats = true, HasConflicts = true, Rule = Remember },
        ["remembered samples, gauges"] =
            new() { Disorder = 1, HasRepeats = true, HasConflicts = true, IsGauge = true, Rule = Remember },
        ["remembered samples, start timestamps, too late"] =
            new() { Disorder = 3, HasRepeats = true, HasStarts = true, Rule = r => Carry(Remember(r)) },
        ["remembered samples, gaps spread, resets as in VictoriaMetrics"] = new()
        {
            Disorder = 1,
            HasRepeats = true,
            HasTargets = true,
            Rule = r => Remember(Spread(r)) with { Resets = ResetPolicy.VictoriaMetrics },
        },
        ["zeros injected"] = new() { Disorder = 1, HasTargets = true, Rule = r => r with { ZeroInjection = true } },
        ["fractions in disorder"] = new() { Disorder = 1.2, HasFractions = true, HasRepeats = true },
    };

    private static AggregationRuleConfig Auto(AggregationRuleConfig rule) => rule with
    {
        FirstSample = FirstSample.Auto,
        Outputs = [.. rule.Outputs.Union(["increase"])],
    };

    private static AggregationRuleConfig Spread(AggregationRuleConfig rule) => rule with { Gap = GapPolicy.Spread };

    private static AggregationRuleConfig Cap(AggregationRuleConfig rule) => rule with { Gap = GapPolicy.Cap };

    private static AggregationRuleConfig Carry(AggregationRuleConfig rule) => rule with { Late = LatePolicy.Carry };

    private static AggregationRuleConfig Remember(AggregationRuleConfig rule) =>
        rule with { RemembersSamples = true };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Equals_the_oracle(string shape)
    {
        var values = 0;
        for (var seed = 1; seed <= Cases; seed++)
        {
            var stream = new RandomStream(seed, AllShapes[shape]);
            var rig = new ShardRig(stream.Config, stream.StartMs);
            rig.Play(stream);

            var expected = stream.Oracle.Compute();
            WindowValues.Difference(rig.Emitted, expected).ShouldBeEmpty($"seed {seed}, {stream.Config}");
            rig.Shard.Counters.LateSamples.Sum().ShouldBe(stream.Oracle.Late, $"late samples, seed {seed}");
            rig.Shard.Counters.TooFarAhead.ShouldBe(stream.Oracle.TooFarAhead, $"too far ahead, seed {seed}");
            rig.Shard.Counters.NotANumber.ShouldBe(stream.Oracle.NotANumber, $"NaN, seed {seed}");
            values += expected.Count;
        }
        values.ShouldBeGreaterThan(Cases * 10, "the streams must say something");
    }

    [Fact]
    public void A_restart_in_the_middle_changes_no_bit()
    {
        var shapes = AllShapes.Values.ToArray();
        for (var seed = 1; seed <= Cases; seed++)
        {
            var stream = new RandomStream(seed, shapes[seed % shapes.Length]);
            var undisturbed = new ShardRig(stream.Config, stream.StartMs);
            var restarted = new ShardRig(stream.Config, stream.StartMs);
            undisturbed.Play(stream);
            restarted.Play(stream, restartAt: seed * 7919 % stream.Records.Count);

            WindowValues.Difference(restarted.Emitted, undisturbed.Emitted).ShouldBeEmpty($"seed {seed}");
            ShardRig.Snapshot(restarted.Shard).ShouldBe(ShardRig.Snapshot(undisturbed.Shard), $"seed {seed}");
        }
    }
}
