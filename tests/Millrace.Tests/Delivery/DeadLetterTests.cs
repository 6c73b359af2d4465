using FsCheck;
using FsCheck.Fluent;
using Millrace.Delivery;
using Millrace.Log;
using Millrace.TestKit;

namespace Millrace.Tests.Delivery;

public sealed class DeadLetterTests
{
    private const string Folder = "/data/destinations/storage/dead-letters";

    private static readonly DestinationConfig OneLane = DestinationRig.Plain with { Lanes = 1 };

    [Fact]
    public void What_is_replayed_is_sent_again_in_its_order_and_the_ledger_balances()
    {
        using var rig = Refused(5);
        rig.Destination.DeadLetters.State.Letters.ShouldBe(5);
        rig.Backend.PoisonSeries = null;

        rig.Destination.Replay(LetterRange.All, rig.NowMs).ShouldBe(new LetterSum(5, 5));
        rig.Destination.Replay(LetterRange.All, rig.NowMs).ShouldBe(default(LetterSum));
        rig.Destination.Sync().ShouldBeTrue();
        rig.Counters.Pending.ShouldBe(5);
        rig.RunUntilQuiet();

        rig.Counters.Queued.ShouldBe(5);
        rig.Counters.Replayed.ShouldBe(5);
        rig.Counters.Parked.ShouldBe(5);
        rig.Counters.Delivered.ShouldBe(5);
        rig.Backend.Series["bad"].Select(p => p.Value).ShouldBe([1, 2, 3, 4, 5]);
        var state = rig.Destination.DeadLetters.State;
        (state.Letters, state.Samples, state.Bytes, state.Wanted).ShouldBe((0, 0, 0, 0));
        state.Totals.ShouldBe(new LetterTotals(5, 0, 0));
    }

    [Fact]
    public void A_letter_that_is_refused_again_is_parked_again()
    {
        using var rig = Refused(1);
        rig.Destination.Replay(LetterRange.All, rig.NowMs);
        rig.Destination.Sync();
        rig.RunUntilQuiet();
        rig.Counters.Parked.ShouldBe(2);
        var state = rig.Destination.DeadLetters.State;
        (state.Letters, state.Wanted).ShouldBe((1, 0));
        rig.Counters.Parked.ShouldBe(state.Samples + state.Totals.Replayed);
    }

    [Fact]
    public void Letters_are_chosen_by_number_and_others_stay()
    {
        using var rig = Refused(5);
        var lsns = rig.Destination.DeadLetters.Read().Select(letter => letter.Lsn).ToArray();
        rig.Destination.Discard(new LetterRange(lsns[1], lsns[2]), rig.NowMs).ShouldBe(new LetterSum(2, 2));
        rig.Backend.PoisonSeries = null;
        rig.Destination.Replay(new LetterRange(lsns[0], lsns[0]), rig.NowMs).ShouldBe(new LetterSum(1, 1));
        rig.Destination.Replay(new LetterRange(lsns[4], lsns[4]), rig.NowMs).ShouldBe(new LetterSum(1, 1));
        rig.Destination.Sync();
        rig.RunUntilQuiet();
        // The fourth lies between the two that were wanted.
        rig.Destination.DeadLetters.Read().ShouldHaveSingleItem().Lsn.ShouldBe(lsns[3]);
        rig.Backend.Series["bad"].Select(p => p.Value).ShouldBe([1, 5]);
        rig.Destination.DeadLetters.State.Totals.ShouldBe(new LetterTotals(2, 2, 0));
    }

    [Fact]
    public void What_was_decided_outlives_the_process()
    {
        using var rig = Refused(3);
        var lsns = rig.Destination.DeadLetters.Read().Select(letter => letter.Lsn).ToArray();
        rig.Destination.Discard(new LetterRange(lsns[0], lsns[0]), rig.NowMs);
        rig.Destination.Replay(new LetterRange(lsns[1], lsns[1]), rig.NowMs);
        rig.Crash(CrashKind.PowerLossSubset);
        var state = rig.Destination.DeadLetters.State;
        (state.Letters, state.Wanted, state.Totals.Discarded).ShouldBe((2, 1, 1));
        rig.Backend.PoisonSeries = null;
        rig.SendDue();
        rig.Destination.Sync();
        rig.RunUntilQuiet();
        rig.Backend.Series["bad"].ShouldHaveSingleItem().Value.ShouldBe(2);
        rig.Restart();
        rig.Destination.DeadLetters.State.Totals.ShouldBe(new LetterTotals(1, 1, 0));
        rig.Counters.Replayed.ShouldBe(1);
        rig.Counters.Queued.ShouldBe(3);
    }

    [Fact]
    public void A_stopped_gateway_s_letters_are_replayed_with_its_next_start()
    {
        using var rig = Refused(2);
        rig.Destination.FinishStop(rig.NowMs);
        rig.Dispose();
        using (var letters = DeadLetters.OpenStopped(Folder, rig.Disk, TimeProvider.System))
        {
            letters.Settle(LetterFate.Wanted, LetterRange.All, rig.NowMs).ShouldBe(new LetterSum(2, 2));
            letters.Settle(LetterFate.Discarded, new LetterRange(1, 1), rig.NowMs).ShouldBe(new LetterSum(1, 1));
        }
        rig.Backend.PoisonSeries = null;
        rig.Crash();
        rig.SendDue();
        rig.Destination.Sync();
        rig.RunUntilQuiet();
        rig.Backend.Series["bad"].ShouldHaveSingleItem().Value.ShouldBe(2);
    }

    [Fact]
    public void Letters_can_be_looked_at_while_a_gateway_has_them_but_not_decided_about()
    {
        using var rig = Refused(2);
        Should.Throw<LogOpenException>(() => DeadLetters.OpenStopped(Folder, rig.Disk, TimeProvider.System));
        using var letters = DeadLetters.OpenReadOnly(Folder, rig.Disk);
        letters.State.Letters.ShouldBe(2);
        var letter = letters.Read().First();
        LetterText.SeriesOf(letter.Letter.Block.Bytes.Span, 10, 10, out var count)
            .ShouldBe(["bad 1 @ 2023-11-14T22:13:20.001Z"]);
        count.ShouldBe(1);
    }

    [Fact]
    public void A_replay_waits_for_room_in_the_queue()
    {
        using var rig = Refused(40, OneLane with { QueueMaxBytes = 400, QueueMemoryBytes = 1 });
        rig.Backend.PoisonSeries = null;
        rig.Destination.Replay(LetterRange.All, rig.NowMs);
        rig.Destination.Sync();
        rig.Destination.DeadLetters.State.Wanted.ShouldBeInRange(1, 39);
        for (var i = 0; i < 40 && rig.Destination.DeadLetters.State.Wanted > 0; i++)
        {
            rig.RunUntilQuiet();
            rig.Destination.Sync();
        }
        rig.RunUntilQuiet();
        rig.Counters.Delivered.ShouldBe(40);
        rig.Counters.Dropped.ShouldBe(0);
        rig.Backend.Series["bad"].Select(p => p.Value).ShouldBeInOrder();
    }

    [Fact]
    public void An_old_letter_is_not_too_old_to_be_replayed()
    {
        using var rig = Refused(1);
        rig.NowMs += 48 * 3_600_000;
        rig.Backend.PoisonSeries = null;
        rig.SendDue();
        rig.Destination.Replay(LetterRange.All, rig.NowMs);
        rig.Destination.Sync();
        rig.RunUntilQuiet();
        rig.Counters.Delivered.ShouldBe(1);
    }

    [Fact]
    public void What_goes_at_the_bound_is_told()
    {
        using var rig = Refused(3_000, OneLane with { DeadLetterMaxBytes = 200_000 });
        var state = rig.Destination.DeadLetters.State;
        state.Totals.Evicted.ShouldBeGreaterThan(0);
        (state.Samples + state.Totals.Evicted).ShouldBe(3_000);
        rig.Restart();
        rig.Destination.DeadLetters.State.ShouldBe(state);
    }

    [Fact]
    public void A_range_is_a_number_or_two()
    {
        LetterRange.TryParse("7", out var range).ShouldBeTrue();
        range.ShouldBe(new LetterRange(7, 7));
        LetterRange.TryParse("7-12", out range).ShouldBeTrue();
        range.ShouldBe(new LetterRange(7, 12));
        foreach (var bad in (string[])["", "-", "0", "7-", "-7", "12-7", "7,9", "a", "+7", "99999999999999999999"])
        {
            LetterRange.TryParse(bad, out _).ShouldBeFalse(bad);
        }
    }

    /// <summary>Kills at any write: what was refused and wanted arrives, at least once, and nothing is lost.</summary>
    [Fact]
    public void A_replay_survives_a_crash_at_any_write() =>
        Prop.ForAll(Gen.Choose(0, int.MaxValue).ToArbitrary(), CrashWhileReplaying)
            .Check(Config.QuickThrowOnFailure.WithMaxTest(60));

    private static void CrashWhileReplaying(int seed)
    {
        var random = new Random(seed);
        using var rig = Refused(6, OneLane with { QueueMemoryBytes = random.Next(2) == 0 ? 150 : 1 << 20 });
        rig.Backend.PoisonSeries = null;
        rig.OfferRaw(0, 50, ("good", rig.NowMs, 1));
        rig.Destination.Replay(LetterRange.All, rig.NowMs);
        rig.Disk.HaltAfterWrites(random.Next(1, 40));
        try
        {
            rig.Destination.Sync();
            rig.RunUntilQuiet();
            rig.Destination.Sync();
        }
        catch (DiskHaltedException)
        {
            // As intended.
        }
        rig.Crash(random.Next(2) == 0 ? CrashKind.Kill : CrashKind.PowerLossSubset);
        rig.SendDue();
        for (var i = 0; i < 3; i++)
        {
            rig.Destination.Sync();
            rig.RunUntilQuiet();
        }
        rig.Destination.DeadLetters.State.Letters.ShouldBe(0);
        rig.Backend.Series["bad"].Select(p => p.Value).Distinct().Order()
            .ShouldBe([1, 2, 3, 4, 5, 6]);
    }

    /// <summary>A destination whose backend has refused so many blocks of one sample.</summary>
    private static DestinationRig Refused(int letters, DestinationConfig? config = null)
    {
        var rig = new DestinationRig(
            config ?? OneLane, new FakeBackend(BackendKind.VictoriaMetrics) { PoisonSeries = "bad" });
        for (var lsn = 1; lsn <= letters; lsn++)
        {
            rig.OfferRaw(0, lsn, ("bad", rig.NowMs + lsn, lsn));
            rig.RunUntilQuiet();
        }
        rig.Counters.Parked.ShouldBe(letters);
        return rig;
    }
}
