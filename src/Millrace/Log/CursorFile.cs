using System.IO;
using static System.Buffers.Binary.BinaryPrimitives;

namespace Millrace.Log;

/// <summary>What a slot of a <see cref="CursorFile"/> holds; its owner gives the three numbers their meaning.</summary>
internal readonly record struct CursorPosition(long A, long B, long C);

/// <summary>
/// A fixed number of positions in a log that survive the process as soon as <see cref="Set"/> returns, and power loss
/// after <see cref="Sync"/>. Thread-safe.
///
/// <para><b>Layout</b> (little-endian). A header page of 4096 bytes, then pairs of pages; a pair holds two copies, one
/// per page, of 64 slots of 64 bytes. Writes alternate between the copies, and a torn one leaves the other.</para>
/// <code>
/// header                                   copy of a slot
///  0 u64  magic "MRCURSOR"                  0 u64 sequence: 1, 2, 3 …; the copy with the higher one holds
///  8 u16  format version, u16 0             8 i64 A
/// 12 u32  CRC-32C of bytes 0..11, 16..31   16 i64 B
/// 16 guid id of the log                    24 i64 C
///                                          32 u32 CRC-32C of log id, slot number, bytes 0..31
/// </code>
/// <para><b>Validity.</b> The checksum covers the log's id: the positions of another log mean nothing in this one, and
/// a file that belongs to another is emptied. A copy of zeros was never written. A copy lies within one disk sector,
/// so power loss leaves it old or new; the two copies lie in different pages.</para>
/// </summary>
internal sealed class CursorFile : IDisposable
{
    public const int MaxSlots = 1 << 16;
    public const ushort Version = 1;

    private const ulong Magic = 0x524F53525543524D; // "MRCURSOR"
    private const int PageBytes = 4096;
    private const int SlotBytes = 64;
    private const int SlotsPerPage = PageBytes / SlotBytes;
    private const int CrcOffset = 32;

    private readonly Lock _lock = new(); // covers the file and _slots
    private readonly IDiskFile _file;
    private readonly Slot[] _slots;
    private bool _failed;

    private CursorFile(IDiskFile file, Guid logId, int slots)
    {
        (_file, LogId, _slots) = (file, logId, new Slot[slots]);
    }

    public Guid LogId { get; }

    public int Slots => _slots.Length;

    /// <summary>The file held positions of another log, or its header was damaged; all slots are empty.</summary>
    public bool WasReset { get; private init; }

    /// <summary>Slots of which no copy was readable when the file was opened; they are empty.</summary>
    public int DamagedSlots { get; private set; }

    /// <summary>Opens or creates the file; one with fewer slots grows.</summary>
    /// <exception cref="LogOpenException">Newer than this release, or not readable.</exception>
    public static CursorFile Open(string path, int slots, Guid logId, IDisk disk)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(slots, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(slots, MaxSlots);
        IDiskFile? file = null;
        try
        {
            file = disk.Open(path, writable: true);
            var isNew = file.Length == 0;
            var isOurs = !isNew && HeaderIsOf(logId, path, file);
            if (!isOurs)
            {
                file.SetLength(0);
            }
            Grow(file, slots);
            var cursors = new CursorFile(file, logId, slots) { WasReset = !isNew && !isOurs };
            if (isOurs)
            {
                cursors.ReadSlots();
            }
            else
            {
                cursors.WriteHeader();
            }
            file.Sync();
            disk.SyncFolder(Path.GetDirectoryName(path)!);
            return cursors;
        }
        catch (Exception e) when (DiskError.Is(e))
        {
            file?.Dispose();
            throw e as LogOpenException ?? new LogOpenException(
                $"The cursor file '{path}' cannot be opened: {e.Message} Check that the disk works and that this user "
                + "may write there.", e);
        }
    }

    /// <summary>Zeros when the slot was never set.</summary>
    public CursorPosition Get(int slot)
    {
        lock (_lock)
        {
            return _slots[slot].Position;
        }
    }

    /// <summary>False when the disk refused it; the slot then keeps its position, in memory and in the file.</summary>
    public bool Set(int slot, long a, long b, long c)
    {
        Span<byte> bytes = stackalloc byte[SlotBytes];
        lock (_lock)
        {
            ref var current = ref _slots[slot];
            var sequence = current.Sequence + 1;
            bytes.Clear();
            WriteUInt64LittleEndian(bytes, sequence);
            WriteInt64LittleEndian(bytes[8..], a);
            WriteInt64LittleEndian(bytes[16..], b);
            WriteInt64LittleEndian(bytes[24..], c);
            WriteUInt32LittleEndian(bytes[CrcOffset..], SlotCrc(bytes, slot));
            try
            {
                // Never over the copy that holds: a failed write is repeated in its own place.
                _file.Write(OffsetOf(slot, (int)(sequence & 1)), bytes);
            }
            catch (Exception e) when (DiskError.Is(e))
            {
                return false;
            }
            current = new Slot(sequence, new CursorPosition(a, b, c));
            return true;
        }
    }

    /// <summary>False when the disk failed, and from then on: the kernel forgets what it could not write.</summary>
    public bool Sync()
    {
        if (Volatile.Read(ref _failed))
        {
            return false;
        }
        try
        {
            _file.Sync(); // not under the lock: positions move on meanwhile
            return true;
        }
        catch (Exception e) when (DiskError.Is(e))
        {
            Volatile.Write(ref _failed, true);
            return false;
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            _file.Dispose();
        }
    }

    private static bool HeaderIsOf(Guid logId, string path, IDiskFile file)
    {
        Span<byte> header = stackalloc byte[32];
        if (file.Read(0, header) < header.Length
            || ReadUInt64LittleEndian(header) != Magic
            || ReadUInt32LittleEndian(header[12..]) != HeaderCrc(header))
        {
            return false;
        }
        var version = ReadUInt16LittleEndian(header[8..]);
        return version <= Version ? new Guid(header[16..]) == logId : throw new LogOpenException(
            $"The cursor file '{path}' has format version {version}; this release reads up to {Version}. Run the "
            + "release that wrote it (or a newer one), or delete the file to read the log from its beginning.");
    }

    private static void Grow(IDiskFile file, int slots)
    {
        // Zeros are written, not left as a hole: an update in place must not run out of space later.
        var pages = 1 + 2 * ((slots + SlotsPerPage - 1) / SlotsPerPage);
        var zeros = new byte[PageBytes];
        for (var page = file.Length / PageBytes; page < pages; page++)
        {
            var start = Math.Max(page * PageBytes, file.Length);
            file.Write(start, zeros.AsSpan(0, (int)((page + 1) * PageBytes - start)));
        }
    }

    private void WriteHeader()
    {
        Span<byte> header = stackalloc byte[32];
        header.Clear();
        WriteUInt64LittleEndian(header, Magic);
        WriteUInt16LittleEndian(header[8..], Version);
        LogId.TryWriteBytes(header[16..]);
        WriteUInt32LittleEndian(header[12..], HeaderCrc(header));
        _file.Write(0, header);
    }

    private void ReadSlots()
    {
        Span<byte> bytes = stackalloc byte[SlotBytes];
        for (var slot = 0; slot < _slots.Length; slot++)
        {
            var isDamaged = false;
            for (var copy = 0; copy < 2; copy++)
            {
                bytes.Clear();
                _file.Read(OffsetOf(slot, copy), bytes);
                var sequence = ReadUInt64LittleEndian(bytes);
                if (ReadUInt32LittleEndian(bytes[CrcOffset..]) != SlotCrc(bytes, slot))
                {
                    isDamaged |= bytes.ContainsAnyExcept((byte)0);
                }
                else if (sequence > _slots[slot].Sequence)
                {
                    _slots[slot] = new Slot(sequence, new CursorPosition(
                        ReadInt64LittleEndian(bytes[8..]),
                        ReadInt64LittleEndian(bytes[16..]),
                        ReadInt64LittleEndian(bytes[24..])));
                }
            }
            DamagedSlots += isDamaged && _slots[slot].Sequence == 0 ? 1 : 0;
        }
    }

    private static long OffsetOf(int slot, int copy) =>
        PageBytes * (1L + 2 * (slot / SlotsPerPage) + copy) + slot % SlotsPerPage * SlotBytes;

    private static uint HeaderCrc(ReadOnlySpan<byte> header) =>
        Crc32C.Extend(Crc32C.Compute(header[..12]), header[16..32]);

    private uint SlotCrc(ReadOnlySpan<byte> bytes, int slot)
    {
        Span<byte> owner = stackalloc byte[20];
        LogId.TryWriteBytes(owner);
        WriteInt32LittleEndian(owner[16..], slot);
        return Crc32C.Extend(Crc32C.Compute(owner), bytes[..CrcOffset]);
    }

    private readonly record struct Slot(ulong Sequence, CursorPosition Position);
}
