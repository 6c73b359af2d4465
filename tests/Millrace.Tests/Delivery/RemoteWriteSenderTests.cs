using System.Net;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Delivery;
using Millrace.TestKit;

namespace Millrace.Tests.Delivery;

public sealed class RemoteWriteSenderTests
{
    private static readonly DestinationConfig Config = new()
    {
        Url = new Uri("http://us%20er:secret@backend:8428/prom/api/v1/write?a=b#frag"),
        Headers = new Dictionary<string, string>
        {
            ["X-Scope-OrgID"] = "tenant",
            ["Content-Encoding"] = "gzip",
            ["User-Agent"] = "fake",
            ["x-prometheus-remote-write-version"] = "9",
        },
    };

    [Theory]
    [InlineData(
        (int)WireProtocol.PrometheusV1, "application/x-protobuf", "snappy",
        "X-Prometheus-Remote-Write-Version", "0.1.0")]
    [InlineData(
        (int)WireProtocol.VictoriaMetrics, "application/x-protobuf", "zstd",
        "X-VictoriaMetrics-Remote-Write-Version", "1")]
    [InlineData(
        (int)WireProtocol.PrometheusV2, "application/x-protobuf;proto=io.prometheus.write.v2.Request", "snappy",
        "X-Prometheus-Remote-Write-Version", "2.0.0")]
    public async Task Says_what_the_protocol_demands_and_lets_nobody_override_it(
        int protocol, string type, string encoding, string header, string version)
    {
        HttpRequestMessage? seen = null;
        byte[]? body = null;
        using var sender = SenderOf(async request =>
        {
            seen = request;
            body = await request.Content!.ReadAsByteArrayAsync();
            return new HttpResponseMessage(HttpStatusCode.NoContent);
        });
        (await sender.SendAsync(SendingOf((WireProtocol)protocol), default)).StatusCode.ShouldBe(204);

        seen!.Method.ShouldBe(HttpMethod.Post);
        // The query belongs to the address; the fragment is never sent; user info becomes a header.
        seen.RequestUri!.PathAndQuery.ShouldBe("/prom/api/v1/write?a=b");
        seen.RequestUri.UserInfo.ShouldBe("");
        seen.Headers.Authorization!.ToString().ShouldBe(
            "Basic " + Convert.ToBase64String(Encoding.UTF8.GetBytes("us er:secret")));
        seen.Content!.Headers.NonValidated["Content-Type"].ToString().ShouldBe(type);
        seen.Content.Headers.ContentEncoding.ShouldBe([encoding]);
        seen.Headers.GetValues(header).ShouldBe([version]);
        seen.Headers.UserAgent.ToString().ShouldStartWith("Millrace/");
        seen.Headers.GetValues("X-Scope-OrgID").ShouldBe(["tenant"]);
        seen.Version.ShouldBe(HttpVersion.Version11);
        body.ShouldBe([1, 2, 3]);
    }

    [Fact]
    public async Task Reads_counts_delay_and_the_beginning_of_the_text()
    {
        using var sender = SenderOf(_ =>
        {
            var response = new HttpResponseMessage(HttpStatusCode.BadRequest)
            {
                Content = new StringContent("out of order" + new string('x', 100_000)),
            };
            response.Headers.RetryAfter = new RetryConditionHeaderValue(TimeSpan.FromSeconds(7));
            response.Headers.Add("X-Prometheus-Remote-Write-Samples-Written", "41");
            response.Headers.Add("X-Prometheus-Remote-Write-Histograms-Written", "nonsense");
            return Task.FromResult(response);
        });
        var result = await sender.SendAsync(SendingOf(WireProtocol.PrometheusV2), default);
        result.Outcome.ShouldBe(SendOutcome.Answered);
        result.StatusCode.ShouldBe(400);
        result.RetryAfter.ShouldBe(TimeSpan.FromSeconds(7));
        result.Written.ShouldBe(new WrittenCounts(41, 0, 0));
        result.Body.ShouldStartWith("out of order");
        result.Body.Length.ShouldBeLessThan(5_000);
    }

    [Fact]
    public async Task Retry_After_may_be_a_date()
    {
        var clock = new ManualTimeProvider(DateTimeOffset.UnixEpoch.AddYears(50));
        using var handler = new FakeHandler(_ =>
        {
            var response = new HttpResponseMessage(HttpStatusCode.ServiceUnavailable);
            response.Headers.RetryAfter = new RetryConditionHeaderValue(clock.GetUtcNow().AddSeconds(30));
            return Task.FromResult(response);
        });
        using var sender = new RemoteWriteSender(Config, clock, handler);
        var result = await sender.SendAsync(SendingOf(WireProtocol.PrometheusV1), default);
        result.RetryAfter.ShouldBe(TimeSpan.FromSeconds(30));
        result.Written.ShouldBeNull();
    }

    [Fact]
    public async Task A_broken_connection_and_a_timeout_are_results()
    {
        using var broken = SenderOf(_ => throw new HttpRequestException("connection refused"));
        var refused = await broken.SendAsync(SendingOf(WireProtocol.PrometheusV1), default);
        refused.Outcome.ShouldBe(SendOutcome.NetworkError);
        refused.WasNeverSent.ShouldBeFalse();
        using var unreachable = SenderOf(
            _ => throw new HttpRequestException(HttpRequestError.ConnectionError, "connection refused"));
        (await unreachable.SendAsync(SendingOf(WireProtocol.PrometheusV1), default)).WasNeverSent.ShouldBeTrue();

        var clock = new ManualTimeProvider(DateTimeOffset.UnixEpoch);
        using var handler = new FakeHandler(async (_, stop) =>
        {
            await Task.Delay(Timeout.Infinite, stop);
            return new HttpResponseMessage();
        });
        using var slow = new RemoteWriteSender(Config, clock, handler);
        var sending = slow.SendAsync(SendingOf(WireProtocol.PrometheusV1), default);
        clock.Advance(Config.SendTimeout);
        (await sending).Outcome.ShouldBe(SendOutcome.Timeout);
    }

    [Fact]
    public void Shows_no_secrets_of_an_address() =>
        RemoteWriteSender.Masked(Config.Url).ShouldBe("http://backend:8428/prom/api/v1/write?…");

    [Fact]
    public async Task The_pump_delivers_retries_and_stops_without_losing_a_block()
    {
        using var rig = new DestinationRig(
            DestinationRig.Plain with
            {
                Protocol = RemoteWriteProtocol.Auto,
                RetryMinInterval = TimeSpan.FromMilliseconds(1),
            },
            new FakeBackend(BackendKind.Prometheus));
        rig.NowMs = TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds(); // the pump's clock is the real one
        var requests = 0;
        var delivered = new TaskCompletionSource();
        using var handler = new FakeHandler(_ =>
        {
            var number = Interlocked.Increment(ref requests);
            var status = number == 1 ? HttpStatusCode.InternalServerError : HttpStatusCode.OK;
            var response = new HttpResponseMessage(status);
            response.Headers.Add("X-Prometheus-Remote-Write-Samples-Written", "1");
            if (number == 21)
            {
                delivered.SetResult();
            }
            return Task.FromResult(response);
        });
        using var pump = new DestinationPump(rig.Destination, TimeProvider.System, NullLogger.Instance, handler);
        using var stop = new CancellationTokenSource();
        var running = Task.Run(() => pump.RunAsync(stop.Token));
        for (var lsn = 1; lsn <= 20; lsn++)
        {
            rig.OfferRaw(lsn % 4, lsn, ("m", rig.NowMs + lsn, lsn));
        }
        await delivered.Task.WaitAsync(TimeSpan.FromSeconds(20));
        await stop.CancelAsync();
        await running.WaitAsync(TimeSpan.FromSeconds(20));
        rig.Counters.Delivered.ShouldBe(20);
        rig.Counters.Retries.ShouldBe(1);
        rig.Destination.FinishStop(rig.NowMs).ShouldBe(new StopReport(0, 0, true));
    }

    private static RemoteWriteSender SenderOf(Func<HttpRequestMessage, Task<HttpResponseMessage>> answer) =>
        new(Config, TimeProvider.System, new FakeHandler(answer));

    private static Sending SendingOf(WireProtocol protocol) => SampleSendings.To(Config, protocol);

    private sealed class FakeHandler(Func<HttpRequestMessage, CancellationToken, Task<HttpResponseMessage>> answer)
        : HttpMessageHandler
    {
        public FakeHandler(Func<HttpRequestMessage, Task<HttpResponseMessage>> answer)
            : this((request, _) => answer(request))
        {
        }

        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken stop) =>
            answer(request, stop);
    }
}
