using Millrace.Aggregation;
using Millrace.Memory;
using Millrace.Model;
using Millrace.Protocols;

namespace Millrace.Tests.Aggregation;

/// <summary>A deduplicator against its definition, on random streams, and over restarts.</summary>
public sealed class DedupShardTests
{
    private const int Cases = 200;
    private const long Origin = 1_700_000_000_000;
    private const int IntervalMs = 1_000;

    /// <summary>A sample on its way; a close up to a time when <c>Series</c> is negative.</summary>
    private readonly record struct Step(int Series, long TimeMs, double Value, long StartMs, long ArrivalMs);

    [Fact]
    public void Passes_on_the_largest_of_each_interval_in_any_order_of_arrival()
    {
        for (var seed = 1; seed <= Cases; seed++)
        {
            var random = new Random(seed);
            var samples = Samples(random);
            var expected = samples
                .GroupBy(sample => (sample.Series, (sample.TimeMs - 1) / IntervalMs))
                .Select(interval => interval.MaxBy(sample => (sample.TimeMs, sample.Value, sample.StartMs)))
                .Select(Line).Order(StringComparer.Ordinal).ToList();
            var closeMs = samples.Max(sample => sample.TimeMs) + IntervalMs;

            var lines = Play([.. samples, new Step(-1, closeMs, 0, 0, 0)], restartAt: -1, out var dropped);
            lines.Order(StringComparer.Ordinal).ToList().ShouldBe(expected, $"seed {seed}");
            dropped.ShouldBe(samples.Count - expected.Count);
            var shuffled = samples.ToArray();
            random.Shuffle(shuffled);
            Play([.. shuffled, new Step(-1, closeMs, 0, 0, 0)], restartAt: -1, out _)
                .Order(StringComparer.Ordinal).ToList().ShouldBe(expected, $"seed {seed}, shuffled");
        }
    }

    [Fact]
    public void With_closes_in_between_every_sample_is_passed_on_or_dropped_and_a_restart_changes_nothing()
    {
        for (var seed = 1; seed <= Cases; seed++)
        {
            var random = new Random(seed);
            var steps = new List<Step>();
            foreach (var sample in Samples(random))
            {
                steps.Add(sample);
                if (random.Next(10) == 0)
                {
                    steps.Add(new Step(-1, sample.TimeMs - random.Next(3) * IntervalMs, 0, 0, 0));
                }
            }
            steps.Add(new Step(-1, steps.Max(step => step.TimeMs) + IntervalMs, 0, 0, 0));

            var lines = Play(steps, restartAt: -1, out var dropped);
            (lines.Count + dropped).ShouldBe(steps.Count(step => step.Series >= 0), $"seed {seed}");
            Play(steps, restartAt: random.Next(steps.Count), out _).ShouldBe(lines, $"seed {seed}");
        }
    }

    [Fact]
    public void Forgets_series_without_samples_and_uses_their_room_again()
    {
        var shard = NewShard();
        Add(shard, new Step(0, 500, 1, 0, 500));
        Add(shard, new Step(1, 500, 1, 0, 500));
        Close(shard, 2_000).Count.ShouldBe(2);
        Add(shard, new Step(1, 200_500, 1, 0, 200_500));
        Close(shard, 400_000).Count.ShouldBe(1);
        shard.SeriesCount.ShouldBe(1);
        var bytes = ShardRig.Snapshot(shard).Length;
        for (var i = 2; i < 50; i++)
        {
            var timeMs = i * 400_000L;
            Add(shard, new Step(i, timeMs, i, 0, timeMs));
            Close(shard, timeMs + IntervalMs).ShouldBe([Line(new Step(i, timeMs, i, 0, timeMs))]);
            Close(shard, timeMs + 390_000).ShouldBeEmpty();
        }
        ShardRig.Snapshot(shard).Length.ShouldBeLessThanOrEqualTo(bytes);
    }

    private static List<Step> Samples(Random random)
    {
        var samples = new List<Step>();
        for (var i = random.Next(1, 200); i > 0; i--)
        {
            var timeMs = random.NextInt64(1, 20 * IntervalMs);
            samples.Add(new Step(
                random.Next(5), timeMs, random.Next(3), random.Next(3) * 100, timeMs + random.Next(5 * IntervalMs)));
            if (random.Next(4) == 0)
            {
                samples.Add(samples[^1] with { Value = random.Next(3) });
            }
        }
        return samples;
    }

    private static DedupShard NewShard()
    {
        var rule = new AggregationRule(
            new AggregationRuleConfig
            {
                Interval = TimeSpan.FromMilliseconds(IntervalMs),
                IntervalText = "1s",
                IsDeduplicator = true,
            },
            0);
        var clock = RuleClock.StartAt(rule, Origin);
        return (DedupShard)RuleShard.Create(rule, clock, clock.ClosedAtStart(rule));
    }

    private static List<string> Play(IEnumerable<Step> steps, int restartAt, out long dropped)
    {
        var shard = NewShard();
        var lines = new List<string>();
        var at = 0;
        foreach (var step in steps)
        {
            if (step.Series < 0)
            {
                lines.AddRange(Close(shard, step.TimeMs));
            }
            else
            {
                Add(shard, step);
            }
            if (at++ == restartAt)
            {
                shard = Restart(shard);
            }
        }
        dropped = shard.Counters.DedupDropped;
        return lines;
    }

    private static DedupShard Restart(DedupShard shard)
    {
        var bytes = ShardRig.Snapshot(shard);
        var restarted = NewShard();
        using var reader = new SnapshotReader(new System.IO.MemoryStream(bytes));
        restarted.Read(reader);
        ShardRig.Snapshot(restarted).ShouldBe(bytes);
        return restarted;
    }

    private static void Add(DedupShard shard, Step step)
    {
        var labels = LabelSet.Of(("__name__", $"m{step.Series}"));
        var pending = new PendingSamples { Count = 1 };
        pending.Slots[0] = shard.SlotOf(labels.StableKey(), LabelBlock.Encode(labels));
        pending.TimesMs[0] = Origin + step.TimeMs;
        pending.Values[0] = step.Value;
        pending.StartsMs[0] = step.StartMs;
        shard.Add(pending, Origin + step.ArrivalMs, new ShardScratch());
    }

    private static List<string> Close(DedupShard shard, long throughMs)
    {
        var parts = new List<WindowPart>();
        shard.Close(shard.Rule.WindowOf(Origin + throughMs + 1, 0) - 1, new ShardScratch(), parts);
        return [.. parts.SelectMany(part => part.Samples.Select(sample => Line(part, sample)))];
    }

    private static string Line(WindowPart part, OutputSample sample)
    {
        var timeMs = part.EndMs - sample.BeforeMs - Origin;
        return FormattableString.Invariant(
            $"{ShardRig.SeriesOf(sample)} {sample.Value} @{timeMs} {sample.StartMs}");
    }

    private static string Line(Step step) =>
        FormattableString.Invariant($"m{step.Series} {step.Value} @{step.TimeMs} {step.StartMs}");
}
