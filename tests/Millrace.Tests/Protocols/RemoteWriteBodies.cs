using Millrace.Model;

namespace Millrace.Tests.Protocols;

internal sealed record SampleModel(long TimestampMs, double Value, long StartMs = 0);

internal sealed record ExemplarModel(Label[] Labels, double Value, long TimestampMs);

/// <summary>A series as a test thinks of it; the bodies below say it in each protocol.</summary>
internal sealed record SeriesModel(Label[] Labels)
{
    public SampleModel[] Samples { get; init; } = [];

    /// <summary>Sums; each is written as a histogram of one bucket at its position's time.</summary>
    public (long TimestampMs, double Sum)[] Histograms { get; init; } = [];

    public ExemplarModel[] Exemplars { get; init; } = [];

    public static Label[] LabelsOf(params string[] namesAndValues) =>
        [.. namesAndValues.Chunk(2).Select(pair => new Label(pair[0], pair[1]))];

    /// <summary>What a decoder must tell of it.</summary>
    public IEnumerable<string> Lines()
    {
        yield return "series " + Join(Labels);
        foreach (var sample in Samples)
        {
            yield return FormattableString.Invariant(
                $"sample {sample.TimestampMs} {RecordingSink.Bits(sample.Value)} start {sample.StartMs}");
        }
        foreach (var (timestampMs, sum) in Histograms)
        {
            var hex = Convert.ToHexString(RemoteWriteBodies.Histogram(timestampMs, sum));
            yield return FormattableString.Invariant($"histogram {timestampMs} {hex} start 0");
        }
        foreach (var exemplar in Exemplars)
        {
            yield return FormattableString.Invariant(
                $"exemplar {exemplar.TimestampMs} {RecordingSink.Bits(exemplar.Value)} {Join(exemplar.Labels)}");
        }
    }

    private static string Join(Label[] labels) => string.Join(",", labels.Select(l => $"{l.Name}={l.Value}"));
}

internal static class RemoteWriteBodies
{
    public const long Now = 1_760_000_000_000;

    public static byte[] V1(params IEnumerable<SeriesModel> series)
    {
        var body = new WireWriter();
        foreach (var one in series)
        {
            body.Message(1, m => WriteV1(m, one));
        }
        return body.ToArray();
    }

    public static byte[] V2(params IEnumerable<SeriesModel> series)
    {
        var symbols = new List<string> { "" };
        ulong Reference(string text)
        {
            var index = symbols.IndexOf(text);
            if (index < 0)
            {
                index = symbols.Count;
                symbols.Add(text);
            }
            return (ulong)index;
        }
        IEnumerable<ulong> References(Label[] labels) =>
            labels.SelectMany(l => new[] { Reference(l.Name), Reference(l.Value) });

        var messages = new WireWriter();
        foreach (var one in series)
        {
            messages.Message(5, m =>
            {
                m.Packed(1, References(one.Labels));
                Array.ForEach(one.Samples, s => m.Message(2, w => WriteSample(w, s)));
                Array.ForEach(one.Histograms, h => m.Bytes(3, Histogram(h.TimestampMs, h.Sum)));
                Array.ForEach(one.Exemplars, e => m.Message(
                    4, w => w.Packed(1, References(e.Labels)).Double(2, e.Value).Varint(3, (ulong)e.TimestampMs)));
            });
        }
        var body = new WireWriter();
        symbols.ForEach(s => body.Text(4, s));
        return body.Raw(messages.ToArray()).ToArray();
    }

    /// <summary>A schema 0 integer histogram with three observations in two buckets and one at zero.</summary>
    public static byte[] Histogram(long timestampMs, double sum) =>
        new WireWriter()
            .Varint(1, 4).Double(3, sum).SInt(4, 0).Double(5, 0.001).Varint(6, 1)
            .Message(11, span => span.SInt(1, -2).Varint(2, 2))
            .Packed(12, WireWriter.ZigZag(1), WireWriter.ZigZag(1))
            .Varint(15, (ulong)timestampMs)
            .ToArray();

    /// <summary>Series as a scrape of a small service gives them.</summary>
    public static IEnumerable<SeriesModel> Scrape(int count, long timestampMs = Now)
    {
        for (var i = 0; i < count; i++)
        {
            var labels = SeriesModel.LabelsOf(
                "__name__", "http_requests_total", "code", i % 3 == 0 ? "200" : "503", "handler", $"/api/v1/query/{i}",
                "instance", "10.0.0.1:9090", "job", "api-server", "pod", $"api-7d4b9c-{i % 40:x4}");
            yield return new SeriesModel(labels) { Samples = [new(timestampMs + i, i * 1.5)] };
        }
    }

    public static WireWriter WriteLabel(WireWriter writer, Label label) =>
        writer.Message(1, m =>
        {
            if (label.Name.Length > 0)
            {
                m.Text(1, label.Name);
            }
            if (label.Value.Length > 0)
            {
                m.Text(2, label.Value);
            }
        });

    public static void WriteSample(WireWriter writer, SampleModel sample)
    {
        if (BitConverter.DoubleToUInt64Bits(sample.Value) != 0)
        {
            writer.Double(1, sample.Value);
        }
        if (sample.TimestampMs != 0)
        {
            writer.Varint(2, (ulong)sample.TimestampMs);
        }
        if (sample.StartMs != 0)
        {
            writer.Varint(3, (ulong)sample.StartMs);
        }
    }

    private static void WriteV1(WireWriter writer, SeriesModel series)
    {
        Array.ForEach(series.Labels, label => WriteLabel(writer, label));
        Array.ForEach(series.Samples, s => writer.Message(2, m => WriteSample(m, s)));
        Array.ForEach(series.Histograms, h => writer.Bytes(4, Histogram(h.TimestampMs, h.Sum)));
        Array.ForEach(series.Exemplars, e => writer.Message(3, m =>
        {
            Array.ForEach(e.Labels, label => WriteLabel(m, label));
            m.Double(2, e.Value).Varint(3, (ulong)e.TimestampMs);
        }));
    }
}
