using Millrace.Configuration;
using Millrace.Delivery;
using Millrace.Log;
using Millrace.Relabeling;

namespace Millrace.Tests.Configuration;

public class ConfigLoaderTests
{
    [Fact]
    public void The_smallest_file_names_one_destination_and_leaves_the_rest_to_defaults()
    {
        var config = LoadedConfig.Good(LoadedConfig.Destination);
        config.Server.ShouldBe(new ServerConfig());
        config.Ingest.ShouldBe(new());
        config.Log.ShouldBe(new LogConfig());
        config.TimeWindow.ShouldBe(new());
        config.AllMatchingRoutes.ShouldBeFalse();
        config.Aggregation.Rules.ShouldBeEmpty();
        var route = config.Routes.ShouldHaveSingleItem();
        route.Match.ShouldBe("{}");
        route.To.ShouldBeNull();
        var destination = config.Destinations.ShouldHaveSingleItem();
        destination.Name.ShouldBe("storage");
        destination.Url.ShouldBe(new Uri("http://127.0.0.1:8428/api/v1/write"));
        destination.Lanes.ShouldBe(16);
    }

    [Fact]
    public void Every_key_reaches_its_field()
    {
        var config = LoadedConfig.Good(FullConfig.Text, FullConfig.Files);
        config.Server.ShouldBe(new ServerConfig
        {
            Listen = "0.0.0.0:8481",
            LogLevel = "debug",
            LogFormat = "json",
            ShutdownTimeout = TimeSpan.FromSeconds(20),
        });
        config.Ingest.ShouldBe(new()
        {
            MaxRequestBytes = 16 << 20,
            MaxDecompressedBytes = 64 << 20,
            MaxSeriesPerRequest = 1000,
            MaxLabelsPerSeries = 64,
            MaxLabelNameBytes = 512,
            MaxLabelValueBytes = 4096,
            MaxConcurrentRequests = 100,
            MaxInFlightBytes = 256 << 20,
        });
        config.Log.ShouldBe(new LogConfig
        {
            Path = "/var/lib/millrace",
            Durability = Durability.LogSynced,
            MaxBytes = 20L << 30,
            SegmentBytes = 32 << 20,
            BaseInterval = TimeSpan.FromMinutes(2),
            BaseBytes = 512 << 20,
            MinFreeBytes = 1L << 30,
        });
        config.TimeWindow.MaxAge.ShouldBe(TimeSpan.FromDays(1));
        config.TimeWindow.MaxFuture.ShouldBeNull();
        config.RelabelConfigs.ShouldHaveSingleItem().Labels.ShouldBe(
            new Dictionary<string, string> { ["__name__"] = "${1}_total" });
        config.Aggregation.TaskCount.ShouldBe(64);
        config.Aggregation.TaskBy.ShouldBe(["job"]);
        config.Aggregation.CatchUp.ShouldBe(TimeSpan.FromMinutes(2));
        config.Aggregation.MaxOpenWindows.ShouldBe(128);
        config.Aggregation.Rules.Select(r => r.Name).ShouldBe(["of vmagent", "requests", "peaks"]);
        config.AllMatchingRoutes.ShouldBeTrue();
        config.Routes.Select(r => r.Name).ShouldBe(["web", "rest"]);
        config.Routes[0].AggregateRules.ShouldBe(["requests"]);
        config.Routes[0].TimeWindow!.MaxAge.ShouldBe(TimeSpan.FromHours(2));
        config.Routes[0].TimeWindow!.MaxFuture.ShouldBe(TimeSpan.FromMinutes(5));
        config.Routes[0].To.ShouldBe(["storage"]);
        config.Routes[1].Aggregate.ShouldBeFalse();
        config.Routes[1].DropInput.ShouldBeTrue();
    }

    [Fact]
    public void Every_key_of_a_destination_reaches_its_field()
    {
        var destination = LoadedConfig.Good(FullConfig.Text, FullConfig.Files).Destinations[0];
        destination.Protocol.ShouldBe(RemoteWriteProtocol.PrometheusV2);
        destination.Headers.ShouldBe(new Dictionary<string, string> { ["X-Scope-OrgID"] = "team-a" });
        destination.SendTimeout.ShouldBe(TimeSpan.FromSeconds(30));
        destination.RetryMinInterval.ShouldBe(TimeSpan.FromSeconds(2));
        destination.RetryMaxInterval.ShouldBe(TimeSpan.FromMinutes(2));
        destination.RelabelConfigs.Count.ShouldBe(2);
        destination.RelabelConfigs[1].ShouldBe(new RelabelConfig { TargetLabel = "site", Replacement = "east" });
        (destination.SignificantFigures, destination.RoundDigits).ShouldBe((6, 3));
        destination.RateLimitBytes.ShouldBe(10 << 20);
        destination.Lanes.ShouldBe(8);
        destination.QueueMemoryBytes.ShouldBe(32 << 20);
        destination.QueueMaxBytes.ShouldBe(2L << 30);
        destination.QueueMaxAge.ShouldBe(TimeSpan.FromHours(12));
        destination.FlushInterval.ShouldBe(TimeSpan.FromMilliseconds(500));
        destination.MaxSamplesPerBlock.ShouldBe(5_000);
    }

    /// <summary>One wrong value each: the line and path it is reported at, and a part of the text.</summary>
    public static TheoryData<string, int, string, string> Mistakes => new()
    {
        { "server: {listen: 8480}", 1, "server.listen", "names no port" },
        { "server: {listen: \"example:8480\"}", 1, "server.listen", "\"example\"" },
        { "server: {listen: \"::1:8480\"}", 1, "server.listen", "\"::1\"" },
        { "server: {log_level: warning}", 1, "server.log_level", "did you mean \"warn\"" },
        { "server: {log_format: xml}", 1, "server.log_format", "text, json" },
        { "server: {shutdown_timeout: 10}", 1, "server.shutdown_timeout", "\"10\" is not a duration" },
        { "server: {tls: {}}", 1, "server.tls", "not available" },
        { "server: [1]", 1, "server", "must be a mapping" },
        { "sever: {}", 1, "sever", "did you mean \"server\"" },
        { "ingest: {max_request_bytes: 32mb}", 1, "ingest.max_request_bytes", "\"32mb\" is not a size" },
        { "ingest: {max_request_bytes: 0}", 1, "ingest.max_request_bytes", "out of range" },
        { "ingest:\n  max_series_per_request: many", 2, "ingest.max_series_per_request", "\"many\"" },
        { "ingest:\n  max_series_per_request: 1\n  max_in_flight_bytes: 1MiB", 3, "ingest.max_in_flight_bytes",
            "max_decompressed_bytes" },
        { "log: {durability: disk}", 1, "log.durability", "log, log_synced, memory" },
        { "log: {path: ''}", 1, "log.path", "directory" },
        { "log: {max_bytes: 100MiB, segment_bytes: 64MiB}", 1, "log.segment_bytes", "half" },
        { "log: {max_bytes: 100MiB, base_bytes: 64MiB}", 1, "log.base_bytes", "half" },
        { "time_window: {max_age: 0s}", 1, "time_window.max_age", "too short" },
        { "time_window: {max_future: never}", 1, "time_window.max_future", "\"never\"" },
        { "relabel_configs: {action: drop}", 1, "relabel_configs", "must be a list" },
        { "relabel_configs:\n- action: drop\n  sourcelabels: [a]", 3, "relabel_configs[0].sourcelabels",
            "did you mean \"source_labels\"" },
        { "relabel_configs:\n- ", 2, "relabel_configs[0]", "relabel rule" },
        { "relabel_configs:\n- {source_labels: job, target_label: x}", 2, "relabel_configs[0].source_labels",
            "write [job]" },
        { "relabel_configs:\n- {action: drop, if: ''}", 2, "relabel_configs[0].if", "not a series selector" },
        { "relabel_configs:\n- {action: graphite, match: a, labels: [a]}", 2, "relabel_configs[0].labels", "map" },
        { "relabel_configs:\n- {action: dropp}", 2, "relabel_configs[0].action", "dropp" },
        { "relabel_configs:\n- {action: drop, regex: '('}", 2, "relabel_configs[0].regex", "(" },
        { "routes:\n- {match: 'a{'}", 2, "routes[0].match", "not a series selector" },
        { "aggregation: {tasks: {count: 0}}", 1, "aggregation.tasks.count", "between 1 and 4096" },
        { "aggregation: {tasks: {by: [a], without: [b]}}", 1, "aggregation.tasks.without", "exclude" },
        { "aggregation: {dedup_interval: 30}", 1, "aggregation.dedup_interval", "not a duration" },
        { "aggregation:\n  dedup_interval: 40s\n  rules:\n  - {interval: 1m, outputs: [max]}", 4,
            "aggregation.rules[0].dedup_interval", "set for all rules by aggregation.dedup_interval" },
        { "aggregation: {max_open_windows: 1}", 1, "aggregation.max_open_windows", "out of range" },
        { "aggregation: {rule_files: [missing.yml]}", 1, "aggregation.rule_files", "/etc/millrace/missing.yml" },
        { "aggregation: {rule_files: ['http://h/r.yml']}", 1, "aggregation.rule_files", "URL" },
        { "aggregation: {rule_files: ['*/r.yml']}", 1, "aggregation.rule_files", "wildcard" },
        { "aggregation:\n  rules:\n  - interval: 1m\n    outputs: [total]\n    late: correct", 3,
            "aggregation.rules[0].late", "(\"storage\") is declared to take one: set corrections: true" },
        { "aggregation:\n  rules:\n  - {interval: 1s, outputs: [max], allowed_lateness: 1h}", 3,
            "aggregation.rules[0].allowed_lateness", "3602 windows" },
        { "route_mode: some", 1, "route_mode", "first, all" },
        { "routes:\n- {name: a}\n- {name: a}", 3, "routes[1].name", "two routes" },
        { "routes:\n- {match: [a, b]}", 2, "routes[0].match", "one selector" },
        { "routes:\n- {match: ''}", 2, "routes[0].match", "selector" },
        { "routes:\n- {to: [storrage]}", 2, "routes[0].to", "did you mean \"storage\"" },
        { "routes:\n- {to: [storage, storage]}", 2, "routes[0].to", "twice" },
        { "routes:\n- {aggregate: [nothing]}", 2, "routes[0].aggregate", "no rule \"nothing\"" },
        { "routes:\n- {aggregate: maybe}", 2, "routes[0].aggregate", "list of rule names" },
        { "routes:\n- {name: a}\n- {name: b, inputs: [c]}", 3, "routes[1].inputs", "no route above this one" },
        { "routes:\n- {name: a, inputs: [b]}\n- {name: b}", 2, "routes[0].inputs", "no route above this one" },
        { "routes:\n- {name: a, inputs: [a]}", 2, "routes[0].inputs", "no route above this one" },
        { "routes:\n- {name: a}\n- {name: b, inputs: [a, a]}", 3, "routes[1].inputs", "twice" },
        { "routes:\n- {name: a}\n- {name: b, inputs: [a], time_window: {max_age: 1m}}", 3, "routes[1].time_window",
            "takes what is received" },
        { Chained("[{name: a}, {name: b, inputs: [a]}]"), 2, "routes[1].inputs", "\"x\" → \"x\"" },
        { Chained("[{name: a, aggregate: [x]}, {name: b, inputs: [a], aggregate: [y]}, {name: c, aggregate: [y]}, "
            + "{name: d, inputs: [c], aggregate: [x]}]"), 2, "routes[1].inputs", "\"x\" → \"y\" → \"x\"" },
        { "routes: [{name: r0, aggregate: false}, " + string.Join(", ", Enumerable.Range(1, 8).Select(
            i => $"{{name: r{i}, inputs: [r{i - 1}], aggregate: false}}")) + "]",
            1, "routes[8].inputs", "the most is 8" },
        { "routes:\n- {keepInput: true}", 2, "routes[0].keepInput", "did you mean \"keep_input\"" },
        { "routes:\n- {keep_input: 'yes'}", 2, "routes[0].keep_input", "without quotes" },
        { "aggregation: {rules: [{interval: 1m, outputs: [max], keep_metric_names: true}]}\nroutes:\n- {keep_input: "
            + "true}",
            3, "routes[0].keep_input", "keep_metric_names" },
    };

    [Theory]
    [MemberData(nameof(Mistakes))]
    public void A_mistake_is_reported_where_it_stands(string text, int line, string path, string part)
    {
        var problem = LoadedConfig.Bad(text + "\n" + LoadedConfig.Destination).ShouldHaveSingleItem();
        problem.File.ShouldBe("/etc/millrace/millrace.yml");
        (problem.Line, problem.Path).ShouldBe((line, path), problem.Message);
        problem.Message.ShouldContain(part);
    }

    public static TheoryData<string, int, string, string> DestinationMistakes => new()
    {
        { "destinations: []", 1, "destinations", "at least one" },
        { "{}", 1, "destinations", "at least one" },
        { "destinations:\n- name: a", 2, "destinations[0].remote_write", "missing" },
        { "destinations:\n- name: a\n  remote_write: {}", 3, "destinations[0].remote_write.url", "missing" },
        { "destinations:\n- remote_write: {url: 'http://a/'}", 2, "destinations[0].name", "missing" },
        { "destinations:\n- {name: a/b, remote_write: {url: 'http://a/'}}", 2, "destinations[0].name", "\"/\"" },
        { "destinations:\n- {name: .., remote_write: {url: 'http://a/'}}", 2, "destinations[0].name", "directory" },
        { "destinations:\n- {name: a, remote_write: {url: /api/v1/write}}", 2, "destinations[0].remote_write.url",
            "absolute" },
        { "destinations:\n- {name: a, remote_write: {url: 'ftp://a/'}}", 2, "destinations[0].remote_write.url",
            "http or https" },
        { "destinations:\n- {name: a, remote_write: {url: 'http://a/', protocol: v2}}", 2,
            "destinations[0].remote_write.protocol", "prometheus_v2" },
        { "destinations:\n- {name: a, remote_write: {url: 'http://a/', headers: {Content-Type: x}}}", 2,
            "destinations[0].remote_write.headers.Content-Type", "set by Millrace" },
        { "destinations:\n- {name: a, remote_write: {url: 'http://a/', headers: {'a b': x}}}", 2,
            "destinations[0].remote_write.headers.a b", "name of a header" },
        { "destinations:\n- {name: a, remote_write: {url: 'http://a/', headers: {a: x, A: y}}}", 2,
            "destinations[0].remote_write.headers.A", "twice" },
        { "destinations:\n- {name: a, remote_write: {url: 'http://a/', retry_max_interval: 10ms}}", 2,
            "destinations[0].remote_write.retry_max_interval", "retry_min_interval" },
        { "destinations:\n- {name: a, lanes: 65, remote_write: {url: 'http://a/'}}", 2, "destinations[0].lanes",
            "between 1 and 64" },
        { "destinations:\n- {name: a, queue: {max_age: 1x}, remote_write: {url: 'http://a/'}}", 2,
            "destinations[0].queue.max_age", "\"1x\"" },
        { "destinations:\n- {name: a, flush_interval: 0s, remote_write: {url: 'http://a/'}}", 2,
            "destinations[0].flush_interval", "too short" },
        { "destinations:\n- name: a\n  sharded: {nodes: []}", 3, "destinations[0].sharded.nodes", "the list is empty" },
        { "destinations:\n- name: a\n  kafka: {}", 3, "destinations[0].kafka", "not available" },
    };

    [Theory]
    [MemberData(nameof(DestinationMistakes))]
    public void A_mistake_in_a_destination_is_reported_where_it_stands(string text, int line, string path, string part)
    {
        var problem = LoadedConfig.Bad(text + "\n").ShouldHaveSingleItem();
        (problem.Line, problem.Path).ShouldBe((line, path), problem.Message);
        problem.Message.ShouldContain(part);
    }

    [Fact]
    public void All_problems_come_at_once()
    {
        var problems = LoadedConfig.Bad("""
            server: {listen: nowhere}
            log: {durability: wood}
            destinations:
            - name: a
              remote_write: {url: b}
            - name: a
              remote_write: {url: "http://c/", timeout: 1s}
            """);
        problems.Select(p => (p.Line, p.Path)).ShouldBe(
        [
            (1, "server.listen"), (2, "log.durability"), (5, "destinations[0].remote_write.url"),
            (7, "destinations[1].remote_write.timeout"), (6, "destinations[1].name"),
        ]);
    }

    [Fact]
    public void A_file_that_cannot_be_read_is_a_problem() =>
        ConfigLoader.Load("nowhere.yml", _ => null, _ => null).Problems.ShouldHaveSingleItem()
            .Message.ShouldContain("\"nowhere.yml\"");

    [Theory]
    [InlineData("a: [1", "not YAML")]
    [InlineData("a: !<x y> 1", "not YAML")]
    [InlineData("a: *b", "has no anchor")]
    [InlineData("a: 1\n---\nb: 2", "second YAML document")]
    public void What_is_not_YAML_is_a_problem(string text, string part) =>
        LoadedConfig.Bad(text).ShouldHaveSingleItem().Message.ShouldContain(part);

    [Fact]
    public void Nesting_and_aliases_are_bounded()
    {
        LoadedConfig.Bad(new string('[', 5_000)).ShouldHaveSingleItem().Message.ShouldContain("deeper");
        var bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
        for (var i = 1; i < 9; i++)
        {
            bomb += $"a{i}: &a{i} [{string.Join(',', Enumerable.Repeat($"*a{i - 1}", 10))}]\n";
        }
        LoadedConfig.Bad(bomb).ShouldHaveSingleItem().Message.ShouldContain("aliases written out");
    }

    [Fact]
    public void Each_duplicate_key_is_reported_with_the_line_of_the_first() =>
        LoadedConfig.Bad("log: {}\n" + LoadedConfig.Destination + "log: {}\nlog: {}\n").Select(p => (p.Line, p.Message))
            .ShouldBe([
                (5, "key \"log\" is given twice, first on line 1: remove one"),
                (6, "key \"log\" is given twice, first on line 1: remove one"),
            ]);

    [Fact]
    public void Anchors_and_merges_are_resolved()
    {
        var config = LoadedConfig.Good("""
            destinations:
            - &first
              name: a
              lanes: 4
              remote_write: {url: "http://a/"}
            - <<: *first
              name: b
            """);
        config.Destinations[1].Name.ShouldBe("b");
        config.Destinations[1].Lanes.ShouldBe(4);
    }

    [Fact]
    public void A_variable_is_expanded_before_YAML_is_read()
    {
        var config = LoadedConfig.Good(
            "destinations:\n- {name: a, lanes: %{LANES}, remote_write: {url: \"http://%{HOST}/\"}} # %{LANES}\n"
            + "# %{NOT_SET} in a comment means nothing; nor does %{ not a name } elsewhere\n",
            environment: new() { ["LANES"] = "3", ["HOST"] = "h:1" });
        config.Destinations[0].Lanes.ShouldBe(3);
        config.Destinations[0].Url.ShouldBe(new Uri("http://h:1/"));
    }

    [Fact]
    public void An_unknown_variable_is_a_problem_in_our_file()
    {
        var problem = LoadedConfig.Bad(LoadedConfig.Destination + "log: {path: '%{NOT_SET}'}").ShouldHaveSingleItem();
        problem.Line.ShouldBe(4);
        problem.Message.ShouldContain("\"NOT_SET\" is not set");
    }

    [Fact]
    public void A_variable_of_several_lines_is_a_problem_in_our_file() =>
        LoadedConfig.Bad(LoadedConfig.Destination + "log: {path: '%{TWO}'}", environment: new() { ["TWO"] = "a\nb" })
            .ShouldContain(p => p.Message.Contains("more than one line"));

    [Fact]
    public void No_problem_shows_the_value_of_a_header_or_a_password()
    {
        var problems = LoadedConfig.Bad("""
            destinations:
            - name: a
              remote_write:
                url: "ftp://user:geheim@host/"
                headers: {"Content-Type": geheim, "x y": geheim, X: [geheim], Z: "geheim\n"}
            """);
        problems.Count.ShouldBe(5);
        problems.ShouldAllBe(p => !p.Message.Contains("geheim"));
    }

    [Fact]
    public void A_small_log_gets_small_segments_and_bases_without_being_told()
    {
        var log = LoadedConfig.Good(LoadedConfig.Destination + "log: {max_bytes: 64MiB}").Log;
        log.SegmentBytes.ShouldBe(8 << 20);
        log.BaseBytes.ShouldBe(16 << 20);
    }

    [Fact]
    public void Listening_on_a_port_alone_means_all_addresses() =>
        LoadedConfig.Good(LoadedConfig.Destination
            + "server: {listen: ':9000'}").Server.Listen.ShouldBe("0.0.0.0:9000");

    [Theory]
    [InlineData("[::1]:8480")]
    [InlineData("localhost:0")]
    [InlineData("10.0.0.1:65535")]
    public void Addresses_that_can_be_listened_on_are_taken_as_they_are(string address) =>
        LoadedConfig.Good(LoadedConfig.Destination + $"server: {{listen: \"{address}\"}}").Server.Listen.ShouldBe(
            address);

    [Fact]
    public void Rule_files_come_in_the_order_of_the_list_each_once_and_before_the_rules_in_place()
    {
        var config = LoadedConfig.Good(LoadedConfig.Destination + """
            aggregation:
              rule_files: [z.yml, "rules/*.yml", rules/a.yml, "none/*.yml"]
              rules:
              - {name: own, interval: 1d, outputs: [max]}
            """, new()
        {
            ["/etc/millrace/z.yml"] = "- {name: z, interval: 1m, outputs: [max]}",
            ["/etc/millrace/rules/b.yml"] = "- {name: b, interval: 1m, outputs: [max]}",
            ["/etc/millrace/rules/a.yml"] = "- {name: a, interval: 1m, outputs: [max]}",
        });
        config.Aggregation.Rules.Select(r => r.Name).ShouldBe(["z", "a", "b", "own"]);
        config.Aggregation.Rules[1].File.ShouldBe("/etc/millrace/rules/a.yml");
        config.Aggregation.Rules[3].Interval.ShouldBe(TimeSpan.FromDays(1));
        config.Aggregation.Rules[3].IntervalText.ShouldBe("1d");
        config.Aggregation.Rules[3].Path.ShouldBe("aggregation.rules[0]");
        config.Aggregation.Rules[3].Line.ShouldBe(7);
    }

    [Fact]
    public void Every_text_of_brackets_and_braces_is_an_answer_and_never_an_exception()
    {
        var random = new Random(20_261_120);
        string[] parts = ["{", "}", "[", "]", ":", " ", "\n", "- ", "a", "rules", "aggregation: ", "&x ", "*x", "\"",
            "'",
            "|", "%{", "}", "#", "? ", "<<: ", "destinations:\n- ", "!!str ", "!", "\t", "1", "match", "outputs: ",
                "\u0000"];
        for (var i = 0; i < 3_000; i++)
        {
            var text = string.Concat(Enumerable.Range(0, random.Next(1, 30))
                .Select(_ => parts[random.Next(parts.Length)]));
            LoadedConfig.Load(text).Config.ShouldBeNull(text);
        }
    }

    private static string Chained(string routes) =>
        "aggregation: {rules: [{name: x, interval: 1m, outputs: [max]}, {name: y, interval: 1m, outputs: [max]}]}\n"
        + $"routes: {routes}";
}
