using Millrace.Server.Commands;

namespace Millrace.Server;

internal static class Program
{
    public static Task<int> Main(string[] args) =>
        CommandLineRoot.RunAsync(args, Console.Out, Console.Error, Gateway.RunAsync);
}
