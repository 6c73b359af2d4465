using System.Net;
using System.Net.Http;
using Millrace.Protocols.Compression;
using Millrace.TestKit.Conformance;
using Millrace.TestKit.Fleet;

namespace Millrace.Tests.Ingest;

public sealed class WriteEndpointTests
{
    private const string Import = "api/v1/import/prometheus";

    private static readonly ReceiverCase PartlyBad = ReceiverCase.Of(
        "partly bad", SentSeries.Named("up", ("job", "a")).With(1), new SentSeries(("job", "b")).With(2).Refused());

    [Theory]
    [InlineData("api/v1/write")]
    [InlineData("api/v1/push")]
    [InlineData("api/v1/receive")]
    public async Task Remote_write_has_three_addresses(string path)
    {
        await using var host = await IngestHost.StartAsync();
        using var request = ReceiverCase.Of("up", SentSeries.Named("up").With(1)).Request(host.Url(path), host.NowMs);
        using var response = await host.Http.SendAsync(request);

        response.StatusCode.ShouldBe(HttpStatusCode.NoContent);
        host.TakeStored().Count.ShouldBe(1);
    }

    [Theory]
    [InlineData("GET", "api/v1/write")]
    [InlineData("HEAD", "api/v1/write")]
    [InlineData("PUT", "api/v1/push")]
    [InlineData("DELETE", "api/v1/receive")]
    [InlineData("GET", Import)]
    public async Task Other_methods_are_told_to_post(string method, string path)
    {
        await using var host = await IngestHost.StartAsync();
        using var request = new HttpRequestMessage(new HttpMethod(method), host.Url(path));
        using var response = await host.Http.SendAsync(request);

        response.StatusCode.ShouldBe(HttpStatusCode.MethodNotAllowed);
        response.Content.Headers.Allow.ShouldContain("POST");
    }

    [Theory]
    [InlineData("GET")]
    [InlineData("POST")]
    public async Task Older_vmagents_are_told_that_their_protocol_is_spoken(string method)
    {
        await using var host = await IngestHost.StartAsync();
        var before = host.Log.NextLsn;
        using var request = new HttpRequestMessage(
            new HttpMethod(method), host.Url("api/v1/write?get_vm_proto_version=1"));
        using var response = await host.Http.SendAsync(request);

        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        (await response.Content.ReadAsStringAsync()).ShouldBe("1");
        host.ShouldBeUntouched(before);
    }

    [Theory]
    [InlineData("zstd", "zstd")]
    [InlineData("zstd", "snappy")]
    [InlineData("snappy", "zstd")]
    public async Task The_body_decides_between_snappy_and_zstd(string named, string sent)
    {
        Assert.SkipUnless(Zstd.IsAvailable, Zstd.MissingLibrary);
        await using var host = await IngestHost.StartAsync();
        var plain = SentBody.V1([SentSeries.Named("up").With(1)], host.NowMs);
        var (status, text) = await host.PostAsync(
            "api/v1/write", Bodies.Compress(plain, sent), ("Content-Encoding", named),
            ("Content-Type", "application/x-protobuf"), ("X-VictoriaMetrics-Remote-Write-Version", "1"));

        status.ShouldBe(204, text);
        host.TakeStored().ShouldBe([$"__name__=up sample {host.NowMs} 1 start 0"]);
    }

    [Fact]
    public async Task A_partly_bad_request_says_what_was_refused_and_what_is_stored()
    {
        await using var host = await IngestHost.StartAsync();
        using var response = await SendAsync(host, PartlyBad);

        (await response.Content.ReadAsStringAsync()).ShouldBe(
            "1 refused: a series has no metric name (label __name__). "
            + "Stored: 1 samples, 0 histograms, 0 exemplars.\n");
        host.Counters.RefusedSamples.ShouldBe(1);
        host.Pipeline.Engine.Ledger.Total.InvalidLabels.ShouldBe(1);
    }

    [Theory]
    [InlineData(RemoteWriteVersion.V1)]
    [InlineData(RemoteWriteVersion.V2)]
    public async Task A_repeat_of_a_partly_bad_request_is_answered_alike_and_not_stored(RemoteWriteVersion version)
    {
        await using var host = await IngestHost.StartAsync();
        var one = version == RemoteWriteVersion.V1 ? PartlyBad.AsV1() : PartlyBad;
        using var first = await SendAsync(host, one);
        var after = host.Log.NextLsn;
        host.TakeStored().Count.ShouldBe(1);
        using var second = await SendAsync(host, one);

        one.Judge(first).ShouldBeNull();
        one.Judge(second).ShouldBeNull();
        (await second.Content.ReadAsStringAsync()).ShouldBe(await first.Content.ReadAsStringAsync());
        host.Log.NextLsn.ShouldBe(after);
        host.TakeStored().ShouldBeEmpty();
        host.Pipeline.Ingest.RepeatedRequests.ShouldBe(1);
        host.Counters.RefusedSamples.ShouldBe(1);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_repeat_is_answered_alike_after_a_restart(bool isGraceful)
    {
        var first = await IngestHost.StartAsync();
        using var before = await SendAsync(first, PartlyBad);
        var text = await before.Content.ReadAsStringAsync();
        if (isGraceful)
        {
            await first.Pipeline.StopAsync(); // Writes a base, which then holds the memory of requests.
        }
        await using var second = await IngestHost.StartAsync(disk: await first.KillAsync());
        var next = second.Log.NextLsn;
        using var after = await SendAsync(second, PartlyBad);

        PartlyBad.Judge(after).ShouldBeNull();
        (await after.Content.ReadAsStringAsync()).ShouldBe(text);
        second.Log.NextLsn.ShouldBe(next);
        second.Pipeline.Ingest.RepeatedRequests.ShouldBe(1);
    }

    [Fact]
    public async Task A_larger_limit_of_the_past_does_not_lose_what_is_in_the_log()
    {
        var first = await IngestHost.StartAsync();
        using var before = await SendAsync(
            first,
            ReceiverCase.Of("three", [.. Enumerable.Range(0, 3).Select(i => SentSeries.Named($"up{i}").With(1))]));
        before.StatusCode.ShouldBe(HttpStatusCode.NoContent);
        await using var second = await IngestHost.StartAsync(
            "ingest: {max_series_per_request: 1, max_decompressed_bytes: 20}\n" + IngestHost.ConfigText,
            await first.KillAsync());

        second.Pipeline.Replayer.ShouldNotBeNull().LostRecords.ShouldBe(0);
        second.TakeStored().Count.ShouldBe(3);
    }

    [Fact]
    public async Task Malformed_bodies_have_no_effect()
    {
        await using var host = await IngestHost.StartAsync();
        var before = host.Log.NextLsn;
        var whole = PartlyBad.Body(host.NowMs);
        for (var length = 0; length < whole.Length; length += 3)
        {
            var (status, text) = await host.PostAsync(
                "api/v1/write", whole[..length], ("Content-Type", PartlyBad.ContentType!));
            status.ShouldBe(400, text);
        }
        host.ShouldBeUntouched(before);
    }

    [Fact]
    public async Task A_full_disk_sends_senders_away_until_there_is_room()
    {
        await using var host = await IngestHost.StartAsync();
        var before = host.Log.NextLsn;
        host.Disk.CapacityBytes = host.Disk.UsedBytes;
        host.Advance(TimeSpan.FromMinutes(1));

        using var refused = await SendAsync(host, PartlyBad);
        refused.StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable);
        refused.Headers.RetryAfter.ShouldNotBeNull().Delta.ShouldBe(TimeSpan.FromSeconds(10));
        (await refused.Content.ReadAsStringAsync()).ShouldContain("disk");
        host.ShouldBeUntouched(before);

        host.Disk.CapacityBytes = long.MaxValue;
        host.Advance(TimeSpan.FromMinutes(1));
        using var taken = await SendAsync(host, PartlyBad);
        PartlyBad.Judge(taken).ShouldBeNull();
    }

    [Fact]
    public async Task A_failed_log_takes_nothing_more()
    {
        await using var host = await IngestHost.StartAsync(
            "log: {durability: log_synced}\n" + IngestHost.ConfigText);
        host.Disk.FailNextSyncs(1);
        var answer = SendAsync(host, PartlyBad);
        while (!answer.IsCompleted && host.Log.Failure is null)
        {
            host.Log.Sync();
            await Task.Yield();
        }
        using var unsynced = await answer;
        unsynced.StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable);
        unsynced.Headers.GetValues("X-Prometheus-Remote-Write-Samples-Written").ShouldBe(["0"]);

        host.Advance(TimeSpan.FromMilliseconds(10));
        using var refused = await SendAsync(host, PartlyBad);
        refused.StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable);
        refused.Headers.RetryAfter.ShouldNotBeNull();
        host.ShouldBeAtRest();
    }

    [Fact]
    public async Task A_stopping_gateway_sends_senders_away()
    {
        await using var host = await IngestHost.StartAsync();
        var before = host.Log.NextLsn;
        host.Refusal = "The gateway is stopping.";
        using var refused = await SendAsync(host, PartlyBad);

        refused.StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable);
        refused.Headers.RetryAfter.ShouldNotBeNull().Delta.ShouldBe(TimeSpan.FromSeconds(1));
        (await refused.Content.ReadAsStringAsync()).ShouldBe("The gateway is stopping.\n");
        host.ShouldBeUntouched(before);
    }

    [Theory]
    [InlineData("")]
    [InlineData("gzip")]
    [InlineData("zstd")]
    [InlineData("snappy")]
    public async Task Text_comes_plain_or_compressed(string encoding)
    {
        Assert.SkipUnless(encoding != "zstd" || Zstd.IsAvailable, Zstd.MissingLibrary);
        await using var host = await IngestHost.StartAsync();
        var text = Bodies.Text($"# TYPE up gauge\nup{{job=\"a\"}} 1.5 {host.NowMs - 1000}\nup{{job=\"b\"}} 2\n");
        var (status, answer) = encoding.Length == 0
            ? await host.PostAsync(Import, text)
            : await host.PostAsync(Import, Bodies.Compress(text, encoding), ("Content-Encoding", encoding));

        status.ShouldBe(204, answer);
        host.TakeStored().Order(StringComparer.Ordinal).ShouldBe(
        [
            $"__name__=up,job=a sample {host.NowMs - 1000} 1.5 start 0",
            $"__name__=up,job=b sample {host.NowMs} 2 start 0", // the arrival
            "metadata up Gauge '' ''",
        ]);
    }

    [Theory]
    [InlineData("up 1\ndown x\n", "line 2")]
    [InlineData("up 1\n\n# comment\nup{a=\"b} 2\n", "line 4")]
    [InlineData("up 1 yesterday\n", "line 1")]
    public async Task Bad_text_has_no_effect_and_is_told_its_line(string text, string line)
    {
        await using var host = await IngestHost.StartAsync();
        var before = host.Log.NextLsn;
        var (status, answer) = await host.PostAsync(Import, Bodies.Text(text));

        status.ShouldBe(400);
        answer.ShouldContain(line);
        host.ShouldBeUntouched(before);
    }

    [Fact]
    public async Task Text_without_timestamps_is_never_a_repeat()
    {
        await using var host = await IngestHost.StartAsync();
        foreach (var _ in Enumerable.Range(0, 2))
        {
            (await host.PostAsync(Import, Bodies.Text("up 1\n"))).Status.ShouldBe(204);
            host.Advance(TimeSpan.FromSeconds(1));
        }
        host.TakeStored().Count.ShouldBe(2);
    }

    [Fact]
    public async Task Text_in_an_unknown_encoding_is_refused()
    {
        await using var host = await IngestHost.StartAsync();
        var (status, text) = await host.PostAsync(Import, Bodies.Text("up 1\n"), ("Content-Encoding", "br"));

        status.ShouldBe(415);
        text.ShouldContain("\"br\"");
    }

    [Theory]
    [InlineData("")]
    [InlineData("\n# nothing\n")]
    public async Task An_empty_text_is_taken_and_not_logged(string text)
    {
        await using var host = await IngestHost.StartAsync();
        var before = host.Log.NextLsn;

        (await host.PostAsync(Import, Bodies.Text(text))).Status.ShouldBe(204);
        host.ShouldBeUntouched(before);
    }

    private static async Task<HttpResponseMessage> SendAsync(IngestHost host, ReceiverCase one)
    {
        using var request = one.Request(host.WriteUrl, host.NowMs);
        return await host.Http.SendAsync(request);
    }
}
