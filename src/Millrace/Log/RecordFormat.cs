using static System.Buffers.Binary.BinaryPrimitives;

namespace Millrace.Log;

/// <summary>
/// The files of a log, byte by byte. All numbers are little-endian.
///
/// <para><b>Limits.</b> A payload has at most 256 MiB; a length is compared with that and with the rest of its file
/// before anything is allocated. A segment holds one record or as many as fit into <c>SegmentBytes</c>.</para>
///
/// <para><b>Layout.</b> A folder holds <c>lock</c> and segments, each named by the LSN of its first record as sixteen
/// hexadecimal digits and <c>.log</c>. A segment is a header of 64 bytes and then records, each of which begins at a
/// multiple of 8:</para>
/// <code>
/// segment header                        record header (88), then the payload, then zeros up to a multiple of 8
///  0 u64  magic "MRLOGSEG"               0 u32  magic "MRec"
///  8 u16  format version                 4 u32  CRC-32C of first LSN of the segment, offset, bytes 8..87
/// 10 u16  0                              8 u32  length of the payload
/// 12 u32  CRC-32C of bytes 0..11,16..63 12 u32  CRC-32C of the payload
/// 16 guid log id                        16 i64  LSN
/// 32 i64  first LSN                     24 i64  arrival, milliseconds since the epoch
/// 40 i64  bytes taken over              32 u64  tenant
/// 48      zeros
///                                       40 u128 hash of the request
///                                       56 guid gateway id
///                                       72 i64  gateway LSN
///                                       80 u8   type, u8 version of the payload, u16 encoding, u32 0
/// </code>
/// <para>The segment header keeps these meanings in every version, so that any release can tell a newer file.</para>
///
/// <para><b>Validity.</b> A record counts when both its checksums hold and its LSN is above those before it. The
/// header has a checksum of its own, so that its length can be trusted when only the payload is damaged. It covers the
/// place in the segment: bytes of a record that stand anywhere else (in a payload, in a reused disk block) are no
/// record.</para>
///
/// <para><b>Reuse.</b> A segment may be written over an older one that was released (<see cref="SpareSegments"/>). What
/// the old one left behind the tail has checksums for another first LSN and is never taken for a record; a segment that
/// is full is cut to its length.</para>
///
/// <para><b>Recovery.</b> Behind a damaged header the next good one is searched at multiples of 8. If there is one,
/// what lies between is bit rot: skipped, and told as a gap of LSNs. If there is none and the segment is the last, what
/// is left is a torn tail: cut off when the log is opened. In earlier segments nothing is ever changed. A damaged
/// segment header costs nothing, because the file's name says the same and records do not depend on the log id.</para>
///
/// <para><b>Power loss.</b> A segment may be followed by others before it is synced, at most
/// <see cref="RecordLog.MaxRolledUnsynced"/>; a torn end of an earlier segment is then a gap like bit rot.</para>
/// </summary>
internal static class RecordFormat
{
    public const ushort Version = 1;
    public const ushort OldestVersion = 1;
    public const int SegmentHeaderBytes = 64;
    public const int RecordHeaderBytes = 88;
    public const int Alignment = 8;
    public const int MaxPayloadBytes = 256 << 20;
    public const string SegmentSuffix = ".log";
    public const string LockName = "lock";

    private const ulong SegmentMagic = 0x474553474F4C524D; // "MRLOGSEG"
    public const uint RecordMagic = 0x6365524D; // "MRec"

    /// <summary>Bytes that a record occupies in its segment.</summary>
    public static long SizeOf(long payloadBytes) =>
        (RecordHeaderBytes + payloadBytes + (Alignment - 1)) & ~(long)(Alignment - 1);

    public static string SegmentName(long firstLsn) =>
        firstLsn.ToString("x16", System.Globalization.CultureInfo.InvariantCulture) + SegmentSuffix;

    public static bool TryParseSegmentName(string name, out long firstLsn)
    {
        firstLsn = 0;
        return name.Length == 16 + SegmentSuffix.Length
            && name.EndsWith(SegmentSuffix, StringComparison.Ordinal)
            && long.TryParse(
                name.AsSpan(0, 16),
                System.Globalization.NumberStyles.AllowHexSpecifier,
                System.Globalization.CultureInfo.InvariantCulture,
                out firstLsn)
            && firstLsn > 0;
    }

    public static void WriteSegmentHeader(
        Span<byte> target, Guid logId, long firstLsn, ushort version = Version, long takenOverBytes = 0)
    {
        target = target[..SegmentHeaderBytes];
        target.Clear();
        WriteUInt64LittleEndian(target, SegmentMagic);
        WriteUInt16LittleEndian(target[8..], version);
        logId.TryWriteBytes(target[16..]);
        WriteInt64LittleEndian(target[32..], firstLsn);
        WriteInt64LittleEndian(target[40..], takenOverBytes);
        WriteUInt32LittleEndian(target[12..], SegmentCrc(target));
    }

    /// <summary>False when the header is torn or damaged; otherwise what it states can be trusted.</summary>
    public static bool TryReadSegmentHeader(
        ReadOnlySpan<byte> source, out Guid logId, out long firstLsn, out ushort version)
    {
        (logId, firstLsn, version) = (Guid.Empty, 0, 0);
        if (source.Length < SegmentHeaderBytes
            || ReadUInt64LittleEndian(source) != SegmentMagic
            || ReadUInt32LittleEndian(source[12..]) != SegmentCrc(source[..SegmentHeaderBytes]))
        {
            return false;
        }
        version = ReadUInt16LittleEndian(source[8..]);
        logId = new Guid(source.Slice(16, 16));
        firstLsn = ReadInt64LittleEndian(source[32..]);
        return true;
    }

    /// <summary>Of a good segment header: up to here the file may hold what an older segment left.</summary>
    public static long TakenOverBytes(ReadOnlySpan<byte> header) => ReadInt64LittleEndian(header[40..]);

    /// <param name="target">At least <see cref="RecordHeaderBytes"/> long.</param>
    /// <param name="place">Where the record stands.</param>
    public static void WriteRecordHeader(
        Span<byte> target, in RecordHeader header, RecordPlace place, int payloadBytes, uint payloadCrc)
    {
        target = target[..RecordHeaderBytes];
        WriteUInt32LittleEndian(target, RecordMagic);
        WriteInt32LittleEndian(target[8..], payloadBytes);
        WriteUInt32LittleEndian(target[12..], payloadCrc);
        WriteInt64LittleEndian(target[16..], place.Lsn);
        WriteInt64LittleEndian(target[24..], header.ArrivalMs);
        WriteUInt64LittleEndian(target[32..], header.Tenant);
        WriteUInt128LittleEndian(target[40..], header.RequestHash);
        header.GatewayId.TryWriteBytes(target[56..]);
        WriteInt64LittleEndian(target[72..], header.GatewayLsn);
        target[80] = (byte)header.Type;
        target[81] = header.FormatVersion;
        WriteUInt16LittleEndian(target[82..], header.Encoding);
        WriteUInt32LittleEndian(target[84..], 0);
        WriteUInt32LittleEndian(target[4..], RecordCrc(target, place.SegmentFirstLsn, place.Offset));
    }

    /// <summary>Reads the header at an offset of a segment; false when none stands there undamaged.</summary>
    public static bool TryReadRecordHeader(
        ReadOnlySpan<byte> source, long segmentFirstLsn, long offset, out RecordFrame frame)
    {
        frame = default;
        if (source.Length < RecordHeaderBytes || ReadUInt32LittleEndian(source) != RecordMagic)
        {
            return false;
        }
        source = source[..RecordHeaderBytes];
        var payloadBytes = ReadUInt32LittleEndian(source[8..]);
        if (payloadBytes > MaxPayloadBytes
            || ReadUInt32LittleEndian(source[4..]) != RecordCrc(source, segmentFirstLsn, offset))
        {
            return false;
        }
        var header = new RecordHeader
        {
            Type = (RecordType)source[80],
            FormatVersion = source[81],
            Encoding = ReadUInt16LittleEndian(source[82..]),
            Tenant = ReadUInt64LittleEndian(source[32..]),
            ArrivalMs = ReadInt64LittleEndian(source[24..]),
            RequestHash = ReadUInt128LittleEndian(source[40..]),
            GatewayId = new Guid(source.Slice(56, 16)),
            GatewayLsn = ReadInt64LittleEndian(source[72..]),
        };
        frame = new RecordFrame(
            ReadInt64LittleEndian(source[16..]), header, (int)payloadBytes, ReadUInt32LittleEndian(source[12..]));
        return true;
    }

    private static uint SegmentCrc(ReadOnlySpan<byte> header) =>
        Crc32C.Extend(Crc32C.Compute(header[..12]), header[16..]);

    private static uint RecordCrc(ReadOnlySpan<byte> header, long segmentFirstLsn, long offset)
    {
        Span<byte> place = stackalloc byte[16];
        WriteInt64LittleEndian(place, segmentFirstLsn);
        WriteInt64LittleEndian(place[8..], offset);
        return Crc32C.Extend(Crc32C.Compute(place), header[8..]);
    }
}

/// <summary>Where a record stands.</summary>
internal readonly record struct RecordPlace(long Lsn, long SegmentFirstLsn, long Offset);

/// <summary>A record's header with what the log adds to it.</summary>
internal readonly record struct RecordFrame(long Lsn, RecordHeader Header, int PayloadBytes, uint PayloadCrc)
{
    public long SizeBytes => RecordFormat.SizeOf(PayloadBytes);
}
