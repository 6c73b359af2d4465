using Millrace.Log;
using Millrace.TestKit;
using static Millrace.Tests.Log.LogTesting;

namespace Millrace.Tests.Log;

public class RecordLogDiskErrorTests
{
    private static readonly TimeSpan CheckInterval = TimeSpan.FromSeconds(1);

    [Fact]
    public void Refuses_while_the_disk_is_full_and_takes_again_when_there_is_space()
    {
        var clock = Clock();
        var disk = new FaultyDisk(1) { CapacityBytes = OffsetOf(3) + 50 };
        using var log = Open(disk, time: clock);
        AppendTexts(log, 3);

        log.Append(Header, Text(4), out _).ShouldBe(AppendOutcome.DiskFull);
        disk.UsedBytes.ShouldBe(OffsetOf(3)); // nothing is left of the attempt
        log.HasSpace().ShouldBeFalse();
        log.LastError!.ShouldContain("No space left");
        log.Failure.ShouldBeNull();

        disk.CapacityBytes = long.MaxValue;
        var writes = disk.WriteCount;
        log.Append(Header, Text(4), out _).ShouldBe(AppendOutcome.DiskFull); // not asked again within a second
        disk.WriteCount.ShouldBe(writes);
        clock.Advance(CheckInterval);
        log.HasSpace().ShouldBeTrue();
        AppendTexts(log, 2);
        ReadAll(log).ShouldBeTexts(Lsns(1, 5));
    }

    [Fact]
    public void A_roll_on_a_full_disk_leaves_nothing_and_is_repeated_later()
    {
        var clock = Clock();
        var disk = new FaultyDisk(1) { CapacityBytes = OffsetOf(4) + 20 };
        using (var log = Open(disk, SmallSegments(records: 4), clock))
        {
            AppendTexts(log, 4);
            log.Append(Header, Text(5), out _).ShouldBe(AppendOutcome.DiskFull);
            disk.ListFiles(Folder).Count.ShouldBe(1);
            disk.CapacityBytes = long.MaxValue;
            clock.Advance(CheckInterval);
            AppendTexts(log, 2);
        }
        using var again = Open(disk, SmallSegments(records: 4));
        ReadAll(again).ShouldBeTexts(Lsns(1, 6));
    }

    [Fact]
    public void Keeps_space_free_for_reserved_records()
    {
        var clock = Clock();
        var disk = new FaultyDisk(1) { CapacityBytes = 100_000 };
        using var log = Open(disk, new RecordLogOptions { MinFreeBytes = 40_000 }, clock);
        var payload = new byte[1000];

        while (log.Append(Header, payload, out _) == AppendOutcome.Written)
        {
        }
        disk.FreeBytes(Folder).ShouldBeInRange(40_000, 41_200);
        log.HasSpace().ShouldBeFalse();
        log.HasSpace(reserved: true).ShouldBeTrue();

        while (log.Append(Header, payload, out _, reserved: true) == AppendOutcome.Written)
        {
        }
        disk.FreeBytes(Folder).ShouldBeInRange(10_000, 11_200);
        log.HasSpace(reserved: true).ShouldBeFalse();
    }

    [Fact]
    public void Takes_again_only_when_a_quarter_more_than_the_limit_is_free()
    {
        var clock = Clock();
        var disk = new FaultyDisk(1) { CapacityBytes = 40_000 };
        using var log = Open(disk, new RecordLogOptions { MinFreeBytes = 40_000 }, clock);
        log.HasSpace().ShouldBeFalse();

        disk.CapacityBytes = 49_000;
        clock.Advance(CheckInterval);
        log.HasSpace().ShouldBeFalse();
        disk.CapacityBytes = 51_000;
        log.HasSpace().ShouldBeFalse(); // the disk is asked once per second
        clock.Advance(CheckInterval);
        log.HasSpace().ShouldBeTrue();
        disk.CapacityBytes = 41_000;
        clock.Advance(CheckInterval);
        log.HasSpace().ShouldBeTrue();
    }

    [Fact]
    public void Cuts_off_what_a_failed_write_left()
    {
        for (var seed = 0; seed < 50; seed++)
        {
            var disk = new FaultyDisk(seed);
            using var log = Open(disk);
            AppendTexts(log, 2);
            disk.FailNextWrites(1);

            log.Append(Header, Text(3), out _).ShouldBe(AppendOutcome.Failed);
            disk.UsedBytes.ShouldBe(OffsetOf(2));
            log.Failure.ShouldBeNull();
            AppendTexts(log, 2);
            ReadAll(log).ShouldBeTexts(Lsns(1, 4));
        }
    }

    [Fact]
    public void Writes_nothing_behind_garbage_that_it_cannot_cut_off()
    {
        var disk = new FaultyDisk(4);
        using var log = Open(disk);
        AppendTexts(log, 2);
        disk.FailNextWrites(1);
        disk.FailNextCuts(3);

        log.Append(Header, Text(3), out _).ShouldBe(AppendOutcome.Failed);
        var writes = disk.WriteCount;
        log.Append(Header, Text(3), out _).ShouldBe(AppendOutcome.Failed);
        log.SkipTo(100).ShouldBe(AppendOutcome.Failed);
        disk.WriteCount.ShouldBe(writes);
        ReadAll(log).ShouldBeTexts([1, 2]);
        log.LastError!.ShouldContain("back to its last whole record");

        AppendTexts(log, 1); // the cut succeeds at last
        ReadAll(log).ShouldBeTexts([1, 2, 3]);
    }

    [Fact]
    public void A_failed_sync_is_final_until_the_log_is_opened_again()
    {
        var disk = new FaultyDisk(1);
        using (var log = Open(disk))
        {
            AppendTexts(log, 2);
            disk.FailNextSyncs(1);

            log.Sync().ShouldBeFalse();
            log.Sync().ShouldBeFalse();
            log.SyncedLsn.ShouldBe(1);
            log.Append(Header, Text(3), out _).ShouldBe(AppendOutcome.Failed);
            log.Failure!.ShouldContain("Check the disk and restart");
        }
        using var again = Open(disk);
        AppendTexts(again, 1);
        ReadAll(again).ShouldBeTexts(Lsns(1, 3));
    }

    [Fact]
    public async Task A_failed_sync_answers_those_who_wait()
    {
        var disk = new FaultyDisk(1);
        using var log = Open(disk);
        AppendTexts(log, 1);
        disk.FailNextSyncs(1);

        (await log.WaitSynced(1)).ShouldBeFalse();
        (await log.WaitSynced(1)).ShouldBeFalse();
    }

    [Fact]
    public void Syncs_before_too_many_segments_wait_for_it()
    {
        var disk = new FaultyDisk(1);
        using var log = Open(disk, SmallSegments(records: 2));

        AppendTexts(log, 2 * 20);

        // So that the sync at the next open reaches back far enough.
        (log.NextLsn - log.SyncedLsn).ShouldBeLessThanOrEqualTo(2 * (RecordLog.MaxRolledUnsynced + 1));
        disk.FailNextSyncs(1);
        var outcome = AppendOutcome.Written;
        for (var i = 0; i < 20 && outcome == AppendOutcome.Written; i++)
        {
            outcome = log.Append(Header, Text(0), out _);
        }
        outcome.ShouldBe(AppendOutcome.Failed);
    }

    [Fact]
    public void Leaving_out_positions_syncs_before_too_many_segments_wait_for_it_too()
    {
        using var log = Open(new FaultyDisk(1));
        for (var i = 0; i < 10; i++)
        {
            AppendTexts(log, 1);
            log.SkipTo(log.NextLsn + 1).ShouldBe(AppendOutcome.Written);
        }

        (log.NextLsn - log.SyncedLsn).ShouldBeLessThanOrEqualTo(2 * (RecordLog.MaxRolledUnsynced + 1));
    }

    [Fact]
    public void A_sync_with_nothing_new_asks_nothing_of_the_disk()
    {
        var disk = new FaultyDisk(1);
        using var log = Open(disk);
        AppendTexts(log, 1);
        log.Sync();
        var syncs = disk.SyncCount;

        log.Sync().ShouldBeTrue();
        log.SyncTo(2).ShouldBeTrue();

        disk.SyncCount.ShouldBe(syncs);
    }

    [Fact]
    public void An_open_that_fails_says_why_and_frees_the_folder()
    {
        foreach (var order in (Action<FaultyDisk>[])[d => d.FailNextReads(1), d => d.FailNextSyncs(1)])
        {
            var disk = new FaultyDisk(1);
            Open(disk).Dispose();
            order(disk);

            Should.Throw<LogOpenException>(() => Open(disk)).Message.ShouldContain("Input/output error");
            Open(disk).Dispose();
        }
    }
}
