using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Millrace.Tests.Ingest;

/// <summary>One connection, served in turns by its loop and by Kestrel.</summary>
public sealed class ReceiveLoopTests
{
    private const string Import = "POST /api/v1/import/prometheus HTTP/1.1\r\nHost: a\r\n";

    [Fact]
    public async Task Requests_follow_each_other_on_one_connection_in_pieces_and_at_once()
    {
        await using var host = await IngestHost.StartAsync();
        using var socket = await ConnectAsync(host);

        await SendAsync(socket, Import + "Content-Length: 5\r\n\r\nup");
        await SendAsync(socket, " 1\n");
        (await ReadAnswersAsync(socket, 1)).ShouldBe(["204"]);
        await SendAsync(
            socket, $"{Import}Content-Length: 5\r\n\r\nup 2\n{Import}Content-Length: 6\r\n\r\nnot a\n");
        (await ReadAnswersAsync(socket, 2)).ShouldBe(["204", "400"]);

        host.Answered(204).ShouldBe(2);
        host.Answered(400).ShouldBe(1);
    }

    [Fact]
    public async Task Kestrel_goes_on_where_the_loop_meets_something_else()
    {
        await using var host = await IngestHost.StartAsync();
        using var socket = await ConnectAsync(host);

        await SendAsync(socket, Import + "Content-Length: 5\r\n\r\nup 1\n");
        (await ReadAnswersAsync(socket, 1)).ShouldBe(["204"]);
        await SendAsync(socket, Import + "Transfer-Encoding: chunked\r\n\r\n5\r\nup 2\n\r\n0\r\n\r\n");
        (await ReadAnswersAsync(socket, 1)).ShouldBe(["204"]);
        await SendAsync(socket, "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
        (await ReadAnswersAsync(socket, 1)).ShouldBe(["404"]);
        await SendAsync(socket, Import + "Content-Length: 5\r\n\r\nup 3\n");
        (await ReadAnswersAsync(socket, 1)).ShouldBe(["204"]);

        host.TakeStored().Count.ShouldBe(3);
    }

    [Fact]
    public async Task A_head_that_comes_in_pieces_is_served_too()
    {
        await using var host = await IngestHost.StartAsync();
        using var socket = await ConnectAsync(host);

        await SendAsync(socket, "POST /api/v1/im");
        await SendAsync(socket, "port/prometheus HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nup 1\n");

        (await ReadAnswersAsync(socket, 1)).ShouldBe(["204"]);
    }

    [Fact]
    public async Task A_connection_that_was_idle_goes_on_with_Kestrel()
    {
        await using var host = await IngestHost.StartAsync(slowness: TimeSpan.FromSeconds(1.1));
        using var socket = await ConnectAsync(host);
        await SendAsync(socket, Import + "Content-Length: 5\r\n\r\nup 1\n");
        (await ReadAnswersAsync(socket, 1)).ShouldBe(["204"]);

        await Task.Delay(TimeSpan.FromSeconds(1.5));
        await SendAsync(socket, Import + "Content-Length: 5\r\n\r\nup 2\n");

        (await ReadAnswersAsync(socket, 1)).ShouldBe(["204"]);
    }

    [Fact]
    public async Task A_refused_body_is_read_to_its_end_and_the_connection_goes_on()
    {
        await using var host = await IngestHost.StartAsync();
        host.Refusal = "not now";
        using var socket = await ConnectAsync(host);

        await SendAsync(socket, Import + "Content-Length: 300000\r\n\r\n" + new string('a', 300_000));
        (await ReadAnswersAsync(socket, 1)).ShouldBe(["503"]);
        host.Refusal = null;
        await SendAsync(socket, Import + "Content-Length: 5\r\n\r\nup 1\n");
        (await ReadAnswersAsync(socket, 1)).ShouldBe(["204"]);

        host.ShouldBeAtRest();
    }

    [Fact]
    public async Task A_bug_costs_one_connection_and_nothing_else()
    {
        await using var host = await IngestHost.StartAsync();
        using var socket = await ConnectAsync(host);
        host.IsBroken = true;
        await SendAsync(socket, Import + "Content-Length: 5\r\n\r\nup 1\n");
        (await ReadAnswersAsync(socket, 1)).ShouldBe(["500"]);

        host.IsBroken = false;
        using var another = await ConnectAsync(host);
        await SendAsync(another, Import + "Content-Length: 5\r\n\r\nup 1\n");
        (await ReadAnswersAsync(another, 1)).ShouldBe(["204"]);
        host.ShouldBeAtRest();
    }

    [Fact]
    public async Task Stops_while_connections_wait_for_their_next_request()
    {
        var host = await IngestHost.StartAsync();
        using var socket = await ConnectAsync(host);
        await SendAsync(socket, Import + "Content-Length: 5\r\n\r\nup 1\n");
        (await ReadAnswersAsync(socket, 1)).ShouldBe(["204"]);

        await host.DisposeAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(20));

        using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        (await socket.ReceiveAsync(new byte[1], timeout.Token)).ShouldBe(0);
    }

    private static async Task<Socket> ConnectAsync(IngestHost host)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(new IPEndPoint(IPAddress.Loopback, host.Port));
        return socket;
    }

    private static async Task SendAsync(Socket socket, string text) =>
        await socket.SendAsync(Encoding.ASCII.GetBytes(text));

    /// <summary>The statuses of the next answers.</summary>
    private static async Task<List<string>> ReadAnswersAsync(Socket socket, int count)
    {
        using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        var buffer = new byte[4096];
        var text = "";
        while (true)
        {
            text += Encoding.UTF8.GetString(buffer, 0, await socket.ReceiveAsync(buffer, timeout.Token));
            var statuses = text.Split("HTTP/1.1 ")[1..].Select(answer => answer[..3]).ToList();
            if (statuses.Count == count && text.Contains("\r\n\r\n", StringComparison.Ordinal))
            {
                return statuses;
            }
        }
    }
}
