using System.IO;
using Millrace.Log;
using Millrace.TestKit;
using static Millrace.Tests.Log.LogTesting;

namespace Millrace.Tests.Log;

public class RecordLogTests
{
    [Fact]
    public void Numbers_records_from_one_and_gives_them_back_in_order()
    {
        using var log = Open(new FaultyDisk(1));
        log.FirstLsn.ShouldBe(1);
        log.NextLsn.ShouldBe(1);

        AppendTexts(log, 10);

        log.NextLsn.ShouldBe(11);
        ReadAll(log).ShouldBeTexts(Lsns(1, 10));
        ReadAll(log, 7).ShouldBeTexts(Lsns(7, 10));
    }

    [Fact]
    public void Keeps_the_header_of_a_record_and_joins_a_payload_in_two_pieces()
    {
        using var log = Open(new FaultyDisk(1));
        var header = new RecordHeader
        {
            Type = RecordType.Ledger,
            FormatVersion = 9,
            Encoding = 65_535,
            Tenant = ulong.MaxValue,
            ArrivalMs = -1,
            RequestHash = UInt128.MaxValue,
            GatewayId = Guid.Parse("00112233-4455-6677-8899-aabbccddeeff"),
            GatewayLsn = long.MaxValue,
        };
        log.Append(header, [1, 2, 3], [4, 5], out var lsn).ShouldBe(AppendOutcome.Written);
        log.Append(header, [], out _).ShouldBe(AppendOutcome.Written);

        using var reader = log.OpenReader(lsn);
        reader.TryRead(out var record).ShouldBeTrue();
        record.Header.ShouldBe(header);
        record.Payload.ToArray().ShouldBe([1, 2, 3, 4, 5]);
        reader.TryRead(out record).ShouldBeTrue();
        record.Payload.Length.ShouldBe(0);
        reader.TryRead(out _).ShouldBeFalse();
    }

    [Fact]
    public void Goes_on_behind_its_last_record_when_it_is_opened_again()
    {
        var disk = new FaultyDisk(1);
        Guid id;
        using (var log = Open(disk, SmallSegments()))
        {
            id = log.Id;
            AppendTexts(log, 10);
        }

        using var again = Open(disk, SmallSegments());

        again.Id.ShouldBe(id);
        again.NextLsn.ShouldBe(11);
        again.SyncedLsn.ShouldBe(11);
        again.Recovery.ShouldBe(new RecoveryReport(Segments: 3, 0, 0, 0));
        AppendTexts(again, 3);
        ReadAll(again).ShouldBeTexts(Lsns(1, 13));
    }

    [Fact]
    public void Begins_a_new_segment_when_one_is_full()
    {
        var disk = new FaultyDisk(1);
        using var log = Open(disk, SmallSegments(records: 4));

        AppendTexts(log, 9);

        disk.ListFiles(Folder).Order().ShouldBe(
            ["0000000000000001.log", "0000000000000005.log", "0000000000000009.log"]);
        log.SizeBytes.ShouldBe(disk.UsedBytes);
    }

    [Fact]
    public void Gives_a_record_larger_than_a_segment_a_segment_of_its_own()
    {
        var disk = new FaultyDisk(1);
        using var log = Open(disk, SmallSegments(records: 4));
        var large = RandomBytes(new Random(1), 300_000);
        AppendTexts(log, 1);
        log.Append(Header, large, out var lsn).ShouldBe(AppendOutcome.Written);
        AppendTexts(log, 1);

        log.SegmentCount.ShouldBe(3);
        ReadAll(log)[(int)lsn - 1].Payload.ShouldBe(large);
    }

    [Fact]
    public void Refuses_a_record_beyond_its_limit_and_takes_one_of_just_that_size()
    {
        using var log = Open(new FaultyDisk(1), new RecordLogOptions { MaxRecordBytes = 100 });

        log.Append(Header, new byte[101], out _).ShouldBe(AppendOutcome.TooLarge);
        log.Append(Header, new byte[60], new byte[41], out _).ShouldBe(AppendOutcome.TooLarge);
        log.Append(Header, new byte[60], new byte[40], out var lsn).ShouldBe(AppendOutcome.Written);
        lsn.ShouldBe(1);
    }

    [Fact]
    public void Releases_whole_segments_only_and_never_the_active_one()
    {
        var disk = new FaultyDisk(1);
        using var log = Open(disk, SmallSegments(records: 4));
        AppendTexts(log, 10);

        log.ReleaseBefore(5);
        log.FirstLsn.ShouldBe(5);
        log.ReleaseBefore(8);
        log.FirstLsn.ShouldBe(5);
        log.ReleaseBefore(long.MaxValue);
        log.FirstLsn.ShouldBe(9);
        disk.ListFiles(Folder).ShouldBe(["0000000000000009.log"]);
        log.SizeBytes.ShouldBe(disk.UsedBytes);
        ReadAll(log).ShouldBeTexts(Lsns(9, 10));
    }

    [Fact]
    public void Drops_the_oldest_segment_until_only_the_active_one_is_left()
    {
        using var log = Open(new FaultyDisk(1), SmallSegments(records: 4));
        AppendTexts(log, 10);

        log.DropOldestSegment(out var first).ShouldBeTrue();
        first.ShouldBe(5);
        log.DropOldestSegment(out first).ShouldBeTrue();
        first.ShouldBe(9);
        log.DropOldestSegment(out first).ShouldBeFalse();
        first.ShouldBe(9);
    }

    [Fact]
    public void Keeps_a_segment_that_cannot_be_deleted_and_tries_again_later()
    {
        var disk = new FaultyDisk(1);
        using var log = Open(disk, SmallSegments(records: 4));
        AppendTexts(log, 10);
        disk.FailNextDeletes(1);

        log.ReleaseBefore(9);
        log.FirstLsn.ShouldBe(1);
        log.LastError!.ShouldContain("0000000000000001.log");
        log.ReleaseBefore(9);
        log.FirstLsn.ShouldBe(9);
    }

    [Fact]
    public void Leaves_out_positions_that_its_owner_has_already_passed()
    {
        var disk = new FaultyDisk(1);
        using (var log = Open(disk))
        {
            AppendTexts(log, 2);
            log.SkipTo(2).ShouldBe(AppendOutcome.Written);
            log.NextLsn.ShouldBe(3);
            log.SkipTo(10).ShouldBe(AppendOutcome.Written);
            using var reader = log.OpenReader(1);
            AppendTexts(log, 1);

            ReadOn(reader).ShouldBeTexts([1, 2, 10]);
            reader.SkippedRecords.ShouldBe(7);
        }

        using var again = Open(disk);
        again.NextLsn.ShouldBe(11);
        ReadAll(again).ShouldBeTexts([1, 2, 10]);
    }

    [Fact]
    public void A_folder_has_one_log_at_a_time()
    {
        var disk = new FaultyDisk(1);
        using (Open(disk))
        {
            Should.Throw<LogOpenException>(() => Open(disk)).Message.ShouldContain("in use by another process");
        }
        Open(disk).Dispose();
    }

    [Fact]
    public void A_folder_of_real_files_has_one_log_at_a_time()
    {
        using var folder = new TempFolder();
        var options = new RecordLogOptions();
        var disk = new SystemDisk();
        using (RecordLog.Open(folder.Path, options, disk, Clock()))
        {
            Should.Throw<LogOpenException>(() => RecordLog.Open(folder.Path, options, disk, Clock()))
                .Message.ShouldContain($"'{folder.Path}' is in use by another process");
        }
        RecordLog.Open(folder.Path, options, disk, Clock()).Dispose();
    }

    [Fact]
    public void Refuses_a_newer_format_with_a_text_that_says_what_to_do()
    {
        var disk = new FaultyDisk(1);
        Open(disk).Dispose();
        Span<byte> header = stackalloc byte[RecordFormat.SegmentHeaderBytes];
        RecordFormat.WriteSegmentHeader(header, Guid.NewGuid(), 1, version: 2);
        using (var file = disk.Open(PathOf(1), writable: true))
        {
            file.Write(0, header);
        }

        var text = Should.Throw<LogOpenException>(() => Open(disk)).Message;

        text.ShouldContain("format version 2; this release reads 1 to 1");
        text.ShouldContain("Run the release that wrote it");
        // A refusal leaves the lock free for the release that can read it, and the file as it was.
        disk.ReadAll(PathOf(1))[..64].ShouldBe(header.ToArray());
        disk.TryLock(Path.Combine(Folder, RecordFormat.LockName)).ShouldNotBeNull();
    }

    [Fact]
    public void Refuses_the_files_of_two_logs_in_one_folder()
    {
        var disk = new FaultyDisk(1);
        Open(disk).Dispose();
        using (var file = disk.Open(PathOf(100), writable: true))
        {
            var header = new byte[RecordFormat.SegmentHeaderBytes];
            RecordFormat.WriteSegmentHeader(header, Guid.NewGuid(), 100);
            file.Write(0, header);
        }

        Should.Throw<LogOpenException>(() => Open(disk)).Message.ShouldContain("two logs");
    }

    [Fact]
    public void Refuses_a_segment_that_was_renamed()
    {
        var disk = new FaultyDisk(1);
        Open(disk).Dispose();
        using (var file = disk.Open(PathOf(100), writable: true))
        {
            file.Write(0, disk.ReadAll(PathOf(1)));
        }

        Should.Throw<LogOpenException>(() => Open(disk)).Message.ShouldContain("begins with record 1");
    }

    [Fact]
    public void Opens_for_reading_beside_the_process_that_writes()
    {
        var disk = new FaultyDisk(1);
        using var log = Open(disk, SmallSegments());
        AppendTexts(log, 6);

        using var copy = RecordLog.OpenReadOnly(Folder, disk);

        ReadAll(copy).ShouldBeTexts(Lsns(1, 6));
        copy.Id.ShouldBe(log.Id);
        copy.Append(Header, [1], out _).ShouldBe(AppendOutcome.Failed);
        copy.SkipTo(100).ShouldBe(AppendOutcome.Failed);
        copy.DropOldestSegment(out _).ShouldBeFalse();
        AppendTexts(log, 1);
        ReadAll(log).ShouldBeTexts(Lsns(1, 7));
    }

    [Fact]
    public void Says_that_a_folder_holds_no_log()
    {
        Should.Throw<LogOpenException>(() => RecordLog.OpenReadOnly(Folder, new FaultyDisk(1)))
            .Message.ShouldContain("holds no log");
    }

    [Fact]
    public void An_append_to_a_closed_log_is_our_bug()
    {
        var log = Open(new FaultyDisk(1));
        log.Dispose();

        Should.Throw<ObjectDisposedException>(() => log.Append(Header, [1], out _));
    }

    [Fact]
    public void Works_on_real_files()
    {
        using var folder = new TempFolder();
        var random = new Random(5);
        var options = new RecordLogOptions { SegmentBytes = 1 << 20, MinFreeBytes = 1 };
        var expected = new List<byte[]>();
        for (var life = 0; life < 3; life++)
        {
            using var log = RecordLog.Open(
                Path.Combine(folder.Path, "deep", "log"), options, new SystemDisk(), TimeProvider.System);
            for (var i = 0; i < 60; i++)
            {
                var payload = RandomBytes(random, i % 10 == 0 ? 200_000 : 2000);
                log.Append(Header, payload, out _).ShouldBe(AppendOutcome.Written);
                expected.Add(payload);
            }
            log.Sync().ShouldBeTrue();
            log.SyncedLsn.ShouldBe(log.NextLsn);
            var read = ReadAll(log);
            read.Count.ShouldBe(expected.Count);
            read.ShouldAllBe(record => record.Payload.SequenceEqual(expected[(int)record.Lsn - 1]));
        }
    }

    [Fact]
    public void Appends_and_reads_without_allocating()
    {
        using var folder = new TempFolder();
        using var log = RecordLog.Open(
            folder.Path, new RecordLogOptions { MinFreeBytes = 1 }, new SystemDisk(), Clock());
        using var reader = log.OpenReader(1);
        byte[][] payloads = [new byte[500], new byte[200_000]];
        AppendAndRead(log, reader, payloads, 20);

        var before = GC.GetAllocatedBytesForCurrentThread();
        AppendAndRead(log, reader, payloads, 60);

        (GC.GetAllocatedBytesForCurrentThread() - before).ShouldBe(0);
    }

    private static void AppendAndRead(RecordLog log, LogReader reader, byte[][] payloads, int count)
    {
        for (var i = 0; i < count; i++)
        {
            foreach (var payload in payloads)
            {
                if (log.Append(Header, payload, out _) != AppendOutcome.Written || !reader.TryRead(out _))
                {
                    throw new InvalidOperationException("The log lost a record.");
                }
            }
        }
    }
}
