using Millrace.Aggregation;
using Millrace.Aggregation.Outputs;
using Millrace.Memory;
using Millrace.Model;
using Millrace.Protocols;

namespace Millrace.Pipeline;

/// <summary>
/// Where the series of one output of a rule go at one destination, under one configuration, and what is told of them.
/// Those of a deduplicator, which has no outputs, are told nothing of.
/// </summary>
internal sealed class OutputPlacements(AggregationRule rule, int output, bool isHistogram)
{
    private const short IsDropped = -1;
    private const int None = -1;

    private readonly SeriesTable<UInt128> _series = new();
    private readonly Column<short> _lanes = new();
    private readonly Column<int> _noticeOf = new();
    private readonly Dictionary<int, byte[]> _relabeled = [];
    private readonly Dictionary<int, int> _next = [];
    private readonly List<FamilyNotice> _notices = [];
    private readonly Dictionary<(string Metric, string Family), int> _noticeNumbers = [];

    /// <summary>The number of a known series, or -1.</summary>
    public int Find(UInt128 key) => _series.Find(key);

    public int LaneOf(int number) => _lanes[number];

    /// <summary>Null: it is sent with its own labels.</summary>
    public byte[]? RelabeledOf(int number) => _relabeled.GetValueOrDefault(number);

    public FamilyNotice? NoticeOf(int number) =>
        _noticeOf[number] == None ? null : _notices[_noticeOf[number]];

    /// <summary>The next placement of the same series, or -1.</summary>
    public int NextOf(int number) => _next.Count > 0 && _next.TryGetValue(number, out var next) ? next : None;

    /// <summary>A series that the destination does not get.</summary>
    public int AddDropped(UInt128 key) => Add(key, IsDropped, null, null, "");

    /// <param name="key">Of a series that is not there.</param>
    /// <param name="lane">Of the destination.</param>
    /// <param name="relabeled">Null: it is sent with its own labels.</param>
    /// <param name="group">Null: nothing is told of it.</param>
    /// <param name="family">The metric's name as it is sent.</param>
    public int Add(UInt128 key, int lane, byte[]? relabeled, LabelSet? group, string family)
    {
        var number = _series.Add(key);
        Set(number, lane, relabeled, group, family);
        return number;
    }

    /// <summary>A further placement of the series that the last one is of, and becomes its last.</summary>
    public int AddNext(int last, int lane, byte[]? relabeled, LabelSet? group, string family)
    {
        // No series has this key: they are hashes, and those of further placements are counted down from the largest.
        var number = Add(UInt128.MaxValue - (UInt128)_next.Count, lane, relabeled, group, family);
        _next.Add(last, number);
        return number;
    }

    private void Set(int number, int lane, byte[]? relabeled, LabelSet? group, string family)
    {
        _lanes.EnsureCapacity(number + 1);
        _lanes[number] = checked((short)lane);
        _noticeOf.EnsureCapacity(number + 1);
        _noticeOf[number] = group is null || family.Length == 0
            ? None : NoticeNumber(group[LabelSet.MetricName], family);
        if (relabeled is not null)
        {
            _relabeled.Add(number, relabeled);
        }
    }

    private int NoticeNumber(string metric, string family)
    {
        if (!_noticeNumbers.TryGetValue((metric, family), out var number))
        {
            number = _notices.Count;
            _notices.Add(new FamilyNotice(rule, rule.Outputs[output], metric, family, isHistogram));
            _noticeNumbers.Add((metric, family), number);
        }
        return number;
    }
}

/// <summary>What blocks tell of a family that a rule makes.</summary>
internal sealed class FamilyNotice(
    AggregationRule rule, OutputKind kind, string metric, string family, bool isHistogram)
{
    /// <summary>
    /// How often a family's metadata is told in 1.0, by the time of windows: beside few groups it would be half of what
    /// is sent. 2.0 has it with every series, from the store.
    /// </summary>
    private const long TellEveryMs = 300_000;

    private MetricMetadata? _input;
    private MetricMetadata? _told;
    private long _seenMs = long.MinValue; // ends of windows
    private long _toldMs;

    public MetricMetadata Told => _told!;

    /// <summary>Whether a window, of which this is a sample, is to tell it.</summary>
    public bool IsNews(long endMs, IReadOnlyDictionary<string, MetricMetadata> families, MetadataStore store)
    {
        if (endMs == _seenMs)
        {
            return false;
        }
        _seenMs = endMs;
        var input = MetadataStore.Find(families, metric);
        if (_told is not null && ReferenceEquals(input, _input) && Math.Abs(endMs - _toldMs) < TellEveryMs)
        {
            return false;
        }
        _told = OutputMetadata.Describe(rule, kind, metric, family, isHistogram, input);
        (_input, _toldMs) = (input, endMs);
        store.Make(_told);
        return true;
    }
}
