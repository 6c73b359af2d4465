using Millrace.TestKit.Processes;

namespace Millrace.SystemTests;

/// <summary>Skips the test, with the reason, where what it needs cannot be had.</summary>
internal static class Needs
{
    public static void Peer(params ReadOnlySpan<string> binaries)
    {
        var missing = Peers.WhyMissing(binaries);
        Assert.SkipWhen(missing is not null, missing ?? "");
    }

    public static async Task GatewayAsync()
    {
        var missing = await MillraceProcess.WhyMissingAsync();
        Assert.SkipWhen(missing is not null, missing ?? "");
    }
}
