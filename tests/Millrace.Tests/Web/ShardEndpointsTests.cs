using Microsoft.AspNetCore.Http;
using Millrace.Delivery;
using Millrace.Membership;
using Millrace.TestKit;
using Millrace.Web;

namespace Millrace.Tests.Web;

public sealed class ShardEndpointsTests : IDisposable
{
    private const string Config = """
        destinations:
        - name: fleet
          sharded:
            nodes: [{name: a, url: "http://a/"}, {name: b, url: "http://b/"}, {name: c, url: "http://c/"}]
            tasks: {count: 12, by: [job]}
            health: {return: manual}
        """;

    private readonly GatewayRig _gateway = new(Config);

    public ShardEndpointsTests() => _gateway.Backends["fleet"] = new FakeBackend(BackendKind.VictoriaMetrics);

    public void Dispose() => _gateway.Dispose();

    [Fact]
    public void A_node_that_waits_for_a_person_comes_back_when_one_says_so()
    {
        var sharded = _gateway.Pipeline.Sharded[0];
        var endpoints = new ShardEndpoints(_gateway.State);
        endpoints.Return(sharded, "b").Status.ShouldBe(404);
        var nowMs = _gateway.Pipeline.Ingest.NowMs;
        for (var i = 0; i < 5; i++)
        {
            sharded.Health.Observe("b", HealthSignal.ProbeUnanswered, nowMs + i * 1_000);
        }
        sharded.HealthChanged();
        var report = ShardReport.Of(sharded);
        (report.Nodes[1].State, report.Nodes[1].Lanes).ShouldBe(("down", 0));
        report.DisplacedTasks.ShouldBeGreaterThan(0);
        report.Homes.Count(homes => homes[0] == 1).ShouldBe(report.DisplacedTasks);
        report.Owners.ShouldAllBe(owners => owners[0] != 1);

        endpoints.Return(sharded, "b").ShouldBe((200, "Node b is back."));
        report = ShardReport.Of(sharded);
        (report.Nodes[1].State, report.DisplacedTasks).ShouldBe(("healthy", 0));
        report.Owners.ShouldBe(report.Homes);
    }

    [Fact]
    public void Tasks_are_dealt_anew_by_what_they_carry()
    {
        var sharded = _gateway.Pipeline.Sharded[0];
        // One node's tasks carry nearly everything.
        var table = sharded.Table!;
        var busy = Enumerable.Range(0, 12).Where(task => table.NodeOf(task) == 0).ToHashSet();
        sharded.Measure(0);
        for (var task = 0; task < 12; task++)
        {
            var samples = Enumerable.Range(0, busy.Contains(task) ? 50 : 1)
                .Select(i => ($"m{task}", (long)i + 1, 1.0)).ToArray();
            sharded.Destination.Offer(
                SampleBlocks.Seal(Feed.Raw, task, new LogPosition(1, 0), 1, samples), 1);
        }
        sharded.Measure(1_000);
        sharded.Load.Imbalance.ShouldBeGreaterThan(2);
        new ShardEndpoints(_gateway.State).Rebalance(sharded).Text.ShouldMatch("^[1-9][0-9]* tasks moved");
        sharded.Table!.Version.ShouldBe(2);
        sharded.Table.Imbalance(sharded.Load.Loads()).ShouldBeLessThan(1.6);
    }

    [Theory]
    [InlineData("10.0.0.9", true, 403)]
    [InlineData("127.0.0.1", false, 403)]
    [InlineData("127.0.0.1", true, 0)]
    public void Only_this_machine_decides_and_no_page_in_its_browser(string from, bool hasHeader, int status)
    {
        var context = new DefaultHttpContext();
        context.Connection.RemoteIpAddress = System.Net.IPAddress.Parse(from);
        context.Connection.LocalIpAddress = System.Net.IPAddress.Parse("10.0.0.1");
        if (hasHeader)
        {
            context.Request.Headers[LocalCommand.Header] = "return";
        }
        (LocalCommand.Refusal(context)?.Status ?? 0).ShouldBe(status);
    }
}
