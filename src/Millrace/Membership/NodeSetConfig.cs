using System.Net.Sockets;

namespace Millrace.Membership;

/// <summary>Where the nodes of a destination are found.</summary>
public enum NodeSourceKind
{
    /// <summary>Written in the configuration.</summary>
    List,

    /// <summary>A file with the same list, read again when it changes.</summary>
    File,

    /// <summary>The addresses (A and AAAA) of a name.</summary>
    Addresses,

    /// <summary>The hosts and ports (SRV) of a name.</summary>
    Srv,
}

/// <summary>The nodes of a sharded destination, or how they are found.</summary>
public sealed record NodeSetConfig
{
    public static readonly TimeSpan FilePollInterval = TimeSpan.FromSeconds(2);

    public NodeSourceKind Kind { get; init; }

    /// <summary>Of a list: in this order, which some placements go by.</summary>
    public IReadOnlyList<Node> Nodes { get; init; } = [];

    public string File { get; init; } = "";

    /// <summary>What to look up.</summary>
    public string DnsName { get; init; } = "";

    /// <summary>Of each address; SRV records bring their own.</summary>
    public int Port { get; init; }

    /// <summary>Take only these addresses; null: all. A pod with two would be two nodes.</summary>
    public AddressFamily? Family { get; init; }

    public string Scheme { get; init; } = "http";

    /// <summary>Of the nodes' write address, with its query if it has one.</summary>
    public string Path { get; init; } = "/api/v1/write";

    /// <summary>Between two looks at the source.</summary>
    public TimeSpan Refresh { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>For one look.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>A node must be missing for so long, and in two looks, before it is let go.</summary>
    public TimeSpan Debounce { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>The only node as long as nothing was ever found; null: there is none then.</summary>
    public Uri? Fallback { get; init; }

    /// <summary>The write address of a node that was looked up; null where the host cannot stand in one.</summary>
    public Uri? UrlOf(string host, int port) => Uri.TryCreate(
        FormattableString.Invariant($"{Scheme}://{host}:{port}{Path}"), UriKind.Absolute, out var url) ? url : null;
}
