namespace Millrace.Membership;

/// <summary>
/// One of the backends behind a sharded destination. <see cref="Name"/> is who it is: queues, metrics and its share of
/// the tasks hang on it, and survive a new address.
/// </summary>
public sealed record Node(string Name, Uri Url, int Weight = 1)
{
    public const int MaxNameLength = 255;
    public const int MaxWeight = 100;
}

/// <summary>
/// The nodes at one time. The version rises with every change, so that who gets two sets knows the later one.
/// </summary>
/// <param name="IsFallback">Nothing was found yet: this is the endpoint for that case.</param>
internal sealed record NodeSet(long Version, IReadOnlyList<Node> Nodes, bool IsFallback)
{
    /// <summary>More are an error of the source, not a fleet.</summary>
    public const int MaxNodes = 1_024;

    public static readonly NodeSet Empty = new(0, [], false);
}
