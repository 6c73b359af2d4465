using Millrace.Aggregation;
using Millrace.Configuration;
using Millrace.Delivery;
using Millrace.Delivery.Authentication;
using Millrace.Server.Commands;

namespace Millrace.Tests.Server;

public sealed class ConvertTests : IDisposable
{
    private const string Rules = """
        # a comment
        - match: '{__name__=~"http_.+"}'
          interval: 1m
          dedup_interval: 30s
          without: [pod, instance]
          outputs: [total, stddev, "quantiles(0.5, 0.9)"]
          input_relabel_configs:
          - if: ['{a="b"}', "{c=\"it's\"}"]
            action: drop
            source_labels: [x]
        - interval: 5m
          outputs: [histogram_bucket]
        - {name: peaks, interval: 30s, by: [job], outputs: [max], flush_on_shutdown: yes, drop_input_labels: []}
        """;

    private readonly CommandRun _run = new();

    public void Dispose() => _run.Dispose();

    private async Task<MillraceConfig> ConvertAsync(params string[] args)
    {
        (await _run.RunAsync(["convert", .. args])).ShouldBe(ExitCode.Ok, _run.Error + _run.Output);
        _run.Error.ShouldBeEmpty();
        var result = ConfigLoader.Load("converted.yml", _ => null, _ => _run.Output);
        result.Problems.ShouldBeEmpty(_run.Output);
        return result.Config!;
    }

    [Fact]
    public async Task Rule_files_alone_become_a_configuration_that_loads()
    {
        var config = await ConvertAsync("vmagent", _run.File("rules.yml", Rules));
        config.Aggregation.Rules.Count.ShouldBe(3);
        var first = config.Aggregation.Rules[0];
        first.Outputs.ShouldBe(["total", "stddev", "quantiles(0.5, 0.9)"]);
        first.Without.ShouldBe(["instance", "pod"]);
        first.IntervalText.ShouldBe("1m");
        first.InputRelabelConfigs[0].If.ShouldBe(["{a=\"b\"}", "{c=\"it's\"}"]);
        config.Aggregation.Rules[2].Name.ShouldBe("peaks");
        config.Aggregation.Rules[2].FlushOnShutdown.ShouldBeTrue();
        first.DedupInterval.ShouldBe(TimeSpan.FromSeconds(30));
        config.Aggregation.Rules[2].DedupInterval.ShouldBeNull();
    }

    [Fact]
    public async Task Flags_of_the_global_level_become_one_route_and_defaults_of_its_rules()
    {
        var config = await ConvertAsync("vmagent", "--", "-remoteWrite.url=http://a/write",
            "-remoteWrite.url=http://b/write",
            $"-streamAggr.config={_run.File("rules.yml", Rules)}", "-streamAggr.keepInput",
                "--streamAggr.dropInput=true",
            "-streamAggr.dropInputLabels=replica,zone", "-streamAggr.ignoreOldSamples",
                "-streamAggr.ignoreFirstIntervals", "2",
            "-streamAggr.enableWindows=false", "-remoteWrite.showURL");
        var route = config.Routes.ShouldHaveSingleItem();
        (route.KeepInput, route.DropInput, route.To).ShouldBe((true, true, null));
        config.Destinations.Select(d => d.Url.ToString()).ShouldBe(["http://a/write", "http://b/write"]);
        var rule = config.Aggregation.Rules[0];
        rule.DropInputLabels.ShouldBe(["replica", "zone"]);
        rule.IgnoreOldSamples.ShouldBeTrue();
        rule.IgnoreFirstIntervals.ShouldBe(2);
        rule.Time.ShouldBe(RuleTime.Arrival);
        config.Aggregation.Rules[2].DropInputLabels.ShouldBeEmpty();
        _run.Output.ShouldContain("# No counterpart: -remoteWrite.showURL=true");
    }

    [Fact]
    public async Task Rules_of_a_URL_get_a_route_to_its_destination()
    {
        var relabeling = _run.File("relabel.yml", "- {source_labels: [a], target_label: b}\n");
        var config = await ConvertAsync("vmagent", "--", "-remoteWrite.url=http://a/write,http://b/write",
            $"-remoteWrite.streamAggr.config=,{_run.File("rules.yml", Rules)}",
                "-remoteWrite.streamAggr.keepInput=false,true",
            "-remoteWrite.streamAggr.dropInputLabels=,x^^y", $"-remoteWrite.urlRelabelConfig={relabeling}");
        config.AllMatchingRoutes.ShouldBeTrue();
        config.Routes.Select(r => (r.Name, r.Aggregate, r.KeepInput)).ShouldBe(
            [("storage-1", false, false), ("storage-2", true, true)]);
        config.Routes[1].AggregateRules.ShouldBe(["storage-2-rule-0", "storage-2-rule-1", "peaks"]);
        config.Routes[1].To.ShouldBe(["storage-2"]);
        // Aggregation comes behind the URL's relabeling, so that moves into the route.
        config.Routes[1].RelabelConfigs.Count.ShouldBe(1);
        config.Destinations[0].RelabelConfigs.Count.ShouldBe(1);
        config.Destinations[1].RelabelConfigs.ShouldBeEmpty();
        config.Aggregation.Rules[0].DropInputLabels.ShouldBe(["x", "y"]);
    }

    [Fact]
    public async Task Rules_of_URLs_stand_behind_the_global_ones()
    {
        var config = await ConvertAsync("vmagent", "--", "-remoteWrite.url=http://a/write,http://b/write",
            $"-streamAggr.config={_run.File("global.yml", "- {interval: 1m, outputs: [sum_samples]}\n")}",
            "-streamAggr.keepInput", $"-remoteWrite.streamAggr.config={_run.File("rules.yml", Rules)},",
            "-remoteWrite.streamAggr.dropInput");
        config.Routes.Select(r => (r.Name, r.Inputs.Count, r.Aggregate, r.KeepInput, r.DropInput, r.To?.Count))
            .ShouldBe([
                ("global", 0, true, true, false, 0), ("storage-1", 1, true, false, true, 1),
                ("storage-2", 1, false, false, false, 1),
            ]);
        config.Routes[0].AggregateRules.ShouldBe(["global-rule-0"]);
        config.Routes[2].Inputs.ShouldBe(["global"]);
        _run.Output.ShouldNotContain("# Note");
    }

    [Fact]
    public async Task Deduplication_stands_at_its_level()
    {
        var config = await ConvertAsync("vmagent", "--",
            "-remoteWrite.url=http://a/write,http://b/write,http://c/write", "-streamAggr.dedupInterval=30s",
            "-streamAggr.dropInputLabels=replica",
            $"-remoteWrite.streamAggr.config=,{_run.File("rules.yml", Rules)}",
            "-remoteWrite.streamAggr.dedupInterval=1m,,45s", "-remoteWrite.streamAggr.dropInputLabels=x^^y");
        config.Aggregation.DedupInterval.ShouldBe(TimeSpan.FromSeconds(30));
        config.Aggregation.DropInputLabels.ShouldBe(["replica"]);
        config.Destinations.Select(d => d.DedupInterval.TotalSeconds).ShouldBe([60, 0, 0]);
        config.Destinations[0].DropInputLabels.ShouldBe(["x", "y"]);
        // The rules are those of the second URL, which has no interval for them.
        config.Aggregation.Rules.Select(rule => rule.DedupInterval?.TotalSeconds).ShouldBe([30, null, null]);
        _run.Output.ShouldContain("dedupInterval=45s is left out: it is not a multiple");
    }

    [Fact]
    public async Task Deduplication_needs_no_rules()
    {
        var config = await ConvertAsync("vmagent", "--", "-remoteWrite.url=http://a/write",
            "-streamAggr.dedupInterval=60s", "-streamAggr.dropInputLabels=a,b");
        config.Aggregation.DedupInterval.ShouldBe(TimeSpan.FromMinutes(1));
        config.Aggregation.DropInputLabels.ShouldBe(["a", "b"]);
        _run.Output.ShouldNotContain("No counterpart:");
    }

    [Fact]
    public async Task Flags_of_delivery_become_keys_of_the_destination()
    {
        var flags = _run.File("flags.sh", """
            # how it was started
            /usr/bin/vmagent-prod -remoteWrite.url='http://a/write?x=1' \
              -remoteWrite.headers='X-Scope-OrgID: a,b^^X-Two:2' -remoteWrite.bearerToken=geheim \
              -remoteWrite.sendTimeout=30s -remoteWrite.retryMinInterval=2s -remoteWrite.retryMaxInterval=1d \
              -remoteWrite.maxDiskUsagePerURL=10GB -remoteWrite.flushInterval=500ms -remoteWrite.maxRowsPerBlock=5000 \
              -remoteWrite.forceVMProto -remoteWrite.label=price='5$' -remoteWrite.tmpDataPath=/var/lib/x \
              -httpListenAddr=:8429 -loggerLevel=WARN -loggerFormat=json -maxInsertRequestSize=16MB \
              -maxLabelsPerTimeseries=0 -maxLabelValueLen=1KiB -remoteWrite.oauth2.clientSecret=geheim2

            """);
        var config = await ConvertAsync("vmagent", flags);
        var destination = config.Destinations.ShouldHaveSingleItem();
        destination.Url.ShouldBe(new Uri("http://a/write?x=1"));
        destination.Headers.ShouldBe(new Dictionary<string, string>
        {
            ["X-Scope-OrgID"] = "a,b",
            ["X-Two"] = "2",
        }, ignoreOrder: true);
        destination.Http.ShouldBe(new HttpClientConfig
        {
            Authorization = new AuthorizationConfig("Bearer", new SecretText("geheim", null)),
        });
        destination.SendTimeout.ShouldBe(TimeSpan.FromSeconds(30));
        destination.RetryMinInterval.ShouldBe(TimeSpan.FromSeconds(2));
        destination.RetryMaxInterval.ShouldBe(TimeSpan.FromDays(1));
        destination.QueueMaxBytes.ShouldBe(10_000_000_000);
        destination.FlushInterval.ShouldBe(TimeSpan.FromMilliseconds(500));
        destination.MaxSamplesPerBlock.ShouldBe(5000);
        destination.Protocol.ShouldBe(RemoteWriteProtocol.VictoriaMetrics);
        destination.RelabelConfigs.ShouldHaveSingleItem().Replacement.ShouldBe("5$$");
        config.Server.ShouldBe(new ServerConfig { Listen = "0.0.0.0:8429", LogLevel = "warn", LogFormat = "json" });
        config.Ingest.MaxRequestBytes.ShouldBe(16_000_000);
        config.Ingest.MaxLabelValueBytes.ShouldBe(1024);
        config.Log.Path.ShouldBe("/var/lib/x");
        _run.Output.ShouldNotContain("geheim2");
    }

    [Fact]
    public async Task Flags_of_logins_TLS_and_rounding_go_to_their_URLs()
    {
        var config = await ConvertAsync("vmagent", "--",
            "-remoteWrite.url=https://a/write,https://b/write,https://c/write",
            "-remoteWrite.basicAuth.username=me,,", "-remoteWrite.basicAuth.passwordFile=/run/password,,",
            "-remoteWrite.bearerTokenFile=,/run/token,", "-remoteWrite.oauth2.clientID=,,client",
            "-remoteWrite.oauth2.clientSecretFile=,,/run/client", "-remoteWrite.oauth2.tokenUrl=,,https://auth/token",
            "-remoteWrite.oauth2.scopes=,,read;write", "-remoteWrite.oauth2.endpointParams={\"a\": \"b,c\"}",
            "-remoteWrite.tlsCAFile=/run/ca,,", "-remoteWrite.tlsCertFile=/run/cert,,",
            "-remoteWrite.tlsKeyFile=/run/key,,", "-remoteWrite.tlsServerName=,name,",
            "-remoteWrite.tlsInsecureSkipVerify=false,false,true", "-remoteWrite.proxyURL=http://proxy:3128,,",
            "-remoteWrite.rateLimit=1048576,0,0", "-remoteWrite.significantFigures=0,5,0",
            "-remoteWrite.roundDigits=100,2,-1");
        config.Destinations[0].Http.ShouldBe(new HttpClientConfig
        {
            BasicAuth = new BasicAuthConfig("me", new SecretText(null, "/run/password")),
            Tls = new TlsConfig { CaFile = "/run/ca", CertFile = "/run/cert", KeyFile = "/run/key" },
            Proxy = new ProxyConfig { Url = new Uri("http://proxy:3128") },
        });
        config.Destinations[1].Http.ShouldBe(new HttpClientConfig
        {
            Authorization = new AuthorizationConfig("Bearer", new SecretText(null, "/run/token")),
            Tls = new TlsConfig { ServerName = "name" },
        });
        config.Destinations[2].Http.ShouldBe(new HttpClientConfig
        {
            OAuth2 = new OAuth2Config
            {
                ClientId = "client",
                ClientSecret = new SecretText(null, "/run/client"),
                TokenUrl = new Uri("https://auth/token"),
                Scopes = "read write",
                EndpointParams = "a=b%2Cc",
            },
            Tls = new TlsConfig { InsecureSkipVerify = true },
        });
        config.Destinations.Select(to => to.RateLimitBytes).ShouldBe([1_048_576, 0, 0]);
        config.Destinations.Select(to => to.SignificantFigures).ShouldBe([0, 5, 0]);
        config.Destinations.Select(to => to.RoundDigits).ShouldBe([100, 2, -1]);
        _run.Output.ShouldNotContain("No counterpart:");
    }

    [Fact]
    public async Task Global_relabeling_is_taken_over_with_a_note_where_it_differs()
    {
        var file = _run.File("relabel.yml", """
            - {action: hashmod, source_labels: [pod], modulus: 10, target_label: shard}
            - {action: labelmap, regex: 'x_(.+)'}
            """);
        var config = await ConvertAsync("vmagent", "--", $"-remoteWrite.relabelConfig={file}");
        config.RelabelConfigs.Select(r => r.Action).ShouldBe(["hashmod", "labelmap"]);
        _run.Output.ShouldContain("MD5");
    }

    [Fact]
    public async Task A_result_that_does_not_load_is_told_and_answers_2()
    {
        var rules = _run.File("rules.yml", "- {interval: 1d, outputs: [max]}\n");
        (await _run.RunAsync("convert", "vmagent", rules, "--", "-remoteWrite.url=nowhere")).ShouldBe(ExitCode.Usage);
        _run.Output.ShouldContain("url: nowhere");
        _run.Error.ShouldContain("does not load yet");
        _run.Error.ShouldContain("\"nowhere\"");
    }

    [Theory]
    [InlineData("vmagent")]
    [InlineData("stream-metrics-route")]
    public async Task A_file_that_cannot_be_read_answers_2(string system)
    {
        (await _run.RunAsync("convert", system, "/nowhere/rules.yml")).ShouldBe(ExitCode.Usage);
        _run.Output.ShouldBeEmpty();
        _run.Error.ShouldContain("\"/nowhere/rules.yml\" cannot be read");
    }

    [Fact]
    public async Task Routers_of_stream_metrics_route_become_routes_that_aggregate_nothing()
    {
        var config = await ConvertAsync("stream-metrics-route", _run.File("config.yaml", """
            global:
              prefix: stream
            router_rules:
            - router_name: web front
              upstreams:
                upstream_type: remotewriter
                upstream_urls: ["http://a/api/v1/write"]
              hash_labels: {mode: 1}
              metric_relabel_configs:
              - source_labels: [job]
                regex: web|front
                action: keep
            - router_name: sharded
              upstreams:
                upstream_type: remotewriter
                upstream_urls: ["http://b/", "http://c/"]
              hash_labels: {mode: 100, labels: [stream_task_id]}
            - router_name: queue
              upstreams:
                upstream_type: kafka
                kafka_config: {broker_list: "k:9092", topic: metrics, basicauth: {username: u, password: geheim}}
            """));
        config.AllMatchingRoutes.ShouldBeTrue();
        config.Routes.Count.ShouldBe(2);
        var route = config.Routes[0];
        (route.Name, route.Aggregate).ShouldBe(("web-front", false));
        route.To.ShouldBe(["web-front"]);
        route.RelabelConfigs.ShouldHaveSingleItem().Regex.ShouldBe("web|front");
        config.Destinations.ShouldAllBe(destination => destination.SendTimeout == TimeSpan.FromSeconds(5));
        config.Destinations[0].Sharded.ShouldBeNull();
        var sharded = config.Destinations[1].Sharded.ShouldNotBeNull();
        sharded.Scheme.ShouldBe(ShardScheme.StreamMetricsRoute);
        sharded.Nodes.Nodes.Select(node => node.Url.OriginalString).ShouldBe(["http://b/", "http://c/"]);
        sharded.Tasks.Count.ShouldBe(100);
        sharded.Tasks.By.ShouldBe(["stream_task_id"]);
        _run.Output.ShouldContain("#     broker_list: ...");
        _run.Output.ShouldNotContain("geheim");
    }

    [Fact]
    public async Task Urls_that_share_the_series_become_nodes_of_one_destination()
    {
        var config = await ConvertAsync("vmagent", _run.File("flags", """
            -remoteWrite.url=http://a:8429/api/v1/write -remoteWrite.url=http://b:8429/api/v1/write
            -remoteWrite.shardByURL -remoteWrite.shardByURL.ignoreLabels=pod -remoteWrite.shardByURL.ignoreLabels=instance
            -remoteWrite.shardByURLReplicas=2
            """.ReplaceLineEndings(" ")));
        var sharded = config.Destinations.ShouldHaveSingleItem().Sharded.ShouldNotBeNull();
        (sharded.Scheme, sharded.Placement.Replicas).ShouldBe((ShardScheme.VmAgent, 2));
        sharded.Nodes.Nodes.Select(node => node.Url.OriginalString)
            .ShouldBe(["http://a:8429/api/v1/write", "http://b:8429/api/v1/write"]);
        sharded.Tasks.Without.ShouldBe(["pod", "instance"], ignoreOrder: true);
        _run.Output.ShouldNotContain("# No counterpart");
    }

    [Fact]
    public async Task An_unknown_key_of_stream_metrics_route_is_a_problem_as_it_was_there()
    {
        var file = _run.File("config.yaml", "router_rules:\n- {router_nam: a}\n");
        (await _run.RunAsync("convert", "stream-metrics-route", file)).ShouldBe(ExitCode.Usage);
        _run.Error.ShouldContain("config.yaml:2: router_rules[0].router_nam: unknown key");
    }
}
