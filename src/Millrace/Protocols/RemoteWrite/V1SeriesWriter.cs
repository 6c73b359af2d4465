using System.Buffers;

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
    public static void Write(IBufferWriter<byte> target, ReadOnlySpan<byte> labels, long timestampMs, double value)
    {
        var sampleBytes = 1 + 8 + 1 + WireWriter.VarintSize((ulong)timestampMs);
        var seriesBytes = labels.Length + WireWriter.FieldSize(sampleBytes);
        var size = WireWriter.FieldSize(seriesBytes);
        var writer = new WireWriter(target.GetSpan(size));
        writer.WriteHead(V1Wire.RequestSeries, seriesBytes);
        writer.WriteRaw(labels);
        writer.WriteHead(V1Wire.SeriesSample, sampleBytes);
        writer.WriteDouble(V1Wire.SampleValue, value);
        writer.WriteVarint(V1Wire.SampleTimestamp, (ulong)timestampMs);
        target.Advance(size);
    }

    /// <param name="target">The request so far.</param>
    /// <param name="labels">A label block.</param>
    /// <param name="timestampMs">Milliseconds since the epoch.</param>
    /// <param name="histogram">A Histogram message without a timestamp.</param>
    public static void WriteHistogram(
        IBufferWriter<byte> target, ReadOnlySpan<byte> labels, long timestampMs, ReadOnlySpan<byte> histogram)
    {
        var histogramBytes = histogram.Length + 1 + WireWriter.VarintSize((ulong)timestampMs);
        var seriesBytes = labels.Length + WireWriter.FieldSize(histogramBytes);
        var size = WireWriter.FieldSize(seriesBytes);
        var writer = new WireWriter(target.GetSpan(size));
        writer.WriteHead(V1Wire.RequestSeries, seriesBytes);
        writer.WriteRaw(labels);
        writer.WriteHead(V1Wire.SeriesHistogram, histogramBytes);
        writer.WriteRaw(histogram);
        writer.WriteVarint(V1Wire.HistogramTimestamp, (ulong)timestampMs);
        target.Advance(size);
    }
}
