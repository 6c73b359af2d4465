using System.CommandLine;
using System.Reflection;

namespace Millrace.Server.Commands;

/// <summary><c>millrace version</c>.</summary>
internal static class VersionCommand
{
    public static string Version =>
        Assembly.GetExecutingAssembly().GetCustomAttribute<AssemblyInformationalVersionAttribute>()
            ?.InformationalVersion ?? "unknown";

    public static Command Create()
    {
        var command = new Command("version", "Print the version.");
        command.SetAction(parsed => parsed.InvocationConfiguration.Output.WriteLine($"millrace {Version}"));
        return command;
    }
}
