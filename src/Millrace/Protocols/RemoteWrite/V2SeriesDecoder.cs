namespace Millrace.Protocols.RemoteWrite;

/// <summary>
/// One TimeSeries of remote write 2.0 after the other. A first walk resolves the labels and counts what the series
/// holds, so that it can be refused whole; a second one tells the sink.
/// </summary>
internal ref struct V2SeriesDecoder<TSink>
    where TSink : struct, IWriteSink
{
    private const uint PackedReferencesTag = (1 << 3) | FieldReader.Delimited;
    private const uint ReferenceTag = (1 << 3) | FieldReader.Varint;
    private const uint SamplesTag = (2 << 3) | FieldReader.Delimited;
    private const uint HistogramsTag = (3 << 3) | FieldReader.Delimited;
    private const uint ExemplarsTag = (4 << 3) | FieldReader.Delimited;
    private const uint MetadataTag = (5 << 3) | FieldReader.Delimited;
    private const uint CreatedTimestampTag = (6 << 3) | FieldReader.Varint;

    private const string ReferenceOutOfRange = "a reference leads outside of the symbol table";
    private const string OddReferences = "a series or exemplar has a label name without a value";
    private const string LabelsTooLong = "the labels of a series are longer than allowed";

    private readonly ref TSink _sink;
    private readonly ref LabelBlockWriter _scratch;
    private readonly ref readonly RemoteWriteV2Decoder.SymbolTable _symbols;
    private readonly ReadOnlySpan<byte> _body;
    private long _expandableBytes;
    private Metadata _lastMetadata;

    public V2SeriesDecoder(
        ref TSink sink, ref LabelBlockWriter scratch, in RemoteWriteV2Decoder.SymbolTable symbols,
        ReadOnlySpan<byte> body, in DecodeLimits limits)
    {
        _sink = ref sink;
        _scratch = ref scratch;
        _symbols = ref symbols;
        _body = body;
        _expandableBytes = limits.MaxExpandedBytes;
    }

    /// <summary>The top level was walked before, for the symbols, and is known to be well formed.</summary>
    /// <returns>What is wrong with the body, and where; null when nothing is.</returns>
    public (string? Fault, int Offset) Decode()
    {
        var reader = new FieldReader(_body);
        while (reader.NextField(out var tag))
        {
            if (tag != RemoteWriteV2Decoder.TimeSeriesTag)
            {
                reader.Skip(tag);
                continue;
            }
            var series = reader.ReadMessage();
            DecodeSeries(ref series);
            reader.Adopt(series);
        }
        return (reader.Fault, reader.FaultOffset);
    }

    private void DecodeSeries(scoped ref FieldReader reader)
    {
        var contents = reader;
        var references = new References();
        var counts = default(Counts);
        var metadata = default(Metadata);
        var createdMs = 0L;
        _scratch.Clear();
        while (reader.NextField(out var tag))
        {
            switch (tag)
            {
                case PackedReferencesTag or ReferenceTag:
                    ReadReferences(ref reader, tag, ref references);
                    break;
                case SamplesTag:
                    reader.ReadDelimited(out _, out _);
                    counts.Samples++;
                    break;
                case HistogramsTag:
                    reader.ReadDelimited(out _, out _);
                    counts.Histograms++;
                    break;
                case ExemplarsTag:
                    reader.ReadDelimited(out _, out _);
                    counts.Exemplars++;
                    break;
                case MetadataTag:
                    ReadMetadata(ref reader, ref metadata);
                    break;
                case CreatedTimestampTag:
                    createdMs = reader.ReadInt64();
                    break;
                default:
                    reader.SkipUnknown(tag, 6);
                    break;
            }
        }
        Spend(_scratch.Written.Length, ref reader);
        if (reader.IsFaulty)
        {
            return;
        }
        if ((references.FindDefect() ?? FindDefect(counts, metadata.IsEmpty)) is { } defect)
        {
            _sink.Refused(defect, counts.Samples, counts.Histograms, counts.Exemplars);
            return;
        }
        if (!_sink.TryKnownSeries(_scratch.Written))
        {
            _sink.BeginSeries(_scratch.Written);
        }
        if (!metadata.IsEmpty)
        {
            TellMetadata(metadata with { FamilyReference = references.MetricName });
        }
        DecodeContents(ref contents, createdMs);
        reader.Adopt(contents);
    }

    /// <summary>
    /// Exemplars alone and metadata alone are taken, as Prometheus' compliance suite asks; newer releases of
    /// Prometheus itself refuse them.
    /// </summary>
    private static string? FindDefect(in Counts counts, bool lacksMetadata)
    {
        if (counts.Samples > 0 && counts.Histograms > 0)
        {
            return "a series holds samples and histograms";
        }
        return counts.Samples + counts.Histograms + counts.Exemplars == 0 && lacksMetadata
            ? "a series holds neither samples nor histograms" : null;
    }

    private static void ReadMetadata(scoped ref FieldReader reader, ref Metadata metadata)
    {
        var message = reader.ReadMessage();
        while (message.NextField(out var tag))
        {
            switch (tag)
            {
                case (1 << 3) | FieldReader.Varint:
                    metadata.Type = MetricTypes.FromNumber(message.ReadVarint());
                    break;
                case (3 << 3) | FieldReader.Varint:
                    metadata.HelpReference = message.ReadUInt32();
                    break;
                case (4 << 3) | FieldReader.Varint:
                    metadata.UnitReference = message.ReadUInt32();
                    break;
                default:
                    message.SkipUnknown(tag, 1);
                    break;
            }
        }
        reader.Adopt(message);
    }

    /// <summary>Series of one family stand together and repeat its metadata; it is told once.</summary>
    private void TellMetadata(in Metadata metadata)
    {
        if (metadata == _lastMetadata)
        {
            return;
        }
        _lastMetadata = metadata;
        _symbols.TryGet(_body, metadata.FamilyReference, out var family);
        if (_symbols.TryGet(_body, metadata.HelpReference, out var help)
            && _symbols.TryGet(_body, metadata.UnitReference, out var unit))
        {
            _sink.Metadata(family, metadata.Type, help, unit);
        }
        else
        {
            _sink.Refused(ReferenceOutOfRange, 0, 0, 0);
        }
    }

    private void DecodeContents(scoped ref FieldReader reader, long createdMs)
    {
        while (reader.NextField(out var tag))
        {
            switch (tag)
            {
                case SamplesTag:
                    DecodeSample(ref reader, createdMs);
                    break;
                case HistogramsTag:
                    DecodeHistogram(ref reader, createdMs);
                    break;
                case ExemplarsTag:
                    DecodeExemplar(ref reader);
                    break;
                default:
                    reader.Skip(tag);
                    break;
            }
        }
    }

    private void DecodeSample(scoped ref FieldReader reader, long createdMs)
    {
        reader.ReadDelimited(out var start, out var end);
        if (SampleMessage.TryReadUsual(_body[start..end], out var value, out var timestampMs))
        {
            _sink.Sample(timestampMs, value, createdMs);
            return;
        }
        var message = new FieldReader(_body, start, end);
        var sample = SampleMessage.Read(ref message);
        if (!reader.Adopt(message))
        {
            _sink.Sample(sample.TimestampMs, sample.Value, Started(sample.StartTimestampMs, createdMs));
        }
    }

    private void DecodeHistogram(scoped ref FieldReader reader, long createdMs)
    {
        reader.ReadDelimited(out var start, out var end);
        var message = new FieldReader(_body, start, end);
        var histogram = HistogramMessage.Read(ref message);
        if (reader.Adopt(message))
        {
            return;
        }
        if (histogram.Defect is not null)
        {
            _sink.Refused(histogram.Defect, 0, 1, 0);
            return;
        }
        _sink.Histogram(
            _body[start..end], histogram.TimestampMs, Started(histogram.StartTimestampMs, createdMs));
    }

    private void DecodeExemplar(scoped ref FieldReader reader)
    {
        var message = reader.ReadMessage();
        var references = new References();
        var value = 0.0;
        var timestampMs = 0L;
        _scratch.Clear();
        while (message.NextField(out var tag))
        {
            switch (tag)
            {
                case PackedReferencesTag or ReferenceTag:
                    ReadReferences(ref message, tag, ref references);
                    break;
                case (2 << 3) | FieldReader.Fixed64:
                    value = message.ReadDouble();
                    break;
                case (3 << 3) | FieldReader.Varint:
                    timestampMs = message.ReadInt64();
                    break;
                default:
                    message.SkipUnknown(tag, 3);
                    break;
            }
        }
        Spend(_scratch.Written.Length, ref message);
        if (reader.Adopt(message))
        {
            return;
        }
        if (references.FindDefect() is { } defect)
        {
            _sink.Refused(defect, 0, 0, 1);
            return;
        }
        _sink.Exemplar(_scratch.Written, value, SampleMessage.Explicit(timestampMs));
    }

    /// <summary>The sample's own start (rc.4) goes before the series' (rc.3).</summary>
    private static long Started(long ownMs, long createdMs) => ownMs != 0 ? ownMs : createdMs;

    private readonly void ReadReferences(scoped ref FieldReader reader, uint tag, ref References references)
    {
        if (tag == ReferenceTag)
        {
            AddReference(reader.ReadUInt32(), ref references);
            return;
        }
        var packed = reader.ReadMessage();
        while (packed.HasMore)
        {
            AddReference(packed.ReadUInt32(), ref references);
        }
        reader.Adopt(packed);
    }

    private readonly void AddReference(uint reference, ref References references)
    {
        if (!references.HasName)
        {
            references.Name = reference;
            references.HasName = true;
            return;
        }
        references.HasName = false;
        if (!_symbols.TryGet(_body, references.Name, out var name)
            || !_symbols.TryGet(_body, reference, out var value))
        {
            references.Defect = ReferenceOutOfRange;
        }
        else if (references.Defect is null && !_scratch.TryAppend(name, value))
        {
            references.Defect = LabelsTooLong;
        }
        else if (name.SequenceEqual("__name__"u8))
        {
            references.MetricName = reference;
        }
    }

    private void Spend(int bytes, ref FieldReader reader)
    {
        _expandableBytes -= bytes;
        if (_expandableBytes < 0)
        {
            reader.Fail("its labels, written out, are longer than one request may be", reader.Position);
        }
    }

    /// <summary>References come in pairs, but the pairs may be spread over several fields.</summary>
    private struct References
    {
        public uint Name;
        public bool HasName;
        public uint MetricName;
        public string? Defect;

        public readonly string? FindDefect() => Defect ?? (HasName ? OddReferences : null);
    }

    private record struct Metadata(
        MetricType Type, uint HelpReference, uint UnitReference, uint FamilyReference)
    {
        public readonly bool IsEmpty => Type == MetricType.Unknown && HelpReference == 0 && UnitReference == 0;
    }

    private struct Counts
    {
        public int Samples;
        public int Histograms;
        public int Exemplars;
    }
}
