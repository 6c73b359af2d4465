using System.Buffers.Binary;
using System.Text;

namespace Millrace.TestKit.Fleet;

/// <summary>The two versions of Prometheus remote write.</summary>
public enum RemoteWriteVersion
{
    V1,
    V2,
}

/// <summary>
/// Request bodies of remote write, written here once more on purpose: what checks the product's decoders must not share
/// code with them. Compression is snappy without a single copy element, which every decoder must read.
/// </summary>
public static class RemoteWriteBody
{
    private const int MaxLiteralBytes = 1 << 16;

    public static byte[] Encode(IReadOnlyList<FleetSample> samples, RemoteWriteVersion version) =>
        Compress(version == RemoteWriteVersion.V1 ? EncodeV1(samples) : EncodeV2(samples));

    /// <summary>WriteRequest{1: TimeSeries{1: Label{1: name, 2: value}, 2: Sample{1: value, 2: timestamp}}}.</summary>
    private static byte[] EncodeV1(IReadOnlyList<FleetSample> samples)
    {
        var request = new Message();
        for (var i = 0; i < samples.Count;)
        {
            var series = new Message();
            foreach (var (name, value) in samples[i].Series.Labels)
            {
                series.Nested(1, new Message().Text(1, name).Text(2, value));
            }
            i = AppendSamples(samples, i, series);
            request.Nested(1, series);
        }
        return request.ToArray();
    }

    /// <summary>
    /// Request{4: symbol, 5: TimeSeries{1: packed labels, 2: Sample{1: value, 2: timestamp}, 5: Metadata{1: type}}}:
    /// the first symbol is the empty text.
    /// </summary>
    private static byte[] EncodeV2(IReadOnlyList<FleetSample> samples)
    {
        const int TypeCounter = 1;
        const int TypeGauge = 2;
        var symbols = new Dictionary<string, uint> { [""] = 0 };
        var request = new Message().Text(4, "");
        var allSeries = new Message();
        uint Symbol(string text)
        {
            if (!symbols.TryGetValue(text, out var reference))
            {
                reference = (uint)symbols.Count;
                symbols.Add(text, reference);
                request.Text(4, text);
            }
            return reference;
        }
        for (var i = 0; i < samples.Count;)
        {
            var references = new Message();
            foreach (var (name, value) in samples[i].Series.Labels)
            {
                references.Varint(Symbol(name)).Varint(Symbol(value));
            }
            var series = new Message().Nested(1, references);
            var type = samples[i].Series.IsCounter ? TypeCounter : TypeGauge;
            i = AppendSamples(samples, i, series);
            allSeries.Nested(5, series.Nested(5, new Message().Integer(1, type)));
        }
        return request.Append(allSeries).ToArray();
    }

    /// <summary>Writes the run of samples of one series; returns the index behind it.</summary>
    private static int AppendSamples(IReadOnlyList<FleetSample> samples, int first, Message series)
    {
        var i = first;
        for (; i < samples.Count && ReferenceEquals(samples[i].Series, samples[first].Series); i++)
        {
            series.Nested(2, new Message().Double(1, samples[i].Value).Integer(2, samples[i].TimestampMs));
        }
        return i;
    }

    internal static byte[] Compress(ReadOnlySpan<byte> plain)
    {
        var compressed = new Message().Varint((ulong)plain.Length);
        while (plain.Length > 0)
        {
            var literal = plain[..Math.Min(plain.Length, MaxLiteralBytes)];
            // Tag 61: a literal whose length minus one follows in two bytes, little end first.
            compressed.Raw([61 << 2, (byte)(literal.Length - 1), (byte)((literal.Length - 1) >> 8)]).Raw(literal);
            plain = plain[literal.Length..];
        }
        return compressed.ToArray();
    }

    /// <summary>A protobuf message being written.</summary>
    internal sealed class Message
    {
        private const int WireVarint = 0;
        private const int WireFixed64 = 1;
        private const int WireBytes = 2;
        private readonly List<byte> _bytes = [];

        public byte[] ToArray() => [.. _bytes];

        public Message Raw(ReadOnlySpan<byte> bytes)
        {
            _bytes.AddRange(bytes);
            return this;
        }

        public Message Append(Message other) => Raw(other.ToArray());

        public Message Varint(ulong value)
        {
            for (; value >= 0x80; value >>= 7)
            {
                _bytes.Add((byte)(value | 0x80));
            }
            _bytes.Add((byte)value);
            return this;
        }

        public Message Integer(int field, long value) => Key(field, WireVarint).Varint((ulong)value);

        public Message Double(int field, double value)
        {
            Span<byte> bytes = stackalloc byte[sizeof(double)];
            BinaryPrimitives.WriteDoubleLittleEndian(bytes, value);
            return Key(field, WireFixed64).Raw(bytes);
        }

        public Message Text(int field, string text) => Bytes(field, Encoding.UTF8.GetBytes(text));

        public Message Nested(int field, Message message) => Bytes(field, message.ToArray());

        public Message Bytes(int field, byte[] bytes) =>
            Key(field, WireBytes).Varint((ulong)bytes.Length).Raw(bytes);

        private Message Key(int field, int wireType) => Varint((ulong)(field << 3 | wireType));
    }
}
