using System.Globalization;
using Millrace.Delivery;
using Millrace.Protocols;
using Millrace.Protocols.Compression;
using Millrace.Protocols.RemoteWrite;
using Millrace.TestKit.Conformance;
using Millrace.Tests.Protocols;

namespace Millrace.Tests.Ingest;

/// <summary>What a destination is sent, and what a case expects it to be sent, in the same words.</summary>
internal sealed class StoredLines
{
    public List<string> Lines { get; } = [];

    public void Add(Sending sending)
    {
        sending.Protocol.ShouldBe(WireProtocol.PrometheusV1);
        Snappy.TryGetDecodedLength(sending.Body.Span, out var length).ShouldBeTrue();
        var body = new byte[length];
        Snappy.TryDecode(sending.Body.Span, body).ShouldBeTrue();
        var sink = new Sink(Lines);
        RemoteWriteV1Decoder.TryDecode(body, ref sink, DecodeLimits.Default, out var error).ShouldBeTrue(error);
    }

    /// <summary>Labels sorted, without empty ones: as every sample is stored.</summary>
    public static IEnumerable<string> Of(ReceiverCase one, long nowMs)
    {
        foreach (var series in one.Stored)
        {
            var labels = Text(series.Labels
                .Where(label => label.Value.Length > 0).OrderBy(label => label.Name, StringComparer.Ordinal));
            foreach (var sample in series.Samples)
            {
                var startMs = sample.StartedAgoMs is { } ago ? nowMs - ago : 0;
                yield return Sample(labels, nowMs - sample.AgoMs, sample.Value, startMs);
            }
            foreach (var histogram in series.Histograms)
            {
                yield return Invariant($"{labels} histogram {nowMs} sum {histogram.Sum}");
            }
            foreach (var exemplar in series.Exemplars)
            {
                yield return Exemplar(labels, nowMs - exemplar.AgoMs, exemplar.Value, Text(exemplar.Labels));
            }
            if (series.Metadata is { } metadata && metadata != new SentMetadata(MetricType.Unknown))
            {
                var name = series.Labels.First(label => label.Name == SentSeries.MetricName).Value;
                yield return $"metadata {name} {metadata.Type} '{metadata.Help}' '{metadata.Unit}'";
            }
        }
    }

    private static string Text(IEnumerable<(string Name, string Value)> labels) =>
        string.Join(",", labels.Select(label => $"{label.Name}={label.Value}"));

    private static string Sample(string labels, long timestampMs, double value, long startMs) =>
        Invariant($"{labels} sample {timestampMs} {RecordingSink.Bits(value)} start {startMs}");

    private static string Exemplar(string labels, long timestampMs, double value, string exemplarLabels) =>
        Invariant($"{labels} exemplar {timestampMs} {RecordingSink.Bits(value)} {exemplarLabels}");

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private struct Sink(List<string> lines) : IWriteSink
    {
        private string _labels = "";

        public readonly bool TryKnownSeries(ReadOnlySpan<byte> labels) => false;

        public void BeginSeries(ReadOnlySpan<byte> labels) => _labels = RecordingSink.Text(labels);

        public readonly void Sample(long timestampMs, double value, long startTimestampMs) =>
            lines.Add(StoredLines.Sample(_labels, timestampMs, value, startTimestampMs));

        public readonly void Histogram(ReadOnlySpan<byte> histogram, long timestampMs, long startTimestampMs)
        {
            // Field 3, the sum, is the first fixed-width one of these histograms.
            var at = histogram.IndexOf((byte)0x19) + 1;
            lines.Add(Invariant(
                $"{_labels} histogram {timestampMs} sum {BitConverter.ToDouble(histogram.Slice(at, sizeof(double)))}"));
        }

        public readonly void Exemplar(ReadOnlySpan<byte> labels, double value, long timestampMs) =>
            lines.Add(StoredLines.Exemplar(_labels, timestampMs, value, RecordingSink.Text(labels)));

        public readonly void Metadata(
            ReadOnlySpan<byte> family, MetricType type, ReadOnlySpan<byte> help, ReadOnlySpan<byte> unit) =>
            lines.Add($"metadata {Utf8(family)} {type} '{Utf8(help)}' '{Utf8(unit)}'");

        public readonly void Refused(string reason, int samples, int histograms, int exemplars) => lines.Add(reason);

        private static string Utf8(ReadOnlySpan<byte> text) => System.Text.Encoding.UTF8.GetString(text);
    }
}
