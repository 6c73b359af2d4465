using System.Buffers;
using Millrace.Aggregation;
using Millrace.Delivery;
using Millrace.Model;
using Millrace.Protocols;
using Millrace.Protocols.Compression;
using Millrace.Protocols.RemoteWrite;

namespace Millrace.Pipeline;

/// <summary>A sealed block of a closed window.</summary>
internal readonly record struct BuiltBlock(
    int Destination, int Lane, int SampleCount, long TimestampMs, ReadOnlyMemory<byte> Bytes);

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
    private readonly Dictionary<(Generation, int, UInt128), Placement> _placements = [];

    public BuiltGroup Build(
        Generation generation, int rule, long endMs, long inputLsn, List<OutputSample> samples)
    {
        var blocks = new List<BuiltBlock>();
        foreach (var destination in generation.Resolver.DestinationsOf(rule))
        {
            AddBlocks(generation, destination, endMs, samples, blocks);
        }
        var writer = new OutputGroupWriter();
        writer.Begin(generation.Rules[rule].Key, generation.Rules[rule].Name, endMs, inputLsn);
        foreach (var block in blocks)
        {
            writer.AddBlock(
                destinations[block.Destination].Config.Name, block.Lane, block.SampleCount, endMs, endMs,
                block.Bytes.Span);
        }
        return new BuiltGroup(writer.Finish([]), blocks, writer);
    }

    private void AddBlocks(
        Generation generation, int destination, long endMs, List<OutputSample> samples, List<BuiltBlock> blocks)
    {
        var config = destinations[destination].Config;
        var lanes = new ArrayBufferWriter<byte>?[config.Lanes];
        var counts = new int[config.Lanes];
        foreach (var sample in samples)
        {
            var (lane, labels) = Place(generation, destination, sample);
            if (labels is null)
            {
                continue;
            }
            var target = lanes[lane] ??= new ArrayBufferWriter<byte>();
            if (sample.Histogram is null)
            {
                V1SeriesWriter.Write(target, labels, endMs, sample.Value);
            }
            else
            {
                V1SeriesWriter.WriteHistogram(target, labels, endMs, sample.Histogram);
            }
            if (++counts[lane] == config.MaxSamplesPerBlock)
            {
                blocks.Add(Seal(destination, lane, counts, endMs, lanes[lane]!));
            }
        }
        for (var lane = 0; lane < lanes.Length; lane++)
        {
            if (counts[lane] > 0)
            {
                blocks.Add(Seal(destination, lane, counts, endMs, lanes[lane]!));
            }
        }
    }

    private Placement Place(Generation generation, int destination, in OutputSample sample)
    {
        var key = (generation, destination, sample.Key);
        if (!_placements.TryGetValue(key, out var placement))
        {
            var labels = new List<Label>();
            // The labels come from our own encoder; a rule may well have removed the metric name.
            var isWhole = LabelBlock.TryParse(sample.Labels, AnyLabels, labels, out var defect)
                || defect == LabelDefect.MissingMetricName;
            var series = LabelSet.From(labels);
            placement = isWhole && generation.Resolver.TryPlace(destination, series, out var lane, out var sent)
                // Mostly nothing is relabeled, and the shard's bytes serve.
                ? new Placement(lane, sent.Equals(series) ? sample.Labels : LabelBlock.Encode(sent))
                : new Placement(0, null);
            if (_placements.Count >= MaxPlacements)
            {
                _placements.Clear();
            }
            _placements.Add(key, placement);
        }
        return placement;
    }

    private static BuiltBlock Seal(
        int destination, int lane, int[] counts, long endMs, ArrayBufferWriter<byte> uncompressed)
    {
        var compressed = new byte[Snappy.MaxEncodedLength(uncompressed.WrittenCount)];
        var length = Snappy.Encode(uncompressed.WrittenSpan, compressed);
        var block = new BuiltBlock(destination, lane, counts[lane], endMs, compressed.AsMemory(0, length));
        uncompressed.ResetWrittenCount();
        counts[lane] = 0;
        return block;
    }
}
