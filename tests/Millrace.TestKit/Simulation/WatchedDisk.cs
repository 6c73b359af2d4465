using Millrace.Log;

namespace Millrace.TestKit.Simulation;

/// <summary>
/// Another disk, told about whenever something is read: a way to do something in the midst of a replay.
/// </summary>
internal sealed class WatchedDisk(IDisk disk) : IDisk
{
    /// <summary>Called before each read; what it reads itself is not told.</summary>
    public Action? Reading { get; set; }

    /// <summary>Called before each deletion.</summary>
    public Action? Deleting { get; set; }

    public void CreateFolder(string folder) => disk.CreateFolder(folder);

    public IReadOnlyList<string> ListFiles(string folder) => disk.ListFiles(folder);

    public IDiskFile Open(string path, bool writable) => new WatchedFile(this, disk.Open(path, writable));

    public void Delete(string path)
    {
        Deleting?.Invoke();
        disk.Delete(path);
    }

    public void Rename(string path, string newPath) => disk.Rename(path, newPath);

    public void SyncFolder(string folder) => disk.SyncFolder(folder);

    public long FreeBytes(string folder) => disk.FreeBytes(folder);

    public IDisposable? TryLock(string path) => disk.TryLock(path);

    private void Tell()
    {
        var reading = Reading;
        Reading = null;
        reading?.Invoke();
        Reading ??= reading;
    }

    private sealed class WatchedFile(WatchedDisk watched, IDiskFile file) : IDiskFile
    {
        public long Length => file.Length;

        public void Write(long offset, ReadOnlySpan<byte> bytes) => file.Write(offset, bytes);

        public int Read(long offset, Span<byte> buffer)
        {
            watched.Tell();
            return file.Read(offset, buffer);
        }

        public void SetLength(long length) => file.SetLength(length);

        public void Prefetch() => file.Prefetch();

        public void Sync() => file.Sync();

        public void Dispose() => file.Dispose();
    }
}
