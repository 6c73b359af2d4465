using Millrace.Placement;

namespace Millrace.Tests.Placement;

public sealed class TaskTableTextTests
{
    [Theory]
    [InlineData(PlacementKind.Rendezvous, 1)]
    [InlineData(PlacementKind.Rendezvous, 3)]
    [InlineData(PlacementKind.Ring, 1)]
    [InlineData(PlacementKind.Jump, 2)]
    [InlineData(PlacementKind.Modulo, 1)]
    public void What_is_written_is_read_again(PlacementKind kind, int replicas)
    {
        var config = new PlacementConfig { Kind = kind, Replicas = replicas, BoundedLoad = 1.1, Salt = "\"ü\n" };
        var nodes = TaskTableTests.Nodes(5);
        var table = TaskTable.Build(config, 128, nodes).Next([.. nodes.Skip(1), new("new \"node\"", 3)]);

        var read = Read(TaskTableText.Write(table));

        (read.Version, read.Fingerprint, read.Replicas).ShouldBe((2, table.Fingerprint, replicas));
        read.Config.ShouldBe(table.Config);
        read.Nodes.ShouldBe(table.Nodes);
        read.Next(nodes).Fingerprint.ShouldBe(table.Next(nodes).Fingerprint);
    }

    [Fact]
    public void The_text_is_the_same_in_every_release() =>
        TaskTableText.Write(TaskTable.Build(new PlacementConfig(), 8, [new("b", 2), new("a")])).ShouldBe(string.Concat(
            """{"format":1,"version":1,"fingerprint":"9124bb5d8ef647c5","config":{"kind":"rendezvous",""",
            "\"bounded_load\":1.25,\"virtual_nodes\":150,\"replicas\":1,\"salt\":\"\"},\"nodes\":[",
            """{"name":"a","weight":1},{"name":"b","weight":2}],"replicas":1,"owners":[1,1,1,0,1,1,1,0]}"""));

    [Theory]
    [InlineData("", "JSON")]
    [InlineData("null", "empty")]
    [InlineData("{}", "format 0")]
    [InlineData("{\"format\":1}", "missing")]
    [InlineData("{\"format\":1,\"config\":{\"kind\":\"other\"}}", "JSON")]
    public void What_is_no_table_is_said(string text, string problem)
    {
        TaskTableText.TryRead(text, out var table, out var said).ShouldBeFalse();

        table.ShouldBeNull();
        said.ShouldContain(problem);
    }

    [Theory]
    [InlineData("\"owners\":[", "\"owners\":[9,")]
    [InlineData("\"owners\":[", "\"owners\":[-1,")]
    [InlineData("\"owners\":[", "\"owners\":[0,")]
    [InlineData("\"version\":1", "\"version\":0")]
    [InlineData("\"replicas\":2,\"owners\"", "\"replicas\":0,\"owners\"")]
    [InlineData("\"replicas\":2,\"owners\"", "\"replicas\":1,\"owners\"")]
    [InlineData("\"weight\":1", "\"weight\":0")]
    [InlineData("\"weight\":1", "\"weight\":2")]
    [InlineData("\"name\":\"agg-1.aggregators.metrics.svc\"", "\"name\":\"agg-0.aggregators.metrics.svc\"")]
    [InlineData("\"name\":\"agg-1.aggregators.metrics.svc\"", "\"name\":null")]
    [InlineData("\"bounded_load\":1.25", "\"bounded_load\":0")]
    [InlineData("\"salt\":\"\"", "\"salt\":null")]
    public void A_damaged_table_is_not_read(string part, string damaged)
    {
        var text = TaskTableText.Write(
            TaskTable.Build(new PlacementConfig { Replicas = 2 }, 16, TaskTableTests.Nodes(4)));
        text.ShouldContain(part);
        var at = text.IndexOf(part, StringComparison.Ordinal);

        TaskTableText.TryRead(text[..at] + damaged + text[(at + part.Length)..], out _, out var problem)
            .ShouldBeFalse();
        problem.ShouldNotBeEmpty();
    }

    [Fact]
    public void Whatever_happens_to_a_table_on_its_way_is_a_result()
    {
        var text = TaskTableText.Write(TaskTable.Build(new PlacementConfig(), 32, TaskTableTests.Nodes(4)));
        var random = new Random(1);
        var read = 0;
        for (var round = 0; round < 5_000; round++)
        {
            var damaged = text.ToCharArray();
            for (var i = random.Next(1, 4); i > 0; i--)
            {
                damaged[random.Next(damaged.Length)] = "0123456789,:[]{}\"-.eE \0ü"[random.Next(24)];
            }
            var cut = random.Next(4) == 0 ? random.Next(damaged.Length) : damaged.Length;
            read += TaskTableText.TryRead(new string(damaged, 0, cut), out _, out _) ? 1 : 0;
        }
        // The version is not part of the fingerprint, and a change may be none.
        read.ShouldBeLessThan(100);
    }

    [Fact]
    public void A_text_too_long_is_not_even_parsed()
    {
        TaskTableText.TryRead(new string(' ', TaskTableText.MaxChars + 1), out _, out var problem).ShouldBeFalse();

        problem.ShouldContain("characters");
    }

    private static TaskTable Read(string text)
    {
        TaskTableText.TryRead(text, out var table, out var problem).ShouldBeTrue(problem);
        return table!;
    }
}
