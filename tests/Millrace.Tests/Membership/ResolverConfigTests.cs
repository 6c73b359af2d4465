using Millrace.Membership;

namespace Millrace.Tests.Membership;

public class ResolverConfigTests
{
    [Fact]
    public void Servers_search_domains_and_dots_are_read()
    {
        var config = ResolverConfig.Parse("""
            # written by the kubelet
            search default.svc.cluster.local svc.cluster.local. cluster.local
            nameserver 10.96.0.10
            nameserver	fd00::a
            nameserver not-an-address
            nameserver 10.96.0.11
            nameserver 10.96.0.12
            options edns0 ndots:5 timeout:2
            """);
        config.Servers.Select(server => server.ToString())
            .ShouldBe(["10.96.0.10:53", "[fd00::a]:53", "10.96.0.11:53"]);
        config.Search.ShouldBe(["default.svc.cluster.local", "svc.cluster.local", "cluster.local"]);
        config.Dots.ShouldBe(5);
    }

    [Theory]
    [InlineData("")]
    [InlineData("nameserver\nsearch\noptions\noptions ndots:\noptions ndots:x\n;")]
    public void Without_a_server_this_machine_is_asked(string text)
    {
        var config = ResolverConfig.Parse(text);
        config.Servers.ShouldHaveSingleItem().ToString().ShouldBe("127.0.0.1:53");
        (config.Search.Count, config.Dots).ShouldBe((0, 1));
    }

    [Fact]
    public void The_last_search_list_counts_and_lists_are_bounded()
    {
        var config = ResolverConfig.Parse(
            $"search a b\nsearch {string.Join(' ', Enumerable.Range(0, 40).Select(i => $"d{i}"))}\noptions ndots:99");
        config.Search.Count.ShouldBe(8);
        config.Search[0].ShouldBe("d0");
        config.Dots.ShouldBe(15);
    }

    [Theory]
    [InlineData("pods", "pods.a pods.b pods")]
    [InlineData("x.pods", "x.pods x.pods.a x.pods.b")]
    [InlineData("pods.", "pods")]
    public void A_name_with_few_dots_is_short(string name, string candidates) =>
        string.Join(' ', new ResolverConfig([], ["a", "", "b"], 1).Candidates(name)).ShouldBe(candidates);
}
