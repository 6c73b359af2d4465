using System.Buffers.Binary;
using System.IO;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;

namespace Millrace.Membership;

/// <summary>
/// Asks the servers of <c>resolv.conf</c> for SRV records: over UDP, over TCP where the answer does not fit into a
/// datagram. An answer counts when it comes from the server that was asked, at the port that asked, with the id and the
/// question that were sent; anything else is ignored.
/// </summary>
internal sealed class SrvClient(Func<ResolverConfig> config, TimeProvider time)
{
    private const int Rounds = 2;

    /// <summary>For one server and try; the whole lookup has its own bound.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(1_500);

    public async Task<Resolved<SrvRecord>> AskAsync(string name, CancellationToken stop)
    {
        var resolver = config();
        Resolved<SrvRecord>? failed = null;
        Resolved<SrvRecord>? none = null;
        foreach (var candidate in resolver.Candidates(name))
        {
            var answer = await AskServersAsync(resolver, candidate, stop);
            if (answer.Found.Count > 0)
            {
                return answer;
            }
            // What could not be told outweighs what is certain: the records may be there.
            (failed, none) = answer.IsNone ? (failed, none ?? answer) : (failed ?? answer, none);
        }
        return failed ?? none ?? Resolved<SrvRecord>.None($"\"{name}\" does not exist");
    }

    private async Task<Resolved<SrvRecord>> AskServersAsync(
        ResolverConfig resolver, string name, CancellationToken stop)
    {
        var error = "";
        for (var round = 0; round < Rounds; round++)
        {
            foreach (var server in resolver.Servers)
            {
                using var patience = new CancellationTokenSource(Patience, time);
                using var either = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, stop);
                var found = new List<SrvRecord>();
                try
                {
                    var reading = await AskServerAsync(server, name, found, either.Token);
                    switch (reading)
                    {
                        case DnsReading.Answered:
                            return Resolved<SrvRecord>.Of(found, name);
                        case DnsReading.NoSuchName:
                            return Resolved<SrvRecord>.None($"\"{name}\" does not exist");
                        default:
                            error = reading == DnsReading.Refused ? "refuses to answer" : "gave an unreadable answer";
                            break;
                    }
                }
                catch (OperationCanceledException) when (!stop.IsCancellationRequested)
                {
                    error = "does not answer";
                }
                catch (Exception e) when (e is SocketException or IOException)
                {
                    error = $"cannot be asked: {e.Message}";
                }
                error = $"server {server} {error}";
            }
        }
        return Resolved<SrvRecord>.Failed($"\"{name}\" cannot be looked up: {error}");
    }

    private static async Task<DnsReading> AskServerAsync(
        IPEndPoint server, string name, List<SrvRecord> found, CancellationToken stop)
    {
        // Not the seeded chance of everything else: who can foresee the id can answer in the server's place.
        var id = (ushort)RandomNumberGenerator.GetInt32(ushort.MaxValue + 1);
        var query = new byte[DnsMessage.MaxDatagramBytes];
        if (!DnsMessage.TryWriteQuery(id, name, query, out var length))
        {
            return DnsReading.NoSuchName; // with a search domain behind it, longer than a name may be
        }
        var reading = await AskByDatagramAsync(server, query.AsMemory(0, length), id, name, found, stop);
        return reading == DnsReading.Truncated
            ? await AskByStreamAsync(server, query.AsMemory(0, length), id, name, found, stop)
            : reading;
    }

    private static async Task<DnsReading> AskByDatagramAsync(
        IPEndPoint server, ReadOnlyMemory<byte> query, ushort id, string name, List<SrvRecord> found,
        CancellationToken stop)
    {
        // Connected: what others send to this port is not delivered.
        using var socket = new Socket(server.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        await socket.ConnectAsync(server, stop);
        await socket.SendAsync(query, SocketFlags.None, stop);
        var buffer = new byte[ushort.MaxValue];
        while (true)
        {
            var received = await socket.ReceiveAsync(buffer, SocketFlags.None, stop);
            var reading = DnsMessage.Read(buffer.AsSpan(0, received), id, name, found);
            if (reading != DnsReading.NotOurs)
            {
                return reading;
            }
        }
    }

    private static async Task<DnsReading> AskByStreamAsync(
        IPEndPoint server, ReadOnlyMemory<byte> query, ushort id, string name, List<SrvRecord> found,
        CancellationToken stop)
    {
        using var socket = new Socket(server.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(server, stop);
        await using var stream = new NetworkStream(socket, ownsSocket: false);
        var framed = new byte[2 + query.Length];
        BinaryPrimitives.WriteUInt16BigEndian(framed, (ushort)query.Length);
        query.CopyTo(framed.AsMemory(2));
        await stream.WriteAsync(framed, stop);
        var size = new byte[2];
        await stream.ReadExactlyAsync(size, stop);
        var answer = new byte[BinaryPrimitives.ReadUInt16BigEndian(size)];
        await stream.ReadExactlyAsync(answer, stop);
        var reading = DnsMessage.Read(answer, id, name, found);
        // Nothing better can come: a stream has room for all.
        return reading is DnsReading.NotOurs or DnsReading.Truncated ? DnsReading.Malformed : reading;
    }
}
