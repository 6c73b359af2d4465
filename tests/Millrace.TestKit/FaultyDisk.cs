using System.IO;
using System.Linq;
using Millrace.Log;

namespace Millrace.TestKit;

/// <summary>How a machine or a process ends.</summary>
internal enum CrashKind
{
    /// <summary>kill −9: what was written stays.</summary>
    Kill,

    /// <summary>As <see cref="Kill"/>, and the last operation is torn at any byte if it is a write.</summary>
    TornWrite,

    /// <summary>Power loss: a prefix of the unsynced operations stays, and a part of the next one.</summary>
    PowerLossPrefix,

    /// <summary>Power loss: any of the unsynced operations stay, in whole or in part.</summary>
    PowerLossSubset,
}

/// <summary>
/// The process on this disk is dead. No I/O error, so that nobody handles it as one.
/// </summary>
internal sealed class DiskHaltedException() : Exception("The disk was halted by the test.");

/// <summary>
/// A disk in memory that fails on order, always in the same way for a seed. What was not synced is kept as a list of
/// operations, of which a crash keeps what its kind says. Thread-safe.
/// </summary>
internal sealed class FaultyDisk(int seed) : IDisk
{
    private const int SectorBytes = 512; // power loss leaves a sector old or new
    private const int IoError = 5; // EIO

    private readonly Lock _lock = new(); // covers everything
    private readonly Random _random = new(seed);
    private readonly Dictionary<string, FileContent> _entries = new(StringComparer.Ordinal);
    private readonly Dictionary<string, FileContent> _durableEntries = new(StringComparer.Ordinal);
    private readonly HashSet<string> _locks = new(StringComparer.Ordinal);
    private readonly List<Operation> _unsynced = [];
    private int _writesUntilHalt = int.MaxValue;
    private bool _halted;
    private int _failingWrites;
    private int _failingReads;
    private int _failingCuts;
    private int _failingSyncs;
    private int _failingDeletes;

    /// <summary>Size of the disk; a write that passes it stops half-way.</summary>
    public long CapacityBytes { get; set; } = long.MaxValue;

    public long UsedBytes
    {
        get
        {
            lock (_lock)
            {
                return _entries.Values.Sum(file => (long)file.Live.Length);
            }
        }
    }

    public int WriteCount { get; private set; }

    public int SyncCount { get; private set; }

    /// <summary>Each write does a part of its work and then fails.</summary>
    public void FailNextWrites(int count) => _failingWrites = count;

    public void FailNextReads(int count) => _failingReads = count;

    /// <summary>Calls of SetLength.</summary>
    public void FailNextCuts(int count) => _failingCuts = count;

    public void FailNextSyncs(int count) => _failingSyncs = count;

    public void FailNextDeletes(int count) => _failingDeletes = count;

    /// <summary>After so many whole writes the process dies inside the next, which leaves a part of it.</summary>
    public void HaltAfterWrites(int count) => _writesUntilHalt = count;

    /// <summary>Turns over one bit, as bit rot does: in the file and in the page cache.</summary>
    public void FlipBit(string path, long offset, int bit)
    {
        lock (_lock)
        {
            var file = _entries[path];
            file.Live.Flip(offset, bit);
            file.Durable.Flip(offset, bit);
            foreach (var operation in _unsynced)
            {
                if (operation.File == file && operation.Bytes is { } bytes
                    && offset >= operation.Offset && offset < operation.Offset + bytes.Length)
                {
                    bytes[offset - operation.Offset] ^= (byte)(1 << bit);
                }
            }
        }
    }

    public byte[] ReadAll(string path)
    {
        lock (_lock)
        {
            return _entries[path].Live.Span.ToArray();
        }
    }

    /// <summary>The disk as the next process finds it; this one is halted.</summary>
    public FaultyDisk Crash(CrashKind kind)
    {
        lock (_lock)
        {
            _halted = true;
            var after = new FaultyDisk(_random.Next()) { CapacityBytes = CapacityBytes };
            var copies = new Dictionary<FileContent, FileContent>();
            foreach (var (path, file) in _durableEntries)
            {
                after._entries[path] = DurableCopy(file, copies);
            }
            var kept = _random.Next(_unsynced.Count + 1);
            for (var i = 0; i < _unsynced.Count; i++)
            {
                var luck = _random.Next(3);
                var keeps = kind switch
                {
                    CrashKind.PowerLossPrefix => i < kept || (i == kept && _unsynced[i].Bytes is not null),
                    CrashKind.PowerLossSubset => luck > 0,
                    _ => true,
                };
                var tears = kind switch
                {
                    CrashKind.TornWrite => i == _unsynced.Count - 1,
                    CrashKind.PowerLossPrefix => i == kept,
                    CrashKind.PowerLossSubset => luck == 1,
                    _ => false,
                };
                if (keeps)
                {
                    var unit = kind == CrashKind.TornWrite ? 1 : SectorBytes;
                    Apply(tears ? Torn(_unsynced[i], unit) : _unsynced[i], after, copies);
                }
            }
            foreach (var (path, file) in after._entries)
            {
                file.Durable.CopyFrom(file.Live);
                after._durableEntries[path] = file;
            }
            return after;
        }
    }

    public void CreateFolder(string folder) => ThrowIfHalted();

    public IReadOnlyList<string> ListFiles(string folder)
    {
        lock (_lock)
        {
            ThrowIfHalted();
            return [.. _entries.Keys.Where(path => Path.GetDirectoryName(path) == folder).Select(Path.GetFileName)!];
        }
    }

    public IDiskFile Open(string path, bool writable)
    {
        lock (_lock)
        {
            ThrowIfHalted();
            if (!_entries.TryGetValue(path, out var file))
            {
                if (!writable)
                {
                    throw new FileNotFoundException($"There is no file '{path}'.", path);
                }
                file = new FileContent();
                _entries[path] = file;
                _unsynced.Add(new Operation(OperationKind.Create, file, path));
            }
            return new OpenFile(this, file, writable);
        }
    }

    public void Delete(string path)
    {
        lock (_lock)
        {
            ThrowIfHalted();
            FailIfOrdered(ref _failingDeletes, "delete");
            if (_entries.Remove(path, out var file))
            {
                _unsynced.Add(new Operation(OperationKind.Delete, file, path));
            }
        }
    }

    public void SyncFolder(string folder)
    {
        lock (_lock)
        {
            ThrowIfHalted();
            FailIfOrdered(ref _failingSyncs, "sync a folder");
            foreach (var operation in _unsynced)
            {
                if (operation.Path is null || Path.GetDirectoryName(operation.Path) != folder)
                {
                    continue;
                }
                if (operation.Kind == OperationKind.Create)
                {
                    _durableEntries[operation.Path] = operation.File;
                }
                else
                {
                    _durableEntries.Remove(operation.Path);
                }
            }
            _unsynced.RemoveAll(o => o.Path is not null && Path.GetDirectoryName(o.Path) == folder);
        }
    }

    public long FreeBytes(string folder) => Math.Max(0, CapacityBytes - UsedBytes);

    public IDisposable? TryLock(string path)
    {
        lock (_lock)
        {
            ThrowIfHalted();
            return _locks.Add(path) ? new HeldLock(this, path) : null;
        }
    }

    private void Write(FileContent file, long offset, ReadOnlySpan<byte> bytes)
    {
        lock (_lock)
        {
            ThrowIfHalted();
            WriteCount++;
            if (_writesUntilHalt-- == 0)
            {
                Record(file, offset, bytes[.._random.Next(bytes.Length + 1)]);
                _halted = true;
                throw new DiskHaltedException();
            }
            if (_failingWrites > 0)
            {
                Record(file, offset, bytes[.._random.Next(bytes.Length + 1)]);
            }
            FailIfOrdered(ref _failingWrites, "write");
            var growth = Math.Max(0, offset + bytes.Length - file.Live.Length);
            var missing = growth - FreeBytes("");
            if (missing > 0)
            {
                Record(file, offset, bytes[..(int)Math.Max(0, bytes.Length - missing)]);
                throw DiskError.Full("No space left on the disk.");
            }
            Record(file, offset, bytes);
        }
    }

    private void Record(FileContent file, long offset, ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length > 0)
        {
            file.Live.Write(offset, bytes);
            _unsynced.Add(new Operation(OperationKind.Write, file, null, offset, bytes.ToArray()));
        }
    }

    private int Read(FileContent file, long offset, Span<byte> buffer)
    {
        lock (_lock)
        {
            ThrowIfHalted();
            FailIfOrdered(ref _failingReads, "read");
            var count = (int)Math.Clamp(file.Live.Length - offset, 0, buffer.Length);
            file.Live.Span.Slice((int)Math.Min(offset, file.Live.Length), count).CopyTo(buffer);
            return count;
        }
    }

    private void SetLength(FileContent file, long length)
    {
        lock (_lock)
        {
            ThrowIfHalted();
            FailIfOrdered(ref _failingCuts, "set the length");
            file.Live.SetLength(length);
            _unsynced.Add(new Operation(OperationKind.SetLength, file, null, length));
        }
    }

    private void Sync(FileContent file)
    {
        lock (_lock)
        {
            ThrowIfHalted();
            SyncCount++;
            FailIfOrdered(ref _failingSyncs, "sync");
            file.Durable.CopyFrom(file.Live);
            _unsynced.RemoveAll(operation => operation.File == file && operation.Path is null);
        }
    }

    private void ThrowIfHalted()
    {
        if (_halted)
        {
            throw new DiskHaltedException();
        }
    }

    private static void FailIfOrdered(ref int failures, string action)
    {
        if (failures > 0)
        {
            failures--;
            throw new IOException($"Input/output error: cannot {action}.", IoError);
        }
    }

    private Operation Torn(Operation operation, int unit)
    {
        if (operation.Bytes is not { } bytes)
        {
            return operation;
        }
        // A tear lies on a boundary of the disk's unit, not of the write's.
        var end = operation.Offset + _random.Next(bytes.Length + 1);
        end -= end % unit;
        return operation with { Bytes = bytes[..(int)Math.Max(0, end - operation.Offset)] };
    }

    private static FileContent DurableCopy(FileContent file, Dictionary<FileContent, FileContent> copies)
    {
        if (!copies.TryGetValue(file, out var copy))
        {
            copy = new FileContent();
            copy.Live.CopyFrom(file.Durable);
            copies[file] = copy;
        }
        return copy;
    }

    private static void Apply(Operation operation, FaultyDisk disk, Dictionary<FileContent, FileContent> copies)
    {
        var file = DurableCopy(operation.File, copies);
        switch (operation.Kind)
        {
            case OperationKind.Create:
                disk._entries[operation.Path!] = file;
                break;
            case OperationKind.Delete:
                disk._entries.Remove(operation.Path!);
                break;
            case OperationKind.SetLength:
                file.Live.SetLength(operation.Offset);
                break;
            case OperationKind.Write:
                file.Live.Write(operation.Offset, operation.Bytes);
                break;
        }
    }

    private enum OperationKind
    {
        Create,
        Delete,
        SetLength,
        Write,
    }

    /// <param name="Kind">What was done.</param>
    /// <param name="File">To which file; it outlives its name.</param>
    /// <param name="Path">Of creations and deletions, which a sync of the folder makes durable.</param>
    /// <param name="Offset">Of a write; the length of a SetLength.</param>
    /// <param name="Bytes">Of a write.</param>
    private sealed record Operation(
        OperationKind Kind, FileContent File, string? Path, long Offset = 0, byte[]? Bytes = null);

    private sealed class FileContent
    {
        public ByteBuffer Live { get; } = new();

        public ByteBuffer Durable { get; } = new();
    }

    private sealed class ByteBuffer
    {
        private byte[] _bytes = [];

        public int Length { get; private set; }

        public ReadOnlySpan<byte> Span => _bytes.AsSpan(0, Length);

        public void Write(long offset, ReadOnlySpan<byte> bytes)
        {
            SetLength(Math.Max(Length, offset + bytes.Length));
            bytes.CopyTo(_bytes.AsSpan((int)offset));
        }

        public void SetLength(long length)
        {
            if (length > _bytes.Length)
            {
                Array.Resize(ref _bytes, (int)Math.Max(length, 2L * _bytes.Length));
            }
            if (length < Length)
            {
                _bytes.AsSpan((int)length, (int)(Length - length)).Clear();
            }
            Length = (int)length;
        }

        public void CopyFrom(ByteBuffer other)
        {
            _bytes = other.Span.ToArray();
            Length = _bytes.Length;
        }

        public void Flip(long offset, int bit)
        {
            if (offset < Length)
            {
                _bytes[offset] ^= (byte)(1 << bit);
            }
        }
    }

    private sealed class OpenFile(FaultyDisk disk, FileContent file, bool writable) : IDiskFile
    {
        private bool _closed;

        public long Length
        {
            get
            {
                ObjectDisposedException.ThrowIf(_closed, this);
                return file.Live.Length;
            }
        }

        public void Write(long offset, ReadOnlySpan<byte> bytes)
        {
            ThrowIfNotWritable();
            disk.Write(file, offset, bytes);
        }

        public int Read(long offset, Span<byte> buffer)
        {
            ObjectDisposedException.ThrowIf(_closed, this);
            return disk.Read(file, offset, buffer);
        }

        public void SetLength(long length)
        {
            ThrowIfNotWritable();
            disk.SetLength(file, length);
        }

        public void Uncache(long bytes) => ThrowIfNotWritable();

        public void Sync()
        {
            ThrowIfNotWritable();
            disk.Sync(file);
        }

        public void Dispose() => _closed = true;

        private void ThrowIfNotWritable()
        {
            ObjectDisposedException.ThrowIf(_closed, this);
            if (!writable)
            {
                throw new UnauthorizedAccessException("The file was opened for reading.");
            }
        }
    }

    private sealed class HeldLock(FaultyDisk disk, string path) : IDisposable
    {
        public void Dispose()
        {
            lock (disk._lock)
            {
                disk._locks.Remove(path);
            }
        }
    }
}
