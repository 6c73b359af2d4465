using System.IO;
using System.Net;
using System.Net.Sockets;
using Millrace.Membership;

namespace Millrace.Tests.Membership;

public class NodeSourcesTests
{
    private static readonly NodeSetConfig Addresses = new()
    {
        Kind = NodeSourceKind.Addresses,
        DnsName = "pods",
        Port = 8480,
        Path = "/insert/0/prometheus/api/v1/write?extra_label=a=b",
    };

    private static readonly NodeSetConfig Srv = new()
    {
        Kind = NodeSourceKind.Srv,
        DnsName = "_http._tcp.nodes",
        Scheme = "https",
    };

    private readonly ScriptedResolver _resolver = new();

    [Fact]
    public async Task An_address_is_a_node_by_its_own_name()
    {
        _resolver.Addresses = ["10.0.0.2", "fd00::1%4", "::ffff:10.0.0.3"];
        (await Look(Addresses)).Nodes.ShouldBe(
        [
            new("10.0.0.2", new("http://10.0.0.2:8480/insert/0/prometheus/api/v1/write?extra_label=a=b")),
            new("fd00::1", new("http://[fd00::1]:8480/insert/0/prometheus/api/v1/write?extra_label=a=b")),
            new("10.0.0.3", new("http://10.0.0.3:8480/insert/0/prometheus/api/v1/write?extra_label=a=b")),
        ]);
    }

    [Theory]
    [InlineData(AddressFamily.InterNetwork, "10.0.0.2 10.0.0.3")]
    [InlineData(AddressFamily.InterNetworkV6, "fd00::1")]
    public async Task Of_pods_with_two_addresses_one_family_may_be_taken(AddressFamily family, string names)
    {
        _resolver.Addresses = ["10.0.0.2", "fd00::1", "::ffff:10.0.0.3"];
        var lookup = await Look(Addresses with { Family = family });
        string.Join(' ', lookup.Nodes.Select(node => node.Name)).ShouldBe(names);
    }

    [Fact]
    public async Task A_host_with_a_port_is_a_node_by_the_hosts_name()
    {
        _resolver.Srv = [new(10, 7, 8480, "node-1.nodes.svc"), new(10, 1, 8481, "node-0.nodes.svc")];
        (await Look(Srv)).Nodes.ShouldBe(
        [
            new("node-1.nodes.svc", new("https://node-1.nodes.svc:8480/api/v1/write")),
            new("node-0.nodes.svc", new("https://node-0.nodes.svc:8481/api/v1/write")),
        ], ignoreOrder: true);
    }

    [Fact]
    public async Task Only_the_first_priority_is_used()
    {
        _resolver.Srv = [new(20, 1, 1, "spare"), new(10, 1, 1, "b"), new(10, 1, 1, "a")];
        (await Look(Srv)).Nodes.Select(node => node.Name).ShouldBe(["a", "b"], ignoreOrder: true);
    }

    [Fact]
    public async Task A_host_with_several_ports_is_several_nodes()
    {
        _resolver.Srv = [new(0, 1, 1, "a"), new(0, 1, 2, "a"), new(0, 1, 2, "a"), new(0, 1, 1, "b"), new(0, 1, 0, "c")];
        (await Look(Srv)).Nodes.Select(node => node.Name).ShouldBe(["a:1", "a:2", "b"], ignoreOrder: true);
    }

    [Fact]
    public async Task An_error_of_the_resolver_is_passed_on()
    {
        _resolver.Error = "\"pods\" does not exist";
        (await Look(Addresses)).Error.ShouldBe(_resolver.Error);
        var lookup = await Look(Srv);
        (lookup.Nodes.Count, lookup.Error).ShouldBe((0, _resolver.Error));
    }

    [Fact]
    public async Task A_host_that_cannot_stand_in_an_address_is_left_out()
    {
        _resolver.Srv = [new(0, 1, 1, new string('a', 64_000)), new(0, 1, 1, "b")];
        (await Look(Srv)).Nodes.ShouldHaveSingleItem().Name.ShouldBe("b");
    }

    [Fact]
    public void A_list_is_not_looked_for() =>
        NodeSources.Of(new NodeSetConfig(), _resolver, (_, _) => NodeLookup.Failed("x")).ShouldBeNull();

    [Fact]
    public async Task A_file_counts_when_it_was_read_twice_the_same()
    {
        string? text = "a b";
        var parsed = 0;
        var file = new NodeFile("nodes.yml", path => path == "nodes.yml" ? text : null, content =>
        {
            parsed++;
            return NodeLookup.Found([.. content.Split(' ').Select(n => new Node(n, new Uri($"http://{n}/")))]);
        });

        (await NamesOf(file)).ShouldBe("a b"); // at the start it is taken as it is
        text = "a b c";
        (await NamesOf(file)).ShouldBe("a b");
        text = "a b c d"; // still being written
        (await NamesOf(file)).ShouldBe("a b");
        (await NamesOf(file)).ShouldBe("a b c d");
        (await NamesOf(file)).ShouldBe("a b c d");
        parsed.ShouldBe(2);

        text = null;
        var gone = await file.LookAsync(CancellationToken.None);
        gone.Error.ShouldBe("file \"nodes.yml\" cannot be read: check that it is there, its permissions and its size");
        text = "a b c d";
        (await NamesOf(file)).ShouldBe("a b c d");
    }

    [Fact]
    public void A_file_of_unlikely_size_is_not_read()
    {
        var path = Path.GetTempFileName();
        try
        {
            File.WriteAllText(path, "- url: http://a/\n");
            NodeFile.Read(path).ShouldBe("- url: http://a/\n");
            File.WriteAllBytes(path, new byte[(1 << 20) + 1]);
            NodeFile.Read(path).ShouldBeNull();
        }
        finally
        {
            File.Delete(path);
        }
        NodeFile.Read(path).ShouldBeNull();
        NodeFile.Read(Path.GetTempPath()).ShouldBeNull();
        NodeFile.Read("").ShouldBeNull();
    }

    [Fact]
    public async Task The_systems_resolver_knows_this_machine_and_no_invalid_names()
    {
        var resolver = new SystemResolver(TimeProvider.System);
        var here = await resolver.AddressesAsync("127.0.0.1", TestContext.Current.CancellationToken);
        here.Found.ShouldBe([IPAddress.Loopback]);
        var nowhere = await resolver.AddressesAsync(new string('a', 64) + ".invalid", CancellationToken.None);
        nowhere.Found.ShouldBeEmpty();
        nowhere.Error.ShouldNotBeNull();
    }

    private Task<NodeLookup> Look(NodeSetConfig config) =>
        NodeSources.Of(config, _resolver, (_, _) => NodeLookup.Failed("x"))!.LookAsync(CancellationToken.None);

    private static async Task<string> NamesOf(NodeFile file) =>
        string.Join(' ', (await file.LookAsync(CancellationToken.None)).Nodes.Select(node => node.Name));

    private sealed class ScriptedResolver : IResolver
    {
        public string[] Addresses { get; set; } = [];

        public SrvRecord[] Srv { get; set; } = [];

        public string? Error { get; set; }

        public Task<Resolved<IPAddress>> AddressesAsync(string name, CancellationToken stop) => Task.FromResult(
            Error is { } error ? Resolved<IPAddress>.None(error)
                : Resolved<IPAddress>.Of([.. Addresses.Select(IPAddress.Parse)], name));

        public Task<Resolved<SrvRecord>> SrvAsync(string name, CancellationToken stop) => Task.FromResult(
            Error is { } error ? Resolved<SrvRecord>.Failed(error) : Resolved<SrvRecord>.Of(Srv, name));
    }
}
