using System.Buffers;
using Millrace.Aggregation;
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
    private const int AnyRule = -1;

    /// <summary>By several ways a series may come to one destination as several.</summary>
    private sealed record Placement(int Lane, byte[]? Labels, Placement? Next = null);

    private readonly LaneBlock _block = new();
    private readonly List<Placement> _places = [];

    // Where a destination's relabeling takes an output series; dropped as a whole when it grows too large.
    // Only what goes through routes behind others depends on the rule, too; -1: any.
    private readonly Dictionary<(SeriesResolver, int Rule, int, UInt128), Placement> _placements = [];
    private readonly List<Label> _labels = [];

    public BuiltGroup Build(
        Generation generation, int rule, long endMs, long inputLsn, List<OutputSample> samples)
    {
        var blocks = new List<BuiltBlock>();
        var (resolver, ruleThere) = generation.ResolverOf(rule);
        foreach (var destination in resolver.DestinationsOf(ruleThere))
        {
            AddBlocks(resolver, ruleThere, destination, endMs, samples, blocks);
        }
        var writer = new OutputGroupWriter();
        var of = generation.RulesInForce[rule];
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
        SeriesResolver resolver, int rule, int destination, long endMs, List<OutputSample> samples,
        List<BuiltBlock> blocks)
    {
        var config = destinations[destination].Config;
        var isPlaced = resolver.IsPlaced(rule);
        var isChained = resolver.IsChained(rule);
        _places.Clear();
        foreach (var sample in samples)
        {
            _places.Add(Place(resolver, isChained ? rule : AnyRule, destination, isPlaced, sample));
        }
        for (var lane = 0; lane < config.Lanes; lane++)
        {
            for (var i = 0; i < samples.Count; i++)
            {
                for (var place = _places[i]; place is not null; place = place.Next)
                {
                    if (place.Lane != lane || place.Labels is not { } labels)
                    {
                        continue;
                    }
                    _block.Add(labels, endMs - samples[i].BeforeMs, samples[i]);
                    if (_block.Count == config.MaxSamplesPerBlock)
                    {
                        blocks.Add(_block.Seal(destination, lane));
                    }
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
        SeriesResolver resolver, int rule, int destination, bool isPlaced, in OutputSample sample)
    {
        var key = (resolver, rule, isPlaced ? ~destination : destination, sample.Key);
        if (!_placements.TryGetValue(key, out var placement))
        {
            placement = rule == AnyRule ? Place(resolver, destination, isPlaced, sample.Labels)
                : PlaceChained(resolver, rule, destination, sample.Labels);
            if (_placements.Count >= MaxPlacements)
            {
                _placements.Clear();
            }
            _placements.Add(key, placement);
        }
        return placement;
    }

    private Placement Place(SeriesResolver resolver, int destination, bool isPlaced, byte[] block)
    {
        if (SeriesOf(block, _labels) is not { } series)
        {
            return new Placement(0, null);
        }
        if (isPlaced)
        {
            return new Placement(LaneKey.StableLaneOf(series, destinations[destination].Config.Lanes), block);
        }
        if (!resolver.TryPlace(destination, series, out var lane, out var sent))
        {
            return new Placement(0, null);
        }
        // Mostly nothing is relabeled: then the labels need not be kept twice.
        return new Placement(lane, ReferenceEquals(sent, series) ? block : LabelBlock.Encode(sent));
    }

    private Placement PlaceChained(SeriesResolver resolver, int rule, int destination, byte[] block)
    {
        Placement? places = null;
        if (SeriesOf(block, _labels) is { } series)
        {
            foreach (var (to, placed) in resolver.ResolveOutput(rule, series).Places)
            {
                if (to == destination && resolver.TryPlace(destination, placed, out var lane, out var sent))
                {
                    var labels = ReferenceEquals(sent, series) ? block : LabelBlock.Encode(sent);
                    places = IsAmong(places, labels) ? places : new Placement(lane, labels, places);
                }
            }
        }
        return places ?? new Placement(0, null);
    }

    private static bool IsAmong(Placement? places, byte[] labels)
    {
        for (var place = places; place is not null; place = place.Next)
        {
            if (place.Labels.AsSpan().SequenceEqual(labels))
            {
                return true;
            }
        }
        return false;
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
        private byte[] _compressed = [];
        private long _minTimestampMs = long.MaxValue;
        private long _maxTimestampMs = long.MinValue;

        public int Count { get; private set; }

        public void Add(byte[] labels, long timestampMs, in OutputSample sample)
        {
            if (sample.Histogram is { } histogram)
            {
                V1SeriesWriter.WriteHistogram(_uncompressed, labels, timestampMs, histogram);
            }
            else
            {
                V1SeriesWriter.Write(_uncompressed, labels, timestampMs, sample.Value, sample.StartMs);
            }
            _minTimestampMs = Math.Min(_minTimestampMs, timestampMs);
            _maxTimestampMs = Math.Max(_maxTimestampMs, timestampMs);
            Count++;
        }

        public BuiltBlock Seal(int destination, int lane)
        {
            var maxBytes = Snappy.MaxEncodedLength(_uncompressed.WrittenCount);
            _compressed = _compressed.Length < maxBytes ? new byte[maxBytes] : _compressed;
            var length = Snappy.Encode(_uncompressed.WrittenSpan, _compressed);
            // As long as it waits to be sent it takes what it needs, not what it might have needed.
            var block = new BuiltBlock(
                destination, lane, Count, _minTimestampMs, _maxTimestampMs, _compressed.AsSpan(0, length).ToArray());
            _uncompressed.ResetWrittenCount();
            Count = 0;
            (_minTimestampMs, _maxTimestampMs) = (long.MaxValue, long.MinValue);
            return block;
        }
    }
}
