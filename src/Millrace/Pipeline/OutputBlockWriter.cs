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

    private sealed record Placement(int Lane, byte[]? Labels);

    // Where a destination's relabeling takes an output series; dropped as a whole when it grows too large.
    private readonly Dictionary<(SeriesResolver, int, UInt128), Placement> _placements = [];

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

    private void AddBlocks(
        SeriesResolver resolver, int rule, int destination, long endMs, List<OutputSample> samples,
        List<BuiltBlock> blocks)
    {
        var config = destinations[destination].Config;
        var isPlaced = resolver.IsPlaced(rule);
        var lanes = new LaneBlock?[config.Lanes];
        foreach (var sample in samples)
        {
            var (number, labels) = Place(resolver, destination, isPlaced, sample);
            if (labels is null)
            {
                continue;
            }
            var lane = lanes[number] ??= new LaneBlock();
            lane.Add(labels, endMs - sample.BeforeMs, sample);
            if (lane.Count == config.MaxSamplesPerBlock)
            {
                blocks.Add(lane.Seal(destination, number));
            }
        }
        for (var number = 0; number < lanes.Length; number++)
        {
            if (lanes[number] is { Count: > 0 } lane)
            {
                blocks.Add(lane.Seal(destination, number));
            }
        }
    }

    private Placement Place(SeriesResolver resolver, int destination, bool isPlaced, in OutputSample sample)
    {
        var key = (resolver, isPlaced ? ~destination : destination, sample.Key);
        if (!_placements.TryGetValue(key, out var placement))
        {
            placement = Place(resolver, destination, isPlaced, sample.Labels);
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
        var labels = new List<Label>();
        // The labels come from our own encoder; a rule may well have removed the metric name.
        if (!LabelBlock.TryParse(block, AnyLabels, labels, out var defect) && defect != LabelDefect.MissingMetricName)
        {
            return new Placement(0, null);
        }
        var series = LabelSet.From(labels);
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

    /// <summary>The block of a lane that is being filled.</summary>
    private sealed class LaneBlock
    {
        private readonly ArrayBufferWriter<byte> _uncompressed = new();
        private long _minTimestampMs = long.MaxValue;
        private long _maxTimestampMs = long.MinValue;

        public int Count { get; private set; }

        public void Add(byte[] labels, long timestampMs, in OutputSample sample)
        {
            V1SeriesWriter.Write(_uncompressed, labels, timestampMs, sample.Value, sample.StartMs);
            _minTimestampMs = Math.Min(_minTimestampMs, timestampMs);
            _maxTimestampMs = Math.Max(_maxTimestampMs, timestampMs);
            Count++;
        }

        public BuiltBlock Seal(int destination, int lane)
        {
            var compressed = new byte[Snappy.MaxEncodedLength(_uncompressed.WrittenCount)];
            var length = Snappy.Encode(_uncompressed.WrittenSpan, compressed);
            var block = new BuiltBlock(
                destination, lane, Count, _minTimestampMs, _maxTimestampMs, compressed.AsMemory(0, length));
            _uncompressed.ResetWrittenCount();
            Count = 0;
            (_minTimestampMs, _maxTimestampMs) = (long.MaxValue, long.MinValue);
            return block;
        }
    }
}
