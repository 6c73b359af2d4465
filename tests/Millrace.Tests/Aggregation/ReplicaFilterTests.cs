using System.IO;
using Millrace.Aggregation;
using Millrace.Memory;
using Millrace.Model;

namespace Millrace.Tests.Aggregation;

/// <summary>Two replicas of a Prometheus that send the same series, 15 seconds between two samples.</summary>
public sealed class ReplicaFilterTests
{
    private const int GapMs = 15_000;
    private const long Origin = 1_700_000_040_000;

    private readonly ReplicaFilter _filter = new(new HaConfig { ReplicaLabel = "replica" });
    private readonly ShardCounters _counters = new();
    private readonly List<(long TimeMs, double Value)> _counted = [];

    public ReplicaFilterTests() => _filter.Begin(0, _counters);

    [Fact]
    public void Counts_the_first_replica_as_long_as_it_keeps_up()
    {
        for (var i = 0; i < 10; i++)
        {
            Send('a', i * GapMs, i);
            Send('b', i * GapMs + 7_000, i);
        }
        _counted.ShouldBe(Enumerable.Range(0, 10).Select(i => ((long)i * GapMs, (double)i)));
        _counters.ReplicaDropped.ShouldBe(9); // The last one of b may still be needed.
        _counters.ReplicaFailovers.ShouldBe(0);
    }

    [Fact]
    public void Another_takes_over_after_two_gaps_and_nothing_that_it_saw_is_missing()
    {
        for (var i = 0; i < 10; i++)
        {
            if (i < 4)
            {
                Send('a', i * GapMs, 10 * i);
            }
            Send('b', i * GapMs + 7_000, 10 * i + 5);
        }
        _counted.Select(sample => sample.TimeMs).ShouldBe(
            [0, 15_000, 30_000, 45_000, 52_000, 67_000, 82_000, 97_000, 112_000, 127_000, 142_000]);
        _counters.ReplicaFailovers.ShouldBe(1);
        // The first one comes back: too late.
        Send('a', 150_000, 100);
        Send('b', 157_000, 105);
        Send('a', 165_000, 110);
        _counted[^1].ShouldBe((157_000, 105));
    }

    [Fact]
    public void Waits_for_the_timeout_while_the_gap_is_not_known()
    {
        Send('a', 0, 1);
        Send('b', 5_000, 1);
        Send('b', 20_000, 2);
        Send('b', 30_000, 2);
        _counted.Count.ShouldBe(1);
        Send('b', 31_000, 3);
        _counted.Select(sample => sample.TimeMs).ShouldBe([0, 5_000, 20_000, 30_000, 31_000]);
    }

    [Theory]
    [InlineData(103, 101, false)] // b was at 101 and goes on: it read 103 before a read 105
    [InlineData(3, 101, true)]    // b fell
    public void A_lower_first_value_of_the_taker_is_a_reset_only_if_its_own_fell(
        double value, double before, bool isReset)
    {
        Send('a', 0, 90);
        Send('a', 15_000, 100);
        Send('b', 14_000, before);
        Send('a', 30_000, 105);
        Send('b', 30_100, value);
        Send('b', 45_100, value + 10);
        Send('b', 60_100, value + 20);
        Send('b', 75_100, value + 30);
        double[] expected = isReset ? [90, 100, 105, 3, 13, 23, 33] : [90, 100, 105, 113, 123, 133];
        _counted.Select(sample => sample.Value).ShouldBe(expected);
    }

    [Theory]
    [InlineData('a')]
    [InlineData('b')]
    public void A_sample_from_far_ahead_does_not_end_or_win_a_tenure(char from)
    {
        Send('a', 0, 1);
        Send('a', 15_000, 2);
        Send(from, 3_600_000, 2, arrivalMs: 16_000);
        for (var i = 2; i < 6; i++)
        {
            Send('a', i * GapMs, 3);
            Send('b', i * GapMs + 5_000, 3);
        }
        _counters.ReplicaFailovers.ShouldBe(0);
        // And when a dies, b takes over as ever.
        Send('b', 95_000, 4);
        Send('b', 110_000, 4);
        Send('b', 125_000, 4);
        _counters.ReplicaFailovers.ShouldBe(1);
    }

    [Fact]
    public void The_increase_is_that_of_one_replica_which_saw_all_that_any_of_them_saw()
    {
        var (failovers, restarts) = (0L, 0);
        for (var seed = 1; seed <= 300; seed++)
        {
            var run = new HaRun(seed);
            var rig = new ShardRig(HaRun.Rule, startMs: 0, Origin);
            var restartAt = seed % 3 == 0 ? run.Samples.Count / 2 : -1;
            for (var i = 0; i < run.Samples.Count; i++)
            {
                var sample = run.Samples[i];
                rig.Add(sample.ArrivalMs, new StreamSample(sample.Labels, sample.TimeMs, sample.Value));
                if (i == restartAt)
                {
                    failovers += rig.Shard.Counters.ReplicaFailovers;
                    rig.Shard.Counters.CounterResets.ShouldBe(0, $"seed {seed}");
                    rig.Restart();
                    restarts++;
                }
            }
            rig.Close(run.EndMs);
            failovers += rig.Shard.Counters.ReplicaFailovers;
            rig.Shard.Counters.CounterResets.ShouldBe(0, $"false resets, seed {seed}");

            var counted = run.CountedByDefinition();
            rig.Emitted.Values.Sum().ShouldBe(counted[^1].Value - counted[0].Value, 1e-6, $"seed {seed}");
            run.HolesThatSomebodySaw(counted).ShouldBeEmpty($"seed {seed}");
        }
        failovers.ShouldBeGreaterThan(300);
        restarts.ShouldBeGreaterThan(50);
    }

    [Fact]
    public void Samples_are_counted_dropped_or_held()
    {
        for (var seed = 1; seed <= 100; seed++)
        {
            var run = new HaRun(seed);
            var counters = new ShardCounters();
            var filter = new ReplicaFilter(HaRun.Rule.Ha!);
            filter.Begin(0, counters);
            var counted = run.Samples.Sum(sample => HaRun.Filter(filter, counters, sample).Count);
            filter.Begin(0, counters); // Lets go of what was held.
            (counted + counters.ReplicaDropped).ShouldBe(run.Samples.Count);
        }
    }

    [Fact]
    public void State_survives_a_snapshot()
    {
        var run = new HaRun(7);
        var (filter, counters) = (new ReplicaFilter(HaRun.Rule.Ha!), new ShardCounters());
        filter.Begin(0, counters);
        foreach (var sample in run.Samples)
        {
            HaRun.Filter(filter, counters, sample);
            var bytes = Snapshot(filter);
            filter = new ReplicaFilter(HaRun.Rule.Ha!);
            using var reader = new SnapshotReader(new MemoryStream(bytes));
            filter.Read(reader, seriesCount: 1);
            Snapshot(filter).ShouldBe(bytes);
        }
    }

    private static byte[] Snapshot(ReplicaFilter filter)
    {
        var stream = new MemoryStream();
        using (var writer = new SnapshotWriter(stream))
        {
            filter.Write(writer, seriesCount: 1);
        }
        return stream.ToArray();
    }

    private void Send(char replica, long timeMs, double value, long? arrivalMs = null) =>
        _counted.AddRange(HaRun.Filter(
            _filter, _counters, new HaSample(replica, timeMs, value, arrivalMs ?? timeMs + 100)));
}

/// <summary>A sample of one replica.</summary>
internal readonly record struct HaSample(char Replica, long TimeMs, double Value, long ArrivalMs)
{
    public LabelSet Labels => LabelSet.Of(("__name__", "m"), ("replica", $"{Replica}"));
}

/// <summary>
/// A counter that only rises, scraped by two replicas, each with outages, missing scrapes, a scrape that takes a while
/// (the value is younger than the timestamp), and delays on the way. Never both are away.
/// </summary>
internal sealed class HaRun
{
    private const int GapMs = 15_000;

    public static readonly AggregationRuleConfig Rule = new()
    {
        Interval = TimeSpan.FromMinutes(1),
        IntervalText = "1m",
        Outputs = ["increase_prometheus"],
        By = ["none"],
        EmitPartialWindows = true,
        Ha = new HaConfig { ReplicaLabel = "replica" },
    };

    public HaRun(int seed)
    {
        var random = new Random(seed);
        EndMs = 240 * GapMs;
        var isAway = (Replica: 'x', UntilMs: 0L);
        var offsets = new[] { random.Next(GapMs), random.Next(GapMs) };
        var scrapeMs = random.Next(0, 6_000);
        for (var i = 0; i < EndMs / GapMs - 4; i++)
        {
            if (i * GapMs > isAway.UntilMs && random.Next(15) == 0)
            {
                isAway = (random.Next(2) == 0 ? 'a' : 'b', (i + random.Next(1, 20)) * GapMs);
            }
            foreach (var replica in "ab")
            {
                var timeMs = i * (long)GapMs + offsets[replica - 'a'] + random.Next(200);
                if ((replica == isAway.Replica && timeMs <= isAway.UntilMs) || random.Next(30) == 0)
                {
                    continue;
                }
                var readMs = timeMs + random.Next(scrapeMs + 1);
                Samples.Add(new HaSample(replica, timeMs, 100 + readMs / 7, readMs + random.Next(5_000)));
            }
        }
        Samples.Sort((a, b) => a.ArrivalMs.CompareTo(b.ArrivalMs));
    }

    public List<HaSample> Samples { get; } = [];

    public long EndMs { get; }

    /// <summary>What a filter counts, alone; in the order of time.</summary>
    public List<(long TimeMs, double Value)> CountedByDefinition()
    {
        var (filter, counters) = (new ReplicaFilter(Rule.Ha!), new ShardCounters());
        filter.Begin(0, counters);
        var counted = new List<(long TimeMs, double Value)>();
        foreach (var sample in Samples)
        {
            counted.AddRange(Filter(filter, counters, sample));
        }
        counted.Sort();
        return counted;
    }

    /// <summary>
    /// Stretches of clearly more than three gaps (two scrapes missing and jitter) without a counted sample in which a
    /// replica had more than one.
    /// </summary>
    public List<string> HolesThatSomebodySaw(List<(long TimeMs, double Value)> counted)
    {
        var holes = new List<string>();
        for (var i = 1; i < counted.Count; i++)
        {
            var (fromMs, toMs) = (counted[i - 1].TimeMs, counted[i].TimeMs);
            foreach (var replica in "ab")
            {
                var seen = Samples.Count(s => s.Replica == replica && s.TimeMs > fromMs && s.TimeMs < toMs);
                if (toMs - fromMs > 3.5 * GapMs && seen > 1)
                {
                    holes.Add($"{fromMs} to {toMs}: {replica} has {seen}");
                }
            }
        }
        return holes;
    }

    public static List<(long TimeMs, double Value)> Filter(
        ReplicaFilter filter, ShardCounters counters, HaSample sample)
    {
        var (pending, counted) = (new PendingSamples(), new PendingSamples());
        pending.TimesMs[0] = sample.TimeMs;
        pending.Values[0] = sample.Value;
        pending.Replicas[0] = sample.Replica;
        filter.Filter(pending, 0, sample.ArrivalMs, counted, counters);
        return [.. Enumerable.Range(0, counted.Count).Select(i => (counted.TimesMs[i], counted.Values[i]))];
    }
}
