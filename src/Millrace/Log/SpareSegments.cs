using System.IO;

namespace Millrace.Log;

/// <summary>
/// Files of released segments that wait to be written over: the pages of a file that stands in the page cache cost a
/// tenth of fresh ones, which are most of what an append costs. A spare is a whole segment but for its header, which is
/// zeros, on disk, before the file is a spare; what stands behind it is told from the new segment's records by their
/// checksums, which cover the first LSN of the segment.
///
/// Spares of an earlier process are deleted: after a power loss one of them may have been the newest segment, with
/// records whose LSNs are given out again. One thread keeps, one at a time takes.
/// </summary>
internal sealed class SpareSegments(string folder, IDisk disk, int maxSpares)
{
    private const string Suffix = ".spare";

    private readonly Lock _lock = new(); // covers all fields
    private readonly Queue<(string Path, long SizeBytes)> _spares = new();
    private int _nextNumber;

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

    /// <summary>Makes a released segment a spare; false: it is to be deleted.</summary>
    public bool TryKeep(Segment segment)
    {
        string path;
        lock (_lock)
        {
            if (_spares.Count >= maxSpares)
            {
                return false;
            }
            path = Path.Combine(folder, $"{_nextNumber++}{Suffix}");
        }
        // Who still has it open for reading will find that its records do not belong to the segment.
        segment.IsGone = true;
        if (!TryRename(segment.Path, path))
        {
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
            lock (_lock)
            {
                _spares.Enqueue((path, sizeBytes));
            }
            return true;
        }
        catch (Exception e) when (DiskError.Is(e))
        {
            Delete(path);
            return true; // It has lost its name: there is nothing left to delete.
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
            Delete(spare.Path);
            return false;
        }
        file = disk.Open(path, writable: true);
        file.Prefetch();
        return true;
    }

    /// <summary>Gives the space back.</summary>
    public void DeleteAll()
    {
        while (true)
        {
            string path;
            lock (_lock)
            {
                if (!_spares.TryDequeue(out var spare))
                {
                    return;
                }
                path = spare.Path;
            }
            Delete(path);
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

    private void Delete(string path)
    {
        try
        {
            disk.Delete(path);
        }
        catch (Exception e) when (DiskError.Is(e))
        {
            // The next open deletes it.
        }
    }
}
