using Millrace.Membership;

namespace Millrace.Configuration;

internal static class NodeSetReader
{
    public static NodeSetConfig Read(ConfigReader reader, bool isCanonical)
    {
        var nodes = new List<Node>();
        foreach (var element in reader.Sequence("nodes"))
        {
            var node = new ConfigReader(reader.Context, element, reader.PathOf("nodes"));
            nodes.Add(new Node(node.Text("name") ?? "", new Uri(node.Text("url") ?? "http://x"), (int)node.Number("weight", 1, 1, 100)));
            node.Finish();
        }
        return new NodeSetConfig { Nodes = nodes };
    }

    public static HealthConfig ReadHealth(ConfigReader reader)
    {
        reader.Finish();
        return new HealthConfig();
    }

    public static void WriteList(CanonicalWriter writer, IReadOnlyList<Node> nodes)
    {
        writer.BeginSequence("nodes");
        foreach (var node in nodes)
        {
            writer.BeginMapping();
            writer.Text("name", node.Name);
            writer.Text("url", node.Url.OriginalString);
            writer.End();
        }
        writer.End();
    }
}
