using Millrace.Aggregation;
using Millrace.Delivery;
using Millrace.Memory;
using Millrace.Model;
using Millrace.Pipeline;
using Millrace.Protocols;

namespace Millrace.Tests.Pipeline;

/// <summary>
/// Budgets of memory per series. Measured is what one thread allocates while series are added: what stays, told beside
/// each figure, and what growing leaves to the collector, some 25 bytes of an index.
/// </summary>
public sealed class BytesPerSeriesTests
{
    private const int SeriesCount = 60_000;
    private const long StartMs = 1_700_000_000_000;

    private static readonly LabelSet Group = LabelSet.Of(("__name__", "http_requests_total"), ("job", "api"));

    [Fact]
    public void A_series_that_a_rule_takes_costs_the_cache_50_bytes()
    {
        // 16 identity, 8 decision, 20 target, 5 index.
        var cache = NewCache();
        PerSeries(Aggregated, (i, series) => cache.Add(HashOf(i), -1, series)).ShouldBeLessThan(112);
    }

    [Fact]
    public void A_series_that_is_forwarded_costs_the_cache_and_the_lane_140_bytes()
    {
        // 16 identity, 8 decision, 16 target, 5 index, 20 labels; 28 in the builder and a fragment of 20 to 40.
        var cache = NewCache();
        PerSeries(Forwarded, (i, series) => cache.Add(HashOf(i), -1, series)).ShouldBeLessThan(122);

        var builder = new BlockBuilder(new CachedLabels(cache), new BlockLimits { MaxSamples = int.MaxValue });
        PerSeries(i => i, (_, series) => builder.Register(series)).ShouldBeLessThan(32);
        for (var i = 0; i < SeriesCount; i++)
        {
            builder.Add(i, StartMs, i).ShouldBe(AddResult.Added);
        }
        builder.FragmentBytes.ShouldBeLessThan(45 * SeriesCount);
    }

    [Fact]
    public void A_series_of_a_total_costs_a_shard_in_arrival_time_46_bytes()
    {
        // 28 row, 12 key, 5 index.
        PerSeriesOf(Shard("arrival", "total")).ShouldBeLessThan(72);
    }

    [Fact]
    public void An_output_that_needs_more_of_a_series_costs_what_it_needs()
    {
        // A rate 16 bytes.
        PerSeriesOf(Shard("arrival", "total", "rate_sum")).ShouldBeLessThan(89);
    }

    [Fact]
    public void A_series_costs_a_shard_in_event_time_41_bytes_and_24_per_open_window()
    {
        // 24 row, 12 key, 5 index.
        PerSeriesOf(Shard("event", "total")).ShouldBeLessThan(68);
    }

    [Fact]
    public void A_counter_that_was_reset_inside_a_window_costs_48_bytes_more_until_it_closes()
    {
        var shard = Shard("event", "total");
        PerSeriesOf(shard);
        Add(shard, 1_000, 5);
        Add(shard, 2_000, 1).ShouldBeLessThan(50);
        Add(shard, 3_000, 2).ShouldBe(0);
    }

    [Fact]
    public void A_deduplicated_series_costs_a_shard_41_bytes_and_20_per_sample_held()
    {
        // 8 row, 16 where its labels are, 12 key, 5 index.
        var shard = (DedupShard)RuleShard.Create(
            new AggregationRule(new AggregationRuleConfig { IsDeduplicator = true, Interval = Minute }, 0),
            new RuleClock(StartMs, 0, 0), 0);
        StoredLabels labels = new byte[] { 1 };
        PerSeries(HashOf, (_, key) => shard.SlotOf(key, labels)).ShouldBeLessThan(87);

        var pending = new PendingSamples { Count = 1 };
        var scratch = new ShardScratch();
        PerSeries(i => i, (i, _) =>
        {
            (pending.Slots[0], pending.TimesMs[0], pending.Values[0]) = (i, StartMs + 1, i);
            shard.Add(pending, StartMs + 2, scratch);
        }).ShouldBeLessThan(23);
    }

    private static TimeSpan Minute => TimeSpan.FromMinutes(1);

    private static RuleShard Shard(string time, params string[] outputs)
    {
        var rule = new AggregationRule(
            new AggregationRuleConfig
            {
                Interval = Minute,
                Outputs = outputs,
                Time = time == "event" ? RuleTime.Event : RuleTime.Arrival,
            },
            0);
        return RuleShard.Create(rule, RuleClock.StartAt(rule, StartMs), 0);
    }

    private static double PerSeriesOf(RuleShard shard)
    {
        var groupKey = Group.StableKey();
        return PerSeries(HashOf, (_, key) => shard.SlotOf(key, groupKey, Group));
    }

    /// <summary>A sample of each series that <see cref="PerSeriesOf"/> made.</summary>
    private static double Add(RuleShard shard, long afterStartMs, double value)
    {
        var pending = new PendingSamples { Count = 1 };
        var scratch = new ShardScratch();
        return PerSeries(i => i, (i, _) =>
        {
            (pending.Slots[0], pending.TimesMs[0], pending.Values[0]) = (i, StartMs + afterStartMs, value);
            shard.Add(pending, StartMs + afterStartMs, scratch);
        });
    }

    private static SeriesCache NewCache() => new(new KeyedHash(new Random(1)), SeriesCount);

    private static UInt128 HashOf(int i) => StableHash.Hash128(BitConverter.GetBytes(i));

    private static ResolvedSeries Aggregated(int i) => new(
        SeriesFate.None, 0, [(0, 1, new RuleSeries(HashOf(i), Group.StableKey(), Group))], []);

    /// <summary>Labels of 280 bytes, as of pods with some hundred series each.</summary>
    private static ResolvedSeries Forwarded(int i)
    {
        var block = LabelBlock.Encode(LabelSet.Of(
            ("__name__", "http_request_duration_seconds_bucket"), ("cluster", "production-1"),
            ("instance", $"10.12.{i / 450}.17:8080"), ("job", "kubernetes-pods/api"), ("le", $"0.{i % 12}"),
            ("method", i / 12 % 2 == 0 ? "GET" : "POST"), ("namespace", "orders"),
            ("path", $"/api/v1/orders/{i / 24 % 18}"), ("pod", $"api-5d8f7c9b6-{i / 450}"),
            ("region", "eu-central-1")));
        return new ResolvedSeries(SeriesFate.None, 0, [], [(0, block)]);
    }

    private static double PerSeries<T>(Func<int, T> prepare, Action<int, T> add)
    {
        var bytes = 0L;
        for (var i = 0; i < SeriesCount; i++)
        {
            var series = prepare(i);
            var before = GC.GetAllocatedBytesForCurrentThread();
            add(i, series);
            bytes += GC.GetAllocatedBytesForCurrentThread() - before;
        }
        return bytes / (double)SeriesCount;
    }

    private sealed class CachedLabels(SeriesCache cache) : ISeriesLabels
    {
        private byte[] _labels = [];
        private byte[] _other = [];

        public ReadOnlySpan<byte> LabelsOf(int seriesId)
        {
            (_labels, _other) = (_other, _labels);
            return cache.LabelsOf(seriesId, ref _labels);
        }
    }
}
