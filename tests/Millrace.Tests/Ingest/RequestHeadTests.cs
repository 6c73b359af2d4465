using System.Text;
using Millrace.Ingest;
using Millrace.Pipeline;

namespace Millrace.Tests.Ingest;

/// <summary>The usual head is read, and whatever is odd about one is left to Kestrel.</summary>
public sealed class RequestHeadTests
{
    private const string Usual = "POST /api/v1/write HTTP/1.1\r\nHost: gateway:8480\r\nContent-Length: 12\r\n";

    [Theory]
    [InlineData(Usual, BodyProtocol.RemoteWriteV1, BodyCompression.Snappy)]
    [InlineData(Usual + "content-encoding: zstd\r\n", BodyProtocol.RemoteWriteV1, BodyCompression.Zstd)]
    [InlineData(
        Usual + "Content-Type:application/x-protobuf;proto=io.prometheus.write.v2.Request \t\r\n"
            + "Connection: Keep-Alive\r\n",
        BodyProtocol.RemoteWriteV2, BodyCompression.Snappy)]
    [InlineData(
        "POST /api/v1/import/prometheus HTTP/1.1\r\nContent-Length: 12\r\nContent-Encoding: gzip\r\nHost: a\r\n",
        BodyProtocol.PrometheusText, BodyCompression.Gzip)]
    internal void Reads_the_usual_head(string head, BodyProtocol protocol, BodyCompression compression)
    {
        var bytes = Encoding.ASCII.GetBytes(head + "\r\nthe body to come");

        RequestHead.TryParse(bytes, out var parsed).ShouldBeTrue();

        parsed.ShouldBe(new RequestHead(head.Length + 2, 12, new BodyEncoding(protocol, compression)));
    }

    [Theory]
    [InlineData("Transfer-Encoding: chunked")]
    [InlineData("Expect: 100-continue")]
    [InlineData("Upgrade: h2c")]
    [InlineData("Connection: close")]
    [InlineData("Content-Length: 12")]
    [InlineData("Host: other")]
    [InlineData("Content-Encoding: br")]
    [InlineData("Content-Type: application/json")]
    [InlineData("Content-Type : application/x-protobuf")]
    [InlineData(" folded: line")]
    [InlineData("no colon")]
    [InlineData(": no name")]
    [InlineData("X-Bad: a\u0001b")]
    [InlineData("X-Bad: a\nContent-Length: 13")]
    public void Leaves_a_header_that_is_odd(string header) =>
        RequestHead.TryParse(Encoding.Latin1.GetBytes($"{Usual}{header}\r\n\r\n"), out _).ShouldBeFalse();

    [Theory]
    [InlineData("")]
    [InlineData("\r\n\r\n")]
    [InlineData("POST /api/v1/write HTTP/1.1")]
    [InlineData("GET /api/v1/write HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n")]
    [InlineData("POST /api/v1/write HTTP/1.0\r\nHost: a\r\nContent-Length: 12\r\n\r\n")]
    [InlineData("POST /api/v1/write?a=b HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n")]
    [InlineData("POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n")]
    [InlineData("POST /api/v1/write HTTP/1.1\r\nContent-Length: 12\r\n\r\n")]
    [InlineData("POST /api/v1/write HTTP/1.1\r\nHost: a\r\n\r\n")]
    [InlineData("POST /api/v1/write HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")]
    [InlineData("POST /api/v1/write HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n")]
    [InlineData("POST /api/v1/write HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n")]
    [InlineData("POST /api/v1/write HTTP/1.1\r\nHost: a\r\nContent-Length: 1 2\r\n\r\n")]
    [InlineData("POST /api/v1/write HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n")]
    [InlineData("\u0016\u0003\u0001\u0002\u0000\u0001\r\n\r\n")]
    public void Leaves_what_is_not_the_usual_request(string bytes) =>
        RequestHead.TryParse(Encoding.Latin1.GetBytes(bytes), out _).ShouldBeFalse();

    [Fact]
    public void Survives_any_bytes()
    {
        var random = new Random(1);
        var usual = Encoding.ASCII.GetBytes(Usual + "Content-Type: application/x-protobuf\r\n\r\n");
        for (var i = 0; i < 100_000; i++)
        {
            var bytes = usual.ToArray();
            for (var changes = random.Next(1, 4); changes > 0; changes--)
            {
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            }
            if (RequestHead.TryParse(bytes.AsSpan(0, random.Next(bytes.Length + 1)), out var head))
            {
                (head.Length, head.ContentLength).ShouldBe((usual.Length, head.ContentLength));
                head.ContentLength.ShouldBeInRange(1, 99);
            }
        }
    }
}
