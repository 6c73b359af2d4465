using FsCheck;
using FsCheck.Fluent;
using Millrace.Membership;

namespace Millrace.Tests.Membership;

/// <summary>
/// Nodes are probed each second on the second, as the probe does it, and behave as a test says; times are exact.
/// </summary>
public class HealthTests
{
    private const long Healthy = 5;
    private const long Silent = long.MaxValue;
    private const long Refuses = -1;
    private const long Answers503 = -2;

    [Fact]
    public void A_killed_node_is_down_with_its_third_refusal()
    {
        var rig = new Rig("a", "b", "c");
        rig.From(10_001, "b", Refuses);
        rig.RunTo(20_000);
        rig.Story.ShouldBe(["13000 b"]);
    }

    [Fact]
    public void A_node_in_a_black_hole_is_down_within_four_seconds()
    {
        var rig = new Rig("a", "b", "c");
        rig.From(10_001, "b", Silent);
        rig.RunTo(30_000);
        rig.Story.ShouldBe(["14000 b"]);
    }

    [Fact]
    public void A_node_that_pauses_for_two_seconds_stays_up()
    {
        var rig = new Rig("a", "b", "c");
        rig.Pause("b", 10_001, 12_500);
        rig.RunTo(60_000);
        rig.Story.ShouldBeEmpty();
        rig.Health.View().ShouldAllBe(view => view.State == HealthState.Healthy);
    }

    [Fact]
    public void A_paused_node_is_down_and_returns_with_its_third_answer()
    {
        var rig = new Rig("a", "b", "c");
        rig.Pause("b", 10_001, 40_400);
        rig.RunTo(60_000);
        // The probe of 40.000 is answered at 40.400.
        rig.Story.ShouldBe(["14000 b", "42005 "]);
    }

    [Fact]
    public void A_node_that_is_well_at_once_is_held_down_for_a_while()
    {
        var rig = new Rig("a", "b");
        rig.From(10_001, "b", Refuses);
        rig.From(13_001, "b", Healthy);
        rig.RunTo(60_000);
        rig.Story.ShouldBe(["13000 b", "23005 "]);
    }

    [Fact]
    public void A_node_that_is_stopping_says_so_with_503()
    {
        var rig = new Rig("a", "b");
        rig.From(10_001, "b", Answers503);
        rig.RunTo(20_000);
        rig.Story.ShouldBe(["13000 b"]);
    }

    [Fact]
    public void A_node_far_slower_than_the_others_for_a_while_is_down()
    {
        var rig = new Rig("a", "b", "c");
        rig.From(10_001, "b", 600);
        rig.RunTo(60_000);
        // Four of the last seven probes are slow at 14.600; ten seconds later it falls, and is never good again.
        rig.Story.ShouldBe(["24600 b"]);
        rig.View("b").Reason.ShouldBe(DownReason.Slow);
    }

    [Fact]
    public void A_slow_node_returns_when_it_is_fast_again()
    {
        var rig = new Rig("a", "b", "c");
        rig.From(10_001, "b", 600);
        rig.From(40_001, "b", Healthy);
        rig.RunTo(60_000);
        rig.Story.ShouldBe(["24600 b", "43005 "]);
    }

    [Fact]
    public void Where_all_are_slow_nobody_is_down()
    {
        var rig = new Rig("a", "b", "c");
        foreach (var node in (string[])["a", "b", "c"])
        {
            rig.From(10_001, node, 900);
        }
        rig.RunTo(120_000);
        rig.Story.ShouldBeEmpty();
    }

    [Fact]
    public void A_node_that_is_slow_for_a_moment_stays_up()
    {
        var rig = new Rig("a", "b", "c");
        rig.From(10_001, "b", 600);
        rig.From(20_001, "b", Healthy);
        rig.RunTo(120_000);
        rig.Story.ShouldBeEmpty();
    }

    [Fact]
    public void Where_all_fail_nobody_is_down()
    {
        var rig = new Rig("a", "b", "c", "d");
        foreach (var node in (string[])["a", "b", "c", "d"])
        {
            rig.From(10_001, node, Refuses);
        }
        rig.From(30_001, "c", Healthy);
        rig.RunTo(60_000);
        // At 13.000 one after the other falls, until the last one shows that it is not them.
        rig.Story.ShouldBe(["13000 a", "13000 a b", "13000 ", "33005 a b"]);
        rig.View("d").State.ShouldBe(HealthState.Spared);
    }

    [Theory]
    [InlineData(1, 0)]
    [InlineData(2, 1)]
    [InlineData(3, 2)]
    [InlineData(4, 2)]
    [InlineData(5, 3)]
    [InlineData(8, 4)]
    public void Of_many_that_fail_half_are_taken_down(int nodes, int mostDown)
    {
        var names = Enumerable.Range(0, nodes).Select(i => $"n{i}").ToArray();
        var rig = new Rig(names);
        foreach (var name in names.Skip(1))
        {
            rig.From(10_001, name, Refuses);
        }
        rig.RunTo(60_000);
        rig.Health.Down.Count.ShouldBe(mostDown);
        rig.Health.IsUp("n0").ShouldBeTrue();
    }

    [Fact]
    public void A_node_that_does_not_answer_goes_down_before_one_that_is_slow()
    {
        var rig = new Rig("a", "b", "c", "d");
        rig.From(10_001, "a", 600);
        rig.From(10_001, "b", 600);
        rig.From(40_001, "c", Refuses);
        rig.RunTo(50_000);
        // a had been down for 20 s; of two that are slow the later one is spared.
        rig.Story.ShouldBe(["24600 a", "24600 a b", "43000 a c"]);
        rig.View("b").State.ShouldBe(HealthState.Spared);
    }

    [Fact]
    public void The_return_of_a_node_that_flaps_takes_longer_each_time()
    {
        var rig = new Rig("a", "b");
        var health = rig.Health;
        var now = 0L;
        var holds = new List<long>();
        for (var fall = 0; fall < 8; fall++)
        {
            for (; health.IsUp("b"); now += 1_000)
            {
                health.Observe("b", HealthSignal.ProbeUnanswered, now);
            }
            var since = rig.View("b").SinceMs;
            for (; !health.IsUp("b"); now += 1_000)
            {
                health.Observe("b", HealthSignal.OfProbe(200, 1), now);
            }
            holds.Add((rig.View("b").SinceMs - since) / 1_000);
        }
        holds.ShouldBe([10, 20, 40, 80, 160, 300, 300, 300]);

        now += 301_000; // it was well for long enough to be trusted again
        for (; health.IsUp("b"); now += 1_000)
        {
            health.Observe("b", HealthSignal.ProbeUnanswered, now);
        }
        var view = rig.View("b");
        (view.HoldUntilMs - view.SinceMs).ShouldBe(10_000);
        view.Falls.ShouldBe(9);
    }

    [Fact]
    public void A_bad_probe_begins_the_good_ones_anew()
    {
        var rig = new Rig("a", "b");
        rig.From(10_001, "b", Refuses);
        rig.From(30_001, "b", Healthy);
        rig.From(32_500, "b", Refuses);
        rig.From(33_500, "b", Healthy);
        rig.RunTo(60_000);
        rig.Story.ShouldBe(["13000 b", "36005 "]);
    }

    [Fact]
    public void With_manual_return_a_node_waits_to_be_told()
    {
        var rig = new Rig(new HealthConfig { Return = ReturnPolicy.Manual }, "a", "b");
        rig.From(10_001, "b", Refuses);
        rig.From(20_001, "b", Healthy);
        rig.RunTo(1_000_000);
        rig.Story.ShouldBe(["13000 b"]);
        rig.Health.Return("a", 1_000_000).ShouldBeFalse();
        rig.Health.Return("b", 1_000_000).ShouldBeTrue();
        rig.Health.Down.ShouldBeEmpty();
    }

    [Fact]
    public void A_node_may_have_to_be_well_for_a_while()
    {
        var rig = new Rig(
            new HealthConfig { Return = ReturnPolicy.After, ReturnAfter = TimeSpan.FromMinutes(1) }, "a", "b");
        rig.From(10_001, "b", Refuses);
        rig.From(20_001, "b", Healthy);
        rig.RunTo(100_000);
        rig.Story.ShouldBe(["13000 b", "81005 "]);
    }

    [Fact]
    public void Many_requests_that_break_at_once_are_one_event()
    {
        var health = new Rig("a", "b").Health;
        for (var i = 0; i < 16; i++)
        {
            health.Observe("b", HealthSignal.Unreachable, 1_000 + i).ShouldBeFalse();
        }
        health.Observe("b", HealthSignal.Unreachable, 2_999).ShouldBeFalse();
        health.Observe("b", HealthSignal.Unreachable, 3_000).ShouldBeTrue();
        health.Down.ShouldBe(["b"]);
    }

    [Fact]
    public void Requests_that_fail_take_a_node_down_whose_probes_are_good()
    {
        var rig = new Rig("a", "b");
        for (var now = 0L; now <= 2_000; now += 500)
        {
            rig.Health.Observe("b", HealthSignal.OfProbe(200, 1), now);
            rig.Health.Observe("b", HealthSignal.OfAnswer(500, false, 1), now);
        }
        rig.View("b").Reason.ShouldBe(DownReason.Requests);
    }

    [Theory]
    [InlineData(429, false)]
    [InlineData(429, true)]
    [InlineData(503, true)]
    [InlineData(400, false)]
    [InlineData(404, false)]
    [InlineData(409, false)]
    [InlineData(413, false)]
    [InlineData(415, false)]
    [InlineData(501, false)]
    [InlineData(204, false)]
    public void Refusals_and_requests_for_rest_are_signs_of_life(int status, bool hasRetryAfter)
    {
        var health = new Rig("a", "b").Health;
        for (var now = 0L; now < 100_000; now += 100)
        {
            health.Observe("b", HealthSignal.OfAnswer(status, hasRetryAfter, 1), now);
            health.Observe("b", HealthSignal.Unreachable, now); // in turns: never two failures in a row
        }
        health.Down.ShouldBeEmpty();
    }

    [Theory]
    [InlineData(500)]
    [InlineData(502)]
    [InlineData(503)]
    [InlineData(504)]
    public void Server_errors_are_failures(int status)
    {
        var health = new Rig("a", "b").Health;
        for (var now = 0L; now <= 2_000; now += 1_000)
        {
            health.Observe("b", HealthSignal.OfAnswer(status, false, 1), now);
        }
        health.Down.ShouldBe(["b"]);
    }

    [Fact]
    public void A_node_at_work_may_be_too_busy_for_probes()
    {
        var health = new Rig("a", "b").Health;
        for (var now = 0L; now < 60_000; now += 1_000)
        {
            health.Observe("b", HealthSignal.ProbeUnanswered, now);
            health.Observe("b", HealthSignal.OfAnswer(204, false, 900), now + 500);
        }
        health.Down.ShouldBeEmpty();
    }

    [Fact]
    public void A_node_that_says_no_to_probes_goes_down_though_it_still_works()
    {
        var health = new Rig("a", "b").Health;
        for (var now = 0L; now < 10_000; now += 1_000)
        {
            health.Observe("b", HealthSignal.OfProbe(503, 1), now);
            health.Observe("b", HealthSignal.OfAnswer(204, false, 1), now + 500);
        }
        health.Down.ShouldBe(["b"]);
    }

    [Fact]
    public void What_was_under_way_does_not_bring_a_node_back()
    {
        var rig = new Rig("a", "b");
        rig.From(1, "b", Refuses);
        rig.RunTo(5_000);
        for (var i = 0; i < 100; i++)
        {
            rig.Health.Observe("b", HealthSignal.OfAnswer(204, false, 1), 60_000).ShouldBeFalse();
        }
        rig.Health.Down.ShouldBe(["b"]);
    }

    [Fact]
    public void Requests_tell_a_slow_node_too()
    {
        var rig = new Rig("a", "b", "c");
        for (var now = 0L; now < 12_900; now += 100)
        {
            rig.Health.Observe("a", HealthSignal.OfAnswer(204, false, 100), now);
            rig.Health.Observe("c", HealthSignal.OfAnswer(204, false, 200), now);
            rig.Health.Observe("b", HealthSignal.OfAnswer(204, false, now < 2_600 ? 100 : 20_000), now);
        }
        rig.Health.Down.ShouldBeEmpty(); // slow since 2.900
        rig.Health.Observe("b", HealthSignal.OfAnswer(204, false, 20_000), 12_900).ShouldBeTrue();
        rig.View("b").Reason.ShouldBe(DownReason.Slow);
    }

    [Fact]
    public void A_new_address_is_another_process()
    {
        var rig = new Rig("a", "b");
        rig.From(1, "b", Refuses);
        rig.RunTo(5_000);
        rig.Health.SetNodes([Rig.NodeOf("a"), Rig.NodeOf("b")]).ShouldBeFalse();
        rig.Health.SetNodes([Rig.NodeOf("a"), new Node("b", new Uri("http://other:1/"))]).ShouldBeTrue();
        rig.Health.Down.ShouldBeEmpty();
    }

    [Fact]
    public void A_node_that_is_gone_is_forgotten()
    {
        var rig = new Rig("a", "b", "c");
        rig.From(1, "b", Refuses);
        rig.RunTo(5_000);
        rig.Health.SetNodes([Rig.NodeOf("a"), Rig.NodeOf("c")]).ShouldBeTrue();
        rig.Health.Down.ShouldBeEmpty();
        rig.Health.Observe("b", HealthSignal.ProbeUnanswered, 6_000).ShouldBeFalse();
        rig.Health.View().Select(view => view.Name).ShouldBe(["a", "c"]);
    }

    [Fact]
    public void With_no_percent_nobody_is_ever_down()
    {
        var rig = new Rig(new HealthConfig { MaxDownPercent = 0 }, "a", "b", "c");
        rig.From(1, "b", Refuses);
        rig.RunTo(60_000);
        rig.Story.ShouldBeEmpty();
    }

    [Fact]
    public void Whatever_is_seen_enough_nodes_stay_up()
    {
        var signal =
            from node in Gen.Choose(0, 4)
            from kind in Gen.Elements(Enum.GetValues<HealthSignalKind>())
            from latency in Gen.Elements(1L, 10, 700, 5_000)
            from step in Gen.Choose(0, 3_000)
            select (Node: $"n{node}", Signal: new HealthSignal(kind, latency), StepMs: step);
        Prop.ForAll(signal.ListOf(300).ToArbitrary(), script =>
        {
            var health = new Rig("n0", "n1", "n2", "n3", "n4").Health;
            var now = 0L;
            foreach (var (node, observed, stepMs) in script)
            {
                now += stepMs;
                var (before, changes) = (health.Down, health.Changes);
                var changed = health.Observe(node, observed, now);
                changed.ShouldBe(!health.Down.SetEquals(before));
                health.Changes.ShouldBe(changes + (changed ? 1 : 0));
                health.Down.Count.ShouldBeLessThanOrEqualTo(3);
                health.View().Count(view => view.State == HealthState.Down).ShouldBe(health.Down.Count);
            }
        }).QuickCheckThrowOnFailure();
    }

    /// <summary>Nodes, how they behave from when on, and what became of the set of those that are down.</summary>
    private sealed class Rig
    {
        private readonly string[] _names;
        private readonly List<(long FromMs, string Node, long Behaviour)> _script = [];
        private readonly List<(string Node, long FromMs, long ToMs)> _pauses = [];
        private readonly PriorityQueue<(string Node, HealthSignal Signal, long NextMs), (long AtMs, int Index)> _due =
            new();

        public Rig(params string[] names)
            : this(new HealthConfig(), names)
        {
        }

        public Rig(HealthConfig config, params string[] names)
        {
            (_names, Health) = (names, new Health(config));
            Health.SetNodes([.. names.Select(NodeOf)]);
        }

        public Health Health { get; }

        /// <summary>When, and who was down from then on.</summary>
        public List<string> Story { get; } = [];

        public static Node NodeOf(string name) => new(name, new Uri($"http://{name}:8480/api/v1/write"));

        public NodeHealthView View(string name) => Health.View().Single(view => view.Name == name);

        public void From(long atMs, string node, long behaviour) => _script.Add((atMs, node, behaviour));

        /// <summary>What comes in between is answered at the end.</summary>
        public void Pause(string node, long fromMs, long toMs) => _pauses.Add((node, fromMs, toMs));

        public void RunTo(long endMs)
        {
            for (var i = 0; i < _names.Length; i++)
            {
                Begin(_names[i], 0);
            }
            while (_due.TryDequeue(out var probe, out var at) && at.AtMs <= endMs)
            {
                if (Health.Observe(probe.Node, probe.Signal, at.AtMs))
                {
                    Story.Add($"{at.AtMs} {string.Join(' ', Health.Down.Order(StringComparer.Ordinal))}");
                }
                Begin(probe.Node, probe.NextMs);
            }
        }

        private void Begin(string node, long atMs)
        {
            const long Interval = 1_000;
            const long Timeout = 1_000;
            var behaviour = _script.Where(s => s.Node == node && s.FromMs <= atMs).Select(s => s.Behaviour)
                .DefaultIfEmpty(Healthy).Last();
            foreach (var (_, from, to) in _pauses.Where(p => p.Node == node))
            {
                behaviour = atMs >= from && atMs < to ? to - atMs : behaviour;
            }
            var (signal, tookMs) = behaviour switch
            {
                Refuses => (HealthSignal.ProbeUnanswered, 0),
                Answers503 => (HealthSignal.OfProbe(503, 0), 0),
                >= Timeout => (HealthSignal.ProbeUnanswered, Timeout),
                _ => (HealthSignal.OfProbe(200, behaviour), behaviour),
            };
            _due.Enqueue((node, signal, Math.Max(atMs + Interval, atMs + tookMs)),
                (atMs + tookMs, Array.IndexOf(_names, node)));
        }
    }
}
