using System.Runtime.CompilerServices;

namespace Millrace.Protocols.RemoteWrite;

/// <summary>
/// Decodes prometheus.WriteRequest, the message of remote write 1.0 and of our own blocks.
/// <para>
/// Nearly every TimeSeries is a label block followed by one sample of 18 bytes. So the decoder guesses: if the last 18
/// bytes look like such a sample, it asks the sink whether it knows all that stands before them. A block that is known
/// was parsed in full under these very bytes, so the guess is proven and no label is touched. Any other answer and any
/// other shape takes the general parser, which assumes nothing.
/// </para>
/// </summary>
internal static class RemoteWriteV1Decoder
{
    private const uint TimeSeriesTag = 0x0A;
    private const uint MetadataTag = 0x1A;
    private const uint SymbolsTagOfV2 = 0x22;
    private const uint TimeSeriesTagOfV2 = 0x2A;

    private const uint LabelsTag = 0x0A;
    private const uint SamplesTag = 0x12;
    private const uint ExemplarsTag = 0x1A;
    private const uint HistogramsTag = 0x22;

    /// <summary>A usual sample with its tag and length.</summary>
    private const int SampleFieldBytes = SampleMessage.UsualBytes + 2;

    /// <summary>
    /// False with an error that names the place when the body is malformed; what the sink collected until then must
    /// be thrown away.
    /// </summary>
    public static bool TryDecode<TSink>(
        ReadOnlySpan<byte> body, ref TSink sink, in DecodeLimits limits, out string error)
        where TSink : struct, IWriteSink =>
        TryDecodeRest(body, default, ref sink, limits, out error);

    /// <summary>The rest of a body that <see cref="TakeKnown"/> began with.</summary>
    public static bool TryDecodeRest<TSink>(
        ReadOnlySpan<byte> body, V1Progress progress, ref TSink sink, in DecodeLimits limits, out string error)
        where TSink : struct, IWriteSink
    {
        var scratch = new LabelBlockWriter(limits.MaxLabelBlockBytes);
        try
        {
            var reader = new FieldReader(body, progress.Position, body.Length);
            var seriesLeft = limits.MaxSeries - progress.Series;
            Decode(body, ref reader, ref sink, seriesLeft, ref scratch);
            error = reader.IsFaulty
                ? $"The remote write 1.0 body is malformed at byte {reader.FaultOffset}: {reader.Fault}."
                : "";
            return !reader.IsFaulty;
        }
        finally
        {
            scratch.Dispose();
        }
    }

    /// <summary>
    /// Takes the series at the beginning of a body, as far as they are of the usual shape and known, while the rest is
    /// still being decompressed. Whatever else comes first is left to <see cref="TryDecodeRest"/>, and all behind it.
    /// </summary>
    /// <param name="body">The part that is there.</param>
    /// <param name="progress">Of the calls before; it stands still at what is not there in whole.</param>
    public static void TakeKnown<TSink>(
        ReadOnlySpan<byte> body, ref V1Progress progress, ref TSink sink, in DecodeLimits limits)
        where TSink : struct, IWriteSink
    {
        while (!progress.IsStopped && progress.Series < limits.MaxSeries)
        {
            var rest = body[progress.Position..];
            // Tag, and a length of one or two bytes: a usual series has less than 16 KiB.
            if (rest.Length < 3)
            {
                return;
            }
            var headBytes = rest[1] < 0x80 ? 2 : 3;
            var length = headBytes == 2 ? rest[1] : (rest[1] & 0x7F) | (rest[2] << 7);
            if (rest[0] != TimeSeriesTag || (headBytes == 3 && rest[2] is 0 or >= 0x80))
            {
                progress.IsStopped = true;
                return;
            }
            if (rest.Length < headBytes + length)
            {
                return;
            }
            progress.IsStopped = !TryUsualSeries(rest.Slice(headBytes, length), ref sink);
            if (!progress.IsStopped)
            {
                progress.Position += headBytes + length;
                progress.Series++;
            }
        }
    }

    private static void Decode<TSink>(
        ReadOnlySpan<byte> body, ref FieldReader reader, ref TSink sink, int seriesLeft, ref LabelBlockWriter scratch)
        where TSink : struct, IWriteSink
    {
        while (reader.NextField(out var tag))
        {
            switch (tag)
            {
                case TimeSeriesTag:
                    if (!reader.ReadDelimited(out var start, out var end))
                    {
                        break;
                    }
                    if (--seriesLeft < 0)
                    {
                        reader.Fail("it holds more series than one request may", start);
                    }
                    else if (!TryUsualSeries(body[start..end], ref sink))
                    {
                        var series = new FieldReader(body, start, end);
                        DecodeSeries(body, ref series, ref sink, ref scratch);
                        reader.Adopt(series);
                    }
                    break;
                case MetadataTag:
                    var metadata = reader.ReadMessage();
                    DecodeMetadata(ref metadata, ref sink);
                    reader.Adopt(metadata);
                    break;
                case SymbolsTagOfV2 or TimeSeriesTagOfV2:
                    // Taken for unknown fields, the whole request would be acknowledged and lost.
                    reader.Fail("this is a remote write 2.0 body, but its Content-Type says 1.0", reader.Position);
                    break;
                default:
                    reader.SkipUnknown(tag, 1);
                    break;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool TryUsualSeries<TSink>(ReadOnlySpan<byte> message, ref TSink sink)
        where TSink : struct, IWriteSink
    {
        var labelBytes = message.Length - SampleFieldBytes;
        if (labelBytes < 0
            || !TryReadUsualSample(message[labelBytes..], out var value, out var timestampMs))
        {
            return false;
        }
        // A second sample before the last one: no block ends like this, so the look-up would be in vain.
        if (labelBytes >= SampleFieldBytes
            && TryReadUsualSample(message.Slice(labelBytes - SampleFieldBytes, SampleFieldBytes), out _, out _))
        {
            return false;
        }
        if (!sink.TryKnownSeries(message[..labelBytes]))
        {
            return false;
        }
        sink.Sample(timestampMs, value, 0);
        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool TryReadUsualSample(ReadOnlySpan<byte> field, out double value, out long timestampMs)
    {
        if (field[0] == SamplesTag && field[1] == SampleMessage.UsualBytes)
        {
            return SampleMessage.TryReadUsual(field[2..], out value, out timestampMs);
        }
        value = 0;
        timestampMs = 0;
        return false;
    }

    /// <summary>Labels first, wherever they stand, then the rest in the order received.</summary>
    private static void DecodeSeries<TSink>(
        ReadOnlySpan<byte> body, ref FieldReader reader, ref TSink sink, ref LabelBlockWriter scratch)
        where TSink : struct, IWriteSink
    {
        var contents = reader;
        var labels = new LabelFields();
        var fieldStart = reader.Position;
        while (reader.NextField(out var tag))
        {
            switch (tag)
            {
                case LabelsTag:
                    reader.ReadDelimited(out _, out var end);
                    labels.Add(fieldStart, end);
                    break;
                case SamplesTag or ExemplarsTag or HistogramsTag:
                    reader.ReadDelimited(out _, out _);
                    break;
                default:
                    reader.SkipUnknown(tag, 4);
                    break;
            }
            fieldStart = reader.Position;
        }
        if (reader.IsFaulty)
        {
            return;
        }
        if (!labels.AreContiguous || !sink.TryKnownSeries(labels.Within(body)))
        {
            var block = labels.Normalize(body, ref scratch, ref reader);
            if (reader.IsFaulty)
            {
                return;
            }
            sink.BeginSeries(block);
        }
        DecodeContents(body, ref contents, ref sink, ref scratch);
        reader.Adopt(contents);
    }

    private static void DecodeContents<TSink>(
        ReadOnlySpan<byte> body, ref FieldReader reader, ref TSink sink, ref LabelBlockWriter scratch)
        where TSink : struct, IWriteSink
    {
        while (reader.NextField(out var tag))
        {
            if (tag is not (SamplesTag or ExemplarsTag or HistogramsTag))
            {
                reader.Skip(tag);
                continue;
            }
            reader.ReadDelimited(out var start, out var end);
            var message = new FieldReader(body, start, end);
            switch (tag)
            {
                case SamplesTag:
                    var sample = SampleMessage.Read(ref message);
                    if (!reader.Adopt(message))
                    {
                        sink.Sample(sample.TimestampMs, sample.Value, sample.StartTimestampMs);
                    }
                    break;
                case ExemplarsTag:
                    DecodeExemplar(body, ref message, ref sink, ref scratch);
                    reader.Adopt(message);
                    break;
                default:
                    var histogram = HistogramMessage.Read(ref message);
                    if (reader.Adopt(message))
                    {
                        break;
                    }
                    if (histogram.Defect is not null)
                    {
                        sink.Refused(histogram.Defect, 0, 1, 0);
                        break;
                    }
                    sink.Histogram(body[start..end], histogram.TimestampMs, histogram.StartTimestampMs);
                    break;
            }
        }
    }

    private static void DecodeExemplar<TSink>(
        ReadOnlySpan<byte> body, ref FieldReader reader, ref TSink sink, ref LabelBlockWriter scratch)
        where TSink : struct, IWriteSink
    {
        var labels = new LabelFields();
        var value = 0.0;
        var timestampMs = 0L;
        var fieldStart = reader.Position;
        while (reader.NextField(out var tag))
        {
            switch (tag)
            {
                case LabelsTag:
                    reader.ReadDelimited(out _, out var end);
                    labels.Add(fieldStart, end);
                    break;
                case (2 << 3) | FieldReader.Fixed64:
                    value = reader.ReadDouble();
                    break;
                case (3 << 3) | FieldReader.Varint:
                    timestampMs = reader.ReadInt64();
                    break;
                default:
                    reader.SkipUnknown(tag, 3);
                    break;
            }
            fieldStart = reader.Position;
        }
        if (reader.IsFaulty)
        {
            return;
        }
        var block = labels.Normalize(body, ref scratch, ref reader);
        if (!reader.IsFaulty)
        {
            sink.Exemplar(block, value, SampleMessage.Explicit(timestampMs));
        }
    }

    private static void DecodeMetadata<TSink>(ref FieldReader reader, ref TSink sink)
        where TSink : struct, IWriteSink
    {
        var type = MetricType.Unknown;
        ReadOnlySpan<byte> family = default;
        ReadOnlySpan<byte> help = default;
        ReadOnlySpan<byte> unit = default;
        while (reader.NextField(out var tag))
        {
            switch (tag)
            {
                case (1 << 3) | FieldReader.Varint:
                    type = MetricTypes.FromNumber(reader.ReadVarint());
                    break;
                case (2 << 3) | FieldReader.Delimited:
                    family = reader.ReadBytes();
                    break;
                case (4 << 3) | FieldReader.Delimited:
                    help = reader.ReadBytes();
                    break;
                case (5 << 3) | FieldReader.Delimited:
                    unit = reader.ReadBytes();
                    break;
                default:
                    reader.SkipUnknown(tag, 2);
                    break;
            }
        }
        if (!reader.IsFaulty)
        {
            sink.Metadata(family, type, help, unit);
        }
    }
}

internal static class MetricTypes
{
    /// <summary>A number that a later protocol adds is unknown to us, not an error.</summary>
    public static MetricType FromNumber(ulong number) =>
        number <= (ulong)MetricType.StateSet ? (MetricType)number : MetricType.Unknown;
}

/// <summary>How much of a body was taken ahead.</summary>
internal struct V1Progress
{
    public int Position;
    public int Series;

    /// <summary>Something unusual or unknown stands at the position.</summary>
    public bool IsStopped;
}
