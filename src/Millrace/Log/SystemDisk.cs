using System.IO;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Millrace.Log;

/// <summary>The operating system's files, by position, without buffers of ours.</summary>
internal sealed partial class SystemDisk : IDisk
{
    // Another process holds the lock: EAGAIN of Linux and of macOS, a sharing violation of Windows.
    private const int LinuxWouldBlock = 11;
    private const int MacWouldBlock = 35;
    private const long PageBytes = 64 << 10; // or a part of it
    private const int AdviceDontNeed = 4;
    private const int WindowsSharing = unchecked((int)0x80070020);

    public void CreateFolder(string folder)
    {
        if (Directory.Exists(folder))
        {
            return;
        }
        Directory.CreateDirectory(folder);
        if (Path.GetDirectoryName(Path.GetFullPath(folder)) is { Length: > 0 } parent)
        {
            SyncFolder(parent);
        }
    }

    public IReadOnlyList<string> ListFiles(string folder)
    {
        var names = Directory.GetFiles(folder);
        for (var i = 0; i < names.Length; i++)
        {
            names[i] = Path.GetFileName(names[i]);
        }
        return names;
    }

    public IDiskFile Open(string path, bool writable) => new SystemFile(File.OpenHandle(
        path,
        writable ? FileMode.OpenOrCreate : FileMode.Open,
        writable ? FileAccess.ReadWrite : FileAccess.Read,
        FileShare.ReadWrite | FileShare.Delete));

    public void Delete(string path) => File.Delete(path);

    public void SyncFolder(string folder)
    {
        if (OperatingSystem.IsWindows())
        {
            return; // NTFS journals its directories.
        }
        var descriptor = OpenDescriptor(folder, 0);
        if (descriptor < 0)
        {
            throw LastError("open", folder);
        }
        try
        {
            if (SyncDescriptor(descriptor) < 0)
            {
                throw LastError("sync", folder);
            }
        }
        finally
        {
            _ = CloseDescriptor(descriptor);
        }
    }

    public long FreeBytes(string folder) => new DriveInfo(
        OperatingSystem.IsWindows() ? Path.GetPathRoot(Path.GetFullPath(folder))! : folder).AvailableFreeSpace;

    public IDisposable? TryLock(string path)
    {
        try
        {
            return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, bufferSize: 0);
        }
        catch (IOException e) when (e.HResult is LinuxWouldBlock or MacWouldBlock or WindowsSharing)
        {
            return null;
        }
    }

    private static IOException LastError(string action, string folder)
    {
        var error = Marshal.GetLastPInvokeError();
        return new IOException(
            $"Cannot {action} the folder '{folder}': {Marshal.GetPInvokeErrorMessage(error)}.", error);
    }

    // .NET opens no folders, and a new file is only there after a power cut if its folder was synced.
    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int OpenDescriptor(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int SyncDescriptor(int descriptor);

    [LibraryImport("libc", EntryPoint = "posix_fadvise")]
    private static partial int AdviseDescriptor(SafeFileHandle file, long offset, long length, int advice);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    private static partial int CloseDescriptor(int descriptor);

    private sealed class SystemFile(SafeFileHandle handle) : IDiskFile
    {
        public long Length => RandomAccess.GetLength(handle);

        public void Write(long offset, ReadOnlySpan<byte> bytes) => RandomAccess.Write(handle, bytes, offset);

        public int Read(long offset, Span<byte> buffer)
        {
            var total = 0;
            while (total < buffer.Length)
            {
                var read = RandomAccess.Read(handle, buffer[total..], offset + total);
                if (read == 0)
                {
                    break;
                }
                total += read;
            }
            return total;
        }

        public void SetLength(long length) => RandomAccess.SetLength(handle, length);

        public void Sync() => RandomAccess.FlushToDisk(handle);

        public void Uncache(long bytes)
        {
            // The page of the tail stays: the next append would have to read it back.
            var whole = bytes & -PageBytes;
            if (OperatingSystem.IsLinux() && whole > 0)
            {
                _ = AdviseDescriptor(handle, 0, whole, AdviceDontNeed); // Only advice: what it answers does not matter.
            }
        }

        public void Dispose() => handle.Dispose();
    }
}
