using System.IO;

namespace Millrace.Log;

/// <summary>
/// What the log needs of a disk. Real: <see cref="SystemDisk"/>; the test kit has one that tears writes, loses what was
/// not synced, fills up and fails. Errors are <see cref="IOException"/> or <see cref="UnauthorizedAccessException"/>.
/// </summary>
internal interface IDisk
{
    void CreateFolder(string folder);

    /// <summary>Names (without folder) of the files in a folder, in no order.</summary>
    IReadOnlyList<string> ListFiles(string folder);

    /// <summary>Opens a file for reading, or for writing, in which case it is created if it is missing.</summary>
    IDiskFile Open(string path, bool writable);

    void Delete(string path);

    /// <summary>After it the creations and deletions in this folder survive power loss.</summary>
    void SyncFolder(string folder);

    long FreeBytes(string folder);

    /// <summary>Locks a file against other opens, also from other processes; null when somebody else has it.</summary>
    IDisposable? TryLock(string path);
}

internal interface IDiskFile : IDisposable
{
    long Length { get; }

    /// <summary>Writes all of it or throws; in the latter case any part of it may have been written.</summary>
    void Write(long offset, ReadOnlySpan<byte> bytes);

    /// <summary>Reads until the buffer is full or the file ends; returns the number of bytes read.</summary>
    int Read(long offset, Span<byte> buffer);

    void SetLength(long length);

    /// <summary>After it the content and the length survive power loss.</summary>
    void Sync();

    /// <summary>
    /// The first bytes are synced and will hardly be read again: the memory that holds them may serve others.
    /// </summary>
    void Uncache(long bytes);
}

internal static class DiskError
{
    private const int NoSpace = 28; // ENOSPC, Linux and macOS
    private const int FileTooBig = 27; // EFBIG: a limit of the file system or of the user
    private const int LinuxQuota = 122; // EDQUOT
    private const int MacQuota = 69;
    private const int WindowsDiskFull = unchecked((int)0x80070070);
    private const int WindowsHandleDiskFull = unchecked((int)0x80070027);

    /// <summary>True for what a disk may do at any time, as opposed to our bugs.</summary>
    public static bool Is(Exception exception) => exception is IOException or UnauthorizedAccessException;

    public static bool IsFull(Exception exception) => exception is IOException && exception.HResult
        is NoSpace or FileTooBig or LinuxQuota or MacQuota or WindowsDiskFull or WindowsHandleDiskFull;

    public static IOException Full(string message) => new(message, NoSpace);
}
