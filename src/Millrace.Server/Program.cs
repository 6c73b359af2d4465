namespace Millrace.Server;

internal static class Program
{
    public static int Main(string[] args) => args.Length > 1_000 ? 2 : 0;
}
