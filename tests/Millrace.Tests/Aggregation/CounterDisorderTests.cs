using Millrace.Aggregation;
using Millrace.Model;
using Millrace.TestKit.Oracle;

namespace Millrace.Tests.Aggregation;

/// <summary>
/// Every order of arrival of every short sequence of values: what a counter gains in a window, against the sequence in
/// its own order.
/// </summary>
public sealed class CounterDisorderTests
{
    private const long Origin = 1_700_000_040_000;

    private static readonly LabelSet Series = LabelSet.Of(("__name__", "m"));

    private static readonly AggregationRuleConfig Rule = new()
    {
        Interval = TimeSpan.FromSeconds(10),
        IntervalText = "10s",
        Outputs = ["increase"],
        By = ["none"],
    };

    [Theory]
    [InlineData(ResetPolicy.Prometheus, new double[] { 1, 2, 3 })]
    [InlineData(ResetPolicy.VictoriaMetrics, new double[] { 1, 19, 20 })] // 20 to 19 is a rollback
    public void Is_exact_with_remembered_samples(ResetPolicy resets, double[] values)
    {
        foreach (var (samples, order) in Cases(values, 4))
        {
            var rig = Play(Rule with { Resets = resets, RemembersSamples = true }, samples, order);

            Increase(rig).ShouldBe(Truth(samples, resets), $"{Text(samples)} in the order {string.Join(' ', order)}");
            rig.Shard.Counters.AmbiguousResets.ShouldBe(0);
        }
    }

    [Theory]
    [InlineData(ResetPolicy.Prometheus, new double[] { 1, 2, 3 })]
    [InlineData(ResetPolicy.VictoriaMetrics, new double[] { 1, 19, 20 })]
    public void Is_exact_or_counted_or_swallowed_without(ResetPolicy resets, double[] values)
    {
        var (exact, counted, swallowed) = (0, 0, 0);
        foreach (var (samples, order) in Cases(values, 5).Where((_, number) => number % 7 == 0))
        {
            var rig = Play(Rule with { Resets = resets }, samples, order);
            if (Increase(rig) == Truth(samples, resets))
            {
                exact++;
            }
            else if (rig.Shard.Counters.AmbiguousResets > 0)
            {
                counted++;
            }
            else
            {
                // The base never disappears, it only begins the first stretch.
                var witness = new ResetWitness();
                var isSwallowed = false;
                foreach (var i in order)
                {
                    isSwallowed |= witness.Swallows(samples[i]);
                    witness.Add(samples[i]);
                }
                isSwallowed.ShouldBeTrue($"{Text(samples)} in the order {string.Join(' ', order)}");
                swallowed++;
            }
        }
        exact.ShouldBeGreaterThan(4 * (counted + swallowed), "most orders tell everything");
        counted.ShouldBeGreaterThan(0);
    }

    [Fact]
    public void Is_exact_or_counted_where_start_timestamps_tell_of_every_reset()
    {
        foreach (var (samples, order) in Cases([1, 2, 3], 4))
        {
            var told = samples.ToArray();
            for (var i = 0; i < told.Length; i++)
            {
                var isReset = i > 0 && told[i].Value < told[i - 1].Value;
                told[i] = told[i] with { StartMs = isReset ? told[i].TimeMs - 1 : i > 0 ? told[i - 1].StartMs : 0 };
            }
            var rig = Play(Rule, told, order);
            if (Increase(rig) != Truth(samples, ResetPolicy.Prometheus))
            {
                rig.Shard.Counters.AmbiguousResets.ShouldBeGreaterThan(
                    0, $"{Text(told)} in the order {string.Join(' ', order)}");
            }
        }
    }

    [Fact]
    public void Counts_a_sample_between_two_stretches_that_fell_apart()
    {
        // In order: 1 50 70 20 60. 70 tears the stretch apart, 20 then hides the 50 before it.
        var samples = new[] { At(1, 1), At(2, 70), At(3, 50), At(4, 20), At(5, 60) };
        var rig = Play(Rule, samples, [0, 2, 4, 1, 3]);

        Truth(samples, ResetPolicy.Prometheus).ShouldBe(69 + 50 + 20 + 40);
        Increase(rig).ShouldBe(69 + 20 + 40);
        rig.Shard.Counters.AmbiguousResets.ShouldBe(1);
    }

    [Fact]
    public void Falls_back_on_stretches_where_too_many_samples_are_to_be_remembered()
    {
        var rule = Rule with { Interval = TimeSpan.FromMinutes(1), RemembersSamples = true };
        var rig = Rig(rule);
        for (var i = 1; i <= RememberedSamples.MaxPerSeries + 1_000; i++)
        {
            rig.Add(i, new StreamSample(Series, i, i));
        }
        rig.Restart();
        rig.Close(60_000);

        Increase(rig).ShouldBe(RememberedSamples.MaxPerSeries + 1_000 - 1);
        rig.Shard.Counters.NotRemembered.ShouldBe(0, "counters begin anew with a shard");

        rig.Add(60_001, new StreamSample(Series, 60_001, 20_000), new StreamSample(Series, 60_003, 5));
        rig.Add(60_003, new StreamSample(Series, 60_002, 10)); // 20000, reset to 10, reset to 5
        rig.Close(120_000);
        rig.Emitted.Values.Last().ShouldBe(20_000 - 17_384 + 10 + 5, "the next window is remembered again");
    }

    private static OracleSample At(int second, double value) => new(second * 1_000L, value, 0);

    /// <summary>All sequences of so many of the values, each in all orders, after a base at second 0.</summary>
    private static IEnumerable<(OracleSample[] Samples, int[] Order)> Cases(double[] values, int length)
    {
        var orders = new List<int[]>();
        Permute([.. Enumerable.Range(0, length)], 0, orders);
        var sequences = (int)Math.Pow(values.Length, length);
        for (var number = 0; number < sequences; number++)
        {
            var samples = new OracleSample[length];
            for (int i = 0, rest = number; i < length; i++, rest /= values.Length)
            {
                samples[i] = At(i + 1, values[rest % values.Length]);
            }
            foreach (var order in orders)
            {
                yield return (samples, order);
            }
        }
    }

    private static void Permute(int[] numbers, int from, List<int[]> orders)
    {
        if (from == numbers.Length)
        {
            orders.Add([.. numbers]);
            return;
        }
        for (var i = from; i < numbers.Length; i++)
        {
            (numbers[from], numbers[i]) = (numbers[i], numbers[from]);
            Permute(numbers, from + 1, orders);
            (numbers[from], numbers[i]) = (numbers[i], numbers[from]);
        }
    }

    private static ShardRig Play(AggregationRuleConfig rule, OracleSample[] samples, int[] order)
    {
        var rig = Rig(rule);
        foreach (var i in order)
        {
            var startMs = samples[i].StartMs;
            rig.Add(9_999, new StreamSample(Series, samples[i].TimeMs, samples[i].Value, startMs));
        }
        rig.Close(10_000);
        return rig;
    }

    private static ShardRig Rig(AggregationRuleConfig rule)
    {
        var rig = new ShardRig(rule, startMs: -20_000, Origin);
        rig.Close(-10_000);
        return rig;
    }

    private static double Increase(ShardRig rig) => rig.Emitted.Values.Last();

    private static double Truth(OracleSample[] samples, ResetPolicy resets)
    {
        var sum = 0.0;
        for (var i = 1; i < samples.Length; i++)
        {
            sum += OracleCounter.Step(samples[i - 1] with { StartMs = 0 }, samples[i] with { StartMs = 0 }, resets);
        }
        return sum;
    }

    private static string Text(OracleSample[] samples) => string.Join(' ', samples.Select(sample => sample.Value));
}
