using Millrace.Placement;

namespace Millrace.Tests.Placement;

public sealed class TaskOverlayTests
{
    [Theory]
    [InlineData(PlacementKind.Rendezvous, 1)]
    [InlineData(PlacementKind.Rendezvous, 2)]
    [InlineData(PlacementKind.Ring, 2)]
    [InlineData(PlacementKind.Jump, 1)]
    [InlineData(PlacementKind.Modulo, 3)]
    public void Only_tasks_of_nodes_that_are_not_well_move_and_all_of_them_do(PlacementKind kind, int replicas)
    {
        var random = new Random(replicas);
        var table = TaskTable.Build(
            new PlacementConfig { Kind = kind, Replicas = replicas }, 256, TaskTableTests.Nodes(9));
        for (var round = 0; round < 200; round++)
        {
            var isHealthy = Enumerable.Range(0, 9).Select(_ => random.Next(3) > 0).ToArray();
            var healthy = isHealthy.Count(static well => well);
            var overlay = table.Overlay(isHealthy);
            for (var task = 0; task < 256; task++)
            {
                var (home, now) = (table.NodesOf(task).ToArray(), overlay.NodesOf(task).ToArray());
                now.Distinct().Count().ShouldBe(replicas);
                for (var choice = 0; choice < replicas; choice++)
                {
                    if (isHealthy[home[choice]])
                    {
                        now[choice].ShouldBe(home[choice]);
                    }
                }
                // As many copies as there are healthy nodes for are on healthy nodes.
                now.Count(node => isHealthy[node]).ShouldBe(Math.Min(replicas, healthy));
            }
        }
    }

    [Fact]
    public void The_tasks_of_a_dead_node_are_shared_by_all_the_others_within_the_bound()
    {
        for (var count = 2; count <= 32; count++)
        {
            var table = TaskTable.Build(new PlacementConfig(), 1024, TaskTableTests.Nodes(count));
            for (var dead = 0; dead < count; dead++)
            {
                var isHealthy = Enumerable.Range(0, count).Select(node => node != dead).ToArray();
                var overlay = table.Overlay(isHealthy);
                var counts = new int[count];
                for (var task = 0; task < 1024; task++)
                {
                    counts[overlay.NodeOf(task)]++;
                }

                overlay.Displaced.ShouldBe(TaskTableTests.Counts(table)[dead]);
                counts[dead].ShouldBe(0);
                ((double)counts.Max()).ShouldBeLessThanOrEqualTo(1.25 * 1024 / (count - 1));
            }
        }
    }

    [Fact]
    public void Where_nobody_is_well_everything_stays_at_home()
    {
        var table = TaskTable.Build(new PlacementConfig { Replicas = 2 }, 64, TaskTableTests.Nodes(5));
        TaskOverlay[] overlays = [table.Overlay(new bool[5]), table.Overlay([true, true, true, true, true])];
        foreach (var overlay in overlays)
        {
            overlay.Displaced.ShouldBe(0);
            for (var task = 0; task < 64; task++)
            {
                overlay.NodesOf(task).ToArray().ShouldBe(table.NodesOf(task).ToArray());
            }
        }
    }

    [Fact]
    public void A_second_failure_moves_hardly_anything_but_its_own()
    {
        var table = TaskTable.Build(new PlacementConfig(), 1024, TaskTableTests.Nodes(10));
        var (away, again) = (0, 0);
        for (var first = 0; first < 10; first++)
        {
            for (var second = 0; second < 10; second++)
            {
                if (first == second)
                {
                    continue;
                }
                var one = table.Overlay([.. Enumerable.Range(0, 10).Select(node => node != first)]);
                var two = table.Overlay([.. Enumerable.Range(0, 10).Select(node => node != first && node != second)]);
                for (var task = 0; task < 1024; task++)
                {
                    if (table.NodeOf(task) == first && one.NodeOf(task) != second)
                    {
                        away++;
                        again += one.NodeOf(task) == two.NodeOf(task) ? 0 : 1;
                    }
                }
            }
        }
        // Room grows with each failure, so a stand-in that was full may have room now, or be full now.
        ((double)again / away).ShouldBeLessThan(0.1);
    }

    [Fact]
    public void Stand_ins_are_the_same_in_every_release()
    {
        PlacementNode[] nodes = [new("agg-0"), new("agg-1"), new("agg-2"), new("agg-3")];
        var overlay = TaskTable.Build(new PlacementConfig(), 24, nodes).Overlay([true, false, true, true]);

        string.Join(' ', Enumerable.Range(0, 24).Select(task => overlay.NodeOf(task)))
            .ShouldBe("2 0 2 3 2 2 2 0 3 0 0 3 3 3 2 3 2 3 0 3 0 0 2 0");
    }

    [Fact]
    public void The_healthy_are_as_many_as_the_nodes() => Should.Throw<ArgumentException>(
        () => TaskTable.Build(new PlacementConfig(), 8, TaskTableTests.Nodes(3)).Overlay([true, false]));
}
