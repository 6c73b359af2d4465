namespace Millrace.Protocols.RemoteWrite;

/// <summary>The fields of remote write 1.0 as tags: field number times eight, plus the wire type.</summary>
internal static class V1Wire
{
    public const uint RequestSeries = 0x0A;
    public const uint RequestMetadata = 0x1A;

    public const uint SeriesLabel = 0x0A;
    public const uint SeriesSample = 0x12;
    public const uint SeriesExemplar = 0x1A;
    public const uint SeriesHistogram = 0x22;

    public const uint SampleValue = 0x09;
    public const uint SampleTimestamp = 0x10;

    /// <summary>Not of 1.0: our blocks carry it where remote write 2.0 has it.</summary>
    public const uint SampleStartTimestamp = 0x18;

    public const uint ExemplarLabel = 0x0A;
    public const uint ExemplarValue = 0x11;
    public const uint ExemplarTimestamp = 0x18;

    public const uint HistogramTimestamp = 0x78;
    public const uint HistogramStartTimestamp = 0x88;

    public const uint MetadataType = 0x08;
    public const uint MetadataFamily = 0x12;
    public const uint MetadataHelp = 0x22;
    public const uint MetadataUnit = 0x2A;

    public const uint LabelName = 0x0A;
    public const uint LabelValue = 0x12;

    /// <summary>The timestamp in a message, 0 where it has none; false when the message is malformed.</summary>
    public static bool TryReadTimestamp(ReadOnlySpan<byte> message, uint timestampTag, out long timestampMs)
    {
        timestampMs = 0;
        var reader = new FieldReader(message);
        while (reader.NextField(out var tag))
        {
            if (tag == timestampTag)
            {
                timestampMs = reader.ReadInt64();
            }
            else
            {
                reader.Skip(tag);
            }
        }
        return !reader.IsFaulty;
    }
}
