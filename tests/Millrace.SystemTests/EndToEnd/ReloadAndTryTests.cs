using System.Globalization;
using System.IO;
using System.Net;
using System.Net.Http;
using Millrace.TestKit.Processes;

namespace Millrace.SystemTests.EndToEnd;

/// <summary>The real executable: reloads while it runs, and commands that read its log beside it.</summary>
public sealed class ReloadAndTryTests
{
    private const string Rest = """

        destinations: [{name: nowhere, remote_write: {url: 'http://127.0.0.1:1/'}}]
        """;

    private const string Rules = """
        aggregation:
          rules: [{name: orders, match: orders_total, interval: 2s, allowed_lateness: 200ms, outputs: [increase]}]
        """;

    [Fact]
    public async Task A_bad_file_changes_nothing_and_a_good_one_says_what_it_changed()
    {
        await Needs.GatewayAsync();
        await using var millrace = new MillraceProcess();
        await millrace.StartAsync(Rules + Rest);
        var good = await File.ReadAllTextAsync(millrace.ConfigPath);

        // What makes vmagent crash, and more than one problem at once.
        var bad = good.Replace(
            "match: orders_total", "match: []", StringComparison.Ordinal)
            .Replace("outputs: [increase]", "outputs: [incraese]", StringComparison.Ordinal);
        var (status, answer) = await ReloadAsync(millrace, bad);
        status.ShouldBe(HttpStatusCode.BadRequest, answer);
        answer.ShouldContain("match");
        answer.ShouldContain("incraese");
        (status, _) = await ReloadAsync(
            millrace, good.Replace("rules: [{", "rules: [null, {", StringComparison.Ordinal));
        status.ShouldBe(HttpStatusCode.BadRequest);
        var metrics = await millrace.ScrapeAsync();
        metrics.Sum("millrace_config_reload_errors_total").ShouldBe(2);
        metrics.Sum("millrace_config_last_reload_successful").ShouldBe(0);

        (status, answer) = await ReloadAsync(millrace, "# a comment\n" + good);
        status.ShouldBe(HttpStatusCode.OK, answer);
        answer.ShouldBe("= 1 rule unchanged\n");
        (status, answer) = await ReloadAsync(
            millrace, good.Replace("[increase]", "[increase, max]", StringComparison.Ordinal));
        status.ShouldBe(HttpStatusCode.OK, answer);
        answer.ShouldStartWith("~ rule \"orders\" (");
        answer.ShouldContain("outputs: [\"increase\"] -> [\"increase\", \"max\"]");
        (await millrace.ScrapeAsync()).Sum("millrace_config_last_reload_successful").ShouldBe(1);

        await File.WriteAllTextAsync(millrace.ConfigPath, good);
        var (code, output) = await MillraceProcess.RunAsync(
            "check", "--diff", millrace.BaseUrl.ToString(), millrace.ConfigPath);
        code.ShouldBe(0, output);
        output.ShouldContain("outputs: [\"increase\", \"max\"] -> [\"increase\"]");
    }

    [Fact]
    public async Task Rules_are_tried_and_points_explained_from_the_log_of_a_running_gateway()
    {
        await Needs.GatewayAsync();
        await using var millrace = new MillraceProcess();
        await millrace.StartAsync(Rules + Rest);
        using var http = new HttpClient();
        for (var i = 0; i < 45; i++)
        {
            var nowMs = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
            using var body = new StringContent($"orders_total{{pod=\"a\"}} {i} {nowMs}\n");
            (await http.PostAsync(new Uri(millrace.BaseUrl, "api/v1/import/prometheus"), body))
                .IsSuccessStatusCode.ShouldBeTrue();
            await Task.Delay(200);
        }
        var (code, output) = await MillraceProcess.RunAsync(
            "try", millrace.ConfigPath, "--last", "1m", "--format", "csv");
        code.ShouldBe(0, output);
        var rows = output.Trim().Split('\n').Skip(1).Select(row => row.Split(',')).ToList();
        rows.Count.ShouldBeGreaterThanOrEqualTo(2, output);
        var (endMs, value) = (rows[^1][1], rows[^1][^1].Trim());
        double.Parse(value, CultureInfo.InvariantCulture).ShouldBeInRange(1, 12);

        (code, output) = await MillraceProcess.RunAsync(
            "explain", millrace.ConfigPath, "orders_total:2s_increase{pod=\"a\"}", "--window", endMs);
        code.ShouldBe(0, output);
        output.ShouldContain($"increase: {value}, 0 resets");
        output.ShouldContain("cut: record ");
        (await millrace.ScrapeAsync()).Sum("millrace_ingest_samples_total").ShouldBe(45);
    }

    private static async Task<(HttpStatusCode Status, string Answer)> ReloadAsync(
        MillraceProcess millrace, string config)
    {
        await File.WriteAllTextAsync(millrace.ConfigPath, config);
        using var http = new HttpClient();
        using var answer = await http.PostAsync(new Uri(millrace.BaseUrl, "-/reload"), null);
        return (answer.StatusCode, await answer.Content.ReadAsStringAsync());
    }
}
