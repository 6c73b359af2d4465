using Millrace.TestKit.Sharding;

namespace Millrace.SystemTests.Sharding;

/// <summary>Three nodes to which things happen, and one to which nothing does. Serves several runs in turn.</summary>
internal sealed class FaultRig : IAsyncDisposable
{
    private FaultRig()
    {
    }

    public IReadOnlyList<RecordingNodeProcess> Nodes { get; } = [new("node-a"), new("node-b"), new("node-c")];

    public RecordingNodeProcess Steady { get; } = new("steady");

    public static async Task<FaultRig> StartAsync()
    {
        var rig = new FaultRig();
        await Task.WhenAll(rig.Nodes.Append(rig.Steady).Select(node => node.StartAsync()));
        return rig;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var node in Nodes.Append(Steady))
        {
            await node.DisposeAsync();
        }
    }
}
