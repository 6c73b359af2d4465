using System.IO;
using System.Net;
using System.Net.Http;
using System.Net.Sockets;
using System.Text;
using Millrace.Ingest;
using Millrace.Pipeline;
using Millrace.Protocols.Compression;
using Millrace.TestKit.Conformance;

namespace Millrace.Tests.Ingest;

/// <summary>What a sender must not be able to do: every limit, and senders that break off.</summary>
public sealed class WriteLimitTests
{
    private const string Import = "api/v1/import/prometheus";
    private const string Write = "api/v1/write";
    private static readonly DecodedBatch Batch = new();
    private static readonly (string, string) Snappied = ("Content-Encoding", "snappy");

    [Fact]
    public async Task Refuses_an_announced_length_over_the_limit_before_reading()
    {
        await using var host = await HostWithAsync("max_request_bytes: 10KiB");
        var before = host.Log.NextLsn;
        using var socket = await ConnectAsync(host);

        // Not one byte of the body is sent.
        await SendHeadAsync(socket, "Content-Length: 10241");
        (await ReadAnswerAsync(socket)).ShouldStartWith("HTTP/1.1 413 ");

        host.Answered(413).ShouldBe(1);
        host.ShouldBeUntouched(before);
    }

    [Fact]
    public async Task Refuses_a_chunked_body_that_grows_past_the_limit()
    {
        await using var host = await HostWithAsync("max_request_bytes: 10KiB");
        var before = host.Log.NextLsn;
        using var socket = await ConnectAsync(host);

        await SendHeadAsync(socket, "Transfer-Encoding: chunked");
        await SendChunkAsync(socket, 9000);
        await SendChunkAsync(socket, 9000);
        (await ReadAnswerAsync(socket)).ShouldStartWith("HTTP/1.1 413 ");

        host.Answered(413).ShouldBe(1);
        await host.ShouldBecomeIdleAsync();
        host.ShouldBeUntouched(before);
    }

    [Theory]
    [InlineData(10 << 10, 400)] // read in full; as text it is not
    [InlineData((10 << 10) + 1, 413)]
    public async Task The_limit_itself_is_allowed(int length, int status)
    {
        await using var host = await HostWithAsync("max_request_bytes: 10KiB");
        using var content = new StreamContent(new MemoryStream(new byte[length]));
        using var request = new HttpRequestMessage(HttpMethod.Post, host.Url(Import)) { Content = content };
        request.Headers.TransferEncodingChunked = true;
        using var response = await host.Http.SendAsync(request);

        ((int)response.StatusCode).ShouldBe(status);
    }

    [Theory]
    [InlineData(0, 413)]
    [InlineData(1, 400)]
    public async Task Refuses_a_large_decompressed_size_without_making_room_for_it(int kind, int status)
    {
        await using var host = await HostWithAsync("max_decompressed_bytes: 128MiB");
        var before = host.Log.NextLsn;
        // 140 MiB of zeros; and a preamble that says 100 MiB, which no ten bytes can make.
        var body = kind == 0
            ? Bodies.Compress(new byte[140 << 20], "snappy")
            : [0x80, 0x80, 0x80, 0x32, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
        var (answered, text) = await host.PostAsync(Write, body, Snappied);

        answered.ShouldBe(status, text);
        AllocatedBy(() => Decode(host, body)).ShouldBeLessThan(16 << 10);
        host.ShouldBeUntouched(before);
    }

    [Theory]
    [InlineData("gzip")]
    [InlineData("zstd")]
    public async Task Refuses_a_bomb_of_text(string encoding)
    {
        Assert.SkipUnless(encoding == "gzip" || Zstd.IsAvailable, Zstd.MissingLibrary);
        await using var host = await HostWithAsync("max_decompressed_bytes: 1MiB");
        var before = host.Log.NextLsn;
        var (status, text) = await host.PostAsync(
            Import, Bodies.Compress(new byte[8 << 20], encoding), ("Content-Encoding", encoding));

        status.ShouldBe(413, text);
        host.ShouldBeUntouched(before);
    }

    [Fact]
    public async Task Sends_away_what_is_too_much_at_once_until_others_are_done()
    {
        await using var host = await HostWithAsync("max_concurrent_requests: 2");
        using var first = await ConnectAsync(host);
        using var second = await ConnectAsync(host);
        await SendHeadAsync(first, "Content-Length: 100");
        await SendHeadAsync(second, "Content-Length: 100");
        await host.ShouldBecomeAsync(() => host.Counters.ConcurrentRequests == 2);

        using var refused = await host.SendAsync(Import, "up 1\n"u8.ToArray());
        refused.StatusCode.ShouldBe(HttpStatusCode.TooManyRequests);
        refused.Headers.RetryAfter.ShouldNotBeNull().Delta.ShouldBe(TimeSpan.FromSeconds(1));
        (await refused.Content.ReadAsStringAsync()).ShouldContain("ingest.max_concurrent_requests");

        first.Dispose();
        await host.ShouldBecomeAsync(() => host.Counters.ConcurrentRequests == 1);
        (await host.PostAsync(Import, "up 1\n"u8.ToArray())).Status.ShouldBe(204);
    }

    [Theory]
    [InlineData("Content-Length: 65536")]
    [InlineData("Transfer-Encoding: chunked")]
    public async Task Sends_away_what_is_too_many_bytes_at_once(string framing)
    {
        await using var host = await HostWithAsync(
            "max_request_bytes: 64KiB, max_decompressed_bytes: 64KiB, max_in_flight_bytes: 96KiB");
        using var holder = await ConnectAsync(host);
        await SendHeadAsync(holder, framing);
        if (framing.StartsWith("Transfer", StringComparison.Ordinal))
        {
            await SendChunkAsync(holder, 40_000);
        }
        await host.ShouldBecomeAsync(() => host.Counters.BytesBeingRead >= 40_000);

        var large = Bodies.Text("up 1\n" + new string('\n', 50_000));
        using var refused = await host.SendAsync(Import, large);
        refused.StatusCode.ShouldBe(HttpStatusCode.TooManyRequests);
        refused.Headers.RetryAfter.ShouldNotBeNull();
        (await refused.Content.ReadAsStringAsync()).ShouldContain("ingest.max_in_flight_bytes");

        holder.Dispose();
        await host.ShouldBecomeIdleAsync();
        (await host.PostAsync(Import, large)).Status.ShouldBe(204);
    }

    [Fact]
    public async Task A_sender_that_promises_much_and_sends_nothing_holds_little()
    {
        await using var host = await IngestHost.StartAsync();
        using var socket = await ConnectAsync(host);

        await SendHeadAsync(socket, $"Content-Length: {32 << 20}");
        await host.ShouldBecomeAsync(() => host.Counters.ConcurrentRequests == 1);

        host.Counters.BytesBeingRead.ShouldBeLessThanOrEqualTo(1 << 20);
    }

    [Theory]
    [InlineData("Content-Length: 5000", false)]
    [InlineData("Content-Length: 5000", true)]
    [InlineData("Transfer-Encoding: chunked", false)]
    [InlineData("Transfer-Encoding: chunked", true)]
    public async Task A_sender_that_breaks_off_leaves_nothing_behind(string framing, bool resets)
    {
        await using var host = await IngestHost.StartAsync();
        var before = host.Log.NextLsn;
        for (var i = 0; i < 5; i++)
        {
            using (var socket = await ConnectAsync(host))
            {
                await SendHeadAsync(socket, framing);
                await SendChunkAsync(socket, 3000);
                await host.ShouldBecomeAsync(() => host.Counters.BytesBeingRead > 0);
                socket.LingerState = new LingerOption(resets, 0);
            }
            await host.ShouldBecomeIdleAsync();
        }

        (host.Answered(400) + host.Answered(IngestCounters.SenderGone)).ShouldBe(5);
        host.ShouldBeUntouched(before);
        (await host.PostAsync(Import, "up 1\n"u8.ToArray())).Status.ShouldBe(204);
    }

    [Fact]
    public async Task A_body_that_drips_is_given_up()
    {
        await using var host = await IngestHost.StartAsync(slowness: TimeSpan.FromSeconds(1.1));
        var before = host.Log.NextLsn;
        using var socket = await ConnectAsync(host);
        await SendHeadAsync(socket, "Content-Length: 1000");

        (await ReadAnswerAsync(socket)).ShouldStartWith("HTTP/1.1 408 ");

        host.Answered(408).ShouldBe(1);
        host.ShouldBeUntouched(before);
    }

    [Fact]
    public async Task Refuses_too_many_series_and_says_which_limit()
    {
        await using var host = await HostWithAsync("max_series_per_request: 3");
        var before = host.Log.NextLsn;
        var four = ReceiverCase.Of("four", [.. Enumerable.Range(0, 4).Select(i => SentSeries.Named($"up{i}").With(1))]);
        using var request = four.Request(host.WriteUrl, host.NowMs);
        using var response = await host.Http.SendAsync(request);

        response.StatusCode.ShouldBe(HttpStatusCode.BadRequest);
        response.Headers.GetValues("X-Prometheus-Remote-Write-Samples-Written").ShouldBe(["0"]);
        host.ShouldBeUntouched(before);
    }

    private static void Decode(IngestHost host, byte[] body) => new BodyDecoder().Decode(
        body, new BodyEncoding(BodyProtocol.RemoteWriteV1, BodyCompression.Snappy), host.Pipeline.Ingest.Generation,
        Batch, out _);

    private static long AllocatedBy(Action action)
    {
        action();
        var before = GC.GetAllocatedBytesForCurrentThread();
        action();
        return GC.GetAllocatedBytesForCurrentThread() - before;
    }

    private static Task<IngestHost> HostWithAsync(string limits) =>
        IngestHost.StartAsync($"ingest: {{{limits}}}\n{IngestHost.ConfigText}");

    private static async Task<Socket> ConnectAsync(IngestHost host)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(new IPEndPoint(IPAddress.Loopback, host.Port));
        return socket;
    }

    private static async Task SendHeadAsync(Socket socket, string framing) =>
        await socket.SendAsync(
            Encoding.ASCII.GetBytes($"POST /{Write} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n"));

    /// <summary>With a Content-Length this is a piece of the body like any other.</summary>
    private static async Task SendChunkAsync(Socket socket, int length) =>
        await socket.SendAsync(Encoding.ASCII.GetBytes($"{length:x}\r\n{new string('a', length)}\r\n"));

    private static async Task<string> ReadAnswerAsync(Socket socket)
    {
        var buffer = new byte[4096];
        using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        var read = await socket.ReceiveAsync(buffer, timeout.Token);
        return Encoding.ASCII.GetString(buffer, 0, read);
    }
}
