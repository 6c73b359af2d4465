using System.IO;

namespace Millrace.Log;

/// <summary>
/// Files of released segments that wait to be written over: memory of the page cache that is in use already costs a
/// tenth
/// of fresh one, which is most of what an append costs. A spare is a whole segment but for its header, which is zeros,
/// on disk, before the file is one; what stands behind is told from the new segment's records by their checksums, which
/// cover the first LSN of the segment.
///
/// Spares of an earlier process are deleted: after a power loss one of them may have been the newest segment, with
/// records whose LSNs are given out again. Thread-safe.
/// </summary>
internal sealed class SpareSegments(string folder, IDisk disk, int maxSpares)
{
    private const string Suffix = ".spare";
    private const int FillBytes = 1 << 20;

    private readonly Lock _lock = new(); // covers all fields
    private readonly Queue<(string Path, long SizeBytes)> _spares = new();
    private int _nextNumber;
    private int _reserved;

    public long SizeBytes
    {
        get
        {
            lock (_lock)
            {
                var size = 0L;
                foreach (var (_, sizeBytes) in _spares)
                {
                    size += sizeBytes;
                }
                return size;
            }
        }
    }

    /// <summary>What an earlier process left.</summary>
    public void DeleteLeftOver()
    {
        foreach (var name in disk.ListFiles(folder))
        {
            if (name.EndsWith(Suffix, StringComparison.Ordinal))
            {
                disk.Delete(Path.Combine(folder, name));
            }
        }
    }

    /// <summary>
    /// Makes a released segment a spare; false: there are enough, or the disk failed, and it is to be deleted.
    /// </summary>
    public bool TryKeep(Segment segment)
    {
        if (!TryReserve(out var path))
        {
            return false;
        }
        // Who still has it open for reading will find that its records do not belong to the segment.
        segment.IsGone = true;
        if (!TryRename(segment.Path, path))
        {
            GiveUp(path);
            return false;
        }
        try
        {
            long sizeBytes;
            using (var file = disk.Open(path, writable: true))
            {
                file.Write(0, stackalloc byte[RecordFormat.SegmentHeaderBytes]);
                sizeBytes = file.Length;
                file.Sync();
            }
            disk.SyncFolder(folder);
            Add(path, sizeBytes);
            return true;
        }
        catch (Exception e) when (DiskError.Is(e))
        {
            GiveUp(path);
            return true; // It has lost its name: there is nothing left to delete.
        }
    }

    /// <summary>
    /// Makes spares of zeros where there are fewer, so that the first segments are as cheap as later ones.
    /// </summary>
    public void Fill(int count, long sizeBytes, Func<bool> mayGoOn)
    {
        while (Count < count && mayGoOn() && TryReserve(out var path))
        {
            try
            {
                using var file = disk.Open(path, writable: true);
                var zeros = new byte[FillBytes];
                for (var offset = 0L; offset < sizeBytes && mayGoOn(); offset += FillBytes)
                {
                    file.Write(offset, zeros.AsSpan(0, (int)Math.Min(FillBytes, sizeBytes - offset)));
                }
                file.Sync();
                disk.SyncFolder(folder);
                Add(path, file.Length);
            }
            catch (Exception e) when (DiskError.Is(e))
            {
                GiveUp(path);
                return;
            }
        }
    }

    /// <summary>Gives a spare the name of a segment and opens it; false: there is none.</summary>
    public bool TryTake(string path, out IDiskFile file)
    {
        file = null!;
        (string Path, long) spare;
        lock (_lock)
        {
            if (!_spares.TryDequeue(out spare))
            {
                return false;
            }
        }
        if (!TryRename(spare.Path, path))
        {
            GiveUp(spare.Path, isReserved: false);
            return false;
        }
        file = disk.Open(path, writable: true);
        file.Prefetch();
        return true;
    }

    /// <summary>Gives the space back; true if there was some.</summary>
    public bool DeleteAll()
    {
        var found = false;
        while (true)
        {
            string path;
            lock (_lock)
            {
                if (!_spares.TryDequeue(out var spare))
                {
                    return found;
                }
                path = spare.Path;
            }
            GiveUp(path, isReserved: false);
            found = true;
        }
    }

    private bool TryRename(string path, string newPath)
    {
        try
        {
            disk.Rename(path, newPath);
            return true;
        }
        catch (Exception e) when (DiskError.Is(e))
        {
            return false;
        }
    }

    private int Count
    {
        get
        {
            lock (_lock)
            {
                return _spares.Count + _reserved;
            }
        }
    }

    private bool TryReserve(out string path)
    {
        lock (_lock)
        {
            path = Path.Combine(folder, $"{_nextNumber}{Suffix}");
            if (_spares.Count + _reserved >= maxSpares)
            {
                return false;
            }
            _nextNumber++;
            _reserved++;
            return true;
        }
    }

    private void Add(string path, long sizeBytes)
    {
        lock (_lock)
        {
            _reserved--;
            _spares.Enqueue((path, sizeBytes));
        }
    }

    private void GiveUp(string path, bool isReserved = true)
    {
        try
        {
            disk.Delete(path);
        }
        catch (Exception e) when (DiskError.Is(e))
        {
            // The next open deletes it.
        }
        lock (_lock)
        {
            _reserved -= isReserved ? 1 : 0;
        }
    }
}
