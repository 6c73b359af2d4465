using System.IO;
using System.Text.RegularExpressions;
using Millrace.TestKit;
using Millrace.TestKit.Processes;
using Millrace.Tests.Web;

namespace Millrace.Tests.Telemetry;

public sealed partial class MetricsPageTests : IDisposable
{
    private const string Config = """
        ingest: {max_label_value_bytes: 20}
        relabel_configs: [{source_labels: [job], regex: hidden, action: drop}]
        aggregation:
          rules:
          - name: by "job"
            match: http_requests_total
            interval: 10s
            by: [job]
            outputs: [total, max]
            allowed_lateness: 2s
          - name: by "job"
            match: http_requests_total{job="b"}
            interval: 10s
            outputs: [last]
            allowed_lateness: 2s
        routes:
        - {name: web, match: '{job!="lost"}', keep_input: true, to: [storage]}
        destinations:
        - {name: storage, remote_write: {url: "http://127.0.0.1:1/"}}
        - {name: fleet, sharded: {nodes: [{name: a, url: "http://127.0.0.1:1/"}, {name: b, url: "http://127.0.0.1:2/"}]}}
        """;

    private readonly GatewayRig _gateway = new(Config);

    public void Dispose() => _gateway.Dispose();

    [Fact]
    public void The_page_is_well_formed_before_anything_happened()
    {
        var page = new ExpositionPage(_gateway.Page);

        page.Sum("millrace_ingest_samples_total").ShouldBe(0);
        page.Samples.Count(sample => sample.Name == "millrace_dropped_samples_total").ShouldBe(6);
        page.Sum("millrace_destination_pending_samples", ("destination", "storage")).ShouldBe(0);
    }

    [Fact]
    public void Conservation_can_be_computed_from_the_scrape()
    {
        var backend = new FakeBackend(BackendKind.VictoriaMetrics);
        _gateway.Backends["storage"] = backend;
        for (var i = 0; i < 40; i++)
        {
            Send(i);
            if (i is 10 or 20)
            {
                backend.Inject(BackendFault.Unreachable, BackendFault.LostAnswer, BackendFault.Status(400, "bad"));
            }
            _gateway.Run(TimeSpan.FromSeconds(1));
            ShouldBalance(new ExpositionPage(_gateway.Page));
        }
        _gateway.Run(TimeSpan.FromMinutes(3));

        var page = new ExpositionPage(_gateway.Page);
        ShouldBalance(page);
        page.Sum("millrace_ingest_samples_total").ShouldBe(40 * 9);
        foreach (var reason in (string[])["invalid_labels", "relabeled", "no_route", "too_old", "too_far_ahead"])
        {
            page.Sum("millrace_dropped_samples_total", ("reason", reason)).ShouldBe(40, reason);
        }
        page.Sum("millrace_filtering_too_old_samples_total", ("age", "6h")).ShouldBe(40);
        page.Sum("millrace_aggregation_samples_total").ShouldBe(40 * 3);
        page.Sum("millrace_pipeline_forwarded_only_samples_total").ShouldBe(40);
        page.Sum("millrace_destination_pending_samples").ShouldBe(0);
        // One destination, and everything that is not dropped goes to it: the path can be followed to its end.
        page.Sum("millrace_destination_samples_total", ("state", "queued")).ShouldBe(
            page.Sum("millrace_aggregation_samples_total") + page.Sum("millrace_pipeline_forwarded_only_samples_total")
            + page.Sum("millrace_pipeline_emitted_samples_total"));
        page.Sum("millrace_destination_retries_total").ShouldBeGreaterThan(0);
        page.Sum("millrace_destination_possibly_repeated_blocks_total").ShouldBeGreaterThan(0);
    }

    [Fact]
    public void Rules_are_told_apart_and_their_samples_accounted_for()
    {
        for (var i = 0; i < 40; i++)
        {
            Send(i);
            _gateway.Run(TimeSpan.FromSeconds(1));
        }
        _gateway.Push($$"""http_requests_total{job="a",pod="1"} 1 {{_gateway.NowMs - 30_000}}""");

        var page = new ExpositionPage(_gateway.Page);
        page.Sum("millrace_aggregation_rule_samples_total", ("rule", "by \"job\"")).ShouldBe(40 * 3 + 1);
        page.Sum("millrace_aggregation_rule_samples_total", ("rule", "by \"job\" (2)")).ShouldBe(40);
        page.Sum("millrace_aggregation_late_samples_total", ("rule", "by \"job\""), ("age", "1m")).ShouldBe(1);
        page.Sum("millrace_aggregation_late_samples_total").ShouldBe(1);
        page.Sum("millrace_aggregation_series", ("rule", "by \"job\"")).ShouldBe(3);
        page.Sum("millrace_aggregation_groups", ("rule", "by \"job\"")).ShouldBe(2);
        page.Sum("millrace_aggregation_lateness_seconds", ("rule", "by \"job\"")).ShouldBe(2);
        page.Sum("millrace_aggregation_output_samples_total").ShouldBe(
            page.Sum("millrace_pipeline_emitted_samples_total"));
        page.Sum("millrace_aggregation_closed_through_timestamp_seconds", ("rule", "by \"job\"")).ShouldBe(
            Math.Floor((_gateway.NowMs / 1e3 - 2) / 10) * 10);
    }

    [Fact]
    public async Task The_ledger_does_not_go_back_in_a_restart()
    {
        Send(0);
        _gateway.Run(TimeSpan.FromSeconds(30));
        var before = new ExpositionPage(_gateway.Page).Sum("millrace_ingest_samples_total");

        await _gateway.RestartAsync();

        new ExpositionPage(_gateway.Page).Types.Keys.ShouldNotContain("millrace_ingest_samples_total");
        _gateway.CatchUp();
        var page = new ExpositionPage(_gateway.Page);
        page.Sum("millrace_ingest_samples_total").ShouldBe(before);
        ShouldBalance(page);
    }

    [Fact]
    public void Each_metric_is_documented_with_its_type_and_labels()
    {
        _gateway.Backends["storage"] = new FakeBackend(BackendKind.VictoriaMetrics);
        Send(0);
        _gateway.Run(TimeSpan.FromSeconds(30));
        _gateway.Pipeline.Sharded[0].Measure(0);
        _gateway.Pipeline.Sharded[0].Measure(1_000);
        var page = new ExpositionPage(_gateway.Page);

        var actual = page.Types.Select(family =>
        {
            var samples = page.Samples.Where(sample => sample.Name.StartsWith(family.Key, StringComparison.Ordinal)
                && sample.Name[family.Key.Length..] is "" or "_bucket").ToList();
            samples.ShouldNotBeEmpty(family.Key);
            samples = [.. samples.Where(sample => sample.Name == family.Key || sample.Name == family.Key + "_bucket")];
            var labels = samples[0].Labels.Keys.Where(label => label != "le");
            return $"{family.Key} {family.Value} {string.Join(", ", labels)}".TrimEnd();
        });
        var text = File.ReadAllText(Path.Combine(Peers.RepositoryRoot(), "docs", "metrics.md"));
        var documented = Row().Matches(text.Replace("`", "", StringComparison.Ordinal)).Select(
            row => $"{row.Groups[1].Value} {row.Groups[2].Value} {row.Groups[3].Value}".TrimEnd());
        documented.Order(StringComparer.Ordinal).ShouldBe(actual.Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Promtool_reads_the_page()
    {
        var missing = Peers.WhyMissing(Peers.Promtool);
        Assert.SkipWhen(missing is not null, missing ?? "");
        Send(0);
        _gateway.Run(TimeSpan.FromSeconds(30));
        using var folder = new TemporaryFolder("metrics");
        var page = folder.File("page.txt");
        await File.WriteAllTextAsync(page, _gateway.Page, TestContext.Current.CancellationToken);

        var (exitCode, output) = await Peers.RunOnFileAsync(
            Peers.Promtool, ["check", "metrics"], page, TimeSpan.FromSeconds(30));

        output.ShouldBe("");
        exitCode.ShouldBe(0);
    }

    /// <summary>
    /// Three counters that rules take, a gauge that none takes, and a sample for each reason to drop.
    /// </summary>
    private void Send(int i) => _gateway.Push($$"""
        http_requests_total{job="a",pod="1"} {{i}} NOW
        http_requests_total{job="a",pod="2"} {{i}} NOW
        http_requests_total{job="b",pod="3"} {{i}} NOW
        up{job="a"} 1 NOW
        up{job="hidden"} 1 NOW
        up{job="lost"} 1 NOW
        up{job="longer than is allowed here"} 1 NOW
        up{job="a"} 1 {{_gateway.NowMs - 7_200_000}}
        up{job="a"} 1 {{_gateway.NowMs + 7_200_000}}
        """);

    private static void ShouldBalance(ExpositionPage page)
    {
        page.Sum("millrace_ingest_samples_total").ShouldBe(
            page.Sum("millrace_aggregation_samples_total")
            + page.Sum("millrace_pipeline_forwarded_only_samples_total")
            + page.Sum("millrace_dropped_samples_total"));
        page.Sum("millrace_dropped_samples_total", ("reason", "too_old")).ShouldBe(
            page.Sum("millrace_filtering_too_old_samples_total"));
        double State(string state) => page.Sum("millrace_destination_samples_total", ("state", state));
        (State("queued") + State("replayed")).ShouldBe(
            State("delivered") + State("parked") + State("dropped")
            + page.Sum("millrace_destination_pending_samples"));
        State("dropped").ShouldBe(page.Sum("millrace_destination_dropped_samples_total"));
    }

    [GeneratedRegex(@"^\| ([a-z_]+) \| (counter|gauge|histogram) \| ([^|]*?) ?\| [^|]+ \|$", RegexOptions.Multiline)]
    private static partial Regex Row();
}
