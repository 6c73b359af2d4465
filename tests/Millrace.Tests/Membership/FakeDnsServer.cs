using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Millrace.Membership;

namespace Millrace.Tests.Membership;

/// <summary>How the fake server answers over UDP; over TCP it always tells everything.</summary>
internal enum DnsBehaviour
{
    Answers,
    Truncates,
    NoSuchName,
    ServerFailure,
    Silent,

    /// <summary>Three answers that are not for us, then the right one.</summary>
    ForgesFirst,
    Garbage,
}

/// <summary>A name server on the loop-back, on UDP and TCP at the same port, with SRV records as a test says.</summary>
internal sealed class FakeDnsServer : IAsyncDisposable
{
    private readonly Socket _datagrams = new(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
    private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _running;

    public FakeDnsServer()
    {
        _datagrams.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        Address = (IPEndPoint)_datagrams.LocalEndPoint!;
        _listener.Bind(Address);
        _listener.Listen();
        _running = Task.WhenAll(ServeDatagramsAsync(), ServeStreamsAsync());
    }

    public IPEndPoint Address { get; }

    public DnsBehaviour Behaviour { get; set; }

    /// <summary>By name; a name that is not here does not exist.</summary>
    public Dictionary<string, SrvRecord[]> Records { get; } = [];

    /// <summary>The names that were asked for, with the way.</summary>
    public List<string> Asked { get; } = [];

    public Action? WasAsked { get; set; }

    public async ValueTask DisposeAsync()
    {
        // May be called twice: a test that wants nobody to listen does it first.
        await _stop.CancelAsync();
        _datagrams.Dispose();
        _listener.Dispose();
        await _running;
    }

    private async Task ServeDatagramsAsync()
    {
        var buffer = new byte[512];
        try
        {
            while (true)
            {
                var received = await _datagrams.ReceiveFromAsync(
                    buffer, SocketFlags.None, new IPEndPoint(IPAddress.Any, 0), _stop.Token);
                var query = buffer.AsMemory(0, received.ReceivedBytes).ToArray();
                foreach (var answer in AnswersOf(query))
                {
                    await _datagrams.SendToAsync(answer, received.RemoteEndPoint, _stop.Token);
                }
                WasAsked?.Invoke();
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
        }
    }

    private async Task ServeStreamsAsync()
    {
        try
        {
            while (true)
            {
                using var socket = await _listener.AcceptAsync(_stop.Token);
                await using var stream = new NetworkStream(socket);
                var size = new byte[2];
                await stream.ReadExactlyAsync(size, _stop.Token);
                var query = new byte[BinaryPrimitives.ReadUInt16BigEndian(size)];
                await stream.ReadExactlyAsync(query, _stop.Token);
                Asked.Add($"tcp {NameOf(query)}");
                var answer = AnswerOf(query, 0x8180);
                BinaryPrimitives.WriteUInt16BigEndian(size, (ushort)answer.Length);
                await stream.WriteAsync(size, _stop.Token);
                await stream.WriteAsync(answer, _stop.Token);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
        }
    }

    private List<byte[]> AnswersOf(byte[] query)
    {
        Asked.Add($"udp {NameOf(query)}");
        switch (Behaviour)
        {
            case DnsBehaviour.Silent:
                return [];
            case DnsBehaviour.Truncates:
                return [HeadOf(query, 0x8380, 0)];
            case DnsBehaviour.NoSuchName:
                return [HeadOf(query, 0x8183, 0)];
            case DnsBehaviour.ServerFailure:
                return [HeadOf(query, 0x8182, 0)];
            case DnsBehaviour.Garbage:
                return [[.. HeadOf(query, 0x8180, 9), 0xC0, 0xFF, 1]];
            case DnsBehaviour.ForgesFirst:
                var otherId = AnswerOf(query, 0x8183);
                otherId[0] ^= 1;
                var otherName = AnswerOf(query, 0x8183);
                otherName[13] ^= 1;
                return [otherId, otherName, [1, 2, 3], AnswerOf(query, 0x8180)];
            default:
                return [AnswerOf(query, 0x8180)];
        }
    }

    private byte[] AnswerOf(byte[] query, ushort flags)
    {
        if (!Records.TryGetValue(NameOf(query), out var records))
        {
            return HeadOf(query, 0x8183, 0);
        }
        var answer = new List<byte>(HeadOf(query, flags, records.Length));
        foreach (var record in records)
        {
            byte[] target = [.. record.Target.Split('.').SelectMany(
                label => Encoding.ASCII.GetBytes(label).Prepend((byte)label.Length)), 0];
            answer.AddRange([0xC0, 12, 0, 33, 0, 1, 0, 0, 0, 30, 0, (byte)(6 + target.Length)]);
            foreach (var number in (int[])[record.Priority, record.Weight, record.Port])
            {
                answer.AddRange([(byte)(number >> 8), (byte)number]);
            }
            answer.AddRange(target);
        }
        return [.. answer];
    }

    private static byte[] HeadOf(byte[] query, ushort flags, int records)
    {
        byte[] head = [.. query];
        BinaryPrimitives.WriteUInt16BigEndian(head.AsSpan(2), flags);
        BinaryPrimitives.WriteUInt16BigEndian(head.AsSpan(6), (ushort)records);
        return head;
    }

    private static string NameOf(byte[] query)
    {
        var labels = new List<string>();
        for (var at = 12; query[at] != 0; at += query[at] + 1)
        {
            labels.Add(Encoding.ASCII.GetString(query, at + 1, query[at]));
        }
        return string.Join('.', labels);
    }
}
