using System.Net;
using System.Net.Http;
using System.Text;
using System.Text.RegularExpressions;
using Millrace.TestKit.Processes;

namespace Millrace.SystemTests.EndToEnd;

/// <summary>What a person sees: the page of a real gateway in a real browser.</summary>
public sealed partial class StatusPageTests
{
    private const string Config = """
        aggregation:
          rules:
          - {name: by-job, match: 'http_requests_total', interval: 1s, by: [job], outputs: [max], time: arrival}
        routes:
        - {name: web, match: '{job!="lost"}', to: [storage]}
        destinations:
        - name: storage
          remote_write: {url: "http://user:s3cret@127.0.0.1:1/write?token=s3cret", headers: {X-Key: s3cret}}
        """;

    [Fact]
    public async Task Explains_what_to_do_while_there_are_no_samples()
    {
        await using var millrace = await StartAsync();

        var dump = await Chromium.DumpAsync(millrace.BaseUrl, TimeSpan.FromSeconds(5));
        var text = TextOf(dump);

        text.ShouldContain("No samples yet");
        text.ShouldContain($"- url: {millrace.BaseUrl}api/v1/write");
        text.ShouldContain("No sample has matched this rule yet");
        text.ShouldContain("nothing sent yet");
        dump.ShouldMatch("<div id=\"lost\"[^>]* hidden", "the gateway answered");
    }

    [Fact]
    public async Task Shows_rules_outputs_drops_and_a_failing_destination()
    {
        await using var millrace = await StartAsync();
        using var http = new HttpClient();
        for (var i = 0; i < 30; i++)
        {
            using var body = new StringContent(
                $$"""
                http_requests_total{job="<b>shop</b>",pod="1"} {{i}}
                http_requests_total{job="<b>shop</b>",pod="2"} {{i}}
                other{job="a"} 1
                other{job="lost"} 1

                """,
                Encoding.UTF8, "text/plain");
            using var answer = await http.PostAsync(
                new Uri(millrace.BaseUrl, "api/v1/import/prometheus"), body, TestContext.Current.CancellationToken);
            answer.StatusCode.ShouldBe(HttpStatusCode.NoContent);
            await Task.Delay(100, TestContext.Current.CancellationToken);
        }

        var dump = await Chromium.DumpAsync(millrace.BaseUrl, TimeSpan.FromSeconds(30));
        var text = TextOf(dump);

        text.ShouldContain("120 samples");
        text.ShouldContain("http_requests_total:1s_by_job_max{job=\"<b>shop</b>\"}");
        text.ShouldContain("no route matches");
        text.ShouldContain("Destination \"storage\" fails: no connection");
        text.ShouldContain("http://127.0.0.1:1/write");
        text.ShouldNotContain("No samples yet");
        dump.ShouldNotContain("s3cret");
        dump.ShouldNotContain("<b>shop</b>", Case.Sensitive, "data must not become markup");
        dump.ShouldContain("<polyline", Case.Sensitive, "the rates are drawn");
    }

    [Theory]
    [InlineData("-/healthy", "text/plain", "healthy\n")]
    [InlineData("health", "text/plain", "healthy\n")]
    [InlineData("-/ready", "text/plain", "ready\n")]
    public async Task Answers_those_who_watch_it(string path, string mediaType, string expected)
    {
        await Needs.GatewayAsync();
        await using var millrace = new MillraceProcess();
        await millrace.StartAsync(Config);
        using var http = new HttpClient();

        using var answer = await http.GetAsync(new Uri(millrace.BaseUrl, path), TestContext.Current.CancellationToken);

        answer.StatusCode.ShouldBe(HttpStatusCode.OK);
        answer.Content.Headers.ContentType!.MediaType.ShouldBe(mediaType);
        (await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken)).ShouldBe(expected);
    }

    private static async Task<MillraceProcess> StartAsync()
    {
        Assert.SkipWhen(Chromium.WhyMissing() is not null, Chromium.WhyMissing() ?? "");
        await Needs.GatewayAsync();
        var millrace = new MillraceProcess();
        await millrace.StartAsync(Config);
        return millrace;
    }

    private static string TextOf(string html) =>
        WebUtility.HtmlDecode(Tag().Replace(Script().Replace(html, ""), " "));

    [GeneratedRegex("<script.*?</script>", RegexOptions.Singleline)]
    private static partial Regex Script();

    [GeneratedRegex("<[^>]+>")]
    private static partial Regex Tag();
}
