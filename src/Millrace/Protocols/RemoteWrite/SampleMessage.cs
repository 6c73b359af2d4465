using System.Buffers.Binary;

namespace Millrace.Protocols.RemoteWrite;

/// <summary>
/// A Sample, alike in remote write 1.0 and 2.0 (and an Exemplar but for its labels): value 1, timestamp 2,
/// start timestamp 3. Fields at their default may be left out.
/// </summary>
internal readonly record struct SampleMessage(double Value, long TimestampMs, long StartTimestampMs)
{
    /// <summary>Bytes of <c>0x09 value 0x10 timestamp</c> with a timestamp between 1971 and 2109.</summary>
    public const int UsualBytes = 16;

    private const byte ValueTag = 0x09;
    private const byte TimestampTag = 0x10;
    private const byte StartTimestampTag = 0x18;

    // The last eight bytes of a usual sample, as a little-endian word: one byte of the value, the timestamp's tag, five
    // bytes that go on and one that ends.
    private const ulong ShapeMask = 0x80_80_80_80_80_80_FF_00;
    private const ulong Shape = 0x00_80_80_80_80_80_10_00;

    /// <summary>Reads the form that nearly all samples have; false for every other one.</summary>
    public static bool TryReadUsual(ReadOnlySpan<byte> message, out double value, out long timestampMs)
    {
        if (message.Length == UsualBytes && message[0] == ValueTag)
        {
            var tail = BinaryPrimitives.ReadUInt64LittleEndian(message[8..]);
            if ((tail & ShapeMask) == Shape && tail >> 56 != 0)
            {
                value = BinaryPrimitives.ReadDoubleLittleEndian(message[1..]);
                timestampMs = (long)JoinSevenBitGroups(tail >> 16);
                return true;
            }
        }
        value = 0;
        timestampMs = 0;
        return false;
    }

    public static SampleMessage Read(ref FieldReader reader)
    {
        var value = 0.0;
        var timestampMs = 0L;
        var startTimestampMs = 0L;
        while (reader.NextField(out var tag))
        {
            switch (tag)
            {
                case ValueTag:
                    value = reader.ReadDouble();
                    break;
                case TimestampTag:
                    timestampMs = reader.ReadInt64();
                    break;
                case StartTimestampTag:
                    startTimestampMs = reader.ReadInt64();
                    break;
                default:
                    reader.SkipUnknown(tag, 3);
                    break;
            }
        }
        return new SampleMessage(value, Explicit(timestampMs), startTimestampMs);
    }

    /// <summary>A sender cannot say "the arrival" by sending our mark for it.</summary>
    public static long Explicit(long timestampMs) =>
        timestampMs == IWriteSink.NoTimestamp ? timestampMs + 1 : timestampMs;

    /// <summary>Six bytes of a varint to its 42 bits, pairwise.</summary>
    private static ulong JoinSevenBitGroups(ulong bytes)
    {
        var pairs = (bytes & 0x007F_007F_007F) | ((bytes & 0x7F00_7F00_7F00) >> 1);
        return (pairs & 0x3FFF) | ((pairs >> 2) & (0x3FFFUL << 14)) | ((pairs >> 4) & (0x3FFFUL << 28));
    }
}
