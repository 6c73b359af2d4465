using Millrace.Memory;
using Millrace.Model;
using Millrace.Pipeline;

namespace Millrace.Tests.Pipeline;

public sealed class SeriesCacheTests
{
    private readonly SeriesCache _cache = new(new KeyedHash(new Random(1)), maxSeries: 5_000);
    private byte[] _buffer = [];

    [Fact]
    public void Finds_what_was_added_and_nothing_else()
    {
        var ids = new List<int>();
        for (var i = 0; i < 3_000; i++)
        {
            ids.Add(_cache.Add(HashOf(i), previous: -1, Dropped()));
        }
        ids.ShouldBe(Enumerable.Range(0, 3_000));
        for (var i = 0; i < 3_000; i++)
        {
            _cache.Find(HashOf(i), previous: -1).ShouldBe(i);
        }
        _cache.Find(HashOf(3_000), previous: -1).ShouldBe(-1);
    }

    [Fact]
    public void Finds_a_series_behind_whatever_came_before_it()
    {
        for (var i = 0; i < 10; i++)
        {
            _cache.Add(HashOf(i), previous: i - 1, Dropped());
        }
        _cache.Find(HashOf(5), previous: 4).ShouldBe(5);
        _cache.Find(HashOf(7), previous: 4).ShouldBe(7); // another order
        _cache.Find(HashOf(7), previous: 4).ShouldBe(7); // which is now the expected one
        _cache.Find(HashOf(5), previous: 4).ShouldBe(5);
        _cache.Find(HashOf(99), previous: 4).ShouldBe(-1);
    }

    [Fact]
    public void Gives_the_id_of_a_series_that_another_thread_has_just_added()
    {
        var first = _cache.Add(HashOf(1), previous: -1, Dropped());
        _cache.Add(HashOf(1), previous: -1, Dropped()).ShouldBe(first);
        _cache.Count.ShouldBe(1);
    }

    [Fact]
    public void Series_of_one_group_share_its_identity()
    {
        var group = LabelSet.Of(("__name__", "up"), ("job", "a"));
        var first = _cache.Add(HashOf(1), -1, Aggregated(rule: 0, key: 11, group));
        var second = _cache.Add(HashOf(2), first, Aggregated(rule: 0, key: 12, group));
        var other = _cache.Add(HashOf(3), second, Aggregated(rule: 1, key: 12, group));

        ref var a = ref _cache.Aggregate(_cache.FirstAggregate(first));
        ref var b = ref _cache.Aggregate(_cache.FirstAggregate(second));
        ref var c = ref _cache.Aggregate(_cache.FirstAggregate(other));
        b.Group.ShouldBe(a.Group);
        c.Group.ShouldNotBe(a.Group);
        _cache.Group(a.Group).Labels.ShouldBe(group);
        a.SeriesKey.ToUInt128().ShouldBe((UInt128)11);
        b.SeriesKey.ToUInt128().ShouldBe((UInt128)12);
    }

    [Fact]
    public void Keeps_the_labels_that_each_lane_sends()
    {
        var id = _cache.Add(
            HashOf(1), -1, new ResolvedSeries(SeriesFate.None, 0, [], [(3, [1, 2, 3]), (7, [4, 5])]));
        var first = _cache.FirstForward(id);
        _cache.Shape(id).ForwardCount.ShouldBe((ushort)2);
        _cache.Forward(first).Lane.ShouldBe(3);
        _cache.LabelsOf(first, ref _buffer).ToArray().ShouldBe([1, 2, 3]);
        _cache.LabelsOf(first + 1, ref _buffer).ToArray().ShouldBe([4, 5]);
    }

    [Fact]
    public void What_workers_write_into_targets_stays_there_while_series_are_added()
    {
        var group = LabelSet.Of(("__name__", "up"), ("job", "a"));
        var first = _cache.Add(HashOf(0), -1, Forwarded(lane: 3));
        var second = _cache.Add(HashOf(1), first, Aggregated(rule: 0, key: 1, group));
        ref var forward = ref _cache.Forward(_cache.FirstForward(first));
        ref var aggregate = ref _cache.Aggregate(_cache.FirstAggregate(second));
        for (var i = 2; i < 5_000; i += 2)
        {
            _cache.Add(HashOf(i), i - 1, Forwarded(lane: 3));
            _cache.Add(HashOf(i + 1), i, Aggregated(rule: 0, (UInt128)i, group));
            (forward.BuilderSeries, forward.BuilderRound, aggregate.SlotHint) = (i, i, i);

            ref var again = ref _cache.Forward(_cache.FirstForward(first));
            (again.BuilderSeries, again.BuilderRound).ShouldBe((i, i));
            _cache.Aggregate(_cache.FirstAggregate(second)).SlotHint.ShouldBe(i);
        }
    }

    [Fact]
    public void Says_when_it_is_full()
    {
        var cache = new SeriesCache(new KeyedHash(new Random(1)), maxSeries: 2);
        cache.Add(1, -1, Dropped());
        cache.IsFull.ShouldBeFalse();
        cache.Add(2, -1, Dropped());
        cache.IsFull.ShouldBeTrue();
    }

    private UInt128 HashOf(int number) => _cache.HashOf(BitConverter.GetBytes(number));

    private static ResolvedSeries Dropped() => new(SeriesFate.Unused, 0, [], []);

    private static ResolvedSeries Forwarded(int lane) => new(SeriesFate.None, 0, [], [(lane, [1, 2, 3])]);

    private static ResolvedSeries Aggregated(int rule, UInt128 key, LabelSet group) =>
        new(SeriesFate.None, 0, [(rule, 0, new Millrace.Aggregation.RuleSeries(key, group.StableKey(), group))], []);
}
