using System.Buffers;
using Millrace.Aggregation;
using Millrace.Aggregation.Outputs;
using Millrace.Delivery;
using Millrace.Model;
using Millrace.Protocols;
using Millrace.Protocols.Compression;
using Millrace.Protocols.RemoteWrite;
using Millrace.Routing;

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

    private const int MaxPlacements = 1 << 20;

    /// <summary>
    /// How often a family's metadata is told in 1.0, by the time of windows: beside few groups it would be half of what
    /// is sent. 2.0 has it with every series, from the store.
    /// </summary>
    private const long TellEveryMs = 300_000;

    private sealed record Placement(int Lane, byte[]? Labels, FamilyNotice? Notice);

    /// <summary>Output and kind of sample are part of it: what is told of the series follows from them.</summary>
    private readonly record struct PlacementKey(
        SeriesResolver Resolver, int Destination, int Rule, int Output, bool IsHistogram, UInt128 Series);

    private readonly record struct NoticeKey(
        SeriesResolver Resolver, int Destination, int Rule, int Output, bool IsHistogram, string Metric, string Family);

    private readonly LaneBlock _block = new();
    private readonly List<Placement> _places = [];

    // Where a destination's relabeling takes an output series; dropped as a whole when it grows too large.
    private readonly Dictionary<PlacementKey, Placement> _placements = [];

    // What is told of them; dropped together with the placements, which refer to them.
    private readonly Dictionary<NoticeKey, FamilyNotice> _notices = [];

    public BuiltGroup Build(
        Generation generation, int rule, long endMs, long inputLsn, List<OutputSample> samples,
        IReadOnlyDictionary<string, MetricMetadata> families)
    {
        var blocks = new List<BuiltBlock>();
        var (resolver, ruleThere) = generation.ResolverOf(rule);
        var of = generation.RulesInForce[rule];
        foreach (var destination in resolver.DestinationsOf(ruleThere))
        {
            AddBlocks(resolver, (ruleThere, of), destination, endMs, samples, blocks, (families, generation.Metadata));
        }
        var writer = new OutputGroupWriter();
        writer.Begin(of.Key, of.Name, endMs, inputLsn);
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
        List<OutputSample> samples, List<BuiltBlock> blocks,
        (IReadOnlyDictionary<string, MetricMetadata> Input, MetadataStore Store) families)
    {
        var config = destinations[destination].Config;
        _places.Clear();
        foreach (var sample in samples)
        {
            _places.Add(Place(resolver, rule, destination, sample));
        }
        for (var lane = 0; lane < config.Lanes; lane++)
        {
            for (var i = 0; i < samples.Count; i++)
            {
                if (_places[i].Lane != lane || _places[i].Labels is not { } labels)
                {
                    continue;
                }
                if (_places[i].Notice is { } notice && notice.IsNews(endMs, families.Input, families.Store))
                {
                    _block.Tell(notice.Told);
                }
                _block.Add(labels, endMs - samples[i].BeforeMs, samples[i]);
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

    private Placement Place(
        SeriesResolver resolver, (int Number, AggregationRule Rule) rule, int destination, in OutputSample sample)
    {
        var key = new PlacementKey(
            resolver, destination, rule.Number, sample.Output, sample.Histogram is not null, sample.Key);
        if (!_placements.TryGetValue(key, out var placement))
        {
            if (_placements.Count >= MaxPlacements)
            {
                _placements.Clear();
                _notices.Clear();
            }
            placement = NewPlacement(key, rule.Rule, sample);
            _placements.Add(key, placement);
        }
        return placement;
    }

    private Placement NewPlacement(in PlacementKey key, AggregationRule rule, in OutputSample sample)
    {
        var labels = new List<Label>();
        // The labels come from our own encoder; a rule may well have removed the metric name.
        if (!LabelBlock.TryParse(sample.Labels, AnyLabels, labels, out var defect)
            && defect != LabelDefect.MissingMetricName)
        {
            return new Placement(0, null, null);
        }
        var series = LabelSet.From(labels);
        if (key.Resolver.IsPlaced(key.Rule))
        {
            var laneThere = LaneKey.StableLaneOf(series, destinations[key.Destination].Config.Lanes);
            return new Placement(laneThere, sample.Labels, null);
        }
        if (!key.Resolver.TryPlace(key.Destination, series, out var lane, out var sent))
        {
            return new Placement(0, null, null);
        }
        // Mostly nothing is relabeled: then the labels need not be kept twice.
        var block = ReferenceEquals(sent, series) ? sample.Labels : LabelBlock.Encode(sent);
        return new Placement(lane, block, NoticeOf(key, rule, sample.Group, sent[LabelSet.MetricName]));
    }

    private FamilyNotice? NoticeOf(in PlacementKey key, AggregationRule rule, LabelSet? group, string family)
    {
        if (group is null || family.Length == 0)
        {
            return null;
        }
        var metric = group[LabelSet.MetricName];
        var noticeKey = new NoticeKey(
            key.Resolver, key.Destination, key.Rule, key.Output, key.IsHistogram, metric, family);
        if (!_notices.TryGetValue(noticeKey, out var notice))
        {
            notice = new FamilyNotice(rule, rule.Outputs[key.Output], metric, family, key.IsHistogram);
            _notices.Add(noticeKey, notice);
        }
        return notice;
    }

    /// <summary>What blocks tell of a family that a rule makes.</summary>
    private sealed class FamilyNotice(
        AggregationRule rule, OutputKind kind, string metric, string family, bool isHistogram)
    {
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

        public void Add(byte[] labels, long timestampMs, in OutputSample sample)
        {
            if (sample.Histogram is { } histogram)
            {
                V1SeriesWriter.WriteHistogram(
                    _uncompressed, labels, timestampMs, histogram, sample.Exemplars);
            }
            else
            {
                V1SeriesWriter.Write(
                    _uncompressed, labels, timestampMs, sample.Value, sample.StartMs, sample.Exemplars);
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
