using System.Buffers.Binary;
using System.IO;
using System.Text;

namespace Millrace.TestKit.Simulation;

/// <summary>
/// Remote write 1.0 bodies, encoded and decoded the plain way and once more on purpose: what checks the product must
/// not
/// share code with it.
/// </summary>
internal static class PlainRemoteWrite
{
    /// <summary>
    /// WriteRequest{1: TimeSeries{1: Label{1: name, 2: value}, 2: Sample{1: value, 2: timestamp}}, 3: Metadata{1: type,
    /// 2: family, 4: help}}. Neighbours of one series share a TimeSeries.
    /// </summary>
    public static byte[] Encode(IReadOnlyList<PlainSample> samples, params ReadOnlySpan<string> families)
    {
        var request = new MemoryStream();
        for (var i = 0; i < samples.Count;)
        {
            var series = new MemoryStream();
            foreach (var (name, value) in samples[i].Series.Labels)
            {
                var label = new MemoryStream();
                Field(label, 1, Encoding.UTF8.GetBytes(name));
                Field(label, 2, Encoding.UTF8.GetBytes(value));
                Field(series, 1, label.ToArray());
            }
            var first = i;
            for (; i < samples.Count && samples[i].Series.Text == samples[first].Series.Text; i++)
            {
                var sample = new byte[9];
                sample[0] = 1 << 3 | 1;
                BinaryPrimitives.WriteDoubleLittleEndian(sample.AsSpan(1), samples[i].Value);
                var message = new MemoryStream();
                message.Write(sample);
                Varint(message, 2 << 3);
                Varint(message, (ulong)samples[i].TimestampMs);
                Field(series, 2, message.ToArray());
            }
            Field(request, 1, series.ToArray());
        }
        foreach (var family in families)
        {
            var metadata = new MemoryStream();
            Varint(metadata, 1 << 3);
            Varint(metadata, 1);
            Field(metadata, 2, Encoding.UTF8.GetBytes(family));
            Field(metadata, 4, Encoding.UTF8.GetBytes("About " + family));
            Field(request, 3, metadata.ToArray());
        }
        return Compress(request.ToArray());
    }

    public static List<PlainSample> DecodeSnappy(ReadOnlySpan<byte> body) => Decode(Decompress(body));

    public static List<PlainSample> Decode(ReadOnlySpan<byte> request)
    {
        var samples = new List<PlainSample>();
        var at = 0;
        while (at < request.Length)
        {
            var message = NextMessage(request, ref at, out var field);
            if (field == 1)
            {
                DecodeSeries(message, samples);
            }
        }
        return samples;
    }

    /// <summary>Of the labels as they stand in a message of samples.</summary>
    public static PlainSeries SeriesOf(ReadOnlySpan<byte> labelBlock)
    {
        var labels = new List<KeyValuePair<string, string>>();
        for (var at = 0; at < labelBlock.Length;)
        {
            labels.Add(DecodeLabel(NextMessage(labelBlock, ref at, out _)));
        }
        return new PlainSeries(labels);
    }

    private static void DecodeSeries(ReadOnlySpan<byte> message, List<PlainSample> samples)
    {
        var labels = new List<KeyValuePair<string, string>>();
        var points = new List<(long, double)>();
        for (var at = 0; at < message.Length;)
        {
            var part = NextMessage(message, ref at, out var field);
            if (field == 1)
            {
                labels.Add(DecodeLabel(part));
            }
            else if (field == 2)
            {
                points.Add(DecodeSample(part));
            }
        }
        var series = new PlainSeries(labels);
        foreach (var (timestampMs, value) in points)
        {
            samples.Add(new PlainSample(series, timestampMs, value));
        }
    }

    private static KeyValuePair<string, string> DecodeLabel(ReadOnlySpan<byte> message)
    {
        var (name, value) = ("", "");
        for (var at = 0; at < message.Length;)
        {
            var text = Encoding.UTF8.GetString(NextMessage(message, ref at, out var field));
            (name, value) = field == 1 ? (text, value) : (name, text);
        }
        return new(name, value);
    }

    private static (long TimestampMs, double Value) DecodeSample(ReadOnlySpan<byte> message)
    {
        var (timestampMs, value) = (0L, 0.0);
        for (var at = 0; at < message.Length;)
        {
            var key = ReadVarint(message, ref at);
            switch (key)
            {
                case 1 << 3 | 1:
                    value = BinaryPrimitives.ReadDoubleLittleEndian(message[at..]);
                    at += sizeof(double);
                    break;
                case 2 << 3:
                    timestampMs = (long)ReadVarint(message, ref at);
                    break;
                default:
                    throw new InvalidDataException($"A sample has a field of key {key}.");
            }
        }
        return (timestampMs, value);
    }

    private static ReadOnlySpan<byte> NextMessage(ReadOnlySpan<byte> bytes, ref int at, out int field)
    {
        var key = ReadVarint(bytes, ref at);
        if ((key & 7) != 2)
        {
            throw new InvalidDataException($"A field of key {key} stands where a message was expected.");
        }
        field = (int)(key >> 3);
        var length = (int)ReadVarint(bytes, ref at);
        var message = bytes.Slice(at, length);
        at += length;
        return message;
    }

    private static ulong ReadVarint(ReadOnlySpan<byte> bytes, ref int at)
    {
        var value = 0UL;
        for (var shift = 0; ; shift += 7)
        {
            var next = bytes[at++];
            value |= (ulong)(next & 0x7F) << shift;
            if (next < 0x80)
            {
                return value;
            }
        }
    }

    private static void Field(MemoryStream target, int field, ReadOnlySpan<byte> bytes)
    {
        Varint(target, (ulong)(field << 3 | 2));
        Varint(target, (ulong)bytes.Length);
        target.Write(bytes);
    }

    private static void Varint(MemoryStream target, ulong value)
    {
        for (; value >= 0x80; value >>= 7)
        {
            target.WriteByte((byte)(value | 0x80));
        }
        target.WriteByte((byte)value);
    }

    /// <summary>Snappy with literals alone, which every decoder must read.</summary>
    private static byte[] Compress(ReadOnlySpan<byte> plain)
    {
        var compressed = new MemoryStream();
        Varint(compressed, (ulong)plain.Length);
        while (plain.Length > 0)
        {
            var literal = plain[..Math.Min(plain.Length, 1 << 16)];
            compressed.WriteByte(61 << 2);
            compressed.WriteByte((byte)(literal.Length - 1));
            compressed.WriteByte((byte)((literal.Length - 1) >> 8));
            compressed.Write(literal);
            plain = plain[literal.Length..];
        }
        return compressed.ToArray();
    }

    private static byte[] Decompress(ReadOnlySpan<byte> body)
    {
        var at = 0;
        var plain = new byte[(int)ReadVarint(body, ref at)];
        var written = 0;
        while (at < body.Length)
        {
            var tag = body[at++];
            if ((tag & 3) == 0)
            {
                var length = LiteralLength(body, tag >> 2, ref at);
                body.Slice(at, length).CopyTo(plain.AsSpan(written));
                at += length;
                written += length;
                continue;
            }
            var (copied, distance) = Copy(body, tag, ref at);
            for (var i = 0; i < copied; i++)
            {
                plain[written] = plain[written - distance];
                written++;
            }
        }
        return written == plain.Length ? plain
            : throw new InvalidDataException($"A snappy block of {plain.Length} bytes gave {written}.");
    }

    private static int LiteralLength(ReadOnlySpan<byte> body, int code, ref int at)
    {
        if (code < 60)
        {
            return code + 1;
        }
        var length = 0;
        for (var i = 0; i < code - 59; i++)
        {
            length |= body[at++] << (8 * i);
        }
        return length + 1;
    }

    private static (int Length, int Distance) Copy(ReadOnlySpan<byte> body, byte tag, ref int at)
    {
        if ((tag & 3) == 1)
        {
            return (4 + ((tag >> 2) & 7), (tag >> 5) << 8 | body[at++]);
        }
        var distanceBytes = (tag & 3) == 2 ? 2 : 4;
        var distance = 0;
        for (var i = 0; i < distanceBytes; i++)
        {
            distance |= body[at++] << (8 * i);
        }
        return (1 + (tag >> 2), distance);
    }
}
