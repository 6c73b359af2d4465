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
    int Destination, int Lane, int SampleCount, long MinTimestampMs, long TimestampMs, ReadOnlyMemory<byte> Bytes);

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
            AddBlocks(resolver, destination, endMs, samples, blocks);
        }
        var writer = new OutputGroupWriter();
        var of = generation.RulesInForce[rule];
        writer.Begin(of.Key, of.Name, endMs, inputLsn);
        foreach (var block in blocks)
        {
            writer.AddBlock(
                destinations[block.Destination].Config.Name, block.Lane, block.SampleCount, block.MinTimestampMs, endMs,
                block.Bytes.Span);
        }
        return new BuiltGroup(writer.Finish([]), blocks, writer);
    }

    private void AddBlocks(
        SeriesResolver resolver, int destination, long endMs, List<OutputSample> samples, List<BuiltBlock> blocks)
    {
        var config = destinations[destination].Config;
        var lanes = new ArrayBufferWriter<byte>?[config.Lanes];
        var counts = new int[config.Lanes];
        var beforeMs = new long[config.Lanes];
        foreach (var sample in samples)
        {
            var (lane, labels) = Place(resolver, destination, sample);
            if (labels is null)
            {
                continue;
            }
            var block = lanes[lane] ??= new ArrayBufferWriter<byte>();
            if (sample.Histogram is null)
            {
                V1SeriesWriter.Write(block, labels, endMs - sample.BeforeMs, sample.Value);
            }
            else
            {
                V1SeriesWriter.WriteHistogram(block, labels, endMs, sample.Histogram);
            }
            beforeMs[lane] = Math.Max(beforeMs[lane], sample.BeforeMs);
            if (++counts[lane] == config.MaxSamplesPerBlock)
            {
                blocks.Add(Seal(destination, lane, counts, endMs, beforeMs, lanes[lane]!));
            }
        }
        for (var lane = 0; lane < lanes.Length; lane++)
        {
            if (counts[lane] > 0)
            {
                blocks.Add(Seal(destination, lane, counts, endMs, beforeMs, lanes[lane]!));
            }
        }
    }

    private Placement Place(SeriesResolver resolver, int destination, in OutputSample sample)
    {
        var key = (resolver, destination, sample.Key);
        if (!_placements.TryGetValue(key, out var placement))
        {
            var labels = new List<Label>();
            // The labels come from our own encoder; a rule may well have removed the metric name.
            var isWhole = LabelBlock.TryParse(sample.Labels, AnyLabels, labels, out var defect)
                || defect == LabelDefect.MissingMetricName;
            var series = LabelSet.From(labels);
            placement = isWhole && resolver.TryPlace(destination, series, out var lane, out var sent)
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
        int destination, int lane, int[] counts, long endMs, long[] beforeMs, ArrayBufferWriter<byte> uncompressed)
    {
        var compressed = new byte[Snappy.MaxEncodedLength(uncompressed.WrittenCount)];
        var length = Snappy.Encode(uncompressed.WrittenSpan, compressed);
        var block = new BuiltBlock(
            destination, lane, counts[lane], endMs - beforeMs[lane], endMs, compressed.AsMemory(0, length));
        uncompressed.ResetWrittenCount();
        counts[lane] = 0;
        beforeMs[lane] = 0;
        return block;
    }
}
