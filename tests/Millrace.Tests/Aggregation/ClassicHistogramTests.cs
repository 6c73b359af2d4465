using System.Globalization;
using System.Text;
using FsCheck;
using FsCheck.Fluent;
using Millrace.Aggregation;
using Millrace.Model;

namespace Millrace.Tests.Aggregation;

/// <summary>
/// Histograms in classic buckets: in every window the buckets of a group rise with <c>le</c>, and the last one is the
/// count, however the series of a scrape are dealt to requests, and in whatever order those come inside the lateness.
/// </summary>
public sealed class ClassicHistogramTests
{
    private const long Origin = 1_700_000_040_000;
    private const int WindowMs = 10_000;
    private const int EndMs = 6 * WindowMs;

    private static readonly string[] Bounds = ["0.1", "0.5", "1", "5", "+Inf"];

    private static readonly AggregationRuleConfig Rule = new()
    {
        Interval = TimeSpan.FromMilliseconds(WindowMs),
        IntervalText = "10s",
        By = ["le"],
        Outputs =
        [
            "increase", "increase_prometheus", "total", "total_prometheus", "rate_sum", "rate_avg", "sum_samples",
            "sum_last", "max", "last",
        ],
        IgnoreFirstSampleInterval = TimeSpan.Zero,
        StalenessInterval = TimeSpan.FromMinutes(1),
    };

    /// <summary>What becomes of a target that begins anew.</summary>
    public enum Restarts
    {
        None,

        /// <summary>Every bucket falls: each series witnesses it by itself.</summary>
        Seen,

        /// <summary>The samples tell when the counters began: values need not fall.</summary>
        Told,
    }

    [Theory]
    [InlineData(Restarts.None, false, GapPolicy.Attribute)]
    [InlineData(Restarts.None, false, GapPolicy.Spread)]
    [InlineData(Restarts.None, false, GapPolicy.Cap)]
    [InlineData(Restarts.Told, false, GapPolicy.Attribute)]
    [InlineData(Restarts.Told, true, GapPolicy.Attribute)]
    [InlineData(Restarts.Seen, true, GapPolicy.Attribute)]
    [InlineData(Restarts.Seen, true, GapPolicy.Spread)]
    public void Any_order_and_any_split_give_consistent_buckets(Restarts restarts, bool remembers, GapPolicy gap) =>
        Prop.ForAll<int>(seed =>
        {
            var random = new Random(seed);
            var config = RandomPolicies(random) with { RemembersSamples = remembers, Gap = gap };
            var samples = Stream(random, restarts).ToArray();
            random.Shuffle(samples);
            // Shares of an increase are fractions.
            Check(Play(random, config, samples), seed, gap == GapPolicy.Spread ? 1e-12 : 0);
        }).QuickCheckThrowOnFailure();

    /// <summary>In order, a reset needs no memory to be seen; requests are still split anyhow.</summary>
    [Fact]
    public void Resets_in_order_give_consistent_buckets() =>
        Prop.ForAll<int>(seed =>
        {
            var random = new Random(seed);
            StreamSample[] samples = [.. Stream(random, Restarts.Seen).OrderBy(sample => sample.TimeMs)];
            Check(Play(random, RandomPolicies(random), samples), seed);
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void Deduplication_keeps_buckets_consistent() =>
        Prop.ForAll<int>(seed =>
        {
            var random = new Random(seed);
            var config = RandomPolicies(random) with { DedupInterval = TimeSpan.FromSeconds(5) };
            var samples = Stream(random, Restarts.None).ToArray();
            random.Shuffle(samples);
            Check(Play(random, config, samples), seed);
        }).QuickCheckThrowOnFailure();

    /// <summary>
    /// What can break it: a request of which some buckets come after the close, and counts that go on above the old
    /// ones behind a restart that nobody tells of. The first mends itself in the next window.
    /// </summary>
    [Fact]
    public void A_late_part_of_a_scrape_is_missing_from_its_window_and_comes_with_the_next()
    {
        var rig = new ShardRig(Rule with { Outputs = ["increase", "total"] }, startMs: -1, originMs: Origin);
        rig.Close(0);
        void Scrape(long arrivalMs, long timeMs, double count, params ReadOnlySpan<string> bounds)
        {
            foreach (var bound in bounds)
            {
                rig.Add(arrivalMs, new StreamSample(Series("h_bucket", "i", "/", bound), timeMs, count));
            }
        }
        Scrape(1_000, 1_000, 10, "1", "+Inf");
        Scrape(9_000, 9_000, 15, "1");
        rig.Close(10_000);
        Scrape(11_000, 9_000, 15, "+Inf");
        Scrape(12_000, 12_000, 17, "1", "+Inf");
        rig.Close(20_000);
        rig.Emitted[(10_000, "h_bucket:10s_by_le_increase{le=\"1\"}")].ShouldBe(5);
        rig.Emitted[(10_000, "h_bucket:10s_by_le_increase{le=\"+Inf\"}")].ShouldBe(0);
        rig.Emitted[(20_000, "h_bucket:10s_by_le_total{le=\"1\"}")].ShouldBe(7);
        rig.Emitted[(20_000, "h_bucket:10s_by_le_total{le=\"+Inf\"}")].ShouldBe(7);
    }

    private static AggregationRuleConfig RandomPolicies(Random random) => Rule with
    {
        FirstSample = (FirstSample)random.Next(3),
        Late = random.Next(2) == 0 ? LatePolicy.Drop : LatePolicy.Carry,
    };

    private static ShardRig Play(Random random, AggregationRuleConfig config, StreamSample[] samples)
    {
        var rig = new ShardRig(config, startMs: -1, originMs: Origin);
        rig.Close(0);
        var restartAt = random.Next(samples.Length);
        for (var i = 0; i < samples.Length;)
        {
            var next = Math.Min(samples.Length, i + random.Next(1, 12));
            rig.Add(EndMs - 1, samples.AsSpan(i, next - i));
            if (i <= restartAt && restartAt < next)
            {
                rig.Restart();
            }
            i = next;
        }
        rig.Close(EndMs + WindowMs);
        return rig;
    }

    /// <summary>Targets with a histogram per path; a path may begin later, and a scrape may fail.</summary>
    private static List<StreamSample> Stream(Random random, Restarts restarts)
    {
        var stream = new List<StreamSample>();
        for (var target = random.Next(1, 4); target > 0; target--)
        {
            var instance = Invariant($"i{target}");
            var bornMs = new[] { -1_000, random.Next(1, EndMs) };
            var counts = new[] { new double[Bounds.Length], new double[Bounds.Length] };
            var told = new[] { new double[Bounds.Length], new double[Bounds.Length] };
            var beganMs = new[] { bornMs[0], bornMs[1] };
            for (long timeMs = random.Next(1, 3_000); timeMs < EndMs; timeMs += random.Next(500, 4_000))
            {
                var begins = restarts != Restarts.None && random.Next(6) == 0;
                // A restart that only the values tell of must be scraped before they are as high as they were.
                var isScraped = random.Next(6) > 0 || (begins && restarts == Restarts.Seen);
                for (var path = 0; path < bornMs.Length; path++)
                {
                    if (timeMs <= bornMs[path])
                    {
                        continue;
                    }
                    if (begins)
                    {
                        beganMs[path] = (int)timeMs - 1;
                        Restart(random, counts[path], told[path], restarts);
                    }
                    else
                    {
                        Observe(random, counts[path]);
                    }
                    if (isScraped)
                    {
                        var startMs = restarts == Restarts.Told ? beganMs[path] : 0;
                        Tell(stream, instance, Invariant($"/{path}"), counts[path], timeMs, startMs);
                        counts[path].CopyTo(told[path], 0);
                    }
                }
            }
        }
        return stream;
    }

    private static void Observe(Random random, double[] counts)
    {
        for (var observations = random.Next(4); observations > 0; observations--)
        {
            for (var bound = random.Next(Bounds.Length); bound < Bounds.Length; bound++)
            {
                counts[bound]++;
            }
        }
    }

    private static void Restart(Random random, double[] counts, double[] told, Restarts restarts)
    {
        var share = random.NextDouble();
        for (var bound = 0; bound < counts.Length; bound++)
        {
            counts[bound] = restarts == Restarts.Seen ? Math.Floor(told[bound] * share) : 0;
        }
        for (var i = restarts == Restarts.Told ? random.Next(20) : 0; i > 0; i--)
        {
            Observe(random, counts);
        }
    }

    private static void Tell(
        List<StreamSample> stream, string instance, string path, double[] counts, long timeMs, long startMs)
    {
        for (var bound = 0; bound < Bounds.Length; bound++)
        {
            stream.Add(new StreamSample(
                Series("h_bucket", instance, path, Bounds[bound]), timeMs, counts[bound], startMs));
        }
        stream.Add(new StreamSample(Series("h_count", instance, path, ""), timeMs, counts[^1], startMs));
    }

    private static LabelSet Series(string name, string instance, string path, string bound) => bound.Length == 0
        ? LabelSet.Of(("__name__", name), ("instance", instance), ("job", "j"), ("path", path))
        : LabelSet.Of(("__name__", name), ("instance", instance), ("job", "j"), ("le", bound), ("path", path));

    /// <param name="tolerance">A share of the value.</param>
    private static void Check(ShardRig rig, int seed, double tolerance = 0)
    {
        var emitted = rig.Emitted;
        foreach (var ((endMs, series), count) in emitted)
        {
            if (!series.StartsWith("h_count:", StringComparison.Ordinal))
            {
                continue;
            }
            var output = series["h_count".Length..];
            var below = double.NegativeInfinity;
            var shown = new StringBuilder();
            foreach (var bound in Bounds)
            {
                var value = emitted[(endMs, $"h_bucket{output}{{le=\"{bound}\"}}")];
                shown.Append(CultureInfo.InvariantCulture, $" {value:R}");
                value.ShouldBeGreaterThanOrEqualTo(
                    below - tolerance * value, $"seed {seed}, {endMs} {output}:{shown}");
                below = value;
            }
            Math.Abs(below - count).ShouldBeLessThanOrEqualTo(
                tolerance * count, $"seed {seed}, {endMs} {output}:{shown}, not {count:R}");
        }
        emitted.Keys.Count(key => key.Series.StartsWith("h_bucket", StringComparison.Ordinal)).ShouldBe(
            Bounds.Length * emitted.Keys.Count(key => key.Series.StartsWith("h_count", StringComparison.Ordinal)));
    }

    private static string Invariant(FormattableString text) => FormattableString.Invariant(text);
}
