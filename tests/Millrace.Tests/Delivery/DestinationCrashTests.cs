using FsCheck;
using FsCheck.Fluent;
using Millrace.Delivery;
using Millrace.Log;
using Millrace.TestKit;

namespace Millrace.Tests.Delivery;

public sealed class DestinationCrashTests
{
    [Fact]
    public void A_block_under_way_in_a_crash_is_rebuilt_to_the_same_end_and_counted_once()
    {
        using var rig = new DestinationRig(DestinationRig.Plain, new FakeBackend(BackendKind.Prometheus));
        rig.OfferRaw(0, 4, ("m", rig.NowMs, 1));
        rig.OfferRaw(0, 6, ("m", rig.NowMs + 1, 2));
        rig.SendDue().ShouldBe(1);
        var time = rig.NowMs;
        rig.Crash();
        rig.Destination.RawResumeAt(0).ShouldBe(default);
        rig.Destination.RawSealAt(0).ShouldBe(new LogPosition(4, 0));
        rig.Destination.RawSealAt(1).ShouldBeNull();
        rig.OfferRaw(0, 4, ("m", time, 1));
        rig.OfferRaw(0, 6, ("m", time + 1, 2));
        rig.RunUntilQuiet();
        rig.Counters.PossiblyRepeatedBlocks.ShouldBe(1);
        rig.Counters.Delivered.ShouldBe(2);
        rig.Backend.PointCount.ShouldBe(2);
        rig.Crash();
        rig.Destination.RawResumeAt(0).ShouldBe(new LogPosition(6, 0));
        rig.Destination.RawSealAt(0).ShouldBeNull();
    }

    [Fact]
    public void A_block_given_up_before_the_one_under_way_does_not_come_back_in_its_place()
    {
        using var rig = new DestinationRig(
            DestinationRig.Plain with { QueueMemoryBytes = 500 }, new FakeBackend(BackendKind.VictoriaMetrics));
        var time = rig.NowMs;
        rig.OfferRaw(0, 4, ("m", time, 1));
        rig.SendDue().ShouldBe(1);
        rig.Disk.CapacityBytes = rig.Disk.UsedBytes;
        rig.OfferRaw(0, 6, [.. Enumerable.Range(1, 100).Select(i => ("m", time + i, i * 0.7))]);
        rig.Counters.DroppedByReason[(int)DropReason.DiskError].ShouldBe(100);
        rig.OfferRaw(0, 8, ("m", time + 200, 2));
        rig.Step();
        rig.Step();
        rig.Counters.Delivered.ShouldBe(1);
        rig.RequestsOut.ShouldBe(1);
        rig.Crash();
        rig.Destination.RawResumeAt(0).ShouldBe(new LogPosition(6, 0));
        rig.Destination.RawSealAt(0).ShouldBe(new LogPosition(8, 0));
        rig.OfferRaw(0, 8, ("m", time + 200, 2));
        rig.RunUntilQuiet();
        rig.Counters.PossiblyRepeatedBlocks.ShouldBe(1);
        rig.Backend.PointCount.ShouldBe(3);
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 2)] // the second is not spilled: its record would stand where the count of the first is not
    public void What_was_given_up_stays_counted_when_a_crash_comes_behind_later_blocks(int failingWrites, int lost)
    {
        using var rig = new DestinationRig(
            DestinationRig.Plain with { QueueMemoryBytes = 100 }, new FakeBackend(BackendKind.VictoriaMetrics));
        rig.OfferRaw(0, 1, ("m", rig.NowMs + 1, 1));
        rig.OfferRaw(0, 2, ("m", rig.NowMs + 2, 2));
        rig.Disk.FailNextWrites(failingWrites);
        for (var lsn = 3; lsn <= 6; lsn++)
        {
            rig.OfferRaw(0, lsn, ("m", rig.NowMs + lsn, lsn));
        }
        rig.Crash();
        rig.Destination.RawResumeAt(0).ShouldBe(new LogPosition(6, 0));
        rig.Counters.DroppedByReason[(int)DropReason.DiskError].ShouldBe(lost);
        rig.RunUntilQuiet();
        rig.Counters.Delivered.ShouldBe(6 - lost);
    }

    [Fact]
    public void A_spilled_block_under_way_in_a_crash_is_sent_again_as_identical_bytes()
    {
        using var rig = new DestinationRig(
            DestinationRig.Plain with { QueueMemoryBytes = 100 }, new FakeBackend(BackendKind.Prometheus));
        for (var lsn = 1; lsn <= 10; lsn++)
        {
            rig.OfferRaw(0, lsn, ("m", rig.NowMs + lsn, lsn));
        }
        rig.SendDue().ShouldBe(1);
        rig.Crash();
        rig.Destination.RawResumeAt(0).ShouldBe(new LogPosition(10, 0));
        rig.Destination.RawSealAt(0).ShouldBeNull();
        rig.Counters.Pending.ShouldBe(10);
        rig.RunUntilQuiet();
        rig.Backend.Requests[1].Body.ShouldBe(rig.Backend.Requests[0].Body);
        rig.Counters.PossiblyRepeatedBlocks.ShouldBe(1);
        rig.Counters.Delivered.ShouldBe(10);
        rig.Counters.Queued.ShouldBe(10);
        rig.Backend.PointCount.ShouldBe(10);
    }

    [Fact]
    public void Output_blocks_are_sent_again_from_the_output_log()
    {
        using var rig = new DestinationRig(DestinationRig.Plain, new FakeBackend(BackendKind.VictoriaMetrics));
        rig.OfferGroup((0, "a", 1, 1), (1, "b", 1, 2), (0, "c", 1, 3));
        rig.SendDue().ShouldBe(2);
        rig.Crash();
        rig.Counters.Pending.ShouldBe(3);
        rig.RunUntilQuiet();
        rig.Backend.Series.ToDictionary(s => s.Key, s => s.Value.Count)
            .ShouldBe(new Dictionary<string, int> { ["a"] = 2, ["b"] = 2, ["c"] = 1 });
        rig.Counters.PossiblyRepeatedBlocks.ShouldBe(2);
    }

    [Fact]
    public void A_duplicate_refusal_of_a_block_that_was_half_sent_in_parts_does_not_pass_for_taken()
    {
        var backend = new FakeBackend(BackendKind.Prometheus) { MaxSamples = 2 };
        using var rig = new DestinationRig(DestinationRig.Plain, backend);
        var time = rig.NowMs;
        (string, long, double)[] samples = [("a", time, 1), ("a", time + 1, 1), ("b", time, 1), ("b", time + 1, 1)];
        rig.OfferRaw(0, 1, samples);
        while (backend.PointCount == 0)
        {
            rig.Step();
        }
        rig.Crash();
        backend.MaxSamples = 100;
        rig.OfferRaw(0, 1, samples);
        rig.RunUntilQuiet();
        backend.Series.Keys.ShouldBe(["a", "b"]);
        backend.PointCount.ShouldBe(4);
    }

    [Fact]
    public void The_ledger_goes_on_after_a_crash_and_a_restart()
    {
        using var rig = new DestinationRig(
            DestinationRig.Plain, new FakeBackend(BackendKind.Prometheus) { PoisonSeries = "bad" });
        rig.OfferRaw(0, 1, ("good", rig.NowMs, 1), ("bad", rig.NowMs, 1));
        rig.OfferRaw(1, 2, ("far", rig.NowMs + 9_999_999, 1));
        rig.RunUntilQuiet();
        rig.Crash();
        AssertTotals();
        rig.Restart();
        AssertTotals();

        void AssertTotals()
        {
            rig.Counters.Queued.ShouldBe(3);
            rig.Counters.Delivered.ShouldBe(1);
            rig.Counters.Parked.ShouldBe(1);
            rig.Counters.DroppedByReason[(int)DropReason.RefusedTooFarAhead].ShouldBe(1);
        }
    }

    [Fact]
    public void A_new_destination_gets_outputs_from_now_on()
    {
        using var rig = new DestinationRig(DestinationRig.Plain, new FakeBackend(BackendKind.Prometheus));
        rig.OfferGroup((0, "a", 1, 1));
        rig.Dispose();
        var disk = rig.Disk;
        using var log = RecordLog.Open("/data/outputs", new RecordLogOptions(), disk, TimeProvider.System);
        using var second = new Destination(rig.Config, new DestinationEnvironment
        {
            Folder = "/data/destinations/second",
            Disk = disk,
            OutputLog = log,
            InputLogId = rig.InputLogId,
            RawStart = new LogPosition(41, int.MaxValue),
            Random = new Random(1),
        });
        second.Snapshot().Pending.ShouldBe(0);
        second.RawResumeAt(3).ShouldBe(new LogPosition(41, int.MaxValue));
        second.RawNeededFromLsn().ShouldBe(42);
    }

    [Fact]
    public void Spilled_blocks_outlive_their_input_log_and_a_new_one_begins_at_its_start()
    {
        using var rig = new DestinationRig(
            DestinationRig.Plain with { QueueMemoryBytes = 100 }, new FakeBackend(BackendKind.Prometheus));
        for (var lsn = 101; lsn <= 110; lsn++)
        {
            rig.OfferRaw(0, lsn, ("m", rig.NowMs + lsn, lsn));
            // The first one is on its way before it is spilled.
            rig.SendDue();
        }
        rig.InputLogId = Guid.NewGuid();
        rig.Crash();
        rig.Destination.RawResumeAt(0).ShouldBe(default);
        rig.OfferRaw(0, 1, ("n", rig.NowMs, 1));
        rig.RunUntilQuiet();
        rig.Counters.Delivered.ShouldBe(11);
        rig.Backend.PointCount.ShouldBe(11);
        rig.Counters.PossiblyRepeatedBlocks.ShouldBe(1);
        rig.Destination.RawResumeAt(0).ShouldBe(new LogPosition(1, 0));
    }

    [Fact]
    public void The_number_of_lanes_is_fixed_with_the_folder()
    {
        using var rig = new DestinationRig(DestinationRig.Plain, new FakeBackend(BackendKind.Prometheus));
        rig.OfferGroup((3, "a", 1, 1));
        rig.Config = rig.Config with { Lanes = 2 };
        rig.Crash();
        rig.Destination.Lanes.ShouldBe(4);
        rig.RunUntilQuiet();
        rig.Counters.Delivered.ShouldBe(1);
    }

    /// <summary>
    /// Raw samples come from an input log that can be read again, as the pipeline does it: from where the lane
    /// resumes, the first block ending where it must. The process is killed at random writes, over and over. Whatever
    /// happens: nothing is lost, at most one block per lane and crash is repeated, and what is repeated are the same
    /// bytes.
    /// </summary>
    [Fact]
    public void Nothing_is_lost_and_repeats_are_identical_whenever_the_process_is_killed() =>
        Prop.ForAll(Gen.Choose(0, int.MaxValue).ToArbitrary(), seed => Run(seed, BackendKind.VictoriaMetrics))
            .Check(Config.QuickThrowOnFailure.WithMaxTest(60));

    /// <summary>The same against a backend that refuses whole requests for one repeated sample.</summary>
    [Fact]
    public void A_prometheus_holds_every_sample_once_whenever_the_process_is_killed() =>
        Prop.ForAll(Gen.Choose(0, int.MaxValue).ToArbitrary(), seed => Run(seed, BackendKind.Prometheus))
            .Check(Config.QuickThrowOnFailure.WithMaxTest(60));

    /// <summary>
    /// Power loss may cost more repeats, but nothing that the logs were told to let go of is needed again.
    /// </summary>
    [Fact]
    public void Nothing_is_lost_in_a_power_loss_of_what_the_logs_still_have_to_keep() =>
        Prop.ForAll(
            Gen.Choose(0, int.MaxValue).ToArbitrary(),
            seed => Run(seed, BackendKind.VictoriaMetricsDedup, powerLoss: true))
            .Check(Config.QuickThrowOnFailure.WithMaxTest(60));

    private static void Run(int seed, BackendKind kind, bool powerLoss = false)
    {
        using var run = new CrashRun(seed, kind, powerLoss);
        run.Check();
    }

    private sealed class CrashRun : IDisposable
    {
        private const int Lanes = 3;
        private const int Records = 120;

        private readonly Random _random;
        private readonly FakeBackend _backend;
        private readonly BackendKind _kind;
        private readonly DestinationRig _rig;
        private readonly LogPosition[] _builtTo = new LogPosition[Lanes];
        private readonly LogPosition?[] _sealAt = new LogPosition?[Lanes];
        private readonly long _startMs;
        private readonly SortedDictionary<int, int> _groups = [];
        private readonly bool _powerLoss;
        private int _crashes;

        public CrashRun(int seed, BackendKind kind, bool powerLoss)
        {
            _random = new Random(seed);
            _powerLoss = powerLoss;
            _kind = kind;
            _backend = new FakeBackend(kind, seed) { FaultRate = _random.NextDouble() * 0.5 };
            _rig = new DestinationRig(
                DestinationRig.Plain with
                {
                    Lanes = Lanes,
                    QueueMemoryBytes = _random.Next(2) == 0 ? 300 : 1 << 20,
                    Protocol = kind == BackendKind.VictoriaMetrics
                        ? RemoteWriteProtocol.VictoriaMetrics : RemoteWriteProtocol.PrometheusV1,
                },
                _backend, seed)
            {
                SyncsOutputs = powerLoss,
            };
            _startMs = _rig.NowMs;
        }

        public void Check()
        {
            var crashesLeft = _random.Next(1, 5);
            var groupsLeft = 20;
            while (true)
            {
                try
                {
                    if (crashesLeft > 0 && !_powerLoss)
                    {
                        _rig.Disk.HaltAfterWrites(_random.Next(1, 200));
                    }
                    Run(ref groupsLeft, mayLosePower: _powerLoss && crashesLeft > 0);
                    _rig.Disk.HaltAfterWrites(int.MaxValue);
                    _rig.RunUntilQuiet();
                    break;
                }
                catch (DiskHaltedException)
                {
                    crashesLeft--;
                    _crashes++;
                    var needed = _rig.Destination.RawNeededFromLsn();
                    var kind = !_powerLoss ? CrashKind.Kill
                        : _random.Next(2) == 0 ? CrashKind.PowerLossPrefix : CrashKind.PowerLossSubset;
                    _rig.Crash(kind, !_powerLoss && _random.Next(3) == 0 ? _random.Next(40) : int.MaxValue);
                    Resume();
                    _builtTo.ShouldAllBe(at => at.Lsn >= needed - 1);
                }
            }
            Verify();
        }

        private void Run(ref int groupsLeft, bool mayLosePower)
        {
            while (Array.Exists(_builtTo, at => at.Lsn < Records) || groupsLeft > 0)
            {
                var lane = _random.Next(Lanes);
                if (_builtTo[lane].Lsn < Records)
                {
                    OfferNextRaw(lane);
                }
                if (groupsLeft > 0 && _random.Next(4) == 0)
                {
                    // A group is durable with its append, offered or not: the number decides which it is.
                    var number = (int)_rig.OutputLog.NextLsn;
                    _groups[number] = number % Lanes;
                    groupsLeft--;
                    _rig.OfferGroup((number % Lanes, $"out{number % Lanes}", _startMs + number, number));
                }
                for (var steps = _random.Next(6); steps > 0; steps--)
                {
                    _rig.Step();
                }
                if (_random.Next(10) == 0)
                {
                    _rig.Destination.Sync();
                }
                if (mayLosePower && _random.Next(40) == 0)
                {
                    // Between two writes: the disk tears by sectors then, and a slot of the cursors lies in one.
                    throw new DiskHaltedException();
                }
            }
        }

        /// <summary>A block of the next few records of the lane's samples: record n holds one for every lane.</summary>
        private void OfferNextRaw(int lane)
        {
            var from = _builtTo[lane].Lsn + 1;
            var to = Math.Min(Records, from + _random.Next(5));
            if (_sealAt[lane] is { } end)
            {
                to = end.Lsn;
                _sealAt[lane] = null;
            }
            var samples = new List<(string, long, double)>();
            for (var lsn = from; lsn <= to; lsn++)
            {
                samples.Add(($"raw{lane}", _startMs + lsn, lsn));
            }
            _builtTo[lane] = new LogPosition(to, 0);
            _rig.OfferRaw(lane, to, samples.ToArray());
        }

        private void Resume()
        {
            for (var lane = 0; lane < Lanes; lane++)
            {
                _builtTo[lane] = _rig.Destination.RawResumeAt(lane);
                _sealAt[lane] = _rig.Destination.RawSealAt(lane);
                if (_sealAt[lane] is { } end)
                {
                    end.ShouldBeGreaterThan(_builtTo[lane]);
                }
            }
            // The one whose append did not come about was never there.
            while (_groups.Count > 0 && _groups.Keys.Max() >= _rig.OutputLog.NextLsn)
            {
                _groups.Remove(_groups.Keys.Max());
            }
            _rig.Counters.Imbalance.ShouldBe(0);
        }

        private void Verify()
        {
            var counters = _rig.Counters;
            counters.Parked.ShouldBe(0);
            counters.Dropped.ShouldBe(0);
            for (var lane = 0; lane < Lanes; lane++)
            {
                Stored($"raw{lane}").ShouldBe(Enumerable.Range(1, Records).Select(lsn => (double)lsn));
                Stored($"out{lane}").ShouldBe(
                    _groups.Where(g => g.Value == lane).Select(g => (double)g.Key));
            }
            var committed = _backend.Requests.Where(r => r.Committed).ToList();
            if (_kind != BackendKind.VictoriaMetrics)
            {
                return;
            }
            foreach (var points in _backend.Series.Values)
            {
                // Every request that stored one of a point's copies is the same request, byte by byte.
                foreach (var copies in points.GroupBy(p => p.TimestampMs).Where(g => g.Count() > 1))
                {
                    copies.Select(c => Convert.ToHexString(_backend.Requests[c.Request].Body))
                        .Distinct().Count().ShouldBe(1);
                }
            }
            var repeats = committed.GroupBy(r => Convert.ToHexString(r.Body)).Sum(g => g.Count() - 1);
            var lostAnswers = _backend.Requests.Count(r => r.Answer.Outcome != SendOutcome.Answered && r.Committed);
            repeats.ShouldBeLessThanOrEqualTo(lostAnswers + _crashes * Lanes);
        }

        public void Dispose() => _rig.Dispose();

        private IEnumerable<double> Stored(string series) => _backend.Series.TryGetValue(series, out var points)
            ? points.Select(p => p.Value).Distinct().Order() : [];
    }
}
