using Millrace.Aggregation;
using Millrace.Filtering;
using Millrace.Memory;

namespace Millrace.Pipeline;

/// <summary>
/// A rule that a reload removed or replaced, and that still answers for its last windows. It sees the series as the
/// configuration that it came from did.
/// </summary>
internal sealed record RetiringRule(AggregationRule Rule, CompiledConfig Source, int RuleInSource)
{
    /// <summary>Its last window is closed. It keeps its number as long as others of its time do not.</summary>
    public bool IsFinished { get; init; }
}

/// <summary>What a retiring rule makes of a series: it goes by its own configuration's time window.</summary>
internal readonly record struct RetiringSeries(int Rule, int Task, RuleSeries Series, TimeWindowFilter TimeWindow);

/// <summary>
/// The targets of retiring rules, beside those of the configuration in force: a cache has them for the one or two
/// windows after a reload, and after that its entries are as if they had never been.
/// </summary>
internal sealed class RetiringTargets
{
    private struct Range
    {
        public int First;
        public int Count;
    }

    private readonly Column<Range> _ranges = new();                // by series
    private readonly Column<TimeWindowFilter> _timeWindows = new(); // by target, from the first retiring one on
    private readonly Column<int> _aggregates = new();
    private int _count;

    /// <summary>Under the lock of the cache.</summary>
    /// <param name="series">The id of the series.</param>
    /// <param name="firstAggregate">Where the targets stand among the cache's aggregates, one after the other.</param>
    /// <param name="retiring">What was decided.</param>
    public void Add(int series, int firstAggregate, IReadOnlyList<RetiringSeries> retiring)
    {
        _ranges.EnsureCapacity(series + 1);
        _ranges[series] = new Range { First = _count, Count = retiring.Count };
        _aggregates.EnsureCapacity(_count + retiring.Count);
        _timeWindows.EnsureCapacity(_count + retiring.Count);
        for (var i = 0; i < retiring.Count; i++)
        {
            _timeWindows[_count] = retiring[i].TimeWindow;
            _aggregates[_count++] = firstAggregate + i;
        }
    }

    public (int First, int Count) Of(int series)
    {
        ref var range = ref _ranges[series];
        return (range.First, range.Count);
    }

    /// <summary>The index of a target among the cache's aggregates.</summary>
    public int Aggregate(int target) => _aggregates[target];

    public ref TimeWindowFilter TimeWindow(int target) => ref _timeWindows[target];
}
