using System.IO;
using System.Net;
using System.Net.Sockets;

namespace Millrace.Membership;

/// <summary>Where nodes are looked for. Never throws for what the network or the disk does.</summary>
internal interface INodeSource
{
    /// <exception cref="OperationCanceledException">It took too long, or is no longer wanted.</exception>
    Task<NodeLookup> LookAsync(CancellationToken stop);
}

internal static class NodeSources
{
    /// <summary>What to look at for the nodes; null for a list, which is known.</summary>
    /// <param name="parseFile">The nodes in the text of the file of this name.</param>
    public static INodeSource? Of(
        NodeSetConfig config, IResolver resolver, Func<string, string, NodeLookup> parseFile) => config.Kind switch
        {
            NodeSourceKind.File => new NodeFile(config.File, NodeFile.Read, text => parseFile(config.File, text)),
            NodeSourceKind.Addresses => new AddressSource(config, resolver),
            NodeSourceKind.Srv => new SrvSource(config, resolver),
            _ => null,
        };
}

/// <summary>Each address of a name is a node, called by it.</summary>
internal sealed class AddressSource(NodeSetConfig config, IResolver resolver) : INodeSource
{
    public async Task<NodeLookup> LookAsync(CancellationToken stop)
    {
        var answer = await resolver.AddressesAsync(config.DnsName, stop);
        var nodes = new List<Node>(answer.Found.Count);
        foreach (var found in answer.Found)
        {
            var address = found.IsIPv4MappedToIPv6 ? found.MapToIPv4() : found;
            if (config.Family is { } family && address.AddressFamily != family)
            {
                continue;
            }
            // Without a zone, which means nothing to others and stands in no URL.
            var text = new IPAddress(address.GetAddressBytes()).ToString();
            var host = address.AddressFamily == AddressFamily.InterNetworkV6 ? $"[{text}]" : text;
            if (config.UrlOf(host, config.Port) is { } url)
            {
                nodes.Add(new Node(text, url));
            }
        }
        return new NodeLookup(nodes, answer.Error);
    }
}

/// <summary>
/// Each host of the SRV records is a node, called by its name; where a host has several ports, with the port. Of
/// several priorities only the first is used; weights are not: cluster DNS writes 100 divided by the number of nodes.
/// </summary>
internal sealed class SrvSource(NodeSetConfig config, IResolver resolver) : INodeSource
{
    public async Task<NodeLookup> LookAsync(CancellationToken stop)
    {
        var answer = await resolver.SrvAsync(config.DnsName, stop);
        var first = int.MaxValue;
        foreach (var record in answer.Found)
        {
            first = Math.Min(first, record.Priority);
        }
        var ports = new Dictionary<string, SortedSet<int>>(StringComparer.Ordinal);
        foreach (var record in answer.Found)
        {
            if (record.Priority == first && record.Port > 0)
            {
                if (!ports.TryGetValue(record.Target, out var ofTarget))
                {
                    ports[record.Target] = ofTarget = [];
                }
                ofTarget.Add(record.Port);
            }
        }
        var nodes = new List<Node>(answer.Found.Count);
        foreach (var (target, ofTarget) in ports)
        {
            foreach (var port in ofTarget)
            {
                if (config.UrlOf(target, port) is { } url)
                {
                    nodes.Add(new Node(
                        ofTarget.Count > 1 ? FormattableString.Invariant($"{target}:{port}") : target, url));
                }
            }
        }
        return new NodeLookup(nodes, answer.Error);
    }
}

/// <summary>
/// A file with a list of nodes. A changed text counts when it was read the same twice: whoever writes it may not be
/// done.
/// </summary>
/// <param name="read">The text; null when it cannot be read.</param>
/// <param name="parse">The nodes in a text, or what is wrong with it.</param>
internal sealed class NodeFile(string path, Func<string, string?> read, Func<string, NodeLookup> parse) : INodeSource
{
    private const long MaxBytes = 1 << 20;

    private string? _seen;
    private string? _parsed;
    private NodeLookup _lookup = NodeLookup.Failed($"file \"{path}\" was not read yet");

    /// <summary>The text of a file, null when it cannot be read or is far too long for a list of nodes.</summary>
    public static string? Read(string path)
    {
        try
        {
            return new FileInfo(path).Length > MaxBytes ? null : File.ReadAllText(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException
            or NotSupportedException)
        {
            return null;
        }
    }

    public Task<NodeLookup> LookAsync(CancellationToken stop)
    {
        var text = read(path);
        if (text is null)
        {
            return Task.FromResult(NodeLookup.Failed(
                $"file \"{path}\" cannot be read: check that it is there, its permissions and its size"));
        }
        var isSettled = _parsed is null || text == _seen;
        _seen = text;
        if (isSettled && text != _parsed)
        {
            _parsed = text;
            _lookup = parse(text);
        }
        return Task.FromResult(_lookup);
    }
}
