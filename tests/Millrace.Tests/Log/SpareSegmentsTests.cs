using Millrace.Log;
using Millrace.TestKit;
using static Millrace.Tests.Log.LogTesting;

namespace Millrace.Tests.Log;

public class SpareSegmentsTests
{
    private static readonly RecordLogOptions TwoSpares = new() { SegmentBytes = 2000, MaxSpares = 2 };

    [Fact]
    public void Writes_over_released_segments_and_keeps_no_more_than_its_bound()
    {
        var disk = new FaultyDisk(1);
        using var log = Open(disk, TwoSpares);
        Fill(log, segments: 6);

        log.ReleaseBefore(log.NextLsn);
        Spares(disk).ShouldBe(2);
        log.SpareBytes.ShouldBeGreaterThan(0);

        Fill(log, segments: 4);
        Spares(disk).ShouldBe(0);
        log.SpareBytes.ShouldBe(0);
        ReadAll(log).Count.ShouldBe((int)(log.NextLsn - log.FirstLsn));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    public void Takes_nothing_of_the_older_segment_for_a_record_after_a_crash(int newRecords)
    {
        var disk = new FaultyDisk(2);
        var log = Open(disk, TwoSpares);
        Fill(log, segments: 3);
        log.ReleaseBefore(log.NextLsn);
        Fill(log, segments: 1); // into a spare
        for (var i = 0; i < newRecords; i++)
        {
            Append(log);
        }
        var next = log.NextLsn;

        using var reopened = Open(disk.Crash(CrashKind.Kill), TwoSpares);

        reopened.NextLsn.ShouldBe(next);
        reopened.Recovery.TruncatedBytes.ShouldBe(0); // What an older segment left is no torn tail.
        ReadAll(reopened)[^1].Lsn.ShouldBe(next - 1);
        Append(reopened);
        ReadAll(reopened)[^1].Lsn.ShouldBe(next);
    }

    [Fact]
    public void Deletes_the_spares_of_an_earlier_process()
    {
        var disk = new FaultyDisk(3);
        var log = Open(disk, TwoSpares);
        Fill(log, segments: 4);
        log.ReleaseBefore(log.NextLsn);

        var after = disk.Crash(CrashKind.Kill);
        using var reopened = Open(after, TwoSpares);

        Spares(after).ShouldBe(0);
    }

    [Fact]
    public void Goes_on_with_new_files_when_the_disk_refuses_to_rename()
    {
        var disk = new FaultyDisk(4);
        using var log = Open(disk, TwoSpares);
        Fill(log, segments: 4);
        log.ReleaseBefore(log.NextLsn);
        disk.FailNextRenames(1);

        Fill(log, segments: 2);

        ReadAll(log)[^1].Lsn.ShouldBe(log.NextLsn - 1);
    }

    [Fact]
    public void Gives_the_spares_back_when_the_disk_is_nearly_full()
    {
        var disk = new FaultyDisk(5);
        var clock = Clock();
        using var log = Open(disk, TwoSpares with { MinFreeBytes = 1000 }, clock);
        Fill(log, segments: 4);
        log.ReleaseBefore(log.NextLsn);
        disk.CapacityBytes = disk.UsedBytes;
        clock.Advance(TimeSpan.FromSeconds(1));

        log.Append(Header, new byte[3000], out _).ShouldBe(AppendOutcome.DiskFull);

        Spares(disk).ShouldBe(0);
    }

    private static int Spares(FaultyDisk disk) => disk.ListFiles(Folder).Count(name => name.EndsWith(".spare"));

    private static void Fill(RecordLog log, int segments)
    {
        for (var last = log.SegmentCount + segments; log.SegmentCount < last;)
        {
            Append(log);
        }
    }

    private static void Append(RecordLog log) =>
        log.Append(Header, new byte[200], out _).ShouldBe(AppendOutcome.Written);
}
