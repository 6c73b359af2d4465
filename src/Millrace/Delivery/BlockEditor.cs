using Millrace.Protocols;
using Millrace.Protocols.Compression;
using Millrace.Protocols.RemoteWrite;

namespace Millrace.Delivery;

/// <summary>A canonical block that was made from another one.</summary>
internal readonly record struct EditedBlock(
    byte[] Bytes, int SampleCount, long MinTimestampMs, long MaxTimestampMs);

/// <summary>
/// Takes canonical blocks apart when a backend refuses them: in halves by series, or without the samples outside a
/// span. Equal input gives equal bytes. Cold: a refused block is the exception.
/// </summary>
internal static class BlockEditor
{
    /// <summary>
    /// In two by series, or by time when there is only one; false when a single sample is left, or the block is
    /// damaged.
    /// </summary>
    public static bool TrySplit(ReadOnlySpan<byte> canonical, out EditedBlock first, out EditedBlock second)
    {
        (first, second) = (default, default);
        var block = new CanonicalBlock(RemoteWriteTranscoder.DefaultMaxDecodedBytes);
        if (!block.TryRead(canonical))
        {
            return false;
        }
        var seriesCount = 0;
        foreach (ref readonly var entry in block.Entries)
        {
            seriesCount += entry.IsSeries ? 1 : 0;
        }
        if (seriesCount > 1)
        {
            var half = seriesCount / 2;
            first = Edit(block, new Selection(0, half, true, long.MinValue, long.MaxValue));
            second = Edit(block, new Selection(half, seriesCount, false, long.MinValue, long.MaxValue));
            return true;
        }
        var counts = block.Count();
        if (counts.Samples + counts.Histograms < 2 || counts.MinTimestampMs >= counts.MaxTimestampMs)
        {
            return false;
        }
        var middle = counts.MinTimestampMs + (counts.MaxTimestampMs - counts.MinTimestampMs) / 2;
        first = Edit(block, new Selection(0, 1, true, long.MinValue, middle));
        second = Edit(block, new Selection(0, 1, false, middle + 1, long.MaxValue));
        return true;
    }

    /// <summary>
    /// Without the samples outside a span, both ends of which belong to it; false when the block is damaged.
    /// </summary>
    public static bool TryTrim(ReadOnlySpan<byte> canonical, long keepFromMs, long keepToMs, out EditedBlock rest)
    {
        rest = default;
        var block = new CanonicalBlock(RemoteWriteTranscoder.DefaultMaxDecodedBytes);
        if (!block.TryRead(canonical))
        {
            return false;
        }
        rest = Edit(block, new Selection(0, int.MaxValue, true, keepFromMs, keepToMs));
        return true;
    }

    /// <summary>What is kept: series by their number, samples by their time, metadata or not.</summary>
    private readonly record struct Selection(
        int FirstSeries, int EndSeries, bool KeepsMetadata, long FromMs, long ToMs)
    {
        public bool Keeps(in BlockField field) =>
            field.Kind == BlockFieldKind.Exemplar || (field.TimestampMs >= FromMs && field.TimestampMs <= ToMs);
    }

    private static EditedBlock Edit(CanonicalBlock block, in Selection selection)
    {
        // Fields are left out, never added: what is kept has room where the whole had.
        var request = new byte[block.Bytes.Length];
        var message = new byte[block.Bytes.Length];
        var writer = new WireWriter(request);
        var counts = BlockCounts.None;
        var number = 0;
        foreach (ref readonly var entry in block.Entries)
        {
            if (!entry.IsSeries)
            {
                if (selection.KeepsMetadata)
                {
                    writer.WriteRaw(block.Bytes[entry.Start..entry.End]);
                }
                continue;
            }
            if (number >= selection.FirstSeries && number < selection.EndSeries)
            {
                EditSeries(block, entry, selection, message, ref writer, ref counts);
            }
            number++;
        }
        var encoded = new byte[Snappy.MaxEncodedLength(writer.Position)];
        var encodedBytes = Snappy.Encode(request.AsSpan(0, writer.Position), encoded);
        return new EditedBlock(
            encoded[..encodedBytes], counts.Samples + counts.Histograms, counts.MinTimestampMs, counts.MaxTimestampMs);
    }

    private static void EditSeries(
        CanonicalBlock block, BlockEntry entry, in Selection selection, byte[] message, ref WireWriter writer,
        ref BlockCounts counts)
    {
        var series = new WireWriter(message);
        series.WriteRaw(block.Bytes[entry.LabelsStart..entry.LabelsEnd]);
        var (samples, kept) = (0, 0);
        foreach (ref readonly var field in block.FieldsOf(entry))
        {
            var isSample = field.Kind != BlockFieldKind.Exemplar;
            samples += isSample ? 1 : 0;
            if (!selection.Keeps(field))
            {
                continue;
            }
            kept += isSample ? 1 : 0;
            counts = counts.With(field);
            series.WriteBytes(TagOf(field.Kind), block.Bytes[field.Start..field.End]);
        }
        if (samples == 0 || kept > 0)
        {
            writer.WriteBytes(V1Wire.RequestSeries, message.AsSpan(0, series.Position));
        }
    }

    private static uint TagOf(BlockFieldKind kind) => kind switch
    {
        BlockFieldKind.Sample => V1Wire.SeriesSample,
        BlockFieldKind.Histogram => V1Wire.SeriesHistogram,
        _ => V1Wire.SeriesExemplar,
    };
}
