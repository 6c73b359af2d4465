using System.IO;

namespace Millrace.Log;

/// <summary>
/// A durable list of records on one disk: appended by any thread, numbered 1, 2, 3 … (LSN), read in order by any number
/// of readers, released from its old end. <see cref="RecordFormat"/> describes the files.
///
/// <para><b>Durability.</b> An append that answers <see cref="AppendOutcome.Written"/> is in the page cache and
/// survives the process. Power loss is survived by what a later <see cref="Sync"/> covers; the owner calls it on a
/// timer, or waits in <see cref="WaitSynced"/>. LSNs lost by power loss are given out again, unless the owner says with
/// <see cref="SkipTo"/> how far it has gone.</para>
///
/// <para><b>Errors.</b> A failed write is taken back: the file is cut to its last whole record, and until that
/// succeeds nothing is appended. A failed sync is final for this instance: the kernel may have dropped the pages and
/// would report success the next time, so the log refuses everything until it is opened again.</para>
/// </summary>
internal sealed class RecordLog : IDisposable
{
    /// <summary>Segments that may wait for a sync behind the active one; more would weaken the sync at open.</summary>
    public const int MaxRolledUnsynced = 2;

    // Records up to this size are put together and written by one call; a larger payload is not worth the copy.
    private const int GatherBytes = 64 << 10;

    private readonly string _folder;
    private readonly RecordLogOptions _options;
    private readonly IDisk _disk;
    private readonly IDisposable? _folderLock; // null: read-only
    private readonly SegmentList _segments;
    private readonly FreeSpaceGuard _space;
    private readonly SyncWaiters _syncWaiters;

    // Taken in this order when both are needed: _syncLock, _appendLock.
    private readonly Lock _syncLock = new(); // covers the syncing of files, _syncedLsn
    private readonly Lock _appendLock = new(); // covers everything below

    private readonly byte[] _scratch = new byte[GatherBytes];
    private readonly List<IDiskFile> _rolled = []; // files of full segments that may hold unsynced records
    private Segment _active;
    private IDiskFile? _activeFile; // null: read-only
    private long _nextLsn;
    private long _appendedBytes;
    private long _syncedLsn;
    private long _syncedBytes; // of _appendedBytes
    private bool _tailIsWhole = true; // false: bytes of a failed write may stand behind the last record
    private bool _folderIsSynced;
    private bool _disposed;
    private volatile string? _failure;

    private RecordLog(string folder, RecordLogOptions options, IDisk disk, TimeProvider time, IDisposable? folderLock)
    {
        (_folder, _options, _disk, _folderLock) = (folder, options, disk, folderLock);
        _space = new FreeSpaceGuard(folder, disk, time, options.MinFreeBytes);
        _syncWaiters = new SyncWaiters(this);
        var recovery = new SegmentRecovery(folder, disk);
        recovery.Read();
        _segments = recovery.Segments;
        Recovery = recovery.Report;
        Id = recovery.LogId != Guid.Empty ? recovery.LogId
            : options.NewLogId != Guid.Empty ? options.NewLogId : Guid.NewGuid();
        _nextLsn = recovery.NextLsn;
        if (folderLock is null)
        {
            _syncedLsn = _nextLsn;
            if (_segments.Count == 0)
            {
                throw new LogOpenException($"The folder '{folder}' holds no log.");
            }
            _active = _segments.Last;
            _failure = "The log was opened for reading only.";
            return;
        }
        if (_segments.Count == 0)
        {
            (_active, _activeFile) = CreateSegment(_nextLsn);
            _segments.Add(_active);
        }
        else
        {
            _active = _segments.Last;
            _activeFile = disk.Open(_active.Path, writable: true);
        }
        try
        {
            recovery.Repair(_active, _activeFile, Id);
            SyncRecovered();
        }
        catch
        {
            _activeFile.Dispose();
            throw;
        }
    }

    public Guid Id { get; }

    public RecoveryReport Recovery { get; }

    /// <summary>The first record that may still be here; equal to <see cref="NextLsn"/> in an empty log.</summary>
    public long FirstLsn => _segments.First.FirstLsn;

    /// <summary>What the next record will get.</summary>
    public long NextLsn => Volatile.Read(ref _nextLsn);

    /// <summary>Records below it survive power loss.</summary>
    public long SyncedLsn => Volatile.Read(ref _syncedLsn);

    public long SizeBytes => _segments.SizeBytes;

    /// <summary>Appended by this process; unlike <see cref="SizeBytes"/> it never goes back.</summary>
    public long AppendedBytes => Volatile.Read(ref _appendedBytes);

    /// <summary>Of those, the ones that a power loss would take now.</summary>
    public long UnsyncedBytes => AppendedBytes - Volatile.Read(ref _syncedBytes);

    public int SegmentCount => _segments.Count;

    /// <summary>Why the log refuses appends for as long as it is open; null while it works.</summary>
    public string? Failure => _failure;

    /// <summary>The last thing the disk refused, also if it was overcome.</summary>
    public string? LastError { get; private set; }

    /// <exception cref="LogOpenException">In use, newer than this release, or not readable.</exception>
    public static RecordLog Open(string folder, RecordLogOptions options, IDisk disk, TimeProvider time)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.MaxRecordBytes, RecordFormat.MaxPayloadBytes);
        IDisposable? folderLock = null;
        try
        {
            disk.CreateFolder(folder);
            folderLock = disk.TryLock(Path.Combine(folder, RecordFormat.LockName)) ?? throw new LogOpenException(
                $"The log folder '{folder}' is in use by another process. Stop that process, or give this one another "
                + "folder (log.path).");
            return new RecordLog(folder, options, disk, time, folderLock);
        }
        catch (Exception e) when (DiskError.Is(e))
        {
            folderLock?.Dispose();
            throw e as LogOpenException ?? CannotOpen(folder, e);
        }
    }

    /// <summary>Opens the log as it stands, also one that a gateway is writing: changes and locks nothing.</summary>
    public static RecordLog OpenReadOnly(string folder, IDisk disk)
    {
        try
        {
            return new RecordLog(folder, new RecordLogOptions(), disk, TimeProvider.System, folderLock: null);
        }
        catch (Exception e) when (DiskError.Is(e) && e is not LogOpenException)
        {
            throw CannotOpen(folder, e);
        }
    }

    /// <summary>Whether an append would find room now; batches are refused earlier than reserved records.</summary>
    public bool HasSpace(bool reserved = false) => _space.Allows(reserved);

    public AppendOutcome Append(
        in RecordHeader header, ReadOnlySpan<byte> payload, out long lsn, bool reserved = false) =>
        Append(header, payload, default, out lsn, reserved);

    /// <summary>Appends one record whose payload comes in two pieces.</summary>
    /// <param name="reserved">May use the space kept free for what must be written on a nearly full disk.</param>
    public AppendOutcome Append(
        in RecordHeader header, ReadOnlySpan<byte> first, ReadOnlySpan<byte> second, out long lsn,
        bool reserved = false)
    {
        lsn = 0;
        var payloadBytes = (long)first.Length + second.Length;
        if (payloadBytes > _options.MaxRecordBytes)
        {
            return AppendOutcome.TooLarge;
        }
        var size = RecordFormat.SizeOf(payloadBytes);
        if (!_space.TryTake(size, reserved))
        {
            return AppendOutcome.DiskFull;
        }
        var payloadCrc = Crc32C.Extend(Crc32C.Compute(first), second); // before the lock: the longest part of the work
        while (true)
        {
            lock (_appendLock)
            {
                ObjectDisposedException.ThrowIf(_disposed, this);
                if (_failure is not null || !TryMakeTailWholeLocked())
                {
                    return AppendOutcome.Failed;
                }
                var isFull = _active.CommittedBytes > RecordFormat.SegmentHeaderBytes
                    && _active.CommittedBytes + size > _options.SegmentBytes;
                if (!isFull || _rolled.Count < MaxRolledUnsynced)
                {
                    var rolled = isFull ? RollLocked(_nextLsn) : AppendOutcome.Written;
                    return rolled == AppendOutcome.Written
                        ? WriteLocked(header, first, second, payloadCrc, out lsn)
                        : rolled;
                }
            }
            if (!Sync())
            {
                return AppendOutcome.Failed;
            }
        }
    }

    /// <summary>
    /// Leaves out LSNs, so that the next record gets at least this one. For an owner that holds positions which a power
    /// loss took from the end of the log: giving them out again would make new records look like old ones.
    /// </summary>
    public AppendOutcome SkipTo(long lsn)
    {
        while (true)
        {
            lock (_appendLock)
            {
                ObjectDisposedException.ThrowIf(_disposed, this);
                if (lsn <= _nextLsn)
                {
                    return AppendOutcome.Written;
                }
                if (_failure is not null || !TryMakeTailWholeLocked())
                {
                    return AppendOutcome.Failed;
                }
                if (_rolled.Count < MaxRolledUnsynced)
                {
                    return RollLocked(lsn);
                }
            }
            if (!Sync())
            {
                return AppendOutcome.Failed;
            }
        }
    }

    /// <summary>
    /// Syncs what was appended before the call; false when the disk failed. Calls that come while one is under way
    /// share the next.
    /// </summary>
    public bool Sync() => SyncTo(NextLsn);

    /// <summary>Returns when the records below <paramref name="lsn"/> are synced.</summary>
    public bool SyncTo(long lsn)
    {
        if (SyncedLsn >= lsn)
        {
            return true;
        }
        lock (_syncLock)
        {
            return SyncedLsn >= lsn || SyncAllLocked();
        }
    }

    /// <summary>True once this record is synced, false if the disk failed; many wait for one sync.</summary>
    public ValueTask<bool> WaitSynced(long lsn) =>
        SyncedLsn > lsn ? new ValueTask<bool>(true) : _syncWaiters.NextSync();

    /// <summary>
    /// The first LSN of the last segment whose first record came before a time, or of the first one: from there on
    /// nothing of that time or later is missed. Reads a record per segment, the newest first.
    /// </summary>
    public long StartBefore(long arrivalMs)
    {
        foreach (var firstLsn in _segments.FirstLsnsDescending())
        {
            using var reader = OpenReader(firstLsn);
            if (reader.TryRead(out var record) && record.Header.ArrivalMs < arrivalMs)
            {
                return firstLsn;
            }
        }
        return FirstLsn;
    }

    /// <summary>Reads from a record on; the reader has its own file handle and sees what is appended later.</summary>
    public LogReader OpenReader(long fromLsn) => new(_disk, _segments, fromLsn);

    /// <summary>Deletes the segments all of whose records are below this one.</summary>
    public void ReleaseBefore(long lsn)
    {
        while (_segments.TryGetOldest(out var oldest, out var next) && next.FirstLsn <= lsn && TryDelete(oldest))
        {
        }
    }

    /// <summary>Deletes the oldest segment whoever needs it; false when only the active one is left.</summary>
    public bool DropOldestSegment(out long newFirstLsn)
    {
        var dropped = _segments.TryGetOldest(out var oldest, out _) && TryDelete(oldest);
        newFirstLsn = FirstLsn;
        return dropped;
    }

    public void Dispose()
    {
        lock (_syncLock)
        {
            if (_activeFile is not null && _failure is null && !_disposed)
            {
                SyncAllLocked();
            }
            lock (_appendLock)
            {
                _disposed = true;
                _failure ??= "The log is closed.";
                _activeFile?.Dispose();
                DisposeAll(_rolled);
                _rolled.Clear();
            }
        }
        _folderLock?.Dispose();
    }

    private AppendOutcome WriteLocked(
        in RecordHeader header, ReadOnlySpan<byte> first, ReadOnlySpan<byte> second, uint payloadCrc, out long lsn)
    {
        var offset = _active.CommittedBytes;
        var payloadBytes = first.Length + second.Length;
        var size = RecordFormat.SizeOf(payloadBytes);
        var place = new RecordPlace(_nextLsn, _active.FirstLsn, offset);
        RecordFormat.WriteRecordHeader(_scratch, header, place, payloadBytes, payloadCrc);
        _tailIsWhole = false;
        try
        {
            WriteBytesLocked(offset, first, second, size);
        }
        catch (Exception e) when (DiskError.Is(e))
        {
            lsn = 0;
            TryMakeTailWholeLocked();
            return WriteError("append to", _active.Path, e);
        }
        _tailIsWhole = true;
        _appendedBytes += size;
        _active.CommittedBytes = offset + size; // readers may look at it from here on
        lsn = _nextLsn;
        Volatile.Write(ref _nextLsn, lsn + 1);
        return AppendOutcome.Written;
    }

    private void WriteBytesLocked(long offset, ReadOnlySpan<byte> first, ReadOnlySpan<byte> second, long size)
    {
        var file = _activeFile!;
        var body = _scratch.AsSpan(RecordFormat.RecordHeaderBytes);
        if (size <= _scratch.Length)
        {
            first.CopyTo(body);
            second.CopyTo(body[first.Length..]);
            body[(first.Length + second.Length)..(int)(size - RecordFormat.RecordHeaderBytes)].Clear();
            file.Write(offset, _scratch.AsSpan(0, (int)size));
            return;
        }
        // The zeros behind the payload need no write: the next record, or nothing, begins behind them.
        file.Write(offset, _scratch.AsSpan(0, RecordFormat.RecordHeaderBytes));
        file.Write(offset + RecordFormat.RecordHeaderBytes, first);
        if (second.Length > 0)
        {
            file.Write(offset + RecordFormat.RecordHeaderBytes + first.Length, second);
        }
    }

    /// <summary>Cuts off what a failed write left; false as long as that fails too.</summary>
    private bool TryMakeTailWholeLocked()
    {
        if (_tailIsWhole)
        {
            return true;
        }
        try
        {
            _activeFile!.SetLength(_active.CommittedBytes);
            _tailIsWhole = true;
        }
        catch (Exception e) when (DiskError.Is(e))
        {
            LastError = $"Cannot cut the log segment '{_active.Path}' back to its last whole record: {e.Message}";
        }
        return _tailIsWhole;
    }

    private AppendOutcome RollLocked(long firstLsn)
    {
        try
        {
            var (segment, file) = CreateSegment(firstLsn);
            _rolled.Add(_activeFile!);
            (_active, _activeFile) = (segment, file);
            Volatile.Write(ref _nextLsn, firstLsn);
            _segments.Add(segment);
            return AppendOutcome.Written;
        }
        catch (Exception e) when (DiskError.Is(e))
        {
            return WriteError("create", RecordFormat.SegmentName(firstLsn), e);
        }
    }

    private (Segment Segment, IDiskFile File) CreateSegment(long firstLsn)
    {
        var path = Path.Combine(_folder, RecordFormat.SegmentName(firstLsn));
        Span<byte> header = stackalloc byte[RecordFormat.SegmentHeaderBytes];
        RecordFormat.WriteSegmentHeader(header, Id, firstLsn);
        _folderIsSynced = false;
        var file = _disk.Open(path, writable: true);
        try
        {
            file.SetLength(0); // an attempt that failed half-way may have left one
            file.Write(0, header);
        }
        catch
        {
            // Left there it would be taken for the last segment; the next open sees through that too.
            file.Dispose();
            TryDelete(path);
            throw;
        }
        return (new Segment(path, firstLsn, RecordFormat.SegmentHeaderBytes), file);
    }

    private AppendOutcome WriteError(string action, string path, Exception error)
    {
        LastError = $"Cannot {action} the log segment '{path}': {error.Message}";
        if (!DiskError.IsFull(error))
        {
            return AppendOutcome.Failed;
        }
        _space.WriteFailed();
        return AppendOutcome.DiskFull;
    }

    private bool SyncAllLocked()
    {
        IDiskFile active;
        IDiskFile[] rolled;
        long end;
        long activeBytes;
        long appendedBytes;
        bool folderIsSynced;
        lock (_appendLock)
        {
            if (_failure is not null || _activeFile is null)
            {
                return false;
            }
            (active, end, folderIsSynced) = (_activeFile, _nextLsn, _folderIsSynced);
            activeBytes = _active.CommittedBytes;
            appendedBytes = _appendedBytes;
            rolled = [.. _rolled];
            _rolled.Clear();
            _folderIsSynced = true;
        }
        // Appends go on meanwhile. A file that is rolled now is closed by the next sync, which waits for our lock.
        try
        {
            foreach (var file in rolled)
            {
                file.Sync();
                Uncache(file, file.Length);
            }
            active.Sync();
            Uncache(active, activeBytes);
            if (!folderIsSynced)
            {
                _disk.SyncFolder(_folder);
            }
        }
        catch (Exception e) when (DiskError.Is(e))
        {
            _failure = $"The log in '{_folder}' could not be synced: {e.Message} What was written since record "
                + $"{SyncedLsn} may be lost. Check the disk and restart.";
            LastError = _failure;
            return false;
        }
        finally
        {
            DisposeAll(rolled);
        }
        Volatile.Write(ref _syncedBytes, appendedBytes);
        Volatile.Write(ref _syncedLsn, end);
        return true;
    }

    private void Uncache(IDiskFile file, long syncedBytes)
    {
        if (_options.IsRarelyRead)
        {
            file.Uncache(syncedBytes);
        }
    }

    private static void DisposeAll(IEnumerable<IDiskFile> files)
    {
        foreach (var file in files)
        {
            file.Dispose();
        }
    }

    /// <summary>What an earlier process left in the page cache is on disk after it.</summary>
    private void SyncRecovered()
    {
        foreach (var segment in _segments.Newest(MaxRolledUnsynced + 1))
        {
            if (segment == _active)
            {
                _activeFile!.Sync();
                continue;
            }
            using var file = _disk.Open(segment.Path, writable: true);
            file.Sync();
        }
        _disk.SyncFolder(_folder);
        _folderIsSynced = true;
        _syncedLsn = _nextLsn;
    }

    private bool TryDelete(Segment segment)
    {
        if (_folderLock is null || !TryDelete(segment.Path))
        {
            return false;
        }
        _segments.Remove(segment);
        return true;
    }

    private bool TryDelete(string path)
    {
        try
        {
            _disk.Delete(path);
            return true;
        }
        catch (Exception e) when (DiskError.Is(e))
        {
            LastError = $"Cannot delete the log segment '{path}': {e.Message}";
            return false;
        }
    }

    private static LogOpenException CannotOpen(string folder, Exception e) => new(
        $"The log in '{folder}' cannot be opened: {e.Message} Check that the disk works, has free space and that this "
        + "user may write there.", e);
}
