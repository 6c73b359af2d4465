using Millrace.Protocols;

namespace Millrace.Aggregation.Histograms;

/// <summary>
/// The Histogram message of remote write, 1.0 and 2.0 alike: read as the decoders give it, written without a timestamp,
/// which the block writer appends.
/// </summary>
internal static class HistogramCodec
{
    private const uint CountInt = 0x08;
    private const uint CountFloat = 0x11;
    private const uint Sum = 0x19;
    private const uint Schema = 0x20;
    private const uint ZeroThreshold = 0x29;
    private const uint ZeroCountInt = 0x30;
    private const uint ZeroCountFloat = 0x39;
    private const uint Hint = 0x70;
    private const uint Bounds = 0x82;
    private const uint BoundUnpacked = 0x81;
    private const uint StartTimestamp = 0x88;

    /// <summary>The fields of a side follow this one: spans, deltas, counts.</summary>
    private const uint NegativeSpans = 8;
    private const uint PositiveSpans = 11;

    private sealed class SideReader
    {
        public readonly List<(int Offset, uint Length)> Spans = [];
        public readonly List<double> Counts = [];
        private long _current;

        public void AddDelta(long delta)
        {
            _current += delta;
            Counts.Add(_current);
        }

        public bool TryFinish(out HistogramSide side)
        {
            side = HistogramSide.Empty;
            var indexes = new List<int>();
            var counts = new List<double>();
            var index = 0L;
            var at = 0;
            foreach (var (offset, length) in Spans)
            {
                index += offset;
                for (var i = 0; i < length; i++, index++, at++)
                {
                    if (at == Counts.Count || index != (int)index)
                    {
                        return false;
                    }
                    if (Counts[at] != 0)
                    {
                        indexes.Add((int)index);
                        counts.Add(Counts[at]);
                    }
                }
            }
            side = new HistogramSide([.. indexes], [.. counts]);
            return at == Counts.Count;
        }
    }

    /// <summary>False for a stale marker, and for what no decoder lets through.</summary>
    /// <param name="startMs">When the counter began, where the message does not say it.</param>
    public static bool TryRead(ReadOnlySpan<byte> message, long startMs, out NativeHistogram histogram)
    {
        var (negative, positive) = (new SideReader(), new SideReader());
        var bounds = new List<double>();
        var (count, sum, threshold, zeroCount) = (0.0, 0.0, 0.0, 0.0);
        var (schema, hint, isFloat) = (0L, 0UL, false);
        var reader = new FieldReader(message);
        while (reader.NextField(out var tag))
        {
            switch (tag)
            {
                case CountInt: (count, isFloat) = (reader.ReadVarint(), false); break;
                case CountFloat: (count, isFloat) = (reader.ReadDouble(), true); break;
                case Sum: sum = reader.ReadDouble(); break;
                case Schema: schema = reader.ReadSInt64(); break;
                case ZeroThreshold: threshold = reader.ReadDouble(); break;
                case ZeroCountInt: zeroCount = reader.ReadVarint(); break;
                case ZeroCountFloat: zeroCount = reader.ReadDouble(); break;
                case Hint: hint = reader.ReadVarint(); break;
                case StartTimestamp: startMs = reader.ReadInt64(); break;
                case BoundUnpacked: bounds.Add(reader.ReadDouble()); break;
                case Bounds:
                    for (var packed = reader.ReadMessage(); packed.HasMore;)
                    {
                        bounds.Add(packed.ReadDouble());
                    }
                    break;
                default:
                    ReadBuckets(ref reader, tag, tag >> 3 >= PositiveSpans ? positive : negative);
                    break;
            }
        }
        histogram = null!;
        var isWhole = positive.TryFinish(out var positiveSide) & negative.TryFinish(out var negativeSide);
        if (reader.IsFaulty || !isWhole || StaleMarkers.IsMarker(sum))
        {
            return false;
        }
        histogram = new NativeHistogram
        {
            Schema = (int)schema,
            ZeroThreshold = threshold,
            ZeroCount = zeroCount,
            Count = count,
            Sum = sum,
            IsFloat = isFloat,
            Hint = hint <= (ulong)ResetHint.Gauge ? (ResetHint)hint : ResetHint.Unknown,
            StartMs = startMs,
            Bounds = [.. bounds],
            Positive = positiveSide,
            Negative = negativeSide,
        };
        return true;
    }

    /// <summary>The sum of a stale marker is the NaN of all stale markers.</summary>
    public static bool IsStaleMarker(ReadOnlySpan<byte> message)
    {
        var reader = new FieldReader(message);
        while (reader.NextField(out var tag))
        {
            if (tag == Sum)
            {
                return StaleMarkers.IsMarker(reader.ReadDouble());
            }
            reader.Skip(tag);
        }
        return false;
    }

    /// <summary>How many observations a message says there are; NaN: it is a stale marker.</summary>
    public static double CountOf(ReadOnlySpan<byte> message)
    {
        var count = 0.0;
        var reader = new FieldReader(message);
        while (reader.NextField(out var tag))
        {
            switch (tag)
            {
                case CountInt:
                    count = (ulong)reader.ReadInt64();
                    break;
                case CountFloat:
                    count = reader.ReadDouble();
                    break;
                default:
                    reader.Skip(tag);
                    break;
            }
        }
        return IsStaleMarker(message) ? double.NaN : count;
    }

    /// <summary>The message without a timestamp.</summary>
    public static byte[] Write(NativeHistogram histogram)
    {
        var buckets = histogram.Positive.Indexes.Length + histogram.Negative.Indexes.Length;
        // A bucket takes at most a span of 14 bytes and a count of 10; the rest are single fields.
        var buffer = new byte[100 + buckets * 24 + histogram.Bounds.Length * 8];
        var writer = new WireWriter(buffer);
        if (histogram.IsFloat)
        {
            writer.WriteDouble(CountFloat, histogram.Count);
        }
        else
        {
            writer.WriteVarint(CountInt, (ulong)histogram.Count);
        }
        writer.WriteDouble(Sum, histogram.Sum);
        writer.WriteVarint(Schema, ZigZag(histogram.Schema));
        writer.WriteDouble(ZeroThreshold, histogram.ZeroThreshold);
        if (histogram.IsFloat)
        {
            writer.WriteDouble(ZeroCountFloat, histogram.ZeroCount);
        }
        else
        {
            writer.WriteVarint(ZeroCountInt, (ulong)histogram.ZeroCount);
        }
        WriteSide(ref writer, NegativeSpans, histogram.Negative, histogram.IsFloat);
        WriteSide(ref writer, PositiveSpans, histogram.Positive, histogram.IsFloat);
        writer.WriteVarint(Hint, (ulong)histogram.Hint);
        if (histogram.Bounds.Length > 0)
        {
            writer.WriteHead(Bounds, histogram.Bounds.Length * sizeof(double));
            foreach (var bound in histogram.Bounds)
            {
                WriteDouble(ref writer, bound);
            }
        }
        return buffer.AsSpan(0, writer.Position).ToArray();
    }

    private static void ReadBuckets(ref FieldReader reader, uint tag, SideReader side)
    {
        var field = tag >> 3;
        var kind = field is >= NegativeSpans and <= PositiveSpans + 2 ? (field - NegativeSpans) % 3 : uint.MaxValue;
        switch (kind, tag & 7)
        {
            case (0, FieldReader.Delimited):
                side.Spans.Add(ReadSpan(reader.ReadMessage()));
                break;
            case (1, FieldReader.Varint):
                side.AddDelta(reader.ReadSInt64());
                break;
            case (1, FieldReader.Delimited):
                for (var packed = reader.ReadMessage(); packed.HasMore;)
                {
                    side.AddDelta(packed.ReadSInt64());
                }
                break;
            case (2, FieldReader.Fixed64):
                side.Counts.Add(reader.ReadDouble());
                break;
            case (2, FieldReader.Delimited):
                for (var packed = reader.ReadMessage(); packed.HasMore;)
                {
                    side.Counts.Add(packed.ReadDouble());
                }
                break;
            default:
                reader.Skip(tag);
                break;
        }
    }

    private static (int Offset, uint Length) ReadSpan(FieldReader span)
    {
        var (offset, length) = (0, 0U);
        while (span.NextField(out var tag))
        {
            switch (tag)
            {
                case 0x08: offset = (int)span.ReadSInt64(); break;
                case 0x10: length = span.ReadUInt32(); break;
                default: span.Skip(tag); break;
            }
        }
        return (offset, length);
    }

    private static void WriteSide(ref WireWriter writer, uint spansField, in HistogramSide side, bool isFloat)
    {
        var next = 0;
        for (var i = 0; i < side.Indexes.Length;)
        {
            var first = i;
            var offset = ZigZag(side.Indexes[i] - (long)next);
            for (next = side.Indexes[i]; i < side.Indexes.Length && side.Indexes[i] == next; i++)
            {
                next++;
            }
            var length = (ulong)(i - first);
            writer.WriteHead((spansField << 3) | FieldReader.Delimited,
                2 + WireWriter.VarintSize(offset) + WireWriter.VarintSize(length));
            writer.WriteVarint(0x08, offset);
            writer.WriteVarint(0x10, length);
        }
        if (side.Counts.Length == 0)
        {
            return;
        }
        var size = side.Counts.Length * sizeof(double);
        if (!isFloat)
        {
            size = 0;
            for (var i = 0; i < side.Counts.Length; i++)
            {
                size += WireWriter.VarintSize(Delta(side, i));
            }
        }
        writer.WriteHead(((spansField + (isFloat ? 2U : 1U)) << 3) | FieldReader.Delimited, size);
        for (var i = 0; i < side.Counts.Length; i++)
        {
            if (isFloat)
            {
                WriteDouble(ref writer, side.Counts[i]);
            }
            else
            {
                writer.WriteVarint(Delta(side, i));
            }
        }
    }

    private static ulong Delta(in HistogramSide side, int i) =>
        ZigZag((long)side.Counts[i] - (i == 0 ? 0 : (long)side.Counts[i - 1]));

    private static void WriteDouble(ref WireWriter writer, double value)
    {
        System.Buffers.Binary.BinaryPrimitives.WriteDoubleLittleEndian(writer.Rest, value);
        writer.Advance(sizeof(double));
    }

    private static ulong ZigZag(long value) => (ulong)((value << 1) ^ (value >> 63));
}
