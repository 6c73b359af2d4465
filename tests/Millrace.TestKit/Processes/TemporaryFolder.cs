using System.IO;

namespace Millrace.TestKit.Processes;

/// <summary>A folder of its own for a process's files, removed at the end.</summary>
public sealed class TemporaryFolder : IDisposable
{
    public TemporaryFolder(string name) => Path = Directory.CreateTempSubdirectory($"millrace-test-{name}-").FullName;

    public string Path { get; }

    public string File(string name) => System.IO.Path.Combine(Path, name);

    public void Dispose()
    {
        try
        {
            Directory.Delete(Path, recursive: true);
        }
        catch (IOException)
        {
            // A process that was killed a moment ago may still be writing; the system cleans its temporary folder.
        }
    }
}
