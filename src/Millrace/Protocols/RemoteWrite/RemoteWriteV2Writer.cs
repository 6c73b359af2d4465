using System.Text;
using Millrace.Protocols.Compression;

namespace Millrace.Protocols.RemoteWrite;

/// <summary>The fields of io.prometheus.write.v2.Request (2.0-rc.4) as tags.</summary>
internal static class V2Wire
{
    public const uint RequestSymbol = 0x22;
    public const uint RequestSeries = 0x2A;

    public const uint SeriesLabelRefs = 0x0A;
    public const uint SeriesSample = 0x12;
    public const uint SeriesHistogram = 0x1A;
    public const uint SeriesExemplar = 0x22;
    public const uint SeriesMetadata = 0x2A;

    public const uint ExemplarLabelRefs = 0x0A;

    public const uint MetadataType = 0x08;
    public const uint MetadataHelpRef = 0x18;
    public const uint MetadataUnitRef = 0x20;
}

/// <summary>
/// Writes a block as a remote write 2.0 request. What has one label set becomes one TimeSeries, with its samples in the
/// block's order; histograms get one of their own, because 2.0 forbids both in one. Samples and histograms go
/// over byte by byte: both versions number their fields alike, and the start timestamp that our blocks
/// carry stands where 2.0 has it. Everything is numbered in order of appearance, so equal blocks give equal bytes.
/// </summary>
internal sealed class RemoteWriteV2Writer
{
    private const int NoField = -1;

    private readonly ByteStringTable _symbols = new();
    private readonly ByteStringTable _labelSets = new();

    /// <summary>The fields of each label set as a list: index of the first and last; each knows the next.</summary>
    private readonly List<(int First, int Last)> _fieldLists = [];
    private readonly List<(BlockField Field, int Next)> _fields = [];

    private readonly Dictionary<int, SeriesMetadata?> _metadataByName = [];

    /// <summary>What the block itself tells of families.</summary>
    private readonly Dictionary<string, MetricMetadata> _metadataInBlock = [];
    private readonly Func<string, MetricMetadata?> _findInBlock;
    private readonly List<uint> _labelRefs = [];
    private readonly List<uint> _previousRefs = [];

    /// <summary>The label set that <see cref="_labelRefs"/> was last filled from.</summary>
    private int _previousSet;

    private byte[] _series = [];
    private int _seriesLength;
    private byte[] _exemplars = [];
    private byte[] _request = [];

    public RemoteWriteV2Writer() => _findInBlock = _metadataInBlock.GetValueOrDefault;

    /// <summary>
    /// The request, uncompressed, valid until the next call. Exemplars whose series has neither sample nor histogram
    /// in the block are left out, because a receiver must refuse such a series; the counts are of what was written.
    /// False when labels are malformed.
    /// </summary>
    /// <param name="block">A block that was read.</param>
    /// <param name="metadataOf">By family; asked once for each metric name that the block tells nothing of.</param>
    public bool TryWrite(
        CanonicalBlock block, Func<string, MetricMetadata?>? metadataOf,
        out ReadOnlySpan<byte> request, out BlockCounts counts)
    {
        request = default;
        counts = BlockCounts.None;
        GroupByLabels(block);
        _symbols.Clear();
        _symbols.NumberOf([]);
        _metadataByName.Clear();
        ReadMetadata(block);
        _labelRefs.Clear();
        _previousSet = -1;
        _seriesLength = 0;
        for (var set = 0; set < _labelSets.Count; set++)
        {
            if (!TryWriteLabelSet(block, set, metadataOf, ref counts))
            {
                return false;
            }
        }
        request = Assemble();
        return true;
    }

    private void GroupByLabels(CanonicalBlock block)
    {
        _labelSets.Clear();
        _fieldLists.Clear();
        _fields.Clear();
        foreach (ref readonly var entry in block.Entries)
        {
            if (entry.FieldCount == 0)
            {
                continue;
            }
            var set = _labelSets.NumberOf(block.LabelsOf(entry));
            if (set == _fieldLists.Count)
            {
                _fieldLists.Add((NoField, NoField));
            }
            foreach (ref readonly var field in block.FieldsOf(entry))
            {
                var added = _fields.Count;
                _fields.Add((field, NoField));
                var (first, last) = _fieldLists[set];
                if (last != NoField)
                {
                    _fields[last] = (_fields[last].Field, added);
                }
                _fieldLists[set] = (first == NoField ? added : first, added);
            }
        }
    }

    private bool TryWriteLabelSet(
        CanonicalBlock block, int set, Func<string, MetricMetadata?>? metadataOf, ref BlockCounts counts)
    {
        var present = BlockCounts.None;
        for (var at = _fieldLists[set].First; at != NoField; at = _fields[at].Next)
        {
            present = present.With(_fields[at].Field);
        }
        if (present.Samples + present.Histograms == 0)
        {
            return true;
        }
        _previousRefs.Clear();
        _previousRefs.AddRange(_labelRefs);
        _labelRefs.Clear();
        if (!TryReadLabels(_labelSets[set], _previousSet < 0 ? default : _labelSets[_previousSet], out var nameRef))
        {
            return false;
        }
        _previousSet = set;
        var metadata = MetadataOf(nameRef, metadataOf);
        if (!TryWriteExemplars(block, set, out var exemplars))
        {
            return false;
        }
        // Exemplars go with the first of the two.
        if (present.Samples > 0)
        {
            WriteSeries(block, set, BlockFieldKind.Sample, metadata, exemplars);
            exemplars = default;
        }
        if (present.Histograms > 0)
        {
            WriteSeries(block, set, BlockFieldKind.Histogram, metadata, exemplars);
        }
        counts = new BlockCounts(
            counts.Samples + present.Samples,
            counts.Histograms + present.Histograms,
            counts.Exemplars + present.Exemplars,
            Math.Min(counts.MinTimestampMs, present.MinTimestampMs),
            Math.Max(counts.MaxTimestampMs, present.MaxTimestampMs));
        return true;
    }

    /// <summary>
    /// Appends the references of a label block to <see cref="_labelRefs"/>. Where a label is the one that the block
    /// before has in its place, as most are, its references are those in <see cref="_previousRefs"/>.
    /// </summary>
    private bool TryReadLabels(ReadOnlySpan<byte> labels, ReadOnlySpan<byte> previousLabels, out int nameRef)
    {
        nameRef = 0;
        var reader = new FieldReader(labels);
        var previous = new FieldReader(previousLabels);
        for (var place = 0; reader.NextField(out var tag); place += 2)
        {
            if (tag != V1Wire.SeriesLabel)
            {
                return false;
            }
            var label = reader.ReadBytes();
            var isRepeated = previous.NextField(out _) && previous.ReadBytes().SequenceEqual(label);
            if (!TryReadLabel(label, out var name, out var value))
            {
                return false;
            }
            _labelRefs.Add(isRepeated ? _previousRefs[place] : (uint)_symbols.NumberOf(name));
            _labelRefs.Add(isRepeated ? _previousRefs[place + 1] : (uint)_symbols.NumberOf(value));
            if (name.SequenceEqual("__name__"u8))
            {
                nameRef = (int)_labelRefs[^1];
            }
        }
        return !reader.IsFaulty;
    }

    private static bool TryReadLabel(
        ReadOnlySpan<byte> label, out ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value)
    {
        name = value = default;
        var reader = new FieldReader(label);
        while (reader.NextField(out var tag))
        {
            switch (tag)
            {
                case V1Wire.LabelName:
                    name = reader.ReadBytes();
                    break;
                case V1Wire.LabelValue:
                    value = reader.ReadBytes();
                    break;
                default:
                    return false;
            }
        }
        return !reader.IsFaulty;
    }

    /// <summary>The exemplars of a label set, each with tag and length, in the other form.</summary>
    private bool TryWriteExemplars(CanonicalBlock block, int set, out ReadOnlySpan<byte> exemplars)
    {
        var used = 0;
        exemplars = default;
        var labelRefs = _labelRefs.Count;
        for (var at = _fieldLists[set].First; at != NoField; at = _fields[at].Next)
        {
            var field = _fields[at].Field;
            if (field.Kind != BlockFieldKind.Exemplar)
            {
                continue;
            }
            if (!TryWriteExemplar(block.Bytes[field.Start..field.End], labelRefs, ref used))
            {
                return false;
            }
        }
        exemplars = _exemplars.AsSpan(0, used);
        return true;
    }

    private bool TryWriteExemplar(ReadOnlySpan<byte> exemplar, int labelRefs, ref int used)
    {
        var value = 0.0;
        var timestampMs = 0L;
        var reader = new FieldReader(exemplar);
        for (var start = 0; reader.NextField(out var tag); start = reader.Position)
        {
            switch (tag)
            {
                case V1Wire.ExemplarLabel:
                    reader.ReadDelimited(out _, out var end);
                    if (!reader.IsFaulty && !TryReadLabels(exemplar[start..end], default, out _))
                    {
                        return false;
                    }
                    break;
                case V1Wire.ExemplarValue:
                    value = reader.ReadDouble();
                    break;
                case V1Wire.ExemplarTimestamp:
                    timestampMs = reader.ReadInt64();
                    break;
                default:
                    return false;
            }
        }
        if (reader.IsFaulty)
        {
            return false;
        }
        var refsBytes = RefsBytes(labelRefs);
        var messageBytes = WireWriter.FieldSize(refsBytes)
            + 1 + sizeof(double) + 1 + WireWriter.VarintSize((ulong)timestampMs);
        var writer = new WireWriter(Reserve(ref _exemplars, ref used, WireWriter.FieldSize(messageBytes)));
        writer.WriteHead(V2Wire.SeriesExemplar, messageBytes);
        WriteRefs(ref writer, V2Wire.ExemplarLabelRefs, labelRefs, refsBytes);
        writer.WriteDouble(V1Wire.ExemplarValue, value);
        writer.WriteVarint(V1Wire.ExemplarTimestamp, (ulong)timestampMs);
        _labelRefs.RemoveRange(labelRefs, _labelRefs.Count - labelRefs);
        return true;
    }

    private void WriteSeries(
        CanonicalBlock block, int set, BlockFieldKind kind, SeriesMetadata? metadata, ReadOnlySpan<byte> exemplars)
    {
        var refsBytes = RefsBytes(0);
        var messageBytes = WireWriter.FieldSize(refsBytes) + exemplars.Length
            + (metadata is null ? 0 : WireWriter.FieldSize(metadata.Value.SizeBytes));
        for (var at = _fieldLists[set].First; at != NoField; at = _fields[at].Next)
        {
            var field = _fields[at].Field;
            messageBytes += field.Kind == kind ? WireWriter.FieldSize(field.End - field.Start) : 0;
        }
        var target = Reserve(ref _series, ref _seriesLength, WireWriter.FieldSize(messageBytes));
        var writer = new WireWriter(target);
        writer.WriteHead(V2Wire.RequestSeries, messageBytes);
        WriteRefs(ref writer, V2Wire.SeriesLabelRefs, 0, refsBytes);
        var tag = kind == BlockFieldKind.Sample ? V2Wire.SeriesSample : V2Wire.SeriesHistogram;
        for (var at = _fieldLists[set].First; at != NoField; at = _fields[at].Next)
        {
            var field = _fields[at].Field;
            if (field.Kind == kind)
            {
                writer.WriteBytes(tag, block.Bytes[field.Start..field.End]);
            }
        }
        writer.WriteRaw(exemplars);
        if (metadata is { } known)
        {
            writer.WriteHead(V2Wire.SeriesMetadata, known.SizeBytes);
            writer.WriteVarint(V2Wire.MetadataType, (ulong)known.Type);
            writer.WriteVarint(V2Wire.MetadataHelpRef, known.HelpRef);
            writer.WriteVarint(V2Wire.MetadataUnitRef, known.UnitRef);
        }
    }

    private int RefsBytes(int from)
    {
        var sizeBytes = 0;
        for (var i = from; i < _labelRefs.Count; i++)
        {
            sizeBytes += WireWriter.VarintSize(_labelRefs[i]);
        }
        return sizeBytes;
    }

    private void WriteRefs(ref WireWriter writer, uint tag, int from, int refsBytes)
    {
        writer.WriteHead(tag, refsBytes);
        for (var i = from; i < _labelRefs.Count; i++)
        {
            writer.WriteVarint(_labelRefs[i]);
        }
    }

    private SeriesMetadata? MetadataOf(int nameRef, Func<string, MetricMetadata?>? metadataOf)
    {
        if (nameRef == 0 || (metadataOf is null && _metadataInBlock.Count == 0))
        {
            return null;
        }
        if (!_metadataByName.TryGetValue(nameRef, out var metadata))
        {
            var name = Encoding.UTF8.GetString(_symbols[nameRef]);
            var found = FindMetadata(name, _findInBlock);
            if (found is null && metadataOf is not null)
            {
                found = FindMetadata(name, metadataOf);
            }
            if (found is not null)
            {
                metadata = new SeriesMetadata(
                    found.Type,
                    (uint)_symbols.NumberOf(Encoding.UTF8.GetBytes(found.Help)),
                    (uint)_symbols.NumberOf(Encoding.UTF8.GetBytes(found.Unit)));
            }
            _metadataByName.Add(nameRef, metadata);
        }
        return metadata;
    }

    /// <summary>The name itself, then the family that a part of a histogram, summary or counter belongs to.</summary>
    private static MetricMetadata? FindMetadata(string name, Func<string, MetricMetadata?> metadataOf)
    {
        if (metadataOf(name) is { } exact)
        {
            return exact;
        }
        foreach (var suffix in (ReadOnlySpan<string>)["_bucket", "_sum", "_count", "_total"])
        {
            if (name.Length > suffix.Length && name.EndsWith(suffix, StringComparison.Ordinal))
            {
                return metadataOf(name[..^suffix.Length]);
            }
        }
        return null;
    }

    /// <summary>What stands in the block beside the series; a damaged message tells nothing.</summary>
    private void ReadMetadata(CanonicalBlock block)
    {
        _metadataInBlock.Clear();
        foreach (ref readonly var entry in block.Entries)
        {
            if (!entry.IsSeries && TryReadMetadata(block.Bytes[entry.Start..entry.End], out var metadata))
            {
                _metadataInBlock[metadata.Family] = metadata;
            }
        }
    }

    private static bool TryReadMetadata(ReadOnlySpan<byte> field, out MetricMetadata metadata)
    {
        var (family, type, help, unit) = ("", 0L, "", "");
        var outer = new FieldReader(field);
        outer.NextField(out _);
        var reader = new FieldReader(outer.ReadBytes());
        while (reader.NextField(out var tag))
        {
            switch (tag)
            {
                case V1Wire.MetadataType:
                    type = reader.ReadInt64();
                    break;
                case V1Wire.MetadataFamily:
                    family = Encoding.UTF8.GetString(reader.ReadBytes());
                    break;
                case V1Wire.MetadataHelp:
                    help = Encoding.UTF8.GetString(reader.ReadBytes());
                    break;
                case V1Wire.MetadataUnit:
                    unit = Encoding.UTF8.GetString(reader.ReadBytes());
                    break;
                default:
                    reader.Skip(tag);
                    break;
            }
        }
        metadata = new MetricMetadata(family, (MetricType)type, help, unit);
        return !outer.IsFaulty && !reader.IsFaulty && family.Length > 0
            && type is >= 0 and <= (long)MetricType.StateSet;
    }

    private ReadOnlySpan<byte> Assemble()
    {
        var sizeBytes = (long)_seriesLength;
        for (var symbol = 0; symbol < _symbols.Count; symbol++)
        {
            sizeBytes += WireWriter.FieldSize(_symbols[symbol].Length);
        }
        OutputBuffer.Ensure(ref _request, checked((int)sizeBytes));
        var writer = new WireWriter(_request);
        for (var symbol = 0; symbol < _symbols.Count; symbol++)
        {
            writer.WriteBytes(V2Wire.RequestSymbol, _symbols[symbol]);
        }
        writer.WriteRaw(_series.AsSpan(0, _seriesLength));
        return _request.AsSpan(0, (int)sizeBytes);
    }

    private static Span<byte> Reserve(ref byte[] buffer, ref int used, int sizeBytes)
    {
        OutputBuffer.Reserve(ref buffer, used, sizeBytes);
        var reserved = buffer.AsSpan(used, sizeBytes);
        used += sizeBytes;
        return reserved;
    }

    private readonly record struct SeriesMetadata(MetricType Type, uint HelpRef, uint UnitRef)
    {
        public int SizeBytes =>
            3 + WireWriter.VarintSize((ulong)Type) + WireWriter.VarintSize(HelpRef) + WireWriter.VarintSize(UnitRef);
    }
}
