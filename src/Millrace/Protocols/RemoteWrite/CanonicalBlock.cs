using System.Runtime.InteropServices;
using Millrace.Protocols.Compression;

namespace Millrace.Protocols.RemoteWrite;

internal enum BlockFieldKind : byte
{
    Sample,
    Histogram,
    Exemplar,
}

/// <summary>A sample, a histogram or an exemplar: where its message lies, and its time.</summary>
internal readonly record struct BlockField(BlockFieldKind Kind, int Start, int End, long TimestampMs);

/// <summary>
/// A field of the request, tag included: a TimeSeries with its fields, or metadata, which has no labels and no fields.
/// </summary>
internal readonly record struct BlockEntry(
    int Start, int End, bool IsSeries, int LabelsStart, int LabelsEnd, int FirstField, int FieldCount);

/// <summary>What a block holds. The times are of samples and histograms; see <see cref="None"/>.</summary>
internal readonly record struct BlockCounts(
    int Samples, int Histograms, int Exemplars, long MinTimestampMs, long MaxTimestampMs)
{
    public static readonly BlockCounts None = new(0, 0, 0, long.MaxValue, long.MinValue);

    public BlockCounts With(in BlockField field)
    {
        if (field.Kind == BlockFieldKind.Exemplar)
        {
            return this with { Exemplars = Exemplars + 1 };
        }
        var isSample = field.Kind == BlockFieldKind.Sample;
        return this with
        {
            Samples = Samples + (isSample ? 1 : 0),
            Histograms = Histograms + (isSample ? 0 : 1),
            MinTimestampMs = Math.Min(MinTimestampMs, field.TimestampMs),
            MaxTimestampMs = Math.Max(MaxTimestampMs, field.TimestampMs),
        };
    }
}

/// <summary>
/// A block as <c>BlockBuilder</c> writes it, decompressed and indexed: what the cold paths work on that write it
/// in another protocol. Blocks come back from disk, so nothing in them is believed. In a TimeSeries the
/// labels stand before everything else. The buffers are used again for the next block.
/// </summary>
internal sealed class CanonicalBlock(int maxDecodedBytes)
{
    private readonly List<BlockEntry> _entries = [];
    private readonly List<BlockField> _fields = [];
    private byte[] _bytes = [];
    private int _length;

    public ReadOnlySpan<byte> Bytes => _bytes.AsSpan(0, _length);

    public ReadOnlySpan<BlockEntry> Entries => CollectionsMarshal.AsSpan(_entries);

    public ReadOnlySpan<byte> LabelsOf(in BlockEntry entry) => Bytes[entry.LabelsStart..entry.LabelsEnd];

    public ReadOnlySpan<BlockField> FieldsOf(in BlockEntry entry) =>
        CollectionsMarshal.AsSpan(_fields).Slice(entry.FirstField, entry.FieldCount);

    /// <summary>False when the block is malformed or larger than allowed; then it holds nothing of use.</summary>
    public bool TryRead(ReadOnlySpan<byte> block)
    {
        _entries.Clear();
        _fields.Clear();
        if (!TryDecompress(block))
        {
            return false;
        }
        var reader = new FieldReader(Bytes);
        for (var start = 0; reader.NextField(out var tag); start = reader.Position)
        {
            switch (tag)
            {
                case V1Wire.RequestSeries:
                    if (reader.ReadDelimited(out var messageStart, out var end)
                        && !TryIndexSeries(start, messageStart, end))
                    {
                        return false;
                    }
                    break;
                case V1Wire.RequestMetadata:
                    if (reader.ReadDelimited(out _, out end))
                    {
                        _entries.Add(new BlockEntry(start, end, false, 0, 0, _fields.Count, 0));
                    }
                    break;
                default:
                    return false;
            }
        }
        return !reader.IsFaulty;
    }

    /// <summary>Only decompresses; enough where the message goes on as it is.</summary>
    public bool TryDecompress(ReadOnlySpan<byte> block)
    {
        _length = 0;
        if (!Snappy.TryGetDecodedLength(block, out var length) || length > maxDecodedBytes)
        {
            return false;
        }
        OutputBuffer.Ensure(ref _bytes, length);
        if (!Snappy.TryDecode(block, _bytes))
        {
            return false;
        }
        _length = length;
        return true;
    }

    public BlockCounts Count()
    {
        var counts = BlockCounts.None;
        foreach (ref readonly var field in CollectionsMarshal.AsSpan(_fields))
        {
            counts = counts.With(field);
        }
        return counts;
    }

    private bool TryIndexSeries(int start, int messageStart, int end)
    {
        var reader = new FieldReader(Bytes, messageStart, end);
        var firstField = _fields.Count;
        var labelsEnd = messageStart;
        while (reader.NextField(out var tag))
        {
            if (!reader.ReadDelimited(out var fieldStart, out var fieldEnd))
            {
                return false;
            }
            if (tag == V1Wire.SeriesLabel && _fields.Count == firstField)
            {
                labelsEnd = fieldEnd;
                continue;
            }
            var (kind, timestampTag) = tag switch
            {
                V1Wire.SeriesSample => (BlockFieldKind.Sample, V1Wire.SampleTimestamp),
                V1Wire.SeriesHistogram => (BlockFieldKind.Histogram, V1Wire.HistogramTimestamp),
                V1Wire.SeriesExemplar => (BlockFieldKind.Exemplar, V1Wire.ExemplarTimestamp),
                _ => (default, 0u),
            };
            if (timestampTag == 0
                || !V1Wire.TryReadTimestamp(Bytes[fieldStart..fieldEnd], timestampTag, out var timestampMs))
            {
                return false;
            }
            _fields.Add(new BlockField(kind, fieldStart, fieldEnd, timestampMs));
        }
        _entries.Add(new BlockEntry(
            start, end, true, messageStart, labelsEnd, firstField, _fields.Count - firstField));
        return !reader.IsFaulty;
    }
}
