using Millrace.Delivery;
using Millrace.TestKit;

namespace Millrace.Tests.Delivery;

public sealed class DestinationQueueTests
{
    private static readonly FakeBackend Taking = new(BackendKind.VictoriaMetrics);

    [Fact]
    public void A_slow_destination_spills_instead_of_growing_and_keeps_its_order()
    {
        var backend = new FakeBackend(BackendKind.Prometheus);
        using var rig = new DestinationRig(DestinationRig.Plain with { QueueMemoryBytes = 2_000 }, backend);
        for (var lsn = 1; lsn <= 500; lsn++)
        {
            rig.OfferRaw(lsn % 4, lsn, ($"m{lsn % 4}", rig.NowMs + lsn, lsn));
            rig.Destination.MemoryBytes.ShouldBeLessThan(2_100);
            if (lsn % 10 == 0)
            {
                rig.Step();
            }
        }
        rig.Destination.StoredBytes(Feed.Raw).ShouldBeGreaterThan(2_000);
        while (rig.Step())
        {
            rig.Destination.MemoryBytes.ShouldBeLessThan(2_500);
        }
        rig.Counters.Delivered.ShouldBe(500);
        rig.Destination.StoredBytes(Feed.Raw).ShouldBe(0);
        foreach (var points in backend.Series.Values)
        {
            points.Select(p => p.Value).ShouldBeInOrder();
        }
    }

    [Fact]
    public void Outputs_beyond_memory_are_read_again_from_the_output_log_in_order()
    {
        var backend = new FakeBackend(BackendKind.Prometheus);
        using var rig = new DestinationRig(DestinationRig.Plain with { QueueMemoryBytes = 500 }, backend);
        for (var i = 0; i < 100; i++)
        {
            rig.OfferGroup(
                (0, "a", rig.NowMs + i, i), (3, "b", rig.NowMs + i, i), (0, "c", rig.NowMs + i, i));
            rig.OfferRaw(1, i + 1, ("raw", rig.NowMs + i, i));
        }
        rig.Destination.MemoryBytes.ShouldBeLessThan(600);
        rig.RunUntilQuiet();
        rig.Counters.Delivered.ShouldBe(400);
        backend.Series.Count.ShouldBe(4);
        backend.Series.Values.ShouldAllBe(points => points.Count == 100);
    }

    [Fact]
    public void A_lane_left_behind_still_gets_its_blocks_in_order()
    {
        // Lane 0 is refused for a while: the reader goes past its blocks for the others, and back for it.
        var backend = new FakeBackend(BackendKind.Prometheus);
        using var rig = new DestinationRig(DestinationRig.Plain with { QueueMemoryBytes = 400 }, backend);
        rig.OfferRaw(0, 1, ("m0", rig.NowMs, 0));
        rig.SendDue();
        for (var lsn = 2; lsn <= 200; lsn++)
        {
            rig.OfferRaw(lsn % 4, lsn, ($"m{lsn % 4}", rig.NowMs + lsn, lsn));
        }
        var others = 0;
        for (; others < 149 && rig.Destination.TryTakeDue(rig.NowMs, out var sending); others++)
        {
            sending.Lane.ShouldNotBe(0);
            rig.Destination.Complete(sending, backend.Receive(sending, rig.NowMs).Result, rig.NowMs);
        }
        others.ShouldBe(149);
        rig.RunUntilQuiet();
        rig.Counters.Delivered.ShouldBe(200);
        backend.Series.Values.Sum(points => points.Count).ShouldBe(200);
    }

    [Fact]
    public void A_block_offered_after_the_reader_went_past_its_record_is_not_forgotten()
    {
        var backend = new FakeBackend(BackendKind.Prometheus);
        using var rig = new DestinationRig(DestinationRig.Plain with { QueueMemoryBytes = 10 }, backend);
        using var writer = new OutputGroupWriter();
        writer.Begin(1, "rule", 1, 1);
        var blocks = new List<SealedBlock>();
        for (var i = 0; i < 4; i++)
        {
            var block = SampleBlocks.Seal(
                Feed.Outputs, i % 2, new LogPosition(1, i), rig.NowMs, ($"m{i % 2}", rig.NowMs + i, i));
            blocks.Add(block);
            writer.AddBlock(DestinationRig.Name, i % 2, 1, rig.NowMs, rig.NowMs, block.Bytes.Span);
        }
        var header = new Millrace.Log.RecordHeader { Type = Millrace.Log.RecordType.OutputGroup };
        rig.OutputLog.Append(header, writer.Finish([]).Span, out _);
        rig.Destination.Offer(blocks[0], rig.NowMs);
        rig.Destination.Offer(blocks[2], rig.NowMs);
        rig.SendDue().ShouldBe(1);
        rig.Step();
        // The second block of lane 0 was read from the log, and with it the record of lane 1's blocks was passed.
        rig.SendDue().ShouldBe(1);
        rig.Destination.Offer(blocks[1], rig.NowMs);
        rig.Destination.Offer(blocks[3], rig.NowMs);
        rig.RunUntilQuiet();
        rig.Counters.Queued.ShouldBe(4);
        rig.Counters.Delivered.ShouldBe(4);
        backend.PointCount.ShouldBe(4);
    }

    [Fact]
    public void Past_the_size_bound_the_oldest_goes_and_is_counted()
    {
        var backend = new FakeBackend(BackendKind.Prometheus);
        using var rig = new DestinationRig(
            DestinationRig.Plain with { QueueMemoryBytes = 500, QueueMaxBytes = 5_000 }, backend);
        for (var lsn = 1; lsn <= 1_000; lsn++)
        {
            rig.OfferRaw(lsn % 4, lsn, ($"m{lsn % 4}", rig.NowMs + lsn, lsn));
            rig.Destination.StoredBytes(Feed.Raw).ShouldBeLessThanOrEqualTo(5_000);
            rig.Counters.Pending.ShouldBeGreaterThan(0);
        }
        var dropped = rig.Counters.DroppedByReason[(int)DropReason.QueueFull];
        dropped.ShouldBeGreaterThan(500);
        rig.RunUntilQuiet();
        rig.Counters.Delivered.ShouldBe(1_000 - dropped);
        // The newest are there, without a gap.
        var values = backend.Series.Values.SelectMany(points => points.Select(p => p.Value)).Order().ToList();
        values.ShouldBe(Enumerable.Range((int)dropped + 1, 1_000 - (int)dropped).Select(v => (double)v));
        rig.Destination.RawResumeAt(1).Lsn.ShouldBe(997);
    }

    [Fact]
    public void A_dead_backend_pins_no_more_of_the_disk_than_the_bound()
    {
        // The blocks that are tried again and again are the oldest: they go first, or the files behind them would stay.
        var backend = new FakeBackend(BackendKind.VictoriaMetrics)
        {
            FaultRate = 1,
            ChanceFaults = [BackendFault.Status(500)],
        };
        using var rig = new DestinationRig(
            DestinationRig.Plain with { QueueMemoryBytes = 1_000, QueueMaxBytes = 1 << 20 }, backend);
        var samples = Enumerable.Range(0, 2_000).Select(i => ($"m{i}", rig.NowMs, (double)i)).ToArray();
        for (var lsn = 1; lsn <= 150; lsn++)
        {
            rig.OfferRaw(lsn % 4, lsn, samples);
            rig.RunFor(TimeSpan.FromSeconds(1));
            rig.Destination.Sync();
        }
        rig.Disk.UsedBytes.ShouldBeLessThan(3_500_000);
        rig.Counters.DroppedByReason[(int)DropReason.QueueFull].ShouldBeGreaterThan(2_000 * 40);
        rig.Crash();
        var pending = rig.Counters.Pending;
        pending.ShouldBeLessThan(2_000 * 110);
        backend.FaultRate = 0;
        rig.RunUntilQuiet();
        rig.Counters.Delivered.ShouldBe(pending);
    }

    [Fact]
    public void Outputs_of_others_that_stand_behind_ours_count_as_pinned()
    {
        var backend = new FakeBackend(BackendKind.VictoriaMetrics)
        {
            FaultRate = 1,
            ChanceFaults = [BackendFault.Status(500)],
        };
        using var rig = new DestinationRig(DestinationRig.Plain with { QueueMaxBytes = 100_000 }, backend);
        rig.OfferGroup((0, "a", rig.NowMs, 1));
        for (var i = 0; i < 3; i++)
        {
            var header = new Millrace.Log.RecordHeader { Type = Millrace.Log.RecordType.OutputGroup };
            rig.OutputLog.Append(header, new byte[50_000], out _);
            rig.OfferGroup((1, "b", rig.NowMs + i, 1));
        }
        rig.Counters.DroppedByReason[(int)DropReason.QueueFull].ShouldBeInRange(1, 2);
        rig.Destination.Sync();
        rig.Destination.OutputsNeededFromLsn().ShouldBeGreaterThan(1);
    }

    [Fact]
    public void The_output_log_is_pinned_up_to_the_size_bound_only()
    {
        using var rig = new DestinationRig(
            DestinationRig.Plain with { QueueMemoryBytes = 200, QueueMaxBytes = 2_000 }, Taking);
        for (var i = 0; i < 300; i++)
        {
            rig.OfferGroup((i % 4, "a", rig.NowMs + i, i));
        }
        rig.Destination.Sync().ShouldBeTrue();
        rig.Counters.DroppedByReason[(int)DropReason.QueueFull].ShouldBeGreaterThan(200);
        rig.Destination.OutputsNeededFromLsn().ShouldBeGreaterThan(200);
        rig.RunUntilQuiet();
        rig.Destination.Sync();
        rig.Destination.OutputsNeededFromLsn().ShouldBe(301);
    }

    [Fact]
    public void Past_the_age_bound_blocks_go_and_are_counted_also_the_one_in_retry()
    {
        var backend = new FakeBackend(BackendKind.VictoriaMetrics)
        {
            FaultRate = 1,
            ChanceFaults = [BackendFault.Status(500)],
        };
        using var rig = new DestinationRig(
            DestinationRig.Plain with { QueueMaxAge = TimeSpan.FromHours(1) }, backend);
        rig.OfferRaw(0, 1, ("old", rig.NowMs, 1));
        rig.OfferRaw(0, 2, ("old", rig.NowMs + 1, 1));
        rig.OfferGroup((2, "old", rig.NowMs, 1));
        rig.RunFor(TimeSpan.FromMinutes(59));
        rig.Counters.Pending.ShouldBe(3);
        rig.OfferRaw(0, 3, ("new", rig.NowMs, 1));
        rig.RunFor(TimeSpan.FromMinutes(5));
        rig.Counters.DroppedByReason[(int)DropReason.QueueAge].ShouldBe(3);
        backend.FaultRate = 0;
        rig.RunUntilQuiet();
        rig.Counters.Delivered.ShouldBe(1);
        backend.Series.Keys.ShouldBe(["new"]);
    }

    [Fact]
    public void A_full_disk_costs_counted_samples_and_nothing_else()
    {
        var backend = new FakeBackend(BackendKind.Prometheus);
        using var rig = new DestinationRig(DestinationRig.Plain with { QueueMemoryBytes = 500 }, backend);
        rig.Disk.CapacityBytes = rig.Disk.UsedBytes + 3_000;
        for (var lsn = 1; lsn <= 200; lsn++)
        {
            rig.OfferRaw(lsn % 4, lsn, ($"m{lsn % 4}", rig.NowMs + lsn, lsn));
        }
        var dropped = rig.Counters.DroppedByReason[(int)DropReason.DiskError];
        dropped.ShouldBeGreaterThan(100);
        rig.RunUntilQuiet();
        rig.Counters.Delivered.ShouldBe(200 - dropped);
        rig.OfferRaw(0, 201, ("m0", rig.NowMs + 300, 1));
        rig.RunUntilQuiet();
        rig.Counters.Delivered.ShouldBe(201 - dropped);
    }

    [Fact]
    public void Blocks_that_the_output_log_lost_are_counted_and_the_lane_goes_on()
    {
        using var rig = new DestinationRig(
            DestinationRig.Plain with { QueueMemoryBytes = 100 }, new FakeBackend(BackendKind.Prometheus));
        for (var i = 0; i < 50; i++)
        {
            rig.OfferGroup((0, "a", rig.NowMs + i, i));
        }
        var log = rig.Disk.ListFiles("/data/outputs").Single(name => name.EndsWith(".log", StringComparison.Ordinal));
        rig.Disk.FlipBit("/data/outputs/" + log, 4_000, 3);
        rig.RunUntilQuiet();
        var lost = rig.Counters.DroppedByReason[(int)DropReason.LostOnDisk];
        lost.ShouldBe(1);
        rig.Counters.Delivered.ShouldBe(49);
        rig.OfferGroup((0, "a", rig.NowMs + 100, 1));
        rig.RunUntilQuiet();
        rig.Counters.Delivered.ShouldBe(50);
    }

    [Fact]
    public void A_disk_that_cannot_be_read_for_a_moment_loses_nothing()
    {
        using var rig = new DestinationRig(
            DestinationRig.Plain with { QueueMemoryBytes = 100 }, new FakeBackend(BackendKind.Prometheus));
        for (var i = 0; i < 20; i++)
        {
            rig.OfferGroup((0, "a", rig.NowMs + i, i));
        }
        for (var i = 0; i < 30; i++)
        {
            rig.Disk.FailNextReads(1);
            rig.Step();
        }
        rig.Disk.FailNextReads(0);
        rig.RunUntilQuiet();
        rig.Counters.Delivered.ShouldBe(20);
    }

    [Fact]
    public void What_the_input_log_must_keep_moves_with_the_slowest_lane_and_only_after_a_sync()
    {
        using var rig = new DestinationRig(DestinationRig.Plain, new FakeBackend(BackendKind.VictoriaMetrics));
        for (var lsn = 1; lsn <= 8; lsn++)
        {
            rig.OfferRaw(lsn % 2, lsn, ("m", rig.NowMs + lsn, lsn));
        }
        rig.RunUntilQuiet();
        rig.Destination.Sync();
        rig.Destination.RawNeededFromLsn().ShouldBe(0); // lanes 2 and 3 know of nothing yet
        rig.Destination.Passed(Feed.Raw, 2, new LogPosition(8, int.MaxValue));
        rig.Destination.Passed(Feed.Raw, 3, new LogPosition(8, int.MaxValue));
        rig.Destination.RawNeededFromLsn().ShouldBe(0);
        rig.Destination.Sync();
        rig.Destination.RawNeededFromLsn().ShouldBe(7); // lane 1 ends inside of record 7
    }

    [Fact]
    public void What_is_passed_behind_a_waiting_block_counts_when_that_is_done()
    {
        using var rig = new DestinationRig(
            DestinationRig.Plain with { Lanes = 1 }, new FakeBackend(BackendKind.VictoriaMetrics));
        rig.OfferRaw(0, 5, ("m", rig.NowMs, 1));
        rig.Destination.Passed(Feed.Raw, 0, new LogPosition(9, int.MaxValue));
        rig.Destination.Sync();
        rig.Destination.RawNeededFromLsn().ShouldBe(0);
        rig.SendDue().ShouldBe(1);
        rig.Destination.Sync();
        rig.Destination.RawNeededFromLsn().ShouldBe(0);
        rig.RunUntilQuiet();
        rig.Destination.Sync();
        rig.Destination.RawNeededFromLsn().ShouldBe(10);
        rig.Destination.RawResumeAt(0).ShouldBe(new LogPosition(9, int.MaxValue));
    }

    [Fact]
    public void Dead_letters_are_bounded()
    {
        using var rig = new DestinationRig(
            DestinationRig.Plain with { DeadLetterMaxBytes = 200_000 },
            new FakeBackend(BackendKind.Prometheus) { PoisonSeries = "bad" });
        for (var lsn = 1; lsn <= 5_000; lsn++)
        {
            rig.OfferRaw(0, lsn, ("bad", rig.NowMs + lsn, lsn));
            rig.RunUntilQuiet();
        }
        rig.Counters.Parked.ShouldBe(5_000);
        rig.Destination.DeadLetters.SizeBytes.ShouldBeLessThanOrEqualTo(200_000);
        rig.Destination.DeadLetters.DroppedSegments.ShouldBeGreaterThan(0);
        rig.Destination.DeadLetters.Read().Last().Letter.Block.End.Lsn.ShouldBe(5_000);
    }
}
