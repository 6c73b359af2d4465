namespace Millrace.Protocols.RemoteWrite;

/// <summary>
/// What a decoder must know of a native histogram; 1.0 and 2.0 number its fields alike. <see cref="Defect"/> is set
/// when the histogram contradicts itself by the rules of Prometheus (model/histogram, Validate): it is well formed
/// and refused alone.
/// </summary>
internal readonly record struct HistogramMessage(long TimestampMs, long StartTimestampMs, string? Defect)
{
    private const int CustomBucketsSchema = -53;

    public static HistogramMessage Read(ref FieldReader reader)
    {
        var content = default(Content);
        while (reader.NextField(out var tag))
        {
            ReadField(ref reader, tag, ref content);
        }
        return new HistogramMessage(
            SampleMessage.Explicit(content.TimestampMs), content.StartTimestampMs, FindDefect(content));
    }

    private static void ReadField(ref FieldReader reader, uint tag, ref Content content)
    {
        switch (tag)
        {
            case (1 << 3) | FieldReader.Varint:
                (content.Count, content.IsFloat) = (reader.ReadVarint(), false);
                break;
            case (2 << 3) | FieldReader.Fixed64:
                (content.FloatCount, content.IsFloat) = (reader.ReadDouble(), true);
                break;
            case (3 << 3) | FieldReader.Fixed64:
                content.Sum = reader.ReadDouble();
                break;
            case (4 << 3) | FieldReader.Varint:
                content.Schema = reader.ReadSInt64();
                break;
            case (5 << 3) | FieldReader.Fixed64:
                content.ZeroThreshold = reader.ReadDouble();
                break;
            case (6 << 3) | FieldReader.Varint:
                content.ZeroCount = reader.ReadVarint();
                break;
            case (7 << 3) | FieldReader.Fixed64:
                content.FloatZeroCount = reader.ReadDouble();
                break;
            case (14 << 3) | FieldReader.Varint:
                reader.ReadVarint();
                break;
            case (15 << 3) | FieldReader.Varint:
                content.TimestampMs = reader.ReadInt64();
                break;
            case (16 << 3) | FieldReader.Fixed64:
                content.AddBound(reader.ReadDouble());
                break;
            case (16 << 3) | FieldReader.Delimited:
                content.ReadBounds(reader.ReadMessage(), ref reader);
                break;
            case (17 << 3) | FieldReader.Varint:
                content.StartTimestampMs = reader.ReadInt64();
                break;
            default:
                ReadBuckets(ref reader, tag, ref content);
                break;
        }
    }

    private static void ReadBuckets(ref FieldReader reader, uint tag, ref Content content)
    {
        ref var side = ref content.Negative;
        var field = tag >> 3;
        if (field is >= 11 and <= 13)
        {
            side = ref content.Positive;
            field -= 3;
        }
        switch ((field << 3) | (tag & 7))
        {
            case (8 << 3) | FieldReader.Delimited:
                side.ReadSpan(reader.ReadMessage(), ref reader);
                break;
            case (9 << 3) | FieldReader.Varint:
                side.AddDelta(reader.ReadSInt64());
                break;
            case (9 << 3) | FieldReader.Delimited:
                side.ReadDeltas(reader.ReadMessage(), ref reader);
                break;
            case (10 << 3) | FieldReader.Fixed64:
                side.AddCount(reader.ReadDouble());
                break;
            case (10 << 3) | FieldReader.Delimited:
                side.ReadCounts(reader.ReadMessage(), ref reader);
                break;
            default:
                reader.SkipUnknown(tag, 17);
                break;
        }
    }

    private static string? FindDefect(in Content content)
    {
        if (content.Schema == CustomBucketsSchema)
        {
            if (content.FindBoundDefect() is { } boundDefect)
            {
                return boundDefect;
            }
        }
        else if (content.Schema is < -4 or > 8)
        {
            return "a histogram has a schema that is neither -53 nor from -4 to 8";
        }
        else if (content.Bounds > 0)
        {
            return "a histogram with exponential buckets has custom bounds";
        }
        var defect = content.Positive.FindDefect(content.IsFloat) ?? content.Negative.FindDefect(content.IsFloat);
        if (defect is not null || content.IsFloat)
        {
            // Prometheus does not compare the sums of float histograms either: rounding makes them differ.
            return defect ?? (content.FloatCount < 0 || content.FloatZeroCount < 0
                ? "a histogram has a negative count" : null);
        }
        var inBuckets = unchecked(content.Positive.Sum + content.Negative.Sum + content.ZeroCount);
        if (double.IsNaN(content.Sum))
        {
            // NaN observations are counted but fall into no bucket.
            return inBuckets > content.Count ? "a histogram's count is smaller than its buckets" : null;
        }
        return inBuckets != content.Count ? "a histogram's count differs from the sum of its buckets" : null;
    }

    /// <summary>The numbers of a histogram, reduced as they are read: nothing is stored per bucket.</summary>
    private struct Content
    {
        public bool IsFloat;
        public ulong Count;
        public double FloatCount;
        public double Sum;
        public long Schema;
        public double ZeroThreshold;
        public ulong ZeroCount;
        public double FloatZeroCount;
        public Side Negative;
        public Side Positive;
        public long Bounds;
        public long TimestampMs;
        public long StartTimestampMs;
        private double _lastBound;
        private bool _boundsFall;

        public void AddBound(double bound)
        {
            _boundsFall |= double.IsNaN(bound) || (Bounds > 0 && bound <= _lastBound);
            _lastBound = bound;
            Bounds++;
        }

        public void ReadBounds(FieldReader bounds, ref FieldReader outer)
        {
            while (bounds.HasMore)
            {
                AddBound(bounds.ReadDouble());
            }
            outer.Adopt(bounds);
        }

        public readonly string? FindBoundDefect()
        {
            if (_boundsFall || (Bounds > 0 && double.IsPositiveInfinity(_lastBound)))
            {
                return "a histogram's custom bounds do not rise, or name +Inf";
            }
            if (Negative.HasBuckets || ZeroCount != 0 || FloatZeroCount != 0 || ZeroThreshold != 0)
            {
                return "a histogram with custom buckets has negative or zero buckets";
            }
            return Positive.Reach > Bounds + 1 || Positive.StartsBelowZero
                ? "a histogram has buckets outside of its custom bounds" : null;
        }
    }

    /// <summary>The buckets on one side of zero.</summary>
    private struct Side
    {
        public ulong Sum;
        private long _spans;
        private long _spanBuckets;
        private long _deltas;
        private long _counts;
        private long _current;
        private bool _deltaBelowZero;
        private bool _countBelowZero;
        private bool _spanGoesBack;

        /// <summary>Index after the last bucket that the spans reach.</summary>
        public long Reach { get; private set; }

        public bool StartsBelowZero { get; private set; }

        public readonly bool HasBuckets => _spans > 0 || _deltas > 0 || _counts > 0;

        public void ReadSpan(FieldReader span, ref FieldReader outer)
        {
            var offset = 0L;
            var length = 0U;
            while (span.NextField(out var tag))
            {
                switch (tag)
                {
                    case (1 << 3) | FieldReader.Varint:
                        offset = (int)span.ReadSInt64();
                        break;
                    case (2 << 3) | FieldReader.Varint:
                        length = span.ReadUInt32();
                        break;
                    default:
                        span.SkipUnknown(tag, 2);
                        break;
                }
            }
            outer.Adopt(span);
            _spanGoesBack |= _spans > 0 && offset < 0;
            StartsBelowZero |= offset < 0;
            _spans++;
            _spanBuckets += length;
            Reach += length + offset;
        }

        public void AddDelta(long delta)
        {
            _current = unchecked(_current + delta);
            _deltaBelowZero |= _current < 0;
            Sum = unchecked(Sum + (ulong)_current);
            _deltas++;
        }

        public void ReadDeltas(FieldReader deltas, ref FieldReader outer)
        {
            while (deltas.HasMore)
            {
                AddDelta(deltas.ReadSInt64());
            }
            outer.Adopt(deltas);
        }

        public void AddCount(double count)
        {
            _countBelowZero |= count < 0;
            _counts++;
        }

        public void ReadCounts(FieldReader counts, ref FieldReader outer)
        {
            while (counts.HasMore)
            {
                AddCount(counts.ReadDouble());
            }
            outer.Adopt(counts);
        }

        public readonly string? FindDefect(bool isFloat)
        {
            if (_spanGoesBack)
            {
                return "a histogram's span goes back";
            }
            if (_spanBuckets != (isFloat ? _counts : _deltas))
            {
                return "a histogram's spans need another number of buckets than it has";
            }
            return (isFloat ? _countBelowZero : _deltaBelowZero) ? "a histogram has a negative bucket" : null;
        }
    }
}
