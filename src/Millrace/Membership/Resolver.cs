using System.Net;
using System.Net.Sockets;

namespace Millrace.Membership;

/// <summary>What the resolver said: records, none, or that it could not tell.</summary>
/// <param name="IsNone">It is certain that there are none.</param>
internal sealed record Resolved<T>(IReadOnlyList<T> Found, string? Error, bool IsNone)
{
    public static Resolved<T> Of(IReadOnlyList<T> found, string name) =>
        found.Count > 0 ? new(found, null, false) : None($"\"{name}\" has no such records");

    public static Resolved<T> None(string error) => new([], error, IsNone: true);

    public static Resolved<T> Failed(string error) => new([], error, IsNone: false);
}

/// <summary>The name service; in tests, a script.</summary>
internal interface IResolver
{
    Task<Resolved<IPAddress>> AddressesAsync(string name, CancellationToken stop);

    Task<Resolved<SrvRecord>> SrvAsync(string name, CancellationToken stop);
}

/// <summary>
/// The name service of the system: addresses by the platform (so <c>/etc/hosts</c> counts), SRV records by ourselves.
/// </summary>
internal sealed class SystemResolver(TimeProvider time) : IResolver
{
    private readonly SrvClient _srv = new(ResolverConfig.OfSystem, time);

    public async Task<Resolved<IPAddress>> AddressesAsync(string name, CancellationToken stop)
    {
        try
        {
            // The lookup itself may go on behind our back: the platform's cannot be interrupted.
            return Resolved<IPAddress>.Of(await Dns.GetHostAddressesAsync(name, stop).WaitAsync(stop), name);
        }
        catch (SocketException e) when (e.SocketErrorCode is SocketError.HostNotFound or SocketError.NoData)
        {
            return Resolved<IPAddress>.None($"\"{name}\" does not exist, or has no addresses");
        }
        catch (SocketException e)
        {
            return Resolved<IPAddress>.Failed($"\"{name}\" cannot be looked up: {e.Message}");
        }
    }

    public Task<Resolved<SrvRecord>> SrvAsync(string name, CancellationToken stop) => _srv.AskAsync(name, stop);
}
