using System.Buffers;
using System.Runtime.InteropServices;
using Millrace.Aggregation;
using Millrace.Delivery;
using Millrace.Model;
using Millrace.Protocols;
using Millrace.Protocols.Compression;
using Millrace.Protocols.RemoteWrite;

namespace Millrace.Pipeline;

/// <summary>A sealed block of a closed window.</summary>
internal readonly record struct BuiltBlock(
    int Destination, int Lane, int SampleCount, long MinTimestampMs, long MaxTimestampMs, ReadOnlyMemory<byte> Bytes);

/// <summary>The payload of an output group, and its blocks in the group's order.</summary>
internal readonly record struct BuiltGroup(
    ReadOnlyMemory<byte> Bytes, IReadOnlyList<BuiltBlock> Blocks, OutputGroupWriter Writer) : IDisposable
{
    public void Dispose() => Writer.Dispose();
}

/// <summary>
/// Makes the blocks of a closed window: for each destination of the rule and each of its lanes a remote write 1.0
/// request. What comes out depends on the samples and the configuration alone.
/// </summary>
internal sealed class OutputBlockWriter(IReadOnlyList<Destination> destinations)
{
    private static readonly LabelLimits AnyLabels = new(int.MaxValue, int.MaxValue, int.MaxValue);

    /// <summary>Some thirty bytes each.</summary>
    private const int MaxPlacements = 1 << 22;

    private readonly LaneBlock _block = new();

    /// <summary>Where the samples go, in their order; one may go to several places.</summary>
    private readonly List<(int Part, int Index, OutputPlacements Of, int Number)> _places = [];

    // The places in the order of lanes, and where each lane ends in it.
    private int[] _byLane = [];
    private int[] _laneEnds = [];

    // Where a destination's relabeling takes an output series; dropped as a whole when it grows too large.
    private readonly Dictionary<PlacementsKey, OutputPlacements> _placements = [];
    private readonly List<Label> _labels = [];
    private readonly List<LabelSet> _sent = [];
    private int _placementCount;
    private byte[] _labelBytes = [];

    /// <summary>Output and kind of sample are part of it: what is told of the series follows from them.</summary>
    private readonly record struct PlacementsKey(
        SeriesResolver Resolver, int Destination, int Rule, int Output, bool IsHistogram);

    public BuiltGroup Build(
        Generation generation, int rule, long endMs, long inputLsn, ClosedWindow window,
        IReadOnlyDictionary<string, MetricMetadata> families)
    {
        var blocks = new List<BuiltBlock>();
        var (resolver, ruleThere) = generation.ResolverOf(rule);
        var of = generation.RulesInForce[rule];
        foreach (var destination in resolver.DestinationsOf(ruleThere))
        {
            if (!window.IsCorrection || resolver.TakesCorrections(destination))
            {
                AddBlocks(
                    resolver, (ruleThere, of), destination, endMs, window, blocks,
                    (families, generation.Metadata));
            }
        }
        var writer = new OutputGroupWriter();
        writer.Begin(of.Key, of.Name, endMs, inputLsn, window.IsCorrection);
        foreach (var block in blocks)
        {
            writer.AddBlock(
                destinations[block.Destination].Config.Name, block.Lane, block.SampleCount, block.MinTimestampMs,
                block.MaxTimestampMs, block.Bytes.Span);
        }
        return new BuiltGroup(writer.Finish([]), blocks, writer);
    }

    /// <summary>Lane after lane, so that one buffer serves all.</summary>
    private void AddBlocks(
        SeriesResolver resolver, (int Number, AggregationRule Rule) rule, int destination, long endMs,
        ClosedWindow window, List<BuiltBlock> blocks,
        (IReadOnlyDictionary<string, MetricMetadata> Input, MetadataStore Store) families)
    {
        var config = destinations[destination].Config;
        _block.Rounding = resolver.RoundingOf(config.Name);
        if (_placementCount >= MaxPlacements)
        {
            _placements.Clear();
            _placementCount = 0;
        }
        PlaceSamples(resolver, rule, destination, window, config.Lanes);
        var at = 0;
        for (var lane = 0; lane < config.Lanes; lane++)
        {
            for (; at < _laneEnds[lane]; at++)
            {
                var (part, index, placements, number) = _places[_byLane[at]];
                ref readonly var sample = ref CollectionsMarshal.AsSpan(window.Parts[part].Samples)[index];
                if (placements.NoticeOf(number) is { } notice && notice.IsNews(endMs, families.Input, families.Store))
                {
                    _block.Tell(notice.Told);
                }
                var relabeled = placements.RelabeledOf(number);
                _block.Add(relabeled ?? sample.Labels.Get(ref _labelBytes), endMs - sample.BeforeMs, sample);
                if (_block.Count == config.MaxSamplesPerBlock)
                {
                    blocks.Add(_block.Seal(destination, lane));
                }
            }
            if (_block.Count > 0)
            {
                blocks.Add(_block.Seal(destination, lane));
            }
        }
        _places.Clear();
    }

    /// <summary>
    /// Finds the lanes of all samples, and puts them in the order of lanes, within a lane in their own.
    /// </summary>
    private void PlaceSamples(
        SeriesResolver resolver, (int Number, AggregationRule Rule) rule, int destination, ClosedWindow window,
        int lanes)
    {
        _places.Clear();
        _places.EnsureCapacity(window.Count);
        _laneEnds = new int[lanes];
        for (var part = 0; part < window.Parts.Count; part++)
        {
            var samples = CollectionsMarshal.AsSpan(window.Parts[part].Samples);
            for (var i = 0; i < samples.Length; i++)
            {
                ref readonly var sample = ref samples[i];
                var key = new PlacementsKey(
                    resolver, destination, rule.Number, sample.Output, sample.Histogram is not null);
                if (!_placements.TryGetValue(key, out var placements))
                {
                    placements = new OutputPlacements(rule.Rule, sample.Output, key.IsHistogram);
                    _placements.Add(key, placements);
                }
                for (var number = Place(placements, key, sample); number >= 0; number = placements.NextOf(number))
                {
                    if (placements.LaneOf(number) is >= 0 and var lane)
                    {
                        _places.Add((part, i, placements, number));
                        _laneEnds[lane]++;
                    }
                }
            }
        }
        SortByLane();
    }

    private void SortByLane()
    {
        if (_byLane.Length < _places.Count)
        {
            _byLane = new int[_places.Count];
        }
        var end = 0;
        for (var lane = 0; lane < _laneEnds.Length; lane++)
        {
            (_laneEnds[lane], end) = (end, end + _laneEnds[lane]); // the start, until the lane is filled
        }
        for (var i = 0; i < _places.Count; i++)
        {
            var (_, _, placements, number) = _places[i];
            _byLane[_laneEnds[placements.LaneOf(number)]++] = i;
        }
    }

    /// <summary>The number of a sample's placement, or of its first one.</summary>
    private int Place(OutputPlacements placements, in PlacementsKey key, in OutputSample sample)
    {
        var known = placements.Find(sample.Key);
        if (known >= 0)
        {
            return known;
        }
        _placementCount++;
        if (SeriesOf(sample.Labels.Get(ref _labelBytes), _labels) is not { } series)
        {
            return placements.AddDropped(sample.Key);
        }
        if (key.Resolver.IsChained(key.Rule))
        {
            return PlaceChained(placements, key, sample, series);
        }
        var plan = key.Resolver.LanesOf(key.Destination);
        if (key.Resolver.IsPlaced(key.Rule))
        {
            var there = placements.Add(sample.Key, plan.LaneOf(series), null, null, "");
            AddCopies(placements, there, plan, series, null, null);
            return there;
        }
        if (!key.Resolver.TryPlace(key.Destination, series, out var sent))
        {
            return placements.AddDropped(sample.Key);
        }
        // Mostly nothing is relabeled: then the labels need not be kept twice.
        var relabeled = ReferenceEquals(sent, series) ? null : LabelBlock.Encode(sent);
        var placed = placements.Add(
            sample.Key, plan.LaneOf(sent), relabeled, sample.Group, sent[LabelSet.MetricName]);
        AddCopies(placements, placed, plan, sent, relabeled, sample.Group);
        return placed;
    }

    /// <returns>The last of the series' placements.</returns>
    private static int AddCopies(
        OutputPlacements placements, int last, LanePlan plan, LabelSet sent, byte[]? relabeled, LabelSet? group)
    {
        for (var copy = 1; copy < plan.Copies; copy++)
        {
            last = placements.AddNext(last, plan.LaneOf(sent, copy), relabeled, group, sent[LabelSet.MetricName]);
        }
        return last;
    }

    /// <summary>By several routes a series may come to one destination as several.</summary>
    private int PlaceChained(
        OutputPlacements placements, in PlacementsKey key, in OutputSample sample, LabelSet series)
    {
        var last = placements.AddDropped(sample.Key);
        var first = last;
        _sent.Clear();
        foreach (var (to, placed) in key.Resolver.ResolveOutput(key.Rule, series).Places)
        {
            if (to == key.Destination && key.Resolver.TryPlace(to, placed, out var sent)
                && !_sent.Exists(other => other.Labels.SequenceEqual(sent.Labels)))
            {
                _sent.Add(sent);
                var relabeled = ReferenceEquals(sent, series) ? null : LabelBlock.Encode(sent);
                var plan = key.Resolver.LanesOf(to);
                last = placements.AddNext(
                    last, plan.LaneOf(sent), relabeled, sample.Group, sent[LabelSet.MetricName]);
                last = AddCopies(placements, last, plan, sent, relabeled, sample.Group);
            }
        }
        return first;
    }

    /// <summary>The series of an output's label block; <paramref name="scratch"/> is overwritten.</summary>
    public static LabelSet? SeriesOf(ReadOnlySpan<byte> block, List<Label> scratch) =>
        // The labels come from our own encoder; a rule may well have removed the metric name.
        LabelBlock.TryParse(block, AnyLabels, scratch, out var defect) || defect == LabelDefect.MissingMetricName
            ? LabelSet.From(scratch) : null;

    /// <summary>The block that is being filled; its buffers are used again for the next one.</summary>
    private sealed class LaneBlock
    {
        private readonly ArrayBufferWriter<byte> _uncompressed = new();
        private readonly ArrayBufferWriter<byte> _metadata = new(); // goes behind the samples
        private readonly HashSet<string> _told = [];
        private byte[] _compressed = [];
        private long _minTimestampMs = long.MaxValue;
        private long _maxTimestampMs = long.MinValue;

        public int Count { get; private set; }

        /// <summary>The destination's, under the configuration that the rule goes by.</summary>
        public ValueRounding Rounding { get; set; }

        public void Add(ReadOnlySpan<byte> labels, long timestampMs, in OutputSample sample)
        {
            if (sample.Histogram is { } histogram)
            {
                V1SeriesWriter.WriteHistogram(
                    _uncompressed, labels, timestampMs, histogram, sample.Exemplars);
            }
            else
            {
                V1SeriesWriter.Write(
                    _uncompressed, labels, timestampMs, Rounding.Apply(sample.Value), sample.StartMs,
                    sample.Exemplars);
            }
            _minTimestampMs = Math.Min(_minTimestampMs, timestampMs);
            _maxTimestampMs = Math.Max(_maxTimestampMs, timestampMs);
            Count++;
        }

        /// <summary>Of outputs that relabeling gives one name, the first speaks for it.</summary>
        public void Tell(MetricMetadata metadata)
        {
            if (_told.Add(metadata.Family))
            {
                V1SeriesWriter.WriteMetadata(_metadata, metadata);
            }
        }

        public BuiltBlock Seal(int destination, int lane)
        {
            _uncompressed.Write(_metadata.WrittenSpan);
            var maxBytes = Snappy.MaxEncodedLength(_uncompressed.WrittenCount);
            _compressed = _compressed.Length < maxBytes ? new byte[maxBytes] : _compressed;
            var length = Snappy.Encode(_uncompressed.WrittenSpan, _compressed);
            // As long as it waits to be sent it takes what it needs, not what it might have needed.
            var block = new BuiltBlock(
                destination, lane, Count, _minTimestampMs, _maxTimestampMs, _compressed.AsSpan(0, length).ToArray());
            _uncompressed.ResetWrittenCount();
            _metadata.ResetWrittenCount();
            _told.Clear();
            Count = 0;
            (_minTimestampMs, _maxTimestampMs) = (long.MaxValue, long.MinValue);
            return block;
        }
    }
}
