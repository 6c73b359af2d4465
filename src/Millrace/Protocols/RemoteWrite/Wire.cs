using System.Buffers.Binary;

namespace Millrace.Protocols.RemoteWrite;

/// <summary>The field numbers of remote write 1.0 as tags: field number times eight, plus the wire type.</summary>
internal static class V1Tags
{
    public const byte RequestSeries = 0x0A;
    public const byte RequestMetadata = 0x1A;

    public const byte SeriesLabel = 0x0A;
    public const byte SeriesSample = 0x12;
    public const byte SeriesExemplar = 0x1A;
    public const byte SeriesHistogram = 0x22;

    public const byte SampleValue = 0x09;
    public const byte SampleTimestamp = 0x10;

    /// <summary>Not of 1.0: our blocks carry it where remote write 2.0 has it.</summary>
    public const byte SampleStartTimestamp = 0x18;

    public const byte ExemplarLabel = 0x0A;
    public const byte ExemplarValue = 0x11;
    public const byte ExemplarTimestamp = 0x18;

    public const int HistogramTimestamp = 0x78;
    public const int HistogramStartTimestamp = 0x88;

    public const byte MetadataType = 0x08;
    public const byte MetadataFamily = 0x12;
    public const byte MetadataHelp = 0x22;
    public const byte MetadataUnit = 0x2A;

    public const byte LabelName = 0x0A;
    public const byte LabelValue = 0x12;
}

/// <summary>Reads protobuf fields one after another. Every method answers false where the bytes end or make no sense.</summary>
internal ref struct WireReader(ReadOnlySpan<byte> bytes)
{
    private const int MaxVarintBytes = 10;

    private readonly ReadOnlySpan<byte> _bytes = bytes;

    public int Position { get; private set; }

    public readonly bool IsAtEnd => Position == _bytes.Length;

    /// <summary>Field numbers above 2^28 are refused with the rest of what no message here has.</summary>
    public bool TryReadTag(out int tag)
    {
        var isSound = TryReadVarint(out var value) && value is >= 8 and <= int.MaxValue;
        tag = (int)value;
        return isSound;
    }

    public bool TryReadVarint(out ulong value)
    {
        value = 0;
        for (var i = 0; i < MaxVarintBytes && Position < _bytes.Length; i++)
        {
            var b = _bytes[Position++];
            value |= (ulong)(b & 0x7F) << (7 * i);
            if (b < 0x80)
            {
                return true;
            }
        }
        return false;
    }

    public bool TryReadDouble(out double value)
    {
        value = 0;
        if (_bytes.Length - Position < sizeof(double))
        {
            return false;
        }
        value = BinaryPrimitives.ReadDoubleLittleEndian(_bytes[Position..]);
        Position += sizeof(double);
        return true;
    }

    public bool TryReadBytes(out ReadOnlySpan<byte> value)
    {
        value = default;
        if (!TryReadVarint(out var length) || length > (ulong)(_bytes.Length - Position))
        {
            return false;
        }
        value = _bytes.Slice(Position, (int)length);
        Position += (int)length;
        return true;
    }

    /// <summary>Passes over the value of a field; groups, which no message here has, are refused.</summary>
    public bool TrySkip(int tag)
    {
        switch (tag & 7)
        {
            case 0:
                return TryReadVarint(out _);
            case 1:
                return TryReadDouble(out _);
            case 2:
                return TryReadBytes(out _);
            case 5:
                if (_bytes.Length - Position < sizeof(uint))
                {
                    return false;
                }
                Position += sizeof(uint);
                return true;
            default:
                return false;
        }
    }
}

/// <summary>Writes protobuf fields into a span that the caller made large enough.</summary>
internal ref struct WireWriter(Span<byte> target)
{
    private readonly Span<byte> _target = target;

    public int Position { get; private set; }

    public static int VarintSize(ulong value) => 1 + (63 - (int)ulong.LeadingZeroCount(value | 1)) / 7;

    /// <summary>The size of a field of bytes with a tag of one byte.</summary>
    public static int FieldSize(int length) => 1 + VarintSize((uint)length) + length;

    public void WriteVarint(ulong value)
    {
        while (value >= 0x80)
        {
            _target[Position++] = (byte)(value | 0x80);
            value >>= 7;
        }
        _target[Position++] = (byte)value;
    }

    public void WriteVarint(int tag, ulong value)
    {
        WriteVarint((uint)tag);
        WriteVarint(value);
    }

    public void WriteDouble(int tag, double value)
    {
        WriteVarint((uint)tag);
        BinaryPrimitives.WriteDoubleLittleEndian(_target[Position..], value);
        Position += sizeof(double);
    }

    /// <summary>The tag and the length; the caller writes that many bytes next.</summary>
    public void WriteHead(int tag, int length)
    {
        WriteVarint((uint)tag);
        WriteVarint((uint)length);
    }

    public void WriteBytes(int tag, ReadOnlySpan<byte> value)
    {
        WriteHead(tag, value.Length);
        WriteRaw(value);
    }

    public void WriteRaw(ReadOnlySpan<byte> value)
    {
        value.CopyTo(_target[Position..]);
        Position += value.Length;
    }

    public void WriteText(int tag, string text, int utf8Length)
    {
        WriteHead(tag, utf8Length);
        Position += System.Text.Encoding.UTF8.GetBytes(text, _target[Position..]);
    }
}
