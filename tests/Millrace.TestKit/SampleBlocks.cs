using Millrace.Delivery;
using Millrace.Model;
using Millrace.Protocols;
using Millrace.Protocols.Compression;
using Millrace.Protocols.RemoteWrite;

namespace Millrace.TestKit;

/// <summary>Canonical blocks made the plain way, for tests that do not care how a block is built.</summary>
internal static class SampleBlocks
{
    public static byte[] Encode(params ReadOnlySpan<(string Metric, long TimestampMs, double Value)> samples)
    {
        var bySeries = new SortedDictionary<string, List<(long TimestampMs, double Value)>>(StringComparer.Ordinal);
        foreach (var (metric, timestampMs, value) in samples)
        {
            if (!bySeries.TryGetValue(metric, out var ofSeries))
            {
                bySeries[metric] = ofSeries = [];
            }
            ofSeries.Add((timestampMs, value));
        }
        var message = new byte[64 + samples.Length * 64 + bySeries.Count * 1024];
        var writer = new WireWriter(message);
        foreach (var (metric, ofSeries) in bySeries)
        {
            var labels = LabelBlock.Encode(LabelSet.Of((LabelSet.MetricName, metric)));
            var series = new byte[labels.Length + ofSeries.Count * 32];
            var seriesWriter = new WireWriter(series);
            seriesWriter.WriteRaw(labels);
            foreach (var (timestampMs, value) in ofSeries)
            {
                var sample = new byte[24];
                var sampleWriter = new WireWriter(sample);
                sampleWriter.WriteDouble(V1Wire.SampleValue, value);
                sampleWriter.WriteVarint(V1Wire.SampleTimestamp, (ulong)timestampMs);
                seriesWriter.WriteBytes(V1Wire.SeriesSample, sample.AsSpan(0, sampleWriter.Position));
            }
            writer.WriteBytes(V1Wire.RequestSeries, series.AsSpan(0, seriesWriter.Position));
        }
        var encoded = new byte[Snappy.MaxEncodedLength(writer.Position)];
        return encoded[..Snappy.Encode(message.AsSpan(0, writer.Position), encoded)];
    }

    public static SealedBlock Seal(
        Feed feed, int lane, LogPosition end, long sealedAtMs,
        params ReadOnlySpan<(string Metric, long TimestampMs, double Value)> samples)
    {
        var (min, max) = (long.MaxValue, long.MinValue);
        foreach (var (_, timestampMs, _) in samples)
        {
            (min, max) = (Math.Min(min, timestampMs), Math.Max(max, timestampMs));
        }
        return new SealedBlock
        {
            Feed = feed,
            Lane = lane,
            End = end,
            Bytes = Encode(samples),
            SampleCount = samples.Length,
            MinTimestampMs = min,
            MaxTimestampMs = max,
            SealedAtMs = sealedAtMs,
        };
    }
}
