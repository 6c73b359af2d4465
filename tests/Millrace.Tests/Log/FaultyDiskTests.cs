using System.IO;
using Millrace.Log;
using Millrace.TestKit;

namespace Millrace.Tests.Log;

/// <summary>The disk that the tests of the log trust in.</summary>
public class FaultyDiskTests
{
    [Fact]
    public void Power_loss_takes_files_whose_folder_was_not_synced()
    {
        var lost = Enumerable.Range(0, 50).Count(seed =>
        {
            var disk = new FaultyDisk(seed);
            using var file = disk.Open("/a/f", writable: true);
            file.Write(0, [1]);
            file.Sync();
            return disk.Crash(CrashKind.PowerLossPrefix).ListFiles("/a").Count == 0;
        });
        lost.ShouldBeInRange(1, 49);
    }

    [Fact]
    public void Power_loss_keeps_what_was_synced_with_its_folder()
    {
        for (var seed = 0; seed < 50; seed++)
        {
            var disk = new FaultyDisk(seed);
            using var file = disk.Open("/a/f", writable: true);
            file.Write(0, [1, 2, 3]);
            file.Sync();
            disk.SyncFolder("/a");
            file.Write(3, [4]);

            disk.Crash((CrashKind)(seed % 4)).ReadAll("/a/f").Take(3).ShouldBe([1, 2, 3]);
        }
    }

    [Fact]
    public void A_subset_may_keep_a_later_write_without_an_earlier_one()
    {
        var holes = Enumerable.Range(0, 50).Count(seed =>
        {
            var disk = new FaultyDisk(seed);
            using var file = disk.Open("/a/f", writable: true);
            disk.SyncFolder("/a");
            file.Write(0, [1]);
            file.Write(1, [2]);
            return disk.Crash(CrashKind.PowerLossSubset).ReadAll("/a/f").SequenceEqual(new byte[] { 0, 2 });
        });
        holes.ShouldBeInRange(1, 49);
    }

    [Fact]
    public void The_same_seed_crashes_the_same_way()
    {
        byte[] Run()
        {
            var disk = new FaultyDisk(7);
            using var file = disk.Open("/a/f", writable: true);
            disk.SyncFolder("/a");
            for (var i = 0; i < 20; i++)
            {
                file.Write(i * 1000, Enumerable.Repeat((byte)i, 1000).ToArray());
            }
            return disk.Crash(CrashKind.PowerLossSubset).ReadAll("/a/f");
        }

        Run().ShouldBe(Run());
    }

    [Fact]
    public void A_full_disk_takes_what_fits()
    {
        var disk = new FaultyDisk(1) { CapacityBytes = 10 };
        using var file = disk.Open("/a/f", writable: true);
        file.Write(0, new byte[8]);

        DiskError.IsFull(Should.Throw<IOException>(() => file.Write(4, new byte[8]))).ShouldBeTrue();
        file.Length.ShouldBe(10);
        disk.FreeBytes("/a").ShouldBe(0);
        file.Write(0, new byte[10]); // over what is there
    }

    [Fact]
    public void A_halted_disk_answers_nothing_more()
    {
        var disk = new FaultyDisk(1);
        using var file = disk.Open("/a/f", writable: true);
        disk.HaltAfterWrites(1);
        file.Write(0, [1]);

        Should.Throw<DiskHaltedException>(() => file.Write(1, new byte[100]));
        Should.Throw<DiskHaltedException>(() => file.Read(0, new byte[1]));
        disk.Crash(CrashKind.Kill).ReadAll("/a/f").Length.ShouldBeInRange(1, 101);
    }
}
