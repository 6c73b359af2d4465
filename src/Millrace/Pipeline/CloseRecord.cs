using System.Buffers.Binary;
using Millrace.Log;

namespace Millrace.Pipeline;

/// <summary>
/// The payload of a close record, little-endian: u32 count, then per rule its key (u128: high, low) and the window up
/// to
/// which it is closed (i64). It names rules by key, so that it means the same under any later configuration.
/// </summary>
internal static class CloseRecord
{
    private const int EntryBytes = 24;

    public static RecordHeader Header(long arrivalMs) =>
        new() { Type = RecordType.Close, FormatVersion = 1, ArrivalMs = arrivalMs };

    public static byte[] Write(IReadOnlyList<(UInt128 Rule, long ThroughWindow)> closes)
    {
        var payload = new byte[4 + closes.Count * EntryBytes];
        BinaryPrimitives.WriteInt32LittleEndian(payload, closes.Count);
        for (var i = 0; i < closes.Count; i++)
        {
            var entry = payload.AsSpan(4 + i * EntryBytes);
            BinaryPrimitives.WriteUInt64LittleEndian(entry, (ulong)(closes[i].Rule >> 64));
            BinaryPrimitives.WriteUInt64LittleEndian(entry[8..], (ulong)closes[i].Rule);
            BinaryPrimitives.WriteInt64LittleEndian(entry[16..], closes[i].ThroughWindow);
        }
        return payload;
    }

    public static bool TryRead(ReadOnlySpan<byte> payload, List<(UInt128 Rule, long ThroughWindow)> closes)
    {
        closes.Clear();
        if (payload.Length < 4)
        {
            return false;
        }
        var count = BinaryPrimitives.ReadInt32LittleEndian(payload);
        if (count < 0 || payload.Length != 4 + (long)count * EntryBytes)
        {
            return false;
        }
        for (var i = 0; i < count; i++)
        {
            var entry = payload[(4 + i * EntryBytes)..];
            closes.Add((
                new UInt128(
                    BinaryPrimitives.ReadUInt64LittleEndian(entry),
                    BinaryPrimitives.ReadUInt64LittleEndian(entry[8..])),
                BinaryPrimitives.ReadInt64LittleEndian(entry[16..])));
        }
        return true;
    }
}
