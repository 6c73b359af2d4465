using System.Net.Sockets;
using Millrace.Configuration;
using Millrace.Membership;
using Millrace.Model;

namespace Millrace.Tests.Configuration;

public class NodeSetReaderTests
{
    [Fact]
    public void A_list_has_names_addresses_and_weights()
    {
        var config = Good("""
            nodes:
            - {name: vm-1, url: "http://10.0.0.1:8480/api/v1/write", weight: 3}
            - url: http://10.0.0.2:8480/api/v1/write
            """);
        config.Kind.ShouldBe(NodeSourceKind.List);
        config.Nodes.ShouldBe(
        [
            new("vm-1", new("http://10.0.0.1:8480/api/v1/write"), 3),
            new("10.0.0.2:8480", new("http://10.0.0.2:8480/api/v1/write")), // its name is where it is
        ]);
    }

    [Fact]
    public void A_name_is_looked_up_with_these_defaults() => Good("dns: {name: vminsert.svc, port: 8480}").ShouldBe(
        new NodeSetConfig
        {
            Kind = NodeSourceKind.Addresses,
            DnsName = "vminsert.svc",
            Port = 8480,
            Scheme = "http",
            Path = "/api/v1/write",
            Refresh = TimeSpan.FromSeconds(30),
            Timeout = TimeSpan.FromSeconds(5),
            Debounce = TimeSpan.FromSeconds(5),
        });

    [Fact]
    public void All_of_a_lookup_can_be_said()
    {
        Good("""
            dns:
              name: vminsert.svc.
              port: 1
              family: ipv6
              scheme: https
              path: /insert/0/prometheus/api/v1/write?extra_label=a=b
              refresh: 1m
              timeout: 2s
              debounce: 0s
              fallback: http://spare:8480/api/v1/write
            """).ShouldBe(new NodeSetConfig
        {
            Kind = NodeSourceKind.Addresses,
            DnsName = "vminsert.svc.",
            Port = 1,
            Family = AddressFamily.InterNetworkV6,
            Scheme = "https",
            Path = "/insert/0/prometheus/api/v1/write?extra_label=a=b",
            Refresh = TimeSpan.FromMinutes(1),
            Timeout = TimeSpan.FromSeconds(2),
            Debounce = TimeSpan.Zero,
            Fallback = new Uri("http://spare:8480/api/v1/write"),
        });
        Good("srv: {name: _http._tcp.vminsert.svc, scheme: https}").ShouldBe(new NodeSetConfig
        {
            Kind = NodeSourceKind.Srv,
            DnsName = "_http._tcp.vminsert.svc",
            Scheme = "https",
        });
    }

    [Fact]
    public void A_file_is_looked_at_every_two_seconds()
    {
        var config = Good("file: /etc/millrace/nodes.yml");
        (config.Kind, config.File).ShouldBe((NodeSourceKind.File, "/etc/millrace/nodes.yml"));
        (config.Refresh, config.Debounce).ShouldBe((TimeSpan.FromSeconds(2), TimeSpan.Zero));
    }

    [Fact]
    public void The_record_in_the_log_needs_no_nodes() => Read("{}", isCanonical: true).Problems.ShouldBeEmpty();

    [Theory]
    [InlineData("{}", 1, "sharded.nodes", "missing: say where the nodes are")]
    [InlineData("nodes: []", 1, "sharded.nodes", "the list is empty")]
    [InlineData("file: ''", 1, "sharded.file", "is not a file")]
    [InlineData("file: a\nsrv: {name: b}", 2, "sharded.srv", "file and srv exclude each other")]
    [InlineData("nodes:\n- name: a", 2, "sharded.nodes[0].url", "missing: write where to send to")]
    [InlineData("nodes:\n- url: 'ftp://a/'", 2, "sharded.nodes[0].url", "is not an absolute http or https URL")]
    [InlineData("nodes:\n- {url: 'http://a/', name: 'b c'}", 2, "sharded.nodes[0].name", "\"b c\" is not a name")]
    [InlineData("nodes:\n- {url: 'http://a/', name: ''}", 2, "sharded.nodes[0].name", "\"\" is not a name")]
    [InlineData("nodes:\n- url: http://a/\n- url: http://a/x", 3, "sharded.nodes[1].url", "two nodes are called \"a\"")]
    [InlineData("nodes:\n- {url: 'http://a/', weight: 0}", 2, "sharded.nodes[0].weight", "out of range")]
    [InlineData("nodes:\n- {url: 'http://a/', wieght: 1}", 2, "sharded.nodes[0].wieght", "did you mean \"weight\"?")]
    [InlineData("dns: {port: 1}", 1, "sharded.dns.name", "missing: write the name to look up")]
    [InlineData("dns: {name: a}", 1, "sharded.dns.port", "missing: addresses come without one")]
    [InlineData("dns: {name: 'http://a', port: 1}", 1, "sharded.dns.name", "without scheme and port")]
    [InlineData("dns: {name: a..b, port: 1}", 1, "sharded.dns.name", "\"a..b\" is not a name")]
    [InlineData("dns: {name: ., port: 1}", 1, "sharded.dns.name", "\".\" is not a name")]
    [InlineData("dns: {name: a, port: 65536}", 1, "sharded.dns.port", "out of range")]
    [InlineData("dns: {name: a, port: 1, path: api}", 1, "sharded.dns.path", "begin it with one slash")]
    [InlineData("dns: {name: a, port: 1, path: //b/}", 1, "sharded.dns.path", "begin it with one slash")]
    [InlineData("dns: {name: a, port: 1, refresh: 1ms}", 1, "sharded.dns.refresh", "too short")]
    [InlineData("dns: {name: a, port: 1, fallback: b}", 1, "sharded.dns.fallback", "is not an absolute http or https")]
    [InlineData("srv: {name: a, port: 1}", 1, "sharded.srv.port", "unknown key \"port\"")]
    public void What_is_wrong_is_told_with_its_place(string text, int line, string path, string message)
    {
        var problem = Read(text, isCanonical: false).Problems.ShouldHaveSingleItem();
        (problem.Line, problem.Path).ShouldBe((line, path));
        problem.Message.ShouldContain(message);
    }

    [Fact]
    public void Credentials_in_an_address_are_not_shown() =>
        Read("nodes:\n- url: 'ftp://user:geheim@host/'", isCanonical: false).Problems
            .ShouldHaveSingleItem().Message.ShouldNotContain("geheim");

    [Fact]
    public void A_file_holds_the_same_list()
    {
        var lookup = NodeSetReader.ParseFile(
            "nodes.yml", "- {name: a, url: 'http://a:1/w', weight: 2}\n- url: http://b/\n");
        lookup.Error.ShouldBeNull();
        lookup.Nodes.ShouldBe([new("a", new("http://a:1/w"), 2), new("b", new("http://b/"))]);
        var empty = NodeSetReader.ParseFile("nodes.yml", "");
        (empty.Nodes.Count, empty.Error).ShouldBe((0, null));
    }

    [Theory]
    [InlineData("- name: a\n- [", "nodes.yml:")]
    [InlineData("nodes: []", "nodes.yml:1: : a file of nodes is a list")]
    [InlineData("- url: http://a/\n- {url: http://b/, name: a}\n", "nodes.yml:2: [1].name: two nodes are called \"a\"")]
    public void A_file_that_is_wrong_is_an_error_and_no_nodes(string text, string error)
    {
        var lookup = NodeSetReader.ParseFile("nodes.yml", text);
        lookup.Nodes.ShouldBeEmpty();
        lookup.Error.ShouldNotBeNull().ShouldStartWith(error);
    }

    [Fact]
    public void A_file_with_too_many_nodes_is_an_error() => NodeSetReader.ParseFile("nodes.yml", string.Concat(
        Enumerable.Range(0, 1_025).Select(i => $"- url: http://n{i}/\n"))).Error.ShouldNotBeNull()
        .ShouldContain("1025");

    [Fact]
    public void Health_has_defaults_and_can_be_said()
    {
        Health("{}").Config.ShouldBe(new HealthConfig());
        Health("""
            path: /-/healthy
            interval: 2s
            timeout: 3s
            fail_after: 4
            fail_for: 5s
            rise_after: 6
            hold_down: 7s
            max_hold_down: 8m
            slow_factor: 9
            slow_least: 10ms
            slow_for: 11s
            max_down_percent: 12
            return: {after: 13m}
            """).Config.ShouldBe(new HealthConfig
        {
            Path = "/-/healthy",
            Interval = TimeSpan.FromSeconds(2),
            Timeout = TimeSpan.FromSeconds(3),
            FailAfter = 4,
            FailFor = TimeSpan.FromSeconds(5),
            RiseAfter = 6,
            HoldDown = TimeSpan.FromSeconds(7),
            MaxHoldDown = TimeSpan.FromMinutes(8),
            SlowFactor = 9,
            SlowLeast = TimeSpan.FromMilliseconds(10),
            SlowFor = TimeSpan.FromSeconds(11),
            MaxDownPercent = 12,
            Return = ReturnPolicy.After,
            ReturnAfter = TimeSpan.FromMinutes(13),
        });
        Health("return: manual").Config.Return.ShouldBe(ReturnPolicy.Manual);
    }

    [Theory]
    [InlineData("path: health", "health.path", "begin it with one slash")]
    [InlineData("interval: 1ms", "health.interval", "too short")]
    [InlineData("return: never", "health.return", "not one of immediately, manual")]
    [InlineData("return: {}", "health.return.after", "missing")]
    [InlineData("return: {after: 1m, before: 2m}", "health.return.before", "unknown key")]
    [InlineData("hold_down: 6m", "health.hold_down", "max_hold_down, 5m, is shorter than hold_down, 6m")]
    [InlineData("max_hold_down: 2d", "health.max_hold_down", "too long")]
    [InlineData("max_down_percent: 101", "health.max_down_percent", "out of range")]
    public void What_is_wrong_with_health_is_told(string text, string path, string message)
    {
        var problem = Health(text).Problems.ShouldHaveSingleItem();
        problem.Path.ShouldBe(path);
        problem.Message.ShouldContain(message);
    }

    private static NodeSetConfig Good(string text)
    {
        var (config, problems) = Read(text, isCanonical: false);
        problems.ShouldBeEmpty();
        return config;
    }

    private static (NodeSetConfig Config, List<ConfigProblem> Problems) Read(string text, bool isCanonical)
    {
        var problems = new List<ConfigProblem>();
        var reader = new ConfigReader(
            new ConfigContext("c.yml", problems), ConfigNode.Parse("c.yml", text, problems), "sharded");
        var config = NodeSetReader.Read(reader, isCanonical);
        reader.Finish();
        return (config, problems);
    }

    private static (HealthConfig Config, List<ConfigProblem> Problems) Health(string text)
    {
        var problems = new List<ConfigProblem>();
        var reader = new ConfigReader(
            new ConfigContext("c.yml", problems), ConfigNode.Parse("c.yml", text, problems), "health");
        return (HealthReader.Read(reader), problems);
    }
}
