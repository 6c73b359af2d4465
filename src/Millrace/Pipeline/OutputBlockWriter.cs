using System.Buffers;
using System.Runtime.InteropServices;
using Millrace.Aggregation;
using Millrace.Delivery;
using Millrace.Memory;
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

    /// <summary>Some thirty bytes each.</summary>
    private const int MaxPlacements = 1 << 22;

    private const short IsDropped = -1;

    private readonly LaneBlock _block = new();
    private readonly List<int> _places = []; // of the samples, in their order

    // Where a destination's relabeling takes an output series; dropped as a whole when it grows too large.
    private readonly Dictionary<(SeriesResolver, int), Placements> _placements = [];
    private int _placementCount;
    private byte[] _labels = [];

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
        var placements = PlacementsOf((resolver, isPlaced ? ~destination : destination));
        _places.Clear();
        foreach (ref readonly var sample in CollectionsMarshal.AsSpan(samples))
        {
            _places.Add(Place(placements, resolver, destination, isPlaced, sample));
        }
        for (var lane = 0; lane < config.Lanes; lane++)
        {
            for (var i = 0; i < samples.Count; i++)
            {
                if (placements.LaneOf(_places[i]) != lane)
                {
                    continue;
                }
                var relabeled = placements.RelabeledOf(_places[i]);
                _block.Add(relabeled ?? samples[i].Labels.Get(ref _labels), endMs - samples[i].BeforeMs, samples[i]);
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

    private Placements PlacementsOf((SeriesResolver, int) destination)
    {
        if (_placementCount >= MaxPlacements)
        {
            _placements.Clear();
            _placementCount = 0;
        }
        if (!_placements.TryGetValue(destination, out var placements))
        {
            _placements.Add(destination, placements = new Placements());
        }
        return placements;
    }

    /// <summary>The number of a sample's placement.</summary>
    private int Place(
        Placements placements, SeriesResolver resolver, int destination, bool isPlaced, in OutputSample sample)
    {
        var known = placements.Find(sample.Key);
        if (known >= 0)
        {
            return known;
        }
        _placementCount++;
        var labels = new List<Label>();
        // The labels come from our own encoder; a rule may well have removed the metric name.
        if (!LabelBlock.TryParse(sample.Labels.Get(ref _labels), AnyLabels, labels, out var defect)
            && defect != LabelDefect.MissingMetricName)
        {
            return placements.Add(sample.Key, IsDropped, null);
        }
        var series = LabelSet.From(labels);
        if (isPlaced)
        {
            var lanes = destinations[destination].Config.Lanes;
            return placements.Add(sample.Key, LaneKey.StableLaneOf(series, lanes), null);
        }
        if (!resolver.TryPlace(destination, series, out var lane, out var sent))
        {
            return placements.Add(sample.Key, IsDropped, null);
        }
        // Mostly nothing is relabeled: then the labels need not be kept twice.
        return placements.Add(sample.Key, lane, ReferenceEquals(sent, series) ? null : LabelBlock.Encode(sent));
    }

    /// <summary>Of one destination under one configuration.</summary>
    private sealed class Placements
    {
        private readonly SeriesTable<UInt128> _series = new();
        private readonly Column<short> _lanes = new();
        private readonly Dictionary<int, byte[]> _relabeled = [];

        public int Find(UInt128 key) => _series.Find(key);

        public int LaneOf(int number) => _lanes[number];

        /// <summary>Null: it is sent with its own labels.</summary>
        public byte[]? RelabeledOf(int number) => _relabeled.GetValueOrDefault(number);

        /// <param name="key">Of a series that is not there.</param>
        /// <param name="lane">The lane, or <see cref="IsDropped"/>.</param>
        /// <param name="relabeled">Null: it is sent with its own labels.</param>
        public int Add(UInt128 key, int lane, byte[]? relabeled)
        {
            var number = _series.Add(key);
            _lanes.EnsureCapacity(number + 1);
            _lanes[number] = checked((short)lane);
            if (relabeled is not null)
            {
                _relabeled.Add(number, relabeled);
            }
            return number;
        }
    }

    /// <summary>The block that is being filled; its buffers are used again for the next one.</summary>
    private sealed class LaneBlock
    {
        private readonly ArrayBufferWriter<byte> _uncompressed = new();
        private byte[] _compressed = [];
        private long _minTimestampMs = long.MaxValue;
        private long _maxTimestampMs = long.MinValue;

        public int Count { get; private set; }

        public void Add(ReadOnlySpan<byte> labels, long timestampMs, in OutputSample sample)
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
