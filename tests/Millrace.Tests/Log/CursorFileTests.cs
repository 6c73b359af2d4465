using Millrace.Log;
using Millrace.TestKit;

namespace Millrace.Tests.Log;

public class CursorFileTests
{
    private const string FilePath = "/log/cursors";

    private static readonly Guid LogId = Guid.Parse("00112233-4455-6677-8899-aabbccddeeff");

    [Fact]
    public void A_slot_is_empty_until_it_is_set()
    {
        using var cursors = Open(new FaultyDisk(1));

        cursors.Get(3).ShouldBe(default);
        cursors.Set(3, 1, -2, long.MaxValue).ShouldBeTrue();
        cursors.Get(3).ShouldBe(new CursorPosition(1, -2, long.MaxValue));
        cursors.Get(2).ShouldBe(default);
    }

    [Fact]
    public void Positions_survive_kill_without_a_sync()
    {
        var disk = new FaultyDisk(1);
        var cursors = Open(disk, slots: 200);
        for (var i = 0; i < 1000; i++)
        {
            cursors.Set(i * 7 % 200, i, 2 * i, -i).ShouldBeTrue();
        }

        using var after = Open(disk.Crash(CrashKind.Kill), slots: 200);

        after.WasReset.ShouldBeFalse();
        after.DamagedSlots.ShouldBe(0);
        for (var slot = 0; slot < 200; slot++)
        {
            after.Get(slot).ShouldBe(cursors.Get(slot));
        }
    }

    [Fact]
    public void Positions_in_a_real_file_are_there_for_who_opens_it_next()
    {
        using var folder = new TempFolder();
        var path = System.IO.Path.Combine(folder.Path, "cursors");
        using var first = CursorFile.Open(path, 16, LogId, new SystemDisk());
        first.Set(15, 7, 8, 9).ShouldBeTrue();

        using var second = CursorFile.Open(path, 16, LogId, new SystemDisk()); // the first is not closed: as after kill

        second.Get(15).ShouldBe(new CursorPosition(7, 8, 9));
        second.Sync().ShouldBeTrue();
    }

    [Fact]
    public void A_torn_write_leaves_the_position_before_it()
    {
        var older = 0;
        for (var seed = 0; seed < 200; seed++)
        {
            var disk = new FaultyDisk(seed);
            var cursors = Open(disk);
            cursors.Sync();
            for (var i = 1; i <= 5; i++)
            {
                cursors.Set(1, i, 100 + i, -i);
            }

            using var after = Open(disk.Crash(CrashKind.TornWrite));

            var position = after.Get(1);
            position.A.ShouldBeInRange(4, 5);
            position.ShouldBe(new CursorPosition(position.A, 100 + position.A, -position.A));
            older += position.A == 4 ? 1 : 0;
        }
        older.ShouldBeGreaterThan(20); // the tears were real
    }

    [Fact]
    public void What_was_synced_is_never_lost_and_nothing_is_mixed()
    {
        foreach (var kind in (CrashKind[])[CrashKind.PowerLossPrefix, CrashKind.PowerLossSubset])
        {
            for (var seed = 0; seed < 200; seed++)
            {
                var disk = new FaultyDisk(seed);
                var cursors = Open(disk, slots: 100);
                for (var i = 1; i <= 20; i++)
                {
                    cursors.Set(i % 3 * 40, i, 2 * i, 3 * i);
                    if (i == 12)
                    {
                        cursors.Sync().ShouldBeTrue();
                    }
                }

                using var after = Open(disk.Crash(kind), slots: 100);

                for (var slot = 0; slot < 3; slot++)
                {
                    var position = after.Get(slot * 40);
                    position.A.ShouldBeGreaterThanOrEqualTo(10);
                    position.ShouldBe(new CursorPosition(position.A, 2 * position.A, 3 * position.A));
                    (position.A % 3).ShouldBe(slot);
                }
            }
        }
    }

    [Fact]
    public void A_refused_write_keeps_the_position_and_the_next_one_succeeds()
    {
        for (var seed = 0; seed < 50; seed++)
        {
            var disk = new FaultyDisk(seed);
            var cursors = Open(disk);
            cursors.Set(0, 1, 1, 1).ShouldBeTrue();
            cursors.Set(0, 2, 2, 2).ShouldBeTrue();
            disk.FailNextWrites(2);
            cursors.Set(0, 3, 3, 3).ShouldBeFalse();
            cursors.Set(0, 4, 4, 4).ShouldBeFalse();
            cursors.Get(0).ShouldBe(new CursorPosition(2, 2, 2));

            if (seed % 2 == 0)
            {
                cursors.Set(0, 5, 5, 5).ShouldBeTrue();
                cursors.Get(0).A.ShouldBe(5);
            }
            using var after = Open(disk.Crash(CrashKind.Kill));
            // A refused write may have reached the file whole, which only repeats what its caller wanted.
            after.Get(0).A.ShouldBeOneOf(seed % 2 == 0 ? [5L] : [2L, 3L, 4L]);
        }
    }

    [Fact]
    public void Bit_rot_costs_at_most_one_step_and_is_counted_when_it_costs_all()
    {
        var disk = new FaultyDisk(1);
        using (var cursors = Open(disk))
        {
            cursors.Set(0, 1, 0, 0);
            cursors.Set(0, 2, 0, 0);
            cursors.Set(1, 9, 0, 0);
        }
        disk.FlipBit(FilePath, 4096 + 8, 0); // slot 0, the copy with the even sequence
        disk.FlipBit(FilePath, 2 * 4096 + 64 + 8, 0); // slot 1, its only copy

        using var after = Open(disk);

        after.Get(0).A.ShouldBe(1);
        after.Get(1).ShouldBe(default);
        after.DamagedSlots.ShouldBe(1);
    }

    [Fact]
    public void Grows_and_keeps_what_it_holds()
    {
        var disk = new FaultyDisk(1);
        using (var cursors = Open(disk, slots: 3))
        {
            cursors.Set(2, 5, 6, 7);
        }
        using (var cursors = Open(disk, slots: 300))
        {
            cursors.Get(2).ShouldBe(new CursorPosition(5, 6, 7));
            cursors.Get(299).ShouldBe(default);
            cursors.Set(299, 1, 2, 3).ShouldBeTrue();
        }
        using (var cursors = Open(disk, slots: 3))
        {
            cursors.Get(2).ShouldBe(new CursorPosition(5, 6, 7));
        }
        using var again = Open(disk, slots: 300);
        again.Get(299).ShouldBe(new CursorPosition(1, 2, 3));
    }

    [Fact]
    public void Positions_of_another_log_are_forgotten()
    {
        var disk = new FaultyDisk(1);
        using (var cursors = Open(disk))
        {
            cursors.Set(0, 100, 0, 0);
        }
        using (var cursors = CursorFile.Open(FilePath, 8, Guid.NewGuid(), disk))
        {
            cursors.WasReset.ShouldBeTrue();
            cursors.Get(0).ShouldBe(default);
            cursors.DamagedSlots.ShouldBe(0);
        }
    }

    [Fact]
    public void Refuses_a_newer_format_with_a_text_that_says_what_to_do()
    {
        var disk = new FaultyDisk(1);
        Open(disk).Dispose();
        using (var file = disk.Open(FilePath, writable: true))
        {
            var header = disk.ReadAll(FilePath)[..32];
            header[8] = 2;
            BitConverter.TryWriteBytes(
                header.AsSpan(12), Crc32C.Extend(Crc32C.Compute(header.AsSpan(0, 12)), header.AsSpan(16)));
            file.Write(0, header);
        }

        Should.Throw<LogOpenException>(() => Open(disk)).Message.ShouldContain("format version 2");
    }

    [Fact]
    public void A_full_disk_is_told_at_the_open_and_not_later()
    {
        var disk = new FaultyDisk(1) { CapacityBytes = 3 * 4096 };
        Should.Throw<LogOpenException>(() => Open(disk, slots: 65)).Message.ShouldContain("No space left");
        disk.Delete(FilePath);

        using var cursors = Open(disk, slots: 64);

        for (var slot = 0; slot < 64; slot++)
        {
            cursors.Set(slot, 1, 1, 1).ShouldBeTrue();
            cursors.Set(slot, 2, 2, 2).ShouldBeTrue();
        }
    }

    [Fact]
    public void A_failed_sync_is_final()
    {
        var disk = new FaultyDisk(1);
        using var cursors = Open(disk);
        disk.FailNextSyncs(1);

        cursors.Sync().ShouldBeFalse();
        cursors.Sync().ShouldBeFalse();
    }

    [Fact]
    public void Sets_without_allocating()
    {
        using var folder = new TempFolder();
        using var cursors = CursorFile.Open(System.IO.Path.Combine(folder.Path, "cursors"), 8, LogId, new SystemDisk());
        for (var i = 0; i < 100; i++)
        {
            cursors.Set(1, i, i, i);
        }
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 100; i++)
        {
            cursors.Set(1, i, i, i);
        }
        (GC.GetAllocatedBytesForCurrentThread() - before).ShouldBe(0);
    }

    private static CursorFile Open(IDisk disk, int slots = 8) => CursorFile.Open(FilePath, slots, LogId, disk);
}
