using Millrace.Model;
using Millrace.Placement;

namespace Millrace.Tests.Placement;

/// <summary>What moves when nodes come and go, and how even it stays.</summary>
public sealed class TaskMovementTests
{
    [Theory]
    [InlineData(128)]
    [InlineData(1024)]
    public void A_node_that_goes_gives_its_tasks_and_no_other_moves(int tasks)
    {
        foreach (var count in CountsFor(tasks))
        {
            var nodes = TaskTableTests.Nodes(count);
            var table = TaskTable.Build(new PlacementConfig(), tasks, nodes);
            for (var gone = 0; gone < count; gone++)
            {
                var next = table.Next([.. nodes.Where((_, i) => i != gone)]);
                var moves = table.MovesTo(next);

                moves.All(move => move.From == nodes[gone].Name).ShouldBeTrue();
                moves.Count.ShouldBe(TaskTableTests.Counts(table)[table.IndexOf(nodes[gone].Name)]);
                ShouldBeFew(moves.Count, tasks, count);
                TaskTableTests.ShouldBeBalanced(next);
            }
        }
    }

    [Theory]
    [InlineData(128)]
    [InlineData(1024)]
    public void A_node_that_comes_takes_its_share_and_no_other_moves(int tasks)
    {
        foreach (var count in CountsFor(tasks))
        {
            var nodes = TaskTableTests.Nodes(count);
            for (var added = 0; added < count; added++)
            {
                var table = TaskTable.Build(new PlacementConfig(), tasks, [.. nodes.Where((_, i) => i != added)]);
                var next = table.Next(nodes);
                var moves = table.MovesTo(next);

                moves.All(move => move.To == nodes[added].Name).ShouldBeTrue();
                moves.Count.ShouldBe(tasks / count);
                ShouldBeFew(moves.Count, tasks, count);
                TaskTableTests.ShouldBeBalanced(next);
            }
        }
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 1)]
    [InlineData(3, 2)]
    [InlineData(4, 3)]
    public void A_long_history_leaves_tables_even_and_moves_only_what_must(int seed, int replicas)
    {
        var random = new Random(seed);
        var pool = TaskTableTests.Nodes(40);
        var nodes = pool.Take(8).ToList();
        var table = TaskTable.Build(new PlacementConfig { Replicas = replicas }, 512, nodes);
        for (var step = 0; step < 300; step++)
        {
            var before = table;
            var comes = nodes.Count <= 4 || (nodes.Count < pool.Length && random.Next(2) == 0);
            var changed = comes ? pool.Except(nodes).ElementAt(random.Next(pool.Length - nodes.Count))
                : nodes[random.Next(nodes.Count)];
            _ = comes ? Add() : nodes.Remove(changed);
            table = table.Next(nodes);

            var moves = before.MovesTo(table);
            moves.All(move => (comes ? move.To : move.From) == changed.Name).ShouldBeTrue();
            var count = Math.Max(nodes.Count, before.Nodes.Count);
            moves.Count.ShouldBeLessThanOrEqualTo((int)(1.3 * 512 * replicas / count));
            TaskTableTests.ShouldBeBalanced(table);
            table.Version.ShouldBe(step + 2);
            CopiesThatChangedNumber(before, table).ShouldBe(0);

            bool Add()
            {
                nodes.Insert(random.Next(nodes.Count + 1), changed);
                return true;
            }
        }
    }

    [Fact]
    public void A_node_in_place_of_another_gets_its_tasks()
    {
        var nodes = TaskTableTests.Nodes(8);
        var table = TaskTable.Build(new PlacementConfig(), 128, nodes);
        var moves = table.MovesTo(table.Next([.. nodes.Skip(1), new("new")]));

        moves.Where(move => move.From != nodes[0].Name).Count().ShouldBeLessThanOrEqualTo(3);
        moves.Where(move => move.To != "new").Count().ShouldBeLessThanOrEqualTo(3);
        moves.Count.ShouldBeLessThanOrEqualTo(20);
    }

    [Fact]
    public void A_weight_moves_tasks_of_its_node_alone()
    {
        var nodes = TaskTableTests.Nodes(6);
        var table = TaskTable.Build(new PlacementConfig(), 1024, nodes);
        var heavier = table.Next([nodes[0] with { Weight = 3 }, .. nodes.Skip(1)]);
        var lighterAgain = heavier.Next(nodes);

        var index = table.IndexOf(nodes[0].Name);
        table.MovesTo(heavier).ShouldAllBe(move => move.To == nodes[0].Name);
        TaskTableTests.Counts(heavier)[index].ShouldBe(1024 * 3 / 8);
        heavier.MovesTo(lighterAgain).ShouldAllBe(move => move.From == nodes[0].Name);
        TaskTableTests.ShouldBeBalanced(lighterAgain);
    }

    [Fact]
    public void When_all_nodes_are_others_the_table_is_that_of_the_start()
    {
        PlacementNode[] others = [new("x"), new("y"), new("z")];
        var table = TaskTable.Build(new PlacementConfig(), 128, TaskTableTests.Nodes(3));

        table.Next(others).Fingerprint.ShouldBe(TaskTable.Build(new PlacementConfig(), 128, others).Fingerprint);
    }

    [Fact]
    public void Fewer_nodes_than_replicas_hold_everything_each_and_new_ones_fill_up()
    {
        var nodes = TaskTableTests.Nodes(4);
        var table = TaskTable.Build(new PlacementConfig { Replicas = 3 }, 64, nodes);
        var two = table.Next([.. nodes.Take(2)]);
        var four = two.Next(nodes);

        (two.Replicas, TaskTableTests.Counts(two).Sum()).ShouldBe((2, 128));
        TaskTableTests.Counts(two).ShouldBe([64, 64]);
        table.MovesTo(two).All(move => move.From != nodes[0].Name && move.From != nodes[1].Name).ShouldBeTrue();
        four.Replicas.ShouldBe(3);
        two.MovesTo(four).All(move => move.To == nodes[2].Name || move.To == nodes[3].Name).ShouldBeTrue();
        TaskTableTests.ShouldBeBalanced(four);
    }

    [Fact]
    public void More_nodes_than_tasks_leave_some_without()
    {
        var nodes = TaskTableTests.Nodes(20);
        var table = TaskTable.Build(new PlacementConfig(), 8, nodes);

        TaskTableTests.Counts(table).Max().ShouldBe(1);
        TaskTableTests.Counts(table.Next([.. nodes.Skip(5)])).Max().ShouldBe(1);
        table.Next([.. nodes, new("late")]).Next([.. nodes, new("late"), new("later")]).TaskCount.ShouldBe(8);
    }

    [Fact]
    public void The_ring_moves_only_tasks_of_the_node_and_about_its_share()
    {
        var config = new PlacementConfig { Kind = PlacementKind.Ring };
        foreach (var count in (int[])[2, 3, 8, 33])
        {
            var nodes = TaskTableTests.Nodes(count);
            var table = TaskTable.Build(config, 1024, nodes);
            var moved = 0;
            for (var gone = 0; gone < count; gone++)
            {
                PlacementNode[] rest = [.. nodes.Where((_, i) => i != gone)];
                var moves = table.MovesTo(table.Next(rest));
                moves.All(move => move.From == nodes[gone].Name).ShouldBeTrue();
                TaskTable.Build(config, 1024, rest).Next(nodes).Fingerprint.ShouldBe(table.Fingerprint);
                moved += moves.Count;
            }
            // Every task has been moved once, by the node that has it.
            moved.ShouldBe(1024);
            TaskTableTests.Counts(table).Max().ShouldBeLessThanOrEqualTo((int)(1.75 * 1024 / count) + 6);
        }
    }

    [Fact]
    public void Jump_moves_about_a_share_at_the_end_of_the_list_only()
    {
        var config = new PlacementConfig { Kind = PlacementKind.Jump };
        foreach (var count in (int[])[2, 3, 5, 8, 16])
        {
            var nodes = TaskTableTests.Nodes(count);
            var table = TaskTable.Build(config, 4096, nodes);
            var atEnd = TaskTable.Build(config, 4096, [.. nodes.Take(count - 1)]).MovesTo(table);

            var last = nodes[^1].Name;
            atEnd.ShouldAllBe(move => move.To == last);
            atEnd.Count.ShouldBeInRange((int)(0.8 * 4096 / count), (int)(1.3 * 4096 / count));
        }
    }

    [Theory]
    [InlineData(128, 3)]
    [InlineData(128, 5)]
    [InlineData(128, 8)]
    [InlineData(1024, 8)]
    [InlineData(1024, 16)]
    [InlineData(1024, 32)]
    public void Measured_rates_are_evened_out(int tasks, int count)
    {
        var loads = ZipfLoads(tasks, seed: count);
        var nodes = TaskTableTests.Nodes(count);
        var table = TaskTable.Build(new PlacementConfig(), tasks, nodes);
        var evened = table.Next(nodes, loads);

        ShouldBeBalancedByLoad(evened, loads);
        table.MovesTo(evened).Count.ShouldBeLessThan(tasks / 3);
        evened.Next(nodes, loads).ShouldBeSameAs(evened);

        ShouldBeBalancedByLoad(evened.Next([.. nodes.Skip(1)], loads), loads);
        ShouldBeBalancedByLoad(evened.Next([.. nodes, new("late")], loads), loads);
    }

    [Fact]
    public void Rates_that_change_a_little_move_nothing()
    {
        var loads = ZipfLoads(1024, seed: 5);
        var nodes = TaskTableTests.Nodes(8);
        var evened = TaskTable.Build(new PlacementConfig(), 1024, nodes).Next(nodes, loads);
        var random = new Random(6);

        var changed = Array.ConvertAll(loads, load => (long)(load * (0.95 + 0.1 * random.NextDouble())));

        evened.Next(nodes, changed).ShouldBeSameAs(evened);
    }

    [Fact]
    public void A_task_too_hot_for_any_node_stays_and_loses_its_company()
    {
        var nodes = TaskTableTests.Nodes(4);
        var loads = new long[128];
        Array.Fill(loads, 100);
        var table = TaskTable.Build(new PlacementConfig(), 128, nodes);
        loads[17] = 1_000_000;
        var evened = table.Next(nodes, loads);

        evened.NodeOf(17).ShouldBe(table.NodeOf(17));
        TaskTableTests.Counts(evened)[evened.NodeOf(17)].ShouldBe(1);
        table.MovesTo(evened).ShouldAllBe(move => move.From == table.Nodes[table.NodeOf(17)].Name);
    }

    [Fact]
    public void Rates_of_nonsense_are_bounded()
    {
        var nodes = TaskTableTests.Nodes(4);
        var loads = new long[4096];
        Array.Fill(loads, long.MaxValue);
        loads[0] = long.MinValue;
        PlacementNode[] heavy = [.. nodes.Select(node => node with { Weight = 100 })];
        var table = TaskTable.Build(new PlacementConfig { Replicas = 4 }, 4096, heavy);

        table.Next(heavy, loads).ShouldBeSameAs(table);
        table.Next(heavy, new long[4096]).ShouldBeSameAs(table);
        Should.Throw<ArgumentException>(() => table.Next(heavy, new long[5]));
    }

    /// <summary>A queue may belong to a copy by its number: what stays must keep it.</summary>
    private static int CopiesThatChangedNumber(TaskTable before, TaskTable after)
    {
        var changed = 0;
        for (var task = 0; task < before.TaskCount; task++)
        {
            for (var choice = 0; choice < before.Replicas; choice++)
            {
                var now = after.IndexOf(before.Nodes[before.NodeOf(task, choice)].Name);
                changed += after.NodesOf(task).Contains(now) && after.NodeOf(task, choice) != now ? 1 : 0;
            }
        }
        return changed;
    }

    /// <summary>Where tables are large, fewer of them, so that the test is quick.</summary>
    private static int[] CountsFor(int tasks) =>
        tasks <= 128 ? [.. Enumerable.Range(2, 63)] : [2, 3, 4, 7, 13, 24, 41, 64];

    private static void ShouldBeFew(int moves, int tasks, int count) => moves.ShouldBeLessThanOrEqualTo(
        (int)Math.Max(Math.Floor(1.3 * tasks / count), Math.Ceiling((double)tasks / count)), $"{count} nodes");

    private static void ShouldBeBalancedByLoad(TaskTable table, long[] loads)
    {
        var carried = new long[table.Nodes.Count];
        for (var task = 0; task < loads.Length; task++)
        {
            carried[table.NodeOf(task)] += loads[task];
        }
        var mean = (double)loads.Sum() / carried.Length;
        ((double)carried.Max()).ShouldBeLessThanOrEqualTo(Math.Max(1.25 * mean, loads.Max()));
    }

    /// <summary>Groups whose rates fall as 1/rank, dealt to tasks by the key.</summary>
    private static long[] ZipfLoads(int tasks, int seed)
    {
        var key = new TaskKey(new TaskKeyConfig { Count = tasks, By = ["job"] });
        var loads = new long[tasks];
        for (var rank = 1; rank <= 20_000; rank++)
        {
            loads[key.TaskOf(LabelSet.Of(("__name__", "m"), ("job", $"{seed}-{rank}")))] += 1_000_000 / rank;
        }
        return loads;
    }
}
