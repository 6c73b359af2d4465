using Millrace.Delivery;

namespace Millrace.TestKit;

/// <summary>Requests as a destination makes them, for tests of what sends them.</summary>
internal static class SampleSendings
{
    public static Sending To(DestinationConfig config, WireProtocol protocol = WireProtocol.PrometheusV1)
    {
        var node = new BackendNode("", config.Url, config, 1);
        var part = new BlockPart(SampleBlocks.Seal(Feed.Raw, 0, default, 0, ("m", 1, 1)), isRepeated: false);
        part.GoesTo(node);
        return new Sending
        {
            Lane = 0,
            Protocol = protocol,
            Body = new byte[] { 1, 2, 3 },
            SampleCount = 1,
            IsRepeat = false,
            StartedAtMs = 0,
            Part = part,
            Node = node,
        };
    }
}
