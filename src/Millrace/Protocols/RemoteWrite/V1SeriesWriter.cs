using System.Buffers;
using System.Text;

namespace Millrace.Protocols.RemoteWrite;

/// <summary>
/// Writes series of a remote write 1.0 request, one sample each. For outputs and tools; see BlockBuilder.
/// </summary>
internal static class V1SeriesWriter
{
    /// <param name="target">The request so far.</param>
    /// <param name="labels">A label block.</param>
    /// <param name="timestampMs">Milliseconds since the epoch.</param>
    /// <param name="value">Written also when it is 0, so that all samples look alike.</param>
    /// <param name="startMs">When the counter began; 0: not known, and not written.</param>
    /// <param name="exemplars">As <see cref="WriteExemplar"/> writes them.</param>
    public static void Write(
        IBufferWriter<byte> target, ReadOnlySpan<byte> labels, long timestampMs, double value, long startMs = 0,
        ReadOnlySpan<byte> exemplars = default)
    {
        var sampleBytes = 1 + 8 + 1 + WireWriter.VarintSize((ulong)timestampMs)
            + (startMs == 0 ? 0 : 1 + WireWriter.VarintSize((ulong)startMs));
        var seriesBytes = labels.Length + WireWriter.FieldSize(sampleBytes) + exemplars.Length;
        var size = WireWriter.FieldSize(seriesBytes);
        var writer = new WireWriter(target.GetSpan(size));
        writer.WriteHead(V1Wire.RequestSeries, seriesBytes);
        writer.WriteRaw(labels);
        writer.WriteHead(V1Wire.SeriesSample, sampleBytes);
        writer.WriteDouble(V1Wire.SampleValue, value);
        writer.WriteVarint(V1Wire.SampleTimestamp, (ulong)timestampMs);
        if (startMs != 0)
        {
            writer.WriteVarint(V1Wire.SampleStartTimestamp, (ulong)startMs);
        }
        writer.WriteRaw(exemplars);
        target.Advance(size);
    }

    /// <summary>An exemplar as a field of a TimeSeries.</summary>
    public static void WriteExemplar(
        IBufferWriter<byte> target, ReadOnlySpan<byte> exemplarLabels, double value, long timestampMs)
    {
        var messageBytes = exemplarLabels.Length + 1 + sizeof(double) + 1 + WireWriter.VarintSize((ulong)timestampMs);
        var size = WireWriter.FieldSize(messageBytes);
        var writer = new WireWriter(target.GetSpan(size));
        writer.WriteHead(V1Wire.SeriesExemplar, messageBytes);
        writer.WriteRaw(exemplarLabels);
        writer.WriteDouble(V1Wire.ExemplarValue, value);
        writer.WriteVarint(V1Wire.ExemplarTimestamp, (ulong)timestampMs);
        target.Advance(size);
    }

    public static void WriteMetadata(IBufferWriter<byte> target, MetricMetadata metadata)
    {
        var family = Encoding.UTF8.GetBytes(metadata.Family);
        var help = Encoding.UTF8.GetBytes(metadata.Help);
        var unit = Encoding.UTF8.GetBytes(metadata.Unit);
        var messageBytes = 2 + WireWriter.FieldSize(family.Length)
            + WireWriter.FieldSize(help.Length) + WireWriter.FieldSize(unit.Length);
        var size = WireWriter.FieldSize(messageBytes);
        var writer = new WireWriter(target.GetSpan(size));
        writer.WriteHead(V1Wire.RequestMetadata, messageBytes);
        writer.WriteVarint(V1Wire.MetadataType, (ulong)metadata.Type);
        writer.WriteBytes(V1Wire.MetadataFamily, family);
        writer.WriteBytes(V1Wire.MetadataHelp, help);
        writer.WriteBytes(V1Wire.MetadataUnit, unit);
        target.Advance(size);
    }

    /// <param name="target">The request so far.</param>
    /// <param name="labels">A label block.</param>
    /// <param name="timestampMs">Milliseconds since the epoch.</param>
    /// <param name="histogram">A Histogram message without a timestamp.</param>
    /// <param name="exemplars">As <see cref="WriteExemplar"/> writes them.</param>
    public static void WriteHistogram(
        IBufferWriter<byte> target, ReadOnlySpan<byte> labels, long timestampMs, ReadOnlySpan<byte> histogram,
        ReadOnlySpan<byte> exemplars = default)
    {
        var histogramBytes = histogram.Length + 1 + WireWriter.VarintSize((ulong)timestampMs);
        var seriesBytes = labels.Length + WireWriter.FieldSize(histogramBytes) + exemplars.Length;
        var size = WireWriter.FieldSize(seriesBytes);
        var writer = new WireWriter(target.GetSpan(size));
        writer.WriteHead(V1Wire.RequestSeries, seriesBytes);
        writer.WriteRaw(labels);
        writer.WriteHead(V1Wire.SeriesHistogram, histogramBytes);
        writer.WriteRaw(histogram);
        writer.WriteVarint(V1Wire.HistogramTimestamp, (ulong)timestampMs);
        writer.WriteRaw(exemplars);
        target.Advance(size);
    }
}
