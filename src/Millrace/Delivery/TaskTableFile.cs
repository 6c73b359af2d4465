using System.Globalization;
using System.IO;
using System.Text;
using Millrace.Log;
using Millrace.Placement;

namespace Millrace.Delivery;

/// <summary>
/// The table of a sharded destination in its folder, so that a restart moves no task: <c>tasks-VERSION.json</c>, a new
/// file per version, the older ones deleted when it is safe.
/// </summary>
internal sealed class TaskTableFile(string folder, IDisk disk)
{
    private const string Prefix = "tasks-";
    private const string Suffix = ".json";

    /// <summary>The newest that is whole; null: there is none, or the disk cannot say.</summary>
    public TaskTable? Read()
    {
        try
        {
            var versions = Versions();
            versions.Sort();
            for (var i = versions.Count - 1; i >= 0; i--)
            {
                if (TaskTableText.TryRead(ReadText(PathOf(versions[i])), out var table, out _))
                {
                    return table;
                }
            }
        }
        catch (Exception e) when (DiskError.Is(e))
        {
            // Without its table a destination deals its tasks anew.
        }
        return null;
    }

    /// <returns>Why it could not be written; null: it is.</returns>
    public string? TryWrite(TaskTable table)
    {
        try
        {
            var before = Versions();
            var path = PathOf(table.Version);
            using (var file = disk.Open(path, writable: true))
            {
                var bytes = Encoding.UTF8.GetBytes(TaskTableText.Write(table));
                file.SetLength(0);
                file.Write(0, bytes);
                file.Sync();
            }
            disk.SyncFolder(folder);
            foreach (var version in before)
            {
                if (version != table.Version)
                {
                    disk.Delete(PathOf(version));
                }
            }
            return null;
        }
        catch (Exception e) when (DiskError.Is(e))
        {
            return e.Message;
        }
    }

    private string ReadText(string path)
    {
        using var file = disk.Open(path, writable: false);
        if (file.Length > TaskTableText.MaxChars)
        {
            return "";
        }
        var bytes = new byte[file.Length];
        return Encoding.UTF8.GetString(bytes, 0, file.Read(0, bytes));
    }

    private List<long> Versions()
    {
        var versions = new List<long>();
        foreach (var name in disk.ListFiles(folder))
        {
            if (name.StartsWith(Prefix, StringComparison.Ordinal) && name.EndsWith(Suffix, StringComparison.Ordinal)
                && long.TryParse(
                    name.AsSpan(Prefix.Length, name.Length - Prefix.Length - Suffix.Length), NumberStyles.None,
                    CultureInfo.InvariantCulture, out var version))
            {
                versions.Add(version);
            }
        }
        return versions;
    }

    private string PathOf(long version) =>
        Path.Combine(folder, Prefix + version.ToString(CultureInfo.InvariantCulture) + Suffix);
}
