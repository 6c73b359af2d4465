using System.Buffers.Binary;
using Millrace.Log;
using Millrace.TestKit;
using static Millrace.Tests.Log.LogTesting;

namespace Millrace.Tests.Log;

public class RecordLogConcurrencyTests
{
    private const int Writers = 4;
    private const int RecordsPerWriter = 2000;

    [Fact]
    public async Task Appenders_readers_syncs_and_releases_do_not_disturb_each_other()
    {
        using var folder = new TempFolder();
        using var log = RecordLog.Open(
            folder.Path, new RecordLogOptions { SegmentBytes = 64 << 10 }, new SystemDisk(), TimeProvider.System);
        using var stop = new CancellationTokenSource();

        var readers = Enumerable.Range(0, 2).Select(_ => Task.Run(() => ReadWhole(log))).ToArray();
        var syncs = Task.Run(() =>
        {
            while (!stop.IsCancellationRequested)
            {
                var next = log.NextLsn;
                log.Sync().ShouldBeTrue();
                log.SyncedLsn.ShouldBeGreaterThanOrEqualTo(next);
            }
        });
        await Task.WhenAll(Enumerable.Range(0, Writers).Select(writer => Task.Run(() => AppendAll(log, writer))));
        await Task.WhenAll(readers);
        await stop.CancelAsync();
        await syncs;

        log.NextLsn.ShouldBe(Writers * RecordsPerWriter + 1);
        log.ReleaseBefore(log.NextLsn);
        log.SegmentCount.ShouldBe(1);
    }

    [Fact]
    public async Task Many_who_wait_for_a_sync_share_a_few()
    {
        var disk = new FaultyDisk(1);
        using var log = Open(disk);
        var before = disk.SyncCount;

        // Nobody is answered before its record is synced; ten appends that wait together need no ten syncs.
        var waits = new List<Task<bool>>();
        for (var i = 0; i < 1000; i++)
        {
            log.Append(Header, Text(i), out var lsn).ShouldBe(AppendOutcome.Written);
            waits.Add(WaitAndCheck(log, lsn));
        }

        (await Task.WhenAll(waits)).ShouldAllBe(isSynced => isSynced);
        log.SyncedLsn.ShouldBe(1001);
        (disk.SyncCount - before).ShouldBeLessThan(1000);
    }

    [Fact]
    public async Task Syncs_that_are_called_together_coalesce()
    {
        var disk = new FaultyDisk(1);
        using var log = Open(disk);
        AppendTexts(log, 1);
        var before = disk.SyncCount;

        var all = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => Task.Run(log.Sync)));

        all.ShouldAllBe(isSynced => isSynced);
        (disk.SyncCount - before).ShouldBe(1);
    }

    private static async Task<bool> WaitAndCheck(RecordLog log, long lsn) =>
        await log.WaitSynced(lsn) && log.SyncedLsn > lsn;

    private static void AppendAll(RecordLog log, int writer)
    {
        var random = new Random(writer);
        var payload = new byte[8000];
        for (var i = 0; i < RecordsPerWriter; i++)
        {
            BinaryPrimitives.WriteInt32LittleEndian(payload, writer);
            BinaryPrimitives.WriteInt32LittleEndian(payload.AsSpan(4), i);
            var length = i % 100 == 0 ? payload.Length : 8 + random.Next(200);
            payload.AsSpan(8, length - 8).Fill((byte)(writer + i));
            log.Append(Header, payload.AsSpan(0, length), out var lsn).ShouldBe(AppendOutcome.Written);
            log.NextLsn.ShouldBeGreaterThan(lsn);
        }
    }

    /// <summary>Every record once, each writer's in its order, none of them seen half-written.</summary>
    private static void ReadWhole(RecordLog log)
    {
        using var reader = log.OpenReader(1);
        var next = new int[Writers];
        var lsn = 0L;
        while (lsn < Writers * RecordsPerWriter)
        {
            if (!reader.TryRead(out var record))
            {
                reader.Failure.ShouldBeNull();
                Thread.Yield();
                continue;
            }
            record.Lsn.ShouldBe(++lsn);
            var payload = record.Payload.Span;
            var writer = BinaryPrimitives.ReadInt32LittleEndian(payload);
            var i = BinaryPrimitives.ReadInt32LittleEndian(payload[4..]);
            i.ShouldBe(next[writer]++);
            payload[8..].ContainsAnyExcept((byte)(writer + i)).ShouldBeFalse();
        }
        reader.SkippedRecords.ShouldBe(0);
    }
}
