using System.Text;
using Message = Millrace.TestKit.Fleet.RemoteWriteBody.Message;

namespace Millrace.TestKit.Conformance;

/// <summary>
/// Series as bodies of remote write 1.0 and 2.0, not yet compressed. Written without the product's encoders. Labels
/// stand in the order of the case, which need not be sorted.
/// </summary>
internal static class SentBody
{
    private const int CustomBucketsSchema = -53;
    private static readonly double[] CustomBounds = [0.1, 0.5, 1, 2.5, 5];

    public static byte[] V1(IEnumerable<SentSeries> allSeries, long nowMs)
    {
        var request = new Message();
        foreach (var series in allSeries)
        {
            var message = new Message();
            AddLabels(message, series.Labels);
            foreach (var sample in series.Samples)
            {
                message.Nested(2, Sample(sample, nowMs));
            }
            foreach (var exemplar in series.Exemplars)
            {
                var inner = new Message();
                AddLabels(inner, exemplar.Labels);
                message.Nested(3, inner.Double(2, exemplar.Value).Integer(3, nowMs - exemplar.AgoMs));
            }
            foreach (var histogram in series.Histograms)
            {
                message.Nested(4, Histogram(histogram, nowMs));
            }
            request.Nested(1, message);
        }
        return request.ToArray();
    }

    public static byte[] V2(IEnumerable<SentSeries> allSeries, long nowMs)
    {
        var symbols = new List<byte[]> { Array.Empty<byte>() };
        var messages = new Message();
        foreach (var series in allSeries)
        {
            messages.Nested(5, SeriesV2(series, symbols, nowMs));
        }
        var request = new Message();
        foreach (var symbol in symbols)
        {
            request.Bytes(4, symbol);
        }
        return request.Append(messages).ToArray();
    }

    private static Message SeriesV2(SentSeries series, List<byte[]> symbols, long nowMs)
    {
        var references = References(series.Labels, symbols);
        if (series.RawLabel is { } raw)
        {
            references.Varint(Symbol(symbols, raw.Name)).Varint(Symbol(symbols, raw.Value));
        }
        if (series.References is { } given)
        {
            references = new Message();
            foreach (var reference in given)
            {
                references.Varint(reference);
            }
        }
        var message = new Message().Nested(1, references);
        foreach (var sample in series.Samples)
        {
            message.Nested(2, Sample(sample, nowMs));
        }
        foreach (var histogram in series.Histograms)
        {
            message.Nested(3, Histogram(histogram, nowMs));
        }
        foreach (var exemplar in series.Exemplars)
        {
            message.Nested(4, new Message().Nested(1, References(exemplar.Labels, symbols))
                .Double(2, exemplar.Value).Integer(3, nowMs - exemplar.AgoMs));
        }
        if (series.Metadata is { } metadata)
        {
            message.Nested(5, new Message().Integer(1, (int)metadata.Type)
                .Integer(3, Symbol(symbols, Encoding.UTF8.GetBytes(metadata.Help)))
                .Integer(4, Symbol(symbols, Encoding.UTF8.GetBytes(metadata.Unit))));
        }
        return message;
    }

    private static Message Sample(SentSample sample, long nowMs)
    {
        var message = new Message().Double(1, sample.Value).Integer(2, nowMs - sample.AgoMs);
        return sample.StartedAgoMs is { } ago ? message.Integer(3, nowMs - ago) : message;
    }

    /// <summary>
    /// Buckets as deltas: the positive ones hold 2 + 3 + 1 and, behind a gap, 4; the negative ones 1 + 5; the zero
    /// bucket 7; the custom ones 1 + 0 + 6 and then 2 in the last.
    /// </summary>
    private static Message Histogram(SentHistogram histogram, long nowMs)
    {
        var (shape, count) = (histogram.Shape, 0L);
        var isCustom = shape.HasFlag(Shape.CustomBuckets);
        var buckets = new Message();
        if (shape.HasFlag(Shape.Zero))
        {
            buckets.Integer(6, 7);
            count += 7;
        }
        if (shape.HasFlag(Shape.Negative))
        {
            buckets.Nested(8, Span(0, 2)).Nested(9, Deltas(1, 4));
            count += 6;
        }
        if (isCustom)
        {
            buckets.Nested(11, Span(0, 3)).Nested(11, Span(2, 1)).Nested(12, Deltas(1, -1, 6, -4));
            count += 9;
        }
        else if (shape.HasFlag(Shape.Positive))
        {
            buckets.Nested(11, Span(-1, 3)).Nested(11, Span(4, 1)).Nested(12, Deltas(2, 1, -2, 3));
            count += 10;
        }
        var head = new Message().Integer(1, shape.HasFlag(Shape.WrongCount) ? count + 5 : count)
            .Double(3, histogram.Sum).Integer(4, (long)ZigZag(isCustom ? CustomBucketsSchema : 1));
        var tail = new Message().Integer(15, nowMs);
        if (isCustom)
        {
            var bounds = new Message();
            foreach (var bound in CustomBounds)
            {
                bounds.Raw(BitConverter.GetBytes(bound));
            }
            tail.Nested(16, bounds);
        }
        if (histogram.StartedAgoMs is { } ago)
        {
            tail.Integer(17, nowMs - ago);
        }
        return head.Append(buckets).Append(tail);
    }

    private static Message Span(int offset, int length) =>
        new Message().Integer(1, (long)ZigZag(offset)).Integer(2, length);

    private static Message Deltas(params ReadOnlySpan<long> deltas)
    {
        var packed = new Message();
        foreach (var delta in deltas)
        {
            packed.Varint(ZigZag(delta));
        }
        return packed;
    }

    private static void AddLabels(Message message, (string Name, string Value)[] labels)
    {
        foreach (var (name, value) in labels)
        {
            message.Nested(1, new Message().Text(1, name).Text(2, value));
        }
    }

    private static Message References((string Name, string Value)[] labels, List<byte[]> symbols)
    {
        var references = new Message();
        foreach (var (name, value) in labels)
        {
            references.Varint(Symbol(symbols, Encoding.UTF8.GetBytes(name)))
                .Varint(Symbol(symbols, Encoding.UTF8.GetBytes(value)));
        }
        return references;
    }

    private static uint Symbol(List<byte[]> symbols, byte[] text)
    {
        var index = symbols.FindIndex(known => known.AsSpan().SequenceEqual(text));
        if (index < 0)
        {
            index = symbols.Count;
            symbols.Add(text);
        }
        return (uint)index;
    }

    private static ulong ZigZag(long value) => (ulong)((value << 1) ^ (value >> 63));
}
