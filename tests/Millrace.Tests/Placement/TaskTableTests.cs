using Millrace.Placement;

namespace Millrace.Tests.Placement;

public sealed class TaskTableTests
{
    private static readonly PlacementNode[] Three = [new("agg-0"), new("agg-1"), new("agg-2")];

    [Theory]
    [InlineData(PlacementKind.Rendezvous, "2 0 2 1 2 2 2 1 0 0 0 1 1 0 2 1 1 2 0 0 0 1 2 2")]
    [InlineData(PlacementKind.Ring, "1 1 2 0 0 0 2 0 1 1 0 2 0 0 1 1 1 1 2 2 0 1 2 0")]
    [InlineData(PlacementKind.Jump, "1 1 1 1 1 1 1 2 2 2 1 2 1 2 0 0 1 0 1 0 2 0 0 2")]
    [InlineData(PlacementKind.Modulo, "0 1 2 0 1 2 0 1 2 0 1 2 0 1 2 0 1 2 0 1 2 0 1 2")]
    public void The_table_is_the_same_in_every_release(PlacementKind kind, string owners)
    {
        var table = TaskTable.Build(new PlacementConfig { Kind = kind }, 24, Three);

        Text(table).ShouldBe(owners);
        table.Version.ShouldBe(1);
    }

    [Fact]
    public void A_weighted_replicated_salted_table_is_the_same_in_every_release()
    {
        var config = new PlacementConfig { Replicas = 2, Salt = "eu" };
        var table = TaskTable.Build(config, 12, [new("agg-0"), new("agg-1", 3), new("agg-2", 2)]);

        Text(table).ShouldBe("0+2 1+2 2+1 1+2 1+2 2+1 1+2 1+2 0+2 1+0 0+1 0+1");
    }

    [Theory]
    [InlineData(PlacementKind.Rendezvous)]
    [InlineData(PlacementKind.Ring)]
    public void The_order_of_the_nodes_does_not_matter_where_names_decide(PlacementKind kind)
    {
        var config = new PlacementConfig { Kind = kind, Replicas = 2 };
        var nodes = Nodes(9);
        PlacementNode[] shuffled = [.. nodes.OrderBy(node => node.Name[^1..] + node.Name)];
        var (table, other) = (TaskTable.Build(config, 128, nodes), TaskTable.Build(config, 128, shuffled));

        other.Fingerprint.ShouldBe(table.Fingerprint);
        other.Next([.. shuffled.Skip(1)]).Fingerprint.ShouldBe(table.Next([.. shuffled.Skip(1).Reverse()]).Fingerprint);
    }

    [Theory]
    [InlineData(PlacementKind.Jump)]
    [InlineData(PlacementKind.Modulo)]
    public void The_order_of_the_nodes_is_the_placement_where_places_decide(PlacementKind kind)
    {
        var config = new PlacementConfig { Kind = kind };
        var (table, other) = (TaskTable.Build(config, 128, Three), TaskTable.Build(config, 128, [.. Three.Reverse()]));
        for (var task = 0; task < 128; task++)
        {
            other.NodeOf(task).ShouldBe(table.NodeOf(task));
        }
        other.Nodes[0].Name.ShouldBe("agg-2");
    }

    [Fact]
    public void Modulo_is_the_remainder()
    {
        var table = TaskTable.Build(new PlacementConfig { Kind = PlacementKind.Modulo }, 128, Three);

        Enumerable.Range(0, 128).ShouldAllBe(task => table.NodeOf(task) == task % 3);
    }

    [Fact]
    public void Another_salt_deals_otherwise()
    {
        var table = TaskTable.Build(new PlacementConfig(), 128, Three);
        var salted = TaskTable.Build(new PlacementConfig { Salt = "x" }, 128, Three);

        table.MovesTo(salted).Count.ShouldBeInRange(60, 110);
    }

    [Theory]
    [InlineData(128)]
    [InlineData(1024)]
    public void Tasks_are_dealt_evenly_from_the_start(int tasks)
    {
        for (var count = 1; count <= 64; count++)
        {
            ShouldBeBalanced(TaskTable.Build(new PlacementConfig(), tasks, Nodes(count)));
        }
    }

    [Fact]
    public void A_bound_of_one_is_the_evenest_there_is()
    {
        var table = TaskTable.Build(new PlacementConfig { BoundedLoad = 1 }, 128, Nodes(7));

        Counts(table).ShouldAllBe(count => count == 18 || count == 19);
    }

    [Theory]
    [InlineData(PlacementKind.Rendezvous)]
    [InlineData(PlacementKind.Ring)]
    [InlineData(PlacementKind.Jump)]
    [InlineData(PlacementKind.Modulo)]
    public void Weights_are_shares(PlacementKind kind)
    {
        PlacementNode[] nodes = [new("a"), new("b", 2), new("c", 5)];
        var counts = Counts(TaskTable.Build(new PlacementConfig { Kind = kind, VirtualNodes = 500 }, 4096, nodes));

        counts[0].ShouldBeInRange(435, 589);
        counts[1].ShouldBeInRange(870, 1178);
        counts[2].ShouldBeInRange(2176, 2944);
    }

    [Fact]
    public void Without_changes_there_is_no_next_table()
    {
        var table = TaskTable.Build(new PlacementConfig(), 128, Three);

        table.Next([.. Three.Reverse()]).ShouldBeSameAs(table);
        table.Next([.. Three.Take(2)]).Version.ShouldBe(2);
    }

    [Fact]
    public void Copies_of_a_task_are_on_different_nodes_and_evenly_dealt()
    {
        for (var count = 1; count <= 20; count++)
        {
            var table = TaskTable.Build(new PlacementConfig { Replicas = 3 }, 128, Nodes(count));
            table.Replicas.ShouldBe(Math.Min(3, count));
            for (var task = 0; task < table.TaskCount; task++)
            {
                table.NodesOf(task).ToArray().Distinct().Count().ShouldBe(table.Replicas);
            }
            ShouldBeBalanced(table);
        }
    }

    [Theory]
    [InlineData(PlacementKind.Ring)]
    [InlineData(PlacementKind.Jump)]
    [InlineData(PlacementKind.Modulo)]
    public void Copies_are_on_different_nodes_in_every_kind(PlacementKind kind)
    {
        var table = TaskTable.Build(new PlacementConfig { Kind = kind, Replicas = 3 }, 128, Nodes(5));

        Enumerable.Range(0, 128).ShouldAllBe(task => table.NodesOf(task).ToArray().Distinct().Count() == 3);
    }

    [Fact]
    public void Of_two_tables_every_gateway_takes_the_same()
    {
        var table = TaskTable.Build(new PlacementConfig(), 128, Three);
        var (one, other) = (table.Next([.. Three.Skip(1)]), table.Next([.. Three.Take(2)]));

        table.YieldsTo(table).ShouldBeFalse();
        table.YieldsTo(one).ShouldBeTrue();
        one.YieldsTo(table).ShouldBeFalse();
        one.YieldsTo(other).ShouldBe(!other.YieldsTo(one));
    }

    [Fact]
    public void Imbalance_is_the_fullest_against_its_share()
    {
        var config = new PlacementConfig { Kind = PlacementKind.Modulo };
        var table = TaskTable.Build(config, 5, [new("a"), new("b")]);

        table.Imbalance().ShouldBe(1.2, 1e-12);
        table.Imbalance([10, 30, 0, 0, 0]).ShouldBe(1.5, 1e-12);
        table.Imbalance(new long[5]).ShouldBe(1);
        TaskTable.Build(config, 9, [new("a", 2), new("b")]).Imbalance().ShouldBe(1, 1e-12);
    }

    [Fact]
    public void Nodes_are_found_by_name()
    {
        var table = TaskTable.Build(new PlacementConfig(), 16, [.. Three.Reverse()]);

        table.Nodes[table.IndexOf("agg-2")].Name.ShouldBe("agg-2");
        table.IndexOf("agg-9").ShouldBe(-1);
    }

    [Fact]
    public void What_cannot_be_dealt_is_said()
    {
        var config = new PlacementConfig();

        config.Problem([])!.ShouldContain("0 nodes");
        config.Problem([new("")])!.ShouldContain("name");
        config.Problem([new("a", 0)])!.ShouldContain("weight of node \"a\" is 0");
        config.Problem([new("a", 101)])!.ShouldContain("between 1 and 100");
        config.Problem([new("a"), new("a")])!.ShouldContain("two nodes have the name \"a\"");
        config.Problem(Nodes(1025))!.ShouldContain("1025 nodes");
        (config with { BoundedLoad = 0.9 }).Problem(Three)!.ShouldContain("bound");
        (config with { BoundedLoad = double.NaN }).Problem(Three)!.ShouldContain("bound");
        (config with { Replicas = 0 }).Problem(Three)!.ShouldContain("replicas are 0");
        (config with { VirtualNodes = 0 }).Problem(Three)!.ShouldContain("virtual nodes are 0");
        (config with { Kind = (PlacementKind)9 }).Problem(Three)!.ShouldContain("kind 9");
        (config with { Kind = PlacementKind.Ring, VirtualNodes = 1000 }).Problem(
            [.. Nodes(100).Select(node => node with { Weight = 100 })])!.ShouldContain("10000000 points");
        Should.Throw<ArgumentException>(() => TaskTable.Build(config, 0, Three));
        Should.Throw<ArgumentException>(() => TaskTable.Build(config, 128, []));
    }

    internal static PlacementNode[] Nodes(int count) =>
        [.. Enumerable.Range(0, count).Select(i => new PlacementNode($"agg-{i}.aggregators.metrics.svc"))];

    internal static int[] Counts(TaskTable table)
    {
        var counts = new int[table.Nodes.Count];
        for (var task = 0; task < table.TaskCount; task++)
        {
            foreach (var node in table.NodesOf(task))
            {
                counts[node]++;
            }
        }
        return counts;
    }

    /// <summary>At most 1.25 times the mean, or the best that whole tasks allow where these are few.</summary>
    internal static void ShouldBeBalanced(TaskTable table)
    {
        var mean = (double)table.TaskCount * table.Replicas / table.Nodes.Count;
        Counts(table).Max().ShouldBeLessThanOrEqualTo(
            (int)Math.Max(Math.Floor(1.25 * mean), Math.Ceiling(mean)), $"{table.Nodes.Count} nodes");
    }

    private static string Text(TaskTable table) => string.Join(
        ' ', Enumerable.Range(0, table.TaskCount).Select(task => string.Join('+', table.NodesOf(task).ToArray())));
}
