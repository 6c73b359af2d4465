using System.IO;
using Millrace.TestKit.Processes;

namespace Millrace.SystemTests.EndToEnd;

/// <summary>A real browser without a window: what it makes of a page.</summary>
internal static class Chromium
{
    private static readonly string[] Names = ["chromium", "chromium-browser", "google-chrome"];

    public static string? WhyMissing() =>
        Executable() is null ? "no chromium on the PATH: apt-get install chromium" : null;

    /// <summary>
    /// The document after its scripts ran for some time of their own: timers run as fast as requests are answered.
    /// </summary>
    public static async Task<string> DumpAsync(Uri page, TimeSpan scriptTime)
    {
        using var profile = new TemporaryFolder("chromium");
        using var dump = new TemporaryFolder("page");
        var file = dump.File("page.html");
        // The dump may be longer than the lines that are kept of a process's output.
        var (exitCode, output) = await PeerProcess.RunAsync(
            "/bin/sh",
            [
                "-c", "out=$1; shift; exec \"$@\" >\"$out\"", "sh", file,
                Executable()!, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                "--no-first-run", "--disable-sync", "--disable-component-update", "--disable-dev-shm-usage",
                $"--user-data-dir={profile.Path}",
                $"--virtual-time-budget={(long)scriptTime.TotalMilliseconds}", "--dump-dom", page.ToString(),
            ],
            TimeSpan.FromSeconds(60));
        return exitCode == 0
            ? await File.ReadAllTextAsync(file)
            : throw new InvalidOperationException($"Chromium ended with code {exitCode}.\n{output}");
    }

    private static string? Executable()
    {
        foreach (var folder in (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator))
        {
            foreach (var name in Names)
            {
                if (File.Exists(Path.Combine(folder, name)))
                {
                    return Path.Combine(folder, name);
                }
            }
        }
        return null;
    }
}
