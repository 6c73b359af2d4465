using Millrace.Server.Commands;

namespace Millrace.Tests.Server;

public sealed class CommandTests : IDisposable
{
    private const string Good = """
        relabel_configs:
        - {action: labeldrop, regex: replica}
        - {action: drop, source_labels: [job], regex: noise}
        aggregation:
          rules:
          - name: requests
            match: 'http_requests_total{job!=""}'
            interval: 1m
            without: [pod]
            outputs: [total, rate_sum]
            allowed_lateness: 20s
          - match: ['{a="1"}', '{b="2"}']
            interval: 10s
            time: arrival
            by: [job]
            outputs: [max]
            drop_input_labels: [a]
            output_relabel_configs:
            - {action: replace, source_labels: [__name__], regex: '(.+):.+', target_label: __name__, replacement: '${1}_peak'}
        routes:
        - name: secret
          match: '{team="red"}'
          aggregate: false
          to: []
        - name: rest
          keep_input: true
        destinations:
        - name: storage
          remote_write: {url: "http://127.0.0.1:8428/api/v1/write"}
        - name: second
          remote_write: {url: "http://127.0.0.1:8429/api/v1/write"}
          relabel_configs:
          - {action: keep, source_labels: [__name__], regex: 'http_.*'}

        """;

    private readonly CommandRun _run = new();

    public void Dispose() => _run.Dispose();

    private const string Fleet = """
        destinations:
        - name: aggregators
          sharded:
            nodes: [{name: a, url: "http://10.0.0.1/write"}, {name: b, url: "http://10.0.0.2/write"}]
            tasks: {count: 64, without: [pod], rule_files: [fleet-rules.yml], label: stream_task_id}
        """;

    [Fact]
    public async Task Check_tells_which_rules_of_the_aggregators_are_local()
    {
        _run.File("fleet-rules.yml", """
            - {name: keeps, interval: 1m, without: [pod], outputs: [total]}
            - {name: loses, interval: 1m, without: [pod, instance], outputs: [total]}
            - {name: any, interval: 1m, input_relabel_configs: [{action: labelmap, regex: "a(.*)"}], outputs: [total]}
            """);
        (await _run.RunAsync("check", _run.File("fleet.yml", Fleet))).ShouldBe(ExitCode.Ok, _run.Error);
        _run.Output.ShouldContain("destination \"aggregators\": 64 tasks by all labels but pod");
        _run.Output.ShouldContain("rule #0 \"keeps\"");
        _run.Output.ShouldMatch("rule #0 \"keeps\".*: local, each of its groups is in one task");
        _run.Output.ShouldMatch("rule #1 \"loses\".*: merged.*local with the key all labels but instance, pod");
        _run.Output.ShouldMatch("rule #2 \"any\".*: merged.*no key makes it local");
    }

    [Fact]
    public async Task Route_tells_task_and_node_of_a_series()
    {
        _run.File("fleet-rules.yml", "[]");
        var file = _run.File("fleet.yml", Fleet);
        (await _run.RunAsync("route", file, "m{job=\"j\",pod=\"p\"}")).ShouldBe(ExitCode.Ok, _run.Error);
        _run.Output.ShouldMatch("to destination \"aggregators\" as m{job=\"j\",pod=\"p\",stream_task_id=\"\\d+\"}");
        _run.Output.ShouldMatch("task \\d+ of 64, by m{job=\"j\"}");
        _run.Output.ShouldMatch("node \"[ab]\", by the first table of these nodes");
        (await _run.RunAsync("route", file, "m", "--gateway", "nonsense")).ShouldBe(ExitCode.Usage);
        (await _run.RunAsync("route", file, "m", "--gateway", "http://127.0.0.1:1")).ShouldBe(ExitCode.Failure);
    }

    [Fact]
    public async Task Check_summarises_each_rule()
    {
        (await _run.RunAsync("check", _run.File("a.yml", Good))).ShouldBe(ExitCode.Ok);
        _run.Error.ShouldBeEmpty();
        _run.Output.ShouldBe("""
            a.yml: ok: 2 rules, 2 routes, 2 destinations
            rule #0 "requests" (a.yml:6)
              match:    http_requests_total{job!=""}
              outputs:  total, rate_sum
              writes:   http_requests_total:1m_without_pod_total
              writes:   http_requests_total:1m_without_pod_rate_sum
              interval: 1m, event time: a point appears 20s after its window ends
            rule #1 (a.yml:12)
              match:    {a="1"} or {b="2"}
              outputs:  max
              writes:   <metric>:10s_by_job_max
              interval: 10s, time of arrival: a point appears when its interval ends

            """);
    }

    [Fact]
    public async Task Check_reports_every_problem_and_answers_2()
    {
        var file = _run.File("a.yml", "server: {listen: x}\nrouts: []\n");
        (await _run.RunAsync("check", file)).ShouldBe(ExitCode.Usage);
        _run.Output.ShouldBeEmpty();
        _run.Error.ShouldBe("""
            a.yml:1: server.listen: "x" names no port: write host and port as in 127.0.0.1:8480
            a.yml:1: destinations: missing: name at least one, with its remote_write.url
            a.yml:2: routs: unknown key "routs": did you mean "routes"?
            3 problems

            """);
    }

    [Fact]
    public async Task Check_reads_rule_files_beside_the_configuration()
    {
        _run.File("one.yml", "- {name: one, interval: 1m, outputs: [max]}");
        _run.File("two.yml", "- {name: two, interval: 1d, outputs: [max]}");
        var file = _run.File("a.cfg", "aggregation: {rule_files: ['*.yml']}\n" + Good[Good.IndexOf("destinations:")..]);
        (await _run.RunAsync("check", file)).ShouldBe(ExitCode.Usage);
        _run.Error.ShouldStartWith("two.yml:1: [0].interval: \"1d\" is not a duration");
    }

    [Fact]
    public async Task Explain_follows_a_series_to_what_it_feeds()
    {
        (await _run.RunAsync("explain", _run.File("a.yml", Good),
            "http_requests_total{job=\"web\",pod=\"p1\",a=\"1\",replica=\"r\"}")).ShouldBe(ExitCode.Ok);
        _run.Error.ShouldBeEmpty();
        _run.Output.ShouldStartWith("series http_requests_total{a=\"1\",job=\"web\",pod=\"p1\",replica=\"r\"}\n"
            + "relabel_configs #0 {action: labeldrop, regex: 'replica'}: ");
        _run.Output.ShouldEndWith("""
            route "secret": {team="red"} does not match
            route "rest": {} matches
              rule #0 "requests": http_requests_total{job!=""} matches
                group http_requests_total{a="1",job="web"}
                feeds http_requests_total:1m_without_pod_total{a="1",job="web"}
                  to destination "storage" as http_requests_total:1m_without_pod_total{a="1",job="web"}
                  destination "second" relabel_configs #0 {action: keep, source_labels: ['__name__'], regex: 'http_.*'}: http_requests_total:1m_without_pod_total{a="1",job="web"} -> unchanged
                  to destination "second" as http_requests_total:1m_without_pod_total{a="1",job="web"}
                feeds http_requests_total:1m_without_pod_rate_sum{a="1",job="web"}
                  to destination "storage" as http_requests_total:1m_without_pod_rate_sum{a="1",job="web"}
                  destination "second" relabel_configs #0 {action: keep, source_labels: ['__name__'], regex: 'http_.*'}: http_requests_total:1m_without_pod_rate_sum{a="1",job="web"} -> unchanged
                  to destination "second" as http_requests_total:1m_without_pod_rate_sum{a="1",job="web"}
              rule #1: {a="1"} matches
                drop_input_labels: http_requests_total{job="web",pod="p1"}
                group http_requests_total{job="web"}
                feeds http_requests_total:10s_by_job_max{job="web"}
                  output_relabel_configs #0 {action: replace, source_labels: ['__name__'], regex: '(.+):.+', target_label: '__name__', replacement: '${1}_peak'}: http_requests_total:10s_by_job_max{job="web"} -> http_requests_total_peak{job="web"}
                  to destination "storage" as http_requests_total_peak{job="web"}
                  destination "second" relabel_configs #0 {action: keep, source_labels: ['__name__'], regex: 'http_.*'}: http_requests_total_peak{job="web"} -> unchanged
                  to destination "second" as http_requests_total_peak{job="web"}
              raw samples: forwarded, because a rule matches and keep_input is true
                to destination "storage" as http_requests_total{a="1",job="web",pod="p1"}
                destination "second" relabel_configs #0 {action: keep, source_labels: ['__name__'], regex: 'http_.*'}: http_requests_total{a="1",job="web",pod="p1"} -> unchanged
                to destination "second" as http_requests_total{a="1",job="web",pod="p1"}

            """);
    }

    [Fact]
    public async Task Explain_follows_outputs_to_the_routes_behind()
    {
        var before = "m:1m_sum_samples{a=\"1\"}";
        var step = "{action: replace, target_label: 'u', replacement: 'one'}";
        var behind = "m:1m_sum_samples{a=\"1\",u=\"one\"}";
        (await _run.RunAsync("explain", _run.File("a.yml", """
            aggregation:
              rules:
              - {name: sum, match: m, interval: 1m, outputs: [sum_samples]}
              - {name: peaks, match: '{__name__=~"m:.*"}', interval: 1m, by: [u], outputs: [max]}
            routes:
            - {name: global, aggregate: [sum], to: []}
            - name: url
              inputs: [global]
              relabel_configs: [{target_label: u, replacement: one}]
              aggregate: [peaks]
            destinations:
            - {name: storage, remote_write: {url: "http://127.0.0.1:8428/api/v1/write"}}
            """), "m{a=\"1\"}")).ShouldBe(ExitCode.Ok);
        _run.Output.ShouldBe($$"""
            series m{a="1"}
            route "global": {} matches
              rule #0 "sum": m matches
                group m{a="1"}
                feeds m:1m_sum_samples{a="1"}
                  route "url": {} matches
                    relabel_configs #0 {{step}}: {{before}} -> {{behind}}
                    rule #1 "peaks": {__name__=~"m:.*"} matches
                      group m:1m_sum_samples{u="one"}
                      feeds m:1m_sum_samples:1m_by_u_max{u="one"}
                        to destination "storage" as m:1m_sum_samples:1m_by_u_max{u="one"}
                    output: dropped, because a rule matches and keep_input is false
              raw samples: dropped, because a rule matches and keep_input is false

            """);
    }

    [Theory]
    [InlineData("up{job=\"noise\"}", "dropped by relabel_configs\n")]
    [InlineData("up{team=\"red\"}", "    dropped: the route names no destination\nlater routes are not tried "
        + "(route_mode: first)\n")]
    [InlineData("up{team=\"blue\"}", "    dropped by destination \"second\" relabel_configs\n")]
    public async Task Explain_names_what_drops_a_series(string series, string end)
    {
        (await _run.RunAsync("explain", _run.File("a.yml", Good), series)).ShouldBe(ExitCode.Ok);
        _run.Output.ShouldEndWith(end);
    }

    [Theory]
    [InlineData("up{", "is not a series")]
    [InlineData("up{a=~\"b\"}", "chooses several")]
    [InlineData("{a=\"1\" or b=\"2\"}", "name one series")]
    [InlineData("{}", "no labels")]
    public async Task Explain_takes_one_series(string series, string part)
    {
        (await _run.RunAsync("explain", _run.File("a.yml", Good), series)).ShouldBe(ExitCode.Usage);
        _run.Error.ShouldContain(part);
    }

    [Fact]
    public async Task Serve_runs_the_file_and_returns_what_the_gateway_returns()
    {
        (await _run.RunAsync("serve", "--config", _run.File("a.yml", Good), "--demo")).ShouldBe(7);
        _run.Served.ShouldNotBeNull().Destinations.Count.ShouldBe(2);
        _run.ServedDemo.ShouldBeTrue();
    }

    [Fact]
    public async Task Serve_without_a_file_runs_the_default_that_needs_nothing_beside_it()
    {
        (await _run.RunAsync("serve")).ShouldBe(7);
        var config = _run.Served.ShouldNotBeNull();
        config.Server.Listen.ShouldBe("127.0.0.1:8480");
        config.Log.Path.ShouldBe("./millrace-data");
        config.Aggregation.Rules.ShouldHaveSingleItem().Outputs.ShouldBe(["increase", "total", "rate_sum", "max"]);
        config.Destinations.ShouldHaveSingleItem().Url.ShouldBe(new Uri("http://127.0.0.1:8428/api/v1/write"));
        _run.ServedDemo.ShouldBeFalse();
    }

    [Fact]
    public async Task Serve_does_not_run_a_file_with_problems()
    {
        (await _run.RunAsync("serve", "--config", _run.File("a.yml", "a: b"))).ShouldBe(ExitCode.Usage);
        _run.Served.ShouldBeNull();
        _run.Error.ShouldContain("unknown key \"a\"");
    }

    [Theory]
    [InlineData]
    [InlineData("start")]
    [InlineData("check")]
    [InlineData("check", "a", "b")]
    [InlineData("serve", "--confg", "a")]
    [InlineData("completion", "tcsh")]
    public async Task A_wrong_command_line_answers_2(params string[] args)
    {
        (await _run.RunAsync(args)).ShouldBe(ExitCode.Usage);
        _run.Error.ShouldNotBeEmpty();
        _run.Served.ShouldBeNull();
    }

    [Theory]
    [InlineData("--help")]
    [InlineData("serve", "--help")]
    [InlineData("convert", "vmagent", "-h")]
    public async Task Help_answers_0(params string[] args)
    {
        (await _run.RunAsync(args)).ShouldBe(ExitCode.Ok);
        _run.Output.ShouldContain("Usage:");
        _run.Served.ShouldBeNull();
    }

    [Fact]
    public async Task Version_names_product_and_version()
    {
        (await _run.RunAsync("version")).ShouldBe(ExitCode.Ok);
        _run.Output.ShouldMatch(@"^millrace \d+\.\d+\.\d+");
    }

    [Theory]
    [InlineData("bash", "complete -o default -F _millrace millrace")]
    [InlineData("zsh", "compdef _millrace millrace")]
    [InlineData("fish", "complete -c millrace")]
    public async Task Completion_prints_a_script_that_asks_for_suggestions(string shell, string part)
    {
        (await _run.RunAsync("completion", shell)).ShouldBe(ExitCode.Ok);
        _run.Output.ShouldContain(part);
        _run.Output.ShouldContain("[suggest:");
    }

    [Fact]
    public async Task Suggestions_name_the_commands()
    {
        await _run.RunAsync("[suggest:9]", "millrace ");
        string[] commands = ["serve", "check", "explain", "convert", "version", "completion"];
        _run.Output.Split('\n').Intersect(commands).ShouldBe(commands, ignoreOrder: true);
    }
}
