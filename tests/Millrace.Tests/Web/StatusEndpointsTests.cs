using System.Text.Json;
using Millrace.TestKit;
using Millrace.Web;

namespace Millrace.Tests.Web;

public sealed class StatusEndpointsTests : IDisposable
{
    private const string Config = """
        aggregation:
          rules:
          - {name: by-job, match: 'http_requests_total', interval: 10s, by: [job], outputs: [total, max], allowed_lateness: 2s}
        routes:
        - {name: web, match: '{__name__=~"http_.*"}', to: [storage]}
        destinations:
        - name: storage
          remote_write: {url: "http://user:s3cret@backend.example/api/v1/write?token=s3cret", headers: {Authorization: s3cret}}
        """;

    private readonly GatewayRig _gateway = new(Config);
    private readonly FakeBackend _backend = new(BackendKind.VictoriaMetrics);

    public StatusEndpointsTests() => _gateway.Backends["storage"] = _backend;

    private StatusReporter Reporter => new(_gateway.State);

    public void Dispose() => _gateway.Dispose();

    [Fact]
    public void Is_ready_when_it_takes_input() => _gateway.Endpoints.Readiness().ShouldBe((200, "ready"));

    [Fact]
    public async Task Is_ready_and_says_how_far_it_is_while_it_replays()
    {
        Send(0);
        await _gateway.RestartAsync();

        var (status, text) = _gateway.Endpoints.Readiness();
        status.ShouldBe(200);
        text.ShouldMatch("^ready, replaying [0-9]+ %$");
        Reporter.Pipeline().State.ShouldBe("replaying");
        _gateway.CatchUp();
        _gateway.Endpoints.Readiness().ShouldBe((200, "ready"));
    }

    [Fact]
    public async Task Says_that_closes_wait_after_a_pause()
    {
        Send(0);
        await _gateway.RestartAsync();
        _gateway.Run(TimeSpan.FromSeconds(30));
        _gateway.CatchUp();
        _gateway.Run(TimeSpan.FromSeconds(1));

        var report = Reporter.Pipeline();
        report.State.ShouldBe("holding");
        report.ClosesHeldUntilMs.ShouldBeGreaterThan(report.NowMs);
        Reporter.Rules()[0].NextPointMs.ShouldBe(report.ClosesHeldUntilMs);
    }

    [Fact]
    public void Is_not_ready_for_the_reason_of_the_process()
    {
        _gateway.Refusal = "The gateway is stopping.";
        _gateway.Endpoints.Readiness().ShouldBe((503, "The gateway is stopping."));
        Reporter.Pipeline().State.ShouldBe("not_ready");
    }

    [Fact]
    public void Is_not_ready_when_the_disk_is_full()
    {
        _gateway.Disk.CapacityBytes = _gateway.Disk.UsedBytes + 1000;
        _gateway.Run(TimeSpan.FromSeconds(2));

        var (status, text) = _gateway.Endpoints.Readiness();
        status.ShouldBe(503);
        text.ShouldContain("The disk of the log is full");
        Reporter.Pipeline().Logs[0].HasSpace.ShouldBeFalse();
    }

    [Fact]
    public void Shows_what_a_rule_did()
    {
        for (var i = 0; i < 40; i++)
        {
            Send(i);
            _gateway.Run(TimeSpan.FromSeconds(1));
        }

        var rule = Reporter.Rules().ShouldHaveSingleItem();
        rule.Name.ShouldBe("by-job");
        rule.Match.ShouldBe(["http_requests_total"]);
        rule.Outputs.ShouldBe(["total", "max"]);
        rule.LatenessMs.ShouldBe(2_000);
        rule.LatenessIsAuto.ShouldBeFalse();
        (rule.Series, rule.Groups, rule.Samples, rule.LateSamples).ShouldBe((2, 1, 80, 0));
        rule.NextPointMs.ShouldBe(rule.ClosedThroughMs + 12_000);
        var recent = rule.Recent.ShouldNotBeNull();
        recent.EndMs.ShouldBe(rule.ClosedThroughMs!.Value);
        recent.Samples.Select(sample => sample.Series).Order(StringComparer.Ordinal).ShouldBe(
            ["http_requests_total:10s_by_job_max{job=\"a\"}", "http_requests_total:10s_by_job_total{job=\"a\"}"]);
    }

    [Fact]
    public void Shows_the_state_of_a_destination()
    {
        Reporter.Destinations()[0].State.ShouldBe("idle");
        _gateway.Push("http_other{job=\"a\"} 1 NOW");
        _backend.Inject(BackendFault.Status(503, new string('x', 1_000)));
        _gateway.Run(TimeSpan.FromMilliseconds(1_100));

        var failing = Reporter.Destinations()[0];
        failing.State.ShouldBe("failing");
        failing.LastAnswer.ShouldNotBeNull().ShouldStartWith("status 503: xxx");
        failing.LastAnswer.Length.ShouldBeLessThan(400);
        (failing.Queued, failing.Pending, failing.Retries).ShouldBe((1, 1, 1));
        Reporter.Pipeline().Warnings.ShouldContain(text => text.Contains("\"storage\" fails", StringComparison.Ordinal));

        _gateway.Run(TimeSpan.FromSeconds(10));
        var healed = Reporter.Destinations()[0];
        (healed.State, healed.Delivered, healed.Pending).ShouldBe(("ok", 1, 0));
        Reporter.Pipeline().Warnings.ShouldBeEmpty();
    }

    [Fact]
    public void Says_that_samples_found_no_route()
    {
        _gateway.Push("up 1 NOW");

        Reporter.Pipeline().Dropped.Single(reason => reason.Reason == "no_route").Samples.ShouldBe(1);
        Reporter.Pipeline().Warnings.ShouldHaveSingleItem().ShouldContain("matched no route");
    }

    [Fact]
    public void Shows_routes()
    {
        var route = Reporter.Routes().ShouldHaveSingleItem();
        (route.Name, route.Match).ShouldBe(("web", "{__name__=~\"http_.*\"}"));
        route.To.ShouldBe(["storage"]);
        route.Rules.ShouldBeNull();
    }

    [Fact]
    public void Shows_no_secret()
    {
        Send(0);
        _gateway.Run(TimeSpan.FromSeconds(30));

        string[] shown =
        [
            _gateway.Page,
            JsonSerializer.Serialize(Reporter.Pipeline(), StatusJson.Default.PipelineReport),
            JsonSerializer.Serialize(Reporter.Rules(), StatusJson.Default.IReadOnlyListRuleReport),
            JsonSerializer.Serialize(Reporter.Destinations(), StatusJson.Default.IReadOnlyListDestinationReport),
            JsonSerializer.Serialize(Reporter.Routes(), StatusJson.Default.IReadOnlyListRouteReport),
        ];
        shown.ShouldAllBe(text => !text.Contains("s3cret", StringComparison.Ordinal));
        Reporter.Destinations()[0].Url.ShouldBe("http://backend.example/api/v1/write");
        _gateway.State.Config.Destinations[0].Headers.Keys.ShouldContain("Authorization");
    }

    [Fact]
    public void Writes_values_that_json_has_no_number_for() =>
        JsonSerializer.Serialize(
            [new RuleReport
            {
                Name = "", Place = "", By = [], Without = [], Outputs = [], Interval = "", IntervalMs = 1, Time = "event",
                Recent = new WindowReport(1, 1, [new OutputReport("a", double.NaN)]),
            }],
            StatusJson.Default.IReadOnlyListRuleReport).ShouldContain("\"NaN\"");

    private void Send(int i) => _gateway.Push($$"""
        http_requests_total{job="a",pod="1"} {{i}} NOW
        http_requests_total{job="a",pod="2"} {{i}} NOW
        """);
}
