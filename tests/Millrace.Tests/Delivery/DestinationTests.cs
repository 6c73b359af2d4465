using Millrace.Delivery;
using Millrace.TestKit;

namespace Millrace.Tests.Delivery;

public sealed class DestinationTests
{
    [Fact]
    public void Delivers_both_feeds_and_balances_its_ledger()
    {
        using var rig = new DestinationRig(DestinationRig.Plain, new FakeBackend(BackendKind.Prometheus));
        rig.OfferRaw(0, 1, ("raw_a", rig.NowMs, 1), ("raw_b", rig.NowMs, 2));
        rig.OfferGroup((0, "out_a", rig.NowMs, 3), (1, "out_b", rig.NowMs, 4));
        rig.Counters.Pending.ShouldBe(4);
        rig.RunUntilQuiet();
        rig.Counters.Delivered.ShouldBe(4);
        rig.Backend.PointCount.ShouldBe(4);
        rig.Backend.Requests.ShouldAllBe(r => r.Protocol == WireProtocol.PrometheusV1);
    }

    [Fact]
    public void Keeps_the_order_of_a_lane_through_retries_and_changes_of_concurrency()
    {
        var backend = new FakeBackend(BackendKind.Prometheus, seed: 5) { FaultRate = 0.4 };
        using var rig = new DestinationRig(DestinationRig.Plain, backend);
        for (var lsn = 1; lsn <= 300; lsn++)
        {
            rig.OfferRaw(lsn % 4, lsn, ($"m{lsn % 4}", rig.NowMs + lsn, lsn));
            rig.Step();
        }
        rig.RunUntilQuiet();
        // A Prometheus without an out-of-order window refuses every swap, and nothing was parked.
        rig.Counters.Delivered.ShouldBe(300);
        foreach (var points in backend.Series.Values)
        {
            points.Select(p => p.TimestampMs).ShouldBeInOrder();
            points.Count.ShouldBe(75);
        }
    }

    [Fact]
    public void A_lane_has_one_request_out_and_all_lanes_no_more_than_the_concurrency_allows()
    {
        using var rig = new DestinationRig(
            DestinationRig.Plain with { Lanes = 8 }, new FakeBackend(BackendKind.VictoriaMetrics));
        for (var lsn = 1; lsn <= 80; lsn++)
        {
            rig.OfferRaw(lsn % 8, lsn, ("m", rig.NowMs + lsn, lsn));
        }
        rig.SendDue().ShouldBe(4);
        rig.Backend.Requests.Select(r => r.Lane).Distinct().Count().ShouldBe(4);
        rig.RunUntilQuiet();
        rig.Destination.ConcurrentLanes.ShouldBe(8);
    }

    [Fact]
    public void Backs_off_like_vmagent_and_never_drops_on_404_or_500()
    {
        using var rig = new DestinationRig(DestinationRig.Plain, new FakeBackend(BackendKind.VictoriaMetrics));
        rig.Backend.LatencyMs = 0;
        rig.Backend.Inject(BackendFault.Status(404), BackendFault.Status(500), BackendFault.Status(500));
        var start = rig.NowMs;
        var times = new List<long>();
        rig.OfferRaw(0, 1, ("m", rig.NowMs, 1));
        while (rig.Counters.Pending > 0)
        {
            if (rig.SendDue() > 0)
            {
                times.Add(rig.NowMs - start);
            }
            rig.Step();
        }
        times.Count.ShouldBe(4);
        times[1].ShouldBeInRange(1_000, 1_100);
        (times[2] - times[1]).ShouldBeInRange(2_000, 2_200);
        (times[3] - times[2]).ShouldBeInRange(4_000, 4_400);
        rig.Counters.Retries.ShouldBe(3);
        rig.Counters.RequestsByStatus["500"].ShouldBe(2);
    }

    [Fact]
    public void Retry_After_holds_all_lanes_within_the_bounds()
    {
        using var rig = new DestinationRig(DestinationRig.Plain, new FakeBackend(BackendKind.VictoriaMetrics));
        rig.Backend.LatencyMs = 0;
        rig.Backend.Inject(BackendFault.RetryAfter(429, TimeSpan.FromSeconds(3)));
        rig.OfferRaw(0, 1, ("m", rig.NowMs, 1));
        rig.SendDue().ShouldBe(1);
        rig.Deliver();
        rig.OfferRaw(1, 2, ("m", rig.NowMs, 2));
        rig.SendDue().ShouldBe(0);
        rig.Destination.NextDueMs(rig.NowMs).ShouldBe(rig.NowMs + 3_000);
        rig.NowMs += 3_000;
        rig.SendDue().ShouldBe(2);
        rig.Deliver();

        rig.Backend.Inject(BackendFault.RetryAfter(503, TimeSpan.FromDays(1)));
        rig.OfferRaw(0, 3, ("m", rig.NowMs + 1, 1));
        rig.SendDue();
        rig.Deliver();
        rig.Destination.NextDueMs(rig.NowMs).ShouldBe(rig.NowMs + 60_000);
    }

    [Fact]
    public void Zstd_that_is_refused_goes_out_as_snappy_at_once_and_from_then_on()
    {
        using var rig = new DestinationRig(
            DestinationRig.Plain with { Protocol = RemoteWriteProtocol.VictoriaMetrics },
            new FakeBackend(BackendKind.Prometheus));
        rig.OfferRaw(0, 1, ("m", rig.NowMs, 1));
        rig.RunUntilQuiet();
        rig.OfferRaw(0, 2, ("m", rig.NowMs + 1, 1));
        rig.RunUntilQuiet();
        rig.Backend.Requests.Select(r => r.Protocol).ShouldBe(
            [WireProtocol.VictoriaMetrics, WireProtocol.PrometheusV1, WireProtocol.PrometheusV1]);
        rig.Counters.Delivered.ShouldBe(2);
        rig.Counters.Retries.ShouldBe(0);
    }

    [Theory]
    [InlineData((int)V2Support.Counts, (int)BackendKind.Prometheus, (int)WireProtocol.PrometheusV2, 1)]
    [InlineData((int)V2Support.ReadsAsEmptyV1, (int)BackendKind.VictoriaMetrics, (int)WireProtocol.VictoriaMetrics, 2)]
    [InlineData((int)V2Support.Refuses, (int)BackendKind.VictoriaMetrics, (int)WireProtocol.VictoriaMetrics, 2)]
    [InlineData((int)V2Support.ReadsAsEmptyV1, (int)BackendKind.Prometheus, (int)WireProtocol.PrometheusV1, 3)]
    public void Auto_finds_the_newest_protocol_that_the_backend_really_takes(
        int v2, int kind, int expected, int requests)
    {
        using var rig = new DestinationRig(
            DestinationRig.Plain with { Protocol = RemoteWriteProtocol.Auto },
            new FakeBackend((BackendKind)kind) { V2 = (V2Support)v2 });
        rig.OfferRaw(0, 1, ("m", rig.NowMs, 1), ("n", rig.NowMs, 1));
        rig.RunUntilQuiet();
        rig.Backend.Requests.Count.ShouldBe(requests);
        rig.OfferRaw(1, 2, ("m", rig.NowMs, 1));
        rig.RunUntilQuiet();
        rig.Backend.Requests.Count.ShouldBe(requests + 1);
        rig.Destination.Protocol.ShouldBe((WireProtocol)expected);
        rig.Backend.PointCount.ShouldBe(3);
        rig.Counters.Delivered.ShouldBe(3);
    }

    [Fact]
    public void With_2_0_only_the_refused_samples_are_lost_and_by_their_reason()
    {
        using var rig = new DestinationRig(
            DestinationRig.Plain with { Protocol = RemoteWriteProtocol.PrometheusV2 },
            new FakeBackend(BackendKind.Prometheus));
        var time = rig.NowMs;
        rig.OfferRaw(0, 1, ("a", time, 1));
        rig.RunUntilQuiet();
        rig.OfferRaw(0, 2, ("a", time - 1, 2), ("b", time, 1), ("c", time, 1));
        rig.RunUntilQuiet();
        rig.Counters.Delivered.ShouldBe(3);
        rig.Counters.DroppedByReason[(int)DropReason.RefusedOutOfOrder].ShouldBe(1);
        rig.Backend.Requests.Count.ShouldBe(2);
    }

    [Fact]
    public void A_proxy_that_answers_400_for_a_moment_does_not_downgrade_a_protocol_that_worked()
    {
        using var rig = new DestinationRig(
            DestinationRig.Plain with { Protocol = RemoteWriteProtocol.VictoriaMetrics },
            new FakeBackend(BackendKind.VictoriaMetrics));
        rig.OfferRaw(0, 1, ("m", rig.NowMs, 1));
        rig.RunUntilQuiet();
        rig.Backend.Inject(BackendFault.Status(400, "bad gateway"));
        rig.OfferRaw(0, 2, ("a", rig.NowMs, 1), ("b", rig.NowMs, 1));
        rig.RunUntilQuiet();
        rig.Backend.Requests.ShouldAllBe(r => r.Protocol == WireProtocol.VictoriaMetrics);
        rig.Counters.Delivered.ShouldBe(3);
    }

    [Fact]
    public void A_bad_first_block_does_not_cost_the_newer_protocol()
    {
        using var rig = new DestinationRig(
            DestinationRig.Plain with { Protocol = RemoteWriteProtocol.VictoriaMetrics },
            new FakeBackend(BackendKind.VictoriaMetrics) { PoisonSeries = "poison" });
        rig.OfferRaw(0, 1, ("poison", rig.NowMs, 1));
        rig.RunUntilQuiet();
        rig.OfferRaw(0, 2, ("m", rig.NowMs, 1));
        rig.RunUntilQuiet();
        rig.Destination.Protocol.ShouldBe(WireProtocol.VictoriaMetrics);
        rig.Counters.Parked.ShouldBe(1);
    }

    [Fact]
    public void A_poisoned_series_is_parked_alone_and_the_lane_goes_on()
    {
        using var rig = new DestinationRig(
            DestinationRig.Plain, new FakeBackend(BackendKind.Prometheus) { PoisonSeries = "poison" });
        var samples = Enumerable.Range(0, 99).Select(i => ($"m{i}", rig.NowMs, 1.0)).Append(("poison", rig.NowMs, 1.0));
        rig.OfferRaw(0, 1, samples.ToArray());
        rig.OfferRaw(0, 2, ("m1", rig.NowMs + 1, 1));
        rig.RunUntilQuiet();
        rig.Counters.Parked.ShouldBe(1);
        rig.Counters.Delivered.ShouldBe(100);
        rig.Backend.Requests.Count.ShouldBeLessThan(20);
        var letter = rig.Destination.DeadLetters.Read().ShouldHaveSingleItem().Letter;
        letter.Block.SampleCount.ShouldBe(1);
        letter.StatusCode.ShouldBe(400);
        letter.Text.ShouldContain("poison");
    }

    [Fact]
    public void Splitting_has_a_budget_and_the_rest_is_parked()
    {
        using var rig = new DestinationRig(
            DestinationRig.Plain, new FakeBackend(BackendKind.Prometheus) { PoisonSeries = "bad" });
        var samples = Enumerable.Range(0, 1_000).Select(i => ($"bad{i}", rig.NowMs, 1.0));
        rig.OfferRaw(0, 1, samples.ToArray());
        rig.RunUntilQuiet();
        rig.Backend.Requests.Count.ShouldBe(1 + BlockUnderWay.SplitBudget);
        rig.Counters.Parked.ShouldBe(1_000);
    }

    [Fact]
    public void A_block_that_is_too_large_is_split_also_inside_a_series()
    {
        using var rig = new DestinationRig(
            DestinationRig.Plain, new FakeBackend(BackendKind.Prometheus) { MaxSamples = 2 });
        var start = rig.NowMs;
        rig.OfferRaw(0, 1, Enumerable.Range(0, 8).Select(i => ("m", start + i, 1.0)).ToArray());
        rig.RunUntilQuiet();
        rig.Counters.Delivered.ShouldBe(8);
        rig.Backend.Series.Values.ShouldHaveSingleItem().Count.ShouldBe(8);
    }

    [Fact]
    public void What_is_too_old_is_trimmed_in_one_step_and_counted()
    {
        using var rig = new DestinationRig(DestinationRig.Plain, new FakeBackend(BackendKind.Prometheus));
        rig.OfferRaw(0, 1, ("fresh", rig.NowMs, 1));
        rig.RunUntilQuiet();
        rig.OfferRaw(0, 2, ("a", rig.NowMs - 7_200_000, 1), ("b", rig.NowMs - 7_000_000, 1), ("c", rig.NowMs, 1));
        rig.RunUntilQuiet();
        rig.Counters.RefusedTooOld.ShouldBe(2);
        rig.Counters.Delivered.ShouldBe(2);
        rig.Counters.Parked.ShouldBe(0);
        rig.Backend.Requests.Count.ShouldBe(3);
    }

    [Fact]
    public void What_is_too_far_ahead_is_trimmed_too()
    {
        using var rig = new DestinationRig(DestinationRig.Plain, new FakeBackend(BackendKind.Prometheus));
        rig.OfferRaw(0, 1, ("a", rig.NowMs + 3_600_000, 1), ("b", rig.NowMs, 1));
        rig.RunUntilQuiet();
        rig.Counters.DroppedByReason[(int)DropReason.RefusedTooFarAhead].ShouldBe(1);
        rig.Counters.Delivered.ShouldBe(1);
    }

    [Fact]
    public void A_repeat_after_a_lost_answer_that_is_refused_as_a_duplicate_was_taken()
    {
        using var rig = new DestinationRig(DestinationRig.Plain, new FakeBackend(BackendKind.Prometheus));
        rig.Backend.Inject(BackendFault.LostAnswer);
        // The first point is no longer the newest of its series when the bytes come again.
        rig.OfferRaw(0, 1, ("m", rig.NowMs, 1), ("m", rig.NowMs + 1, 2));
        rig.RunUntilQuiet();
        rig.Counters.Delivered.ShouldBe(2);
        rig.Counters.Parked.ShouldBe(0);
        rig.Counters.PossiblyRepeatedBlocks.ShouldBe(1);
        rig.Counters.PossiblyRepeatedSamples.ShouldBe(2);
        rig.Backend.Requests[1].Body.ShouldBe(rig.Backend.Requests[0].Body);
    }

    [Fact]
    public void A_duplicate_refusal_of_fresh_bytes_costs_only_the_samples_refused()
    {
        using var rig = new DestinationRig(DestinationRig.Plain, new FakeBackend(BackendKind.Prometheus));
        var time = rig.NowMs;
        rig.OfferRaw(0, 1, ("a", time, 1));
        rig.RunUntilQuiet();
        rig.OfferRaw(1, 2, ("a", time, 2), ("b", time, 1), ("c", time, 1));
        rig.RunUntilQuiet();
        rig.Backend.PointCount.ShouldBe(3);
        rig.Counters.Parked.ShouldBe(1);
    }

    [Fact]
    public void Another_lane_delivers_while_one_is_in_retry()
    {
        using var rig = new DestinationRig(DestinationRig.Plain, new FakeBackend(BackendKind.VictoriaMetrics));
        rig.Backend.LatencyMs = 0;
        rig.Backend.Inject(BackendFault.Status(500));
        rig.OfferRaw(0, 1, ("a", rig.NowMs, 1));
        rig.SendDue();
        rig.Deliver();
        rig.OfferRaw(1, 2, ("b", rig.NowMs, 1));
        rig.SendDue().ShouldBe(1);
        rig.Deliver();
        rig.Backend.Series.Keys.ShouldBe(["b"]);
    }

    [Fact]
    public void After_an_outage_the_first_answer_wakes_all_lanes()
    {
        var backend = new FakeBackend(BackendKind.VictoriaMetrics)
        {
            FaultRate = 1,
            ChanceFaults = [BackendFault.Unreachable],
        };
        using var rig = new DestinationRig(DestinationRig.Plain, backend);
        for (var lane = 0; lane < 4; lane++)
        {
            rig.OfferRaw(lane, lane + 1, ("m", rig.NowMs, lane));
        }
        rig.RunFor(TimeSpan.FromMinutes(30));
        rig.Destination.ConcurrentLanes.ShouldBe(1);
        rig.Counters.Pending.ShouldBe(4);
        backend.FaultRate = 0;
        while (backend.PointCount == 0)
        {
            rig.Step();
        }
        rig.RunFor(TimeSpan.FromSeconds(5));
        rig.Counters.Delivered.ShouldBe(4);
    }

    [Fact]
    public void Stops_without_losing_what_waits_or_is_out()
    {
        using var rig = new DestinationRig(DestinationRig.Plain, new FakeBackend(BackendKind.VictoriaMetrics));
        rig.OfferRaw(0, 1, ("a", rig.NowMs, 1));
        rig.OfferRaw(0, 2, ("b", rig.NowMs, 1));
        rig.SendDue().ShouldBe(1);
        rig.Destination.BeginStop();
        rig.SendDue().ShouldBe(0);
        rig.Restart();
        rig.Destination.RawResumeAt(0).ShouldBe(new LogPosition(2, 0));
        rig.Counters.Queued.ShouldBe(2);
        rig.RunUntilQuiet();
        rig.Backend.PointCount.ShouldBe(2);
        rig.Counters.Delivered.ShouldBe(2);
        rig.Counters.PossiblyRepeatedBlocks.ShouldBe(0);
    }

    [Fact]
    public void An_answer_to_a_request_never_made_is_our_bug_and_says_so()
    {
        using var rig = new DestinationRig(DestinationRig.Plain, new FakeBackend(BackendKind.VictoriaMetrics));
        rig.OfferRaw(0, 1, ("a", rig.NowMs, 1));
        rig.Destination.TryTakeDue(rig.NowMs, out var sending).ShouldBeTrue();
        rig.Destination.Complete(sending, SendResult.Status(204), rig.NowMs);
        Should.Throw<InvalidOperationException>(
            () => rig.Destination.Complete(sending, SendResult.Status(204), rig.NowMs));
    }
}
