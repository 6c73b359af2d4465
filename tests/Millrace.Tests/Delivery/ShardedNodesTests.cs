using Millrace.Delivery;
using Millrace.Membership;
using Millrace.Placement;
using Millrace.TestKit;

namespace Millrace.Tests.Delivery;

public sealed class ShardedNodesTests
{
    private const int Tasks = 12;

    private static readonly HealthSignal Probed = new(HealthSignalKind.ProbeAnswered, 1);

    [Fact]
    public void Each_task_goes_to_the_node_that_the_table_names()
    {
        using var fleet = new Fleet("a", "b", "c");
        fleet.OfferEach(1);
        fleet.Rig.RunUntilQuiet();
        var table = fleet.Rig.Nodes!.Table.ShouldNotBeNull();
        for (var task = 0; task < Tasks; task++)
        {
            fleet.TakerOf(task, 1).ShouldBe([table.Nodes[table.NodeOf(task)].Name]);
        }
        fleet.Rig.Destination.Nodes.Sum(node => node.DeliveredSamples).ShouldBe(Tasks);
        fleet.Rig.Nodes.MovedTasks.ShouldBe(0);
    }

    [Fact]
    public void What_waits_for_a_dead_node_moves_with_its_tasks_and_nothing_else_moves()
    {
        using var fleet = new Fleet("a", "b", "c");
        var table = fleet.Rig.Nodes!.Table!;
        fleet.Backends["b"].Inject(Enumerable.Repeat(BackendFault.Unreachable, 1_000).ToArray());
        fleet.OfferEach(1);
        fleet.Rig.RunFor(TimeSpan.FromSeconds(5));
        fleet.Rig.Counters.Pending.ShouldBeGreaterThan(0);
        fleet.Down("b");
        fleet.Rig.RunUntilQuiet();
        for (var task = 0; task < Tasks; task++)
        {
            var home = table.Nodes[table.NodeOf(task)].Name;
            if (home == "b")
            {
                fleet.TakerOf(task, 1).ShouldNotContain("b");
                continue;
            }
            fleet.TakerOf(task, 1).ShouldBe([home]);
        }
        fleet.Rig.Counters.Delivered.ShouldBe(Tasks);
        // The table stays: the tasks are lent.
        fleet.Rig.Nodes.Table.ShouldBeSameAs(table);
        fleet.Rig.Nodes.Overlay!.Displaced.ShouldBe(fleet.TasksOf("b").Count);
    }

    [Fact]
    public void A_request_that_a_dead_node_keeps_is_given_up_and_its_block_sent_elsewhere()
    {
        using var fleet = new Fleet("a", "b");
        fleet.Backends["b"].Inject(Enumerable.Repeat(BackendFault.TimesOut(60_000), Tasks).ToArray());
        fleet.OfferEach(1);
        fleet.Rig.SendDue();
        fleet.Rig.RunFor(TimeSpan.FromMilliseconds(100));
        var kept = fleet.Rig.RequestsOut;
        kept.ShouldBeGreaterThan(0);
        fleet.Down("b");
        var from = fleet.Rig.NowMs;
        fleet.Rig.RunUntilQuiet();
        // Within moments, not after the minute that the answers take.
        (fleet.Rig.NowMs - from).ShouldBeLessThan(1_000);
        fleet.Rig.Counters.Delivered.ShouldBe(Tasks);
        fleet.Rig.Counters.PossiblyRepeatedBlocks.ShouldBe(kept);
        fleet.Backends["a"].PointCount.ShouldBe(Tasks);
    }

    [Fact]
    public void Tasks_come_home_when_their_node_is_back()
    {
        using var fleet = new Fleet("a", "b", "c");
        fleet.Down("c");
        fleet.OfferEach(1);
        fleet.Rig.RunUntilQuiet();
        fleet.Backends["c"].PointCount.ShouldBe(0);
        fleet.Up("c");
        fleet.OfferEach(2);
        fleet.Rig.RunUntilQuiet();
        fleet.Backends["c"].PointCount.ShouldBe(fleet.TasksOf("c").Count);
        fleet.Rig.Nodes!.MovedTasks.ShouldBe(2 * fleet.TasksOf("c").Count);
    }

    [Fact]
    public void A_restart_moves_no_task_after_nodes_came_and_went()
    {
        using var fleet = new Fleet("a", "b", "c");
        fleet.Rig.Nodes!.SetNodes(fleet.Named("a", "b", "c", "d"));
        fleet.Rig.Nodes.SetNodes(fleet.Named("a", "c", "d"));
        var before = fleet.Rig.Nodes.Table!;
        before.Version.ShouldBe(3);
        fleet.Rig.Config = fleet.ConfigOf("a", "c", "d");
        fleet.Rig.Crash();
        var after = fleet.Rig.Nodes.Table!;
        (after.Version, after.Fingerprint).ShouldBe((before.Version, before.Fingerprint));
    }

    [Fact]
    public void Nodes_that_no_table_can_be_made_of_change_nothing()
    {
        using var fleet = new Fleet("a", "b");
        var table = fleet.Rig.Nodes!.Table;
        fleet.Rig.Nodes.SetNodes([new Node("a", new Uri("http://a/"), 101), new Node("b", new Uri("http://b/"))]);
        fleet.Rig.Nodes.Table.ShouldBeSameAs(table);
        fleet.Rig.Nodes.TableProblem.ShouldNotBeNull().ShouldContain("weight of node \"a\" is 101");
        fleet.Rig.Nodes.SetNodes(fleet.Named("a", "b"));
        fleet.Rig.Nodes.TableProblem.ShouldBeNull();
        fleet.OfferEach(1);
        fleet.Rig.RunUntilQuiet();
        fleet.Rig.Counters.Delivered.ShouldBe(Tasks);
    }

    [Fact]
    public void A_fallback_gets_everything_and_leaves_the_table_alone()
    {
        using var fleet = new Fleet("a", "b", "c");
        fleet.Rig.Nodes!.SetNodes(fleet.Named("a", "b", "c", "d"));
        var before = fleet.Rig.Nodes.Table!;
        fleet.Rig.Config = fleet.ConfigOf();
        fleet.Rig.Crash(); // Its nodes are looked up, and nobody answers yet.
        fleet.Rig.Nodes!.SetNodes(fleet.Named("d"), isFallback: true);
        fleet.OfferEach(1);
        fleet.Rig.RunUntilQuiet();
        fleet.Backends["d"].PointCount.ShouldBe(Tasks);
        fleet.Rig.Nodes.SetNodes(fleet.Named("a", "b", "c", "d"));
        (fleet.Rig.Nodes.Table!.Version, fleet.Rig.Nodes.Table.Fingerprint)
            .ShouldBe((before.Version, before.Fingerprint));
    }

    [Fact]
    public void What_waits_for_nobody_goes_out_when_there_is_somebody()
    {
        using var fleet = new Fleet();
        fleet.OfferEach(1);
        fleet.Rig.RunFor(TimeSpan.FromSeconds(1));
        fleet.Rig.Counters.Pending.ShouldBe(Tasks);
        fleet.Rig.Nodes!.SetNodes(fleet.Named("a"));
        fleet.Rig.RunUntilQuiet();
        fleet.Backends["a"].PointCount.ShouldBe(Tasks);
    }

    [Fact]
    public void A_stuck_node_does_not_send_the_lanes_of_the_others_to_the_disk()
    {
        using var fleet = new Fleet("a", "b", "c");
        fleet.Backends["b"].FaultRate = 1;
        for (var lsn = 1; lsn <= 3_000; lsn++)
        {
            fleet.OfferEach(lsn);
            fleet.Rig.RunFor(TimeSpan.FromMilliseconds(20));
        }
        fleet.Rig.Destination.StoredBytes(Feed.Raw).ShouldBeGreaterThan(0);
        // Everything of the well ones was delivered meanwhile, but for what is on its way.
        var waiting = fleet.Rig.Destination.PendingOfNodes();
        foreach (var (node, pending) in waiting)
        {
            if (node.Name != "b")
            {
                pending.ShouldBeLessThan(20);
            }
        }
        fleet.Down("b");
        fleet.Rig.RunUntilQuiet(maxSteps: 200_000);
        fleet.Rig.Counters.Delivered.ShouldBe(3_000 * Tasks);
        fleet.Rig.Counters.Dropped.ShouldBe(0);
    }

    [Fact]
    public void Whatever_happens_to_nodes_each_sample_arrives_and_each_series_in_its_order()
    {
        for (var seed = 1; seed <= 40; seed++)
        {
            Run(seed);
        }
    }

    private static void Run(int seed)
    {
        var random = new Random(seed);
        string[] all = ["a", "b", "c", "d"];
        using var fleet = new Fleet("a", "b", "c");
        foreach (var backend in fleet.Backends.Values)
        {
            backend.LatencyMs = random.Next(1, 200);
        }
        var lsn = 0;
        for (var step = 0; step < 150; step++)
        {
            switch (random.Next(12))
            {
                case 0:
                    fleet.Down(all[random.Next(4)]);
                    break;
                case 1:
                    fleet.Up(all[random.Next(4)]);
                    break;
                case 2:
                    fleet.Backends[all[random.Next(4)]].FaultRate = random.Next(3) * 0.4;
                    break;
                case 3 when random.Next(4) == 0:
                    var names = all.Where(_ => random.Next(4) > 0).ToArray();
                    if (names.Length > 0)
                    {
                        fleet.Rig.Config = fleet.ConfigOf(names);
                        fleet.Rig.Nodes!.SetNodes(fleet.Named(names));
                    }
                    break;
                default:
                    fleet.OfferEach(++lsn);
                    break;
            }
            fleet.Rig.RunFor(TimeSpan.FromMilliseconds(random.Next(1, 300)));
        }
        foreach (var backend in fleet.Backends.Values)
        {
            backend.FaultRate = 0;
        }
        foreach (var name in all)
        {
            fleet.Up(name);
        }
        fleet.Rig.RunUntilQuiet();
        fleet.Rig.Counters.Delivered.ShouldBe(lsn * Tasks, $"seed {seed}");
        for (var task = 0; task < Tasks; task++)
        {
            var arrived = fleet.ArrivalsOf(task);
            arrived.Distinct().Count().ShouldBe(lsn, $"seed {seed}");
            // First arrivals are in order: a repeat may come later, never something new before it.
            arrived.Distinct().ShouldBeInOrder();
        }
    }

    /// <summary>A sharded destination, a backend per node, and what came to each.</summary>
    private sealed class Fleet : IDisposable
    {
        private readonly long _startMs;
        private readonly List<string> _requests = []; // whose each was, in their order

        public Fleet(params string[] names)
        {
            foreach (var name in new[] { "a", "b", "c", "d" })
            {
                Backends[name] = new FakeBackend(BackendKind.VictoriaMetrics, seed: name[0])
                {
                    ChanceFaults = [BackendFault.Unreachable, BackendFault.Status(503), BackendFault.LostAnswer],
                };
            }
            Rig = new DestinationRig(ConfigOf(names), Backends["a"])
            {
                BackendOf = name =>
                {
                    _requests.Add(name);
                    return Backends[name];
                },
            };
            _startMs = Rig.NowMs;
        }

        public Dictionary<string, FakeBackend> Backends { get; } = [];

        public DestinationRig Rig { get; }

        public DestinationConfig ConfigOf(params string[] names)
        {
            var sharded = new ShardedConfig
            {
                Nodes = new NodeSetConfig { Nodes = Named(names) },
                Tasks = new TaskKeyConfig { Count = Tasks },
                Health = new HealthConfig { HoldDown = TimeSpan.Zero, MaxDownPercent = 100 },
            };
            return DestinationRig.Plain with { Sharded = sharded, Lanes = sharded.Lanes, QueueMemoryBytes = 64 << 10 };
        }

        public Node[] Named(params string[] names) =>
            Array.ConvertAll(names, static name => new Node(name, new Uri($"http://{name}/")));

        /// <summary>One sample for each task.</summary>
        public void OfferEach(int lsn)
        {
            for (var task = 0; task < Tasks; task++)
            {
                Rig.OfferRaw(task, lsn, ($"m{task}", _startMs + lsn, lsn));
            }
        }

        public void Down(string node)
        {
            for (var i = 0; i < 4; i++)
            {
                Rig.Nodes!.Health.Observe(node, HealthSignal.ProbeUnanswered, Rig.NowMs);
                Rig.NowMs += 1_000;
            }
            Rig.Nodes!.HealthChanged();
        }

        public void Up(string node)
        {
            for (var i = 0; i < 4; i++)
            {
                Rig.Nodes!.Health.Observe(node, Probed, Rig.NowMs);
                Rig.NowMs += 1_000;
            }
            Rig.Nodes!.HealthChanged();
        }

        public List<int> TasksOf(string node)
        {
            var table = Rig.Nodes!.Table!;
            return [.. Enumerable.Range(0, Tasks).Where(task => table.Nodes[table.NodeOf(task)].Name == node)];
        }

        /// <summary>Who has a sample of a task.</summary>
        public List<string> TakerOf(int task, int lsn) =>
        [
            .. Backends.Where(backend => PointsOf(backend.Value, task).Any(p => p.TimestampMs == _startMs + lsn))
                .Select(backend => backend.Key),
        ];

        /// <summary>The samples of a task in the order of their arrival, at whichever node.</summary>
        public List<long> ArrivalsOf(int task)
        {
            var places = new Dictionary<(string, int), int>();
            var counts = new Dictionary<string, int>();
            foreach (var name in _requests)
            {
                var number = counts.GetValueOrDefault(name);
                places.Add((name, number), places.Count);
                counts[name] = number + 1;
            }
            return
            [
                .. Backends
                    .SelectMany(backend => PointsOf(backend.Value, task).Select(
                        point => (Place: places[(backend.Key, point.Request)], point.TimestampMs)))
                    .OrderBy(arrival => arrival.Place)
                    .Select(arrival => arrival.TimestampMs),
            ];
        }

        public void Dispose() => Rig.Dispose();

        private static List<StoredPoint> PointsOf(FakeBackend backend, int task) =>
            backend.Series.GetValueOrDefault($"m{task}") ?? backend.Series.GetValueOrDefault($"m{task}{{}}") ?? [];
    }
}
