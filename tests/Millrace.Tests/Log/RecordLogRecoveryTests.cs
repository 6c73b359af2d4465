using Millrace.Log;
using Millrace.TestKit;
using static Millrace.Tests.Log.LogTesting;

namespace Millrace.Tests.Log;

public class RecordLogRecoveryTests
{
    [Fact]
    public void Truncates_a_torn_tail_instead_of_waiting()
    {
        // Whatever part of the third record was written: two are there, and the next one takes its place.
        for (var left = 0; left < RecordFormat.SizeOf(8); left++)
        {
            var disk = Written(3);
            using (var file = disk.Open(PathOf(1), writable: true))
            {
                file.SetLength(OffsetOf(2) + left);
            }
            using var log = Open(disk);

            log.Recovery.TruncatedBytes.ShouldBe(left);
            log.Recovery.SkippedRecords.ShouldBe(0);
            log.NextLsn.ShouldBe(3);
            AppendTexts(log, 2);
            ReadAll(log).ShouldBeTexts(Lsns(1, 4));
        }
    }

    [Fact]
    public void Truncates_garbage_and_zeros_behind_the_last_record()
    {
        foreach (var tail in (byte[][])[new byte[5000], RandomBytes(new Random(3), 5000), [0x4D, 0x52, 0x65, 0x63]])
        {
            var disk = Written(3);
            using (var file = disk.Open(PathOf(1), writable: true))
            {
                file.Write(OffsetOf(3), tail);
            }
            using var log = Open(disk);

            log.Recovery.TruncatedBytes.ShouldBe(tail.Length);
            disk.ReadAll(PathOf(1)).Length.ShouldBe((int)OffsetOf(3));
            AppendTexts(log, 1);
            ReadAll(log).ShouldBeTexts(Lsns(1, 4));
        }
    }

    [Fact]
    public void Is_whole_wherever_the_process_dies()
    {
        for (var writes = 0; writes < 25; writes++)
        {
            var disk = new FaultyDisk(writes);
            disk.HaltAfterWrites(writes);
            var acknowledged = 0L;
            Should.Throw<DiskHaltedException>(() =>
            {
                var log = Open(disk, SmallSegments(records: 3));
                while (true)
                {
                    AppendTexts(log, 1);
                    acknowledged = log.NextLsn - 1;
                }
            });

            using var after = Open(disk.Crash(CrashKind.Kill), SmallSegments(records: 3));

            // The one that was under way may be there in whole or not at all.
            after.NextLsn.ShouldBeInRange(acknowledged + 1, acknowledged + 2);
            AppendTexts(after, 5);
            ReadAll(after).ShouldBeTexts(Lsns(1, after.NextLsn - 1));
        }
    }

    [Fact]
    public void Any_single_flipped_bit_costs_at_most_one_record()
    {
        const int Records = 10;
        for (var seed = 0; seed < 400; seed++)
        {
            var random = new Random(seed);
            var disk = Written(Records, SmallSegments(records: 4));
            var segment = new long[] { 1, 5, 9 }[random.Next(3)];
            var offset = random.Next(disk.ReadAll(PathOf(segment)).Length);
            disk.FlipBit(PathOf(segment), offset, random.Next(8));

            using var log = Open(disk, SmallSegments(records: 4));
            using var reader = log.OpenReader(1);
            var read = ReadOn(reader);

            var record = offset < 64 ? 0 : segment + (offset - 64) / RecordFormat.SizeOf(8);
            read.ShouldBeTexts(Lsns(1, Records).Where(lsn => lsn != record));
            // The last record cannot be told from a torn one.
            (reader.SkippedRecords + (log.Recovery.TruncatedBytes > 0 ? 1 : 0)).ShouldBe(record == 0 ? 0 : 1);
            log.Recovery.DamagedHeaders.ShouldBe(record == 0 ? 1 : 0);
        }
    }

    [Fact]
    public void Skips_a_damaged_stretch_and_goes_on_behind_it()
    {
        foreach (var segment in (long[])[1, 5])
        {
            var disk = Written(8, SmallSegments(records: 4));
            using (var file = disk.Open(PathOf(segment), writable: true))
            {
                file.Write(OffsetOf(1) + 3, new byte[RecordFormat.SizeOf(8)]); // ends inside the third record
            }
            using var log = Open(disk, SmallSegments(records: 4));
            using var reader = log.OpenReader(1);

            ReadOn(reader).ShouldBeTexts(Lsns(1, 8).Where(lsn => lsn != segment + 1 && lsn != segment + 2));
            reader.SkippedRecords.ShouldBe(2);
            log.Recovery.SkippedRecords.ShouldBe(segment == 5 ? 2 : 0);
            log.Recovery.TruncatedBytes.ShouldBe(0);
        }
    }

    [Fact]
    public void Finds_the_next_record_behind_a_stretch_longer_than_its_buffer()
    {
        var disk = new FaultyDisk(1);
        using var log = Open(disk);
        AppendTexts(log, 1);
        var start = log.SizeBytes;
        var large = RandomBytes(new Random(1), 3_000_000);
        // A magic where none belongs must not stop the search.
        System.Buffers.Binary.BinaryPrimitives.WriteUInt32LittleEndian(large.AsSpan(200_000), RecordFormat.RecordMagic);
        log.Append(Header, large, out _);
        AppendTexts(log, 2);
        disk.FlipBit(PathOf(1), start, 0);

        using var reader = log.OpenReader(1);

        ReadOn(reader).ShouldBeTexts([1, 3, 4]);
        reader.SkippedRecords.ShouldBe(1);
    }

    [Fact]
    public void Finds_the_next_record_also_when_the_zeros_behind_the_last_are_torn()
    {
        var disk = Written(2);
        using (var log = Open(disk))
        {
            log.Append(Header, [1], out _).ShouldBe(AppendOutcome.Written);
        }
        using (var file = disk.Open(PathOf(1), writable: true))
        {
            file.SetLength(file.Length - 3);
        }
        disk.FlipBit(PathOf(1), OffsetOf(0), 0);

        using var again = Open(disk);

        ReadAll(again).Select(record => record.Lsn).ShouldBe([2, 3]);
        AppendTexts(again, 1);
        ReadAll(again).Select(record => record.Lsn).ShouldBe([2, 3, 4]);
    }

    [Fact]
    public void A_record_inside_a_payload_is_not_taken_for_one()
    {
        var disk = Written(3);
        var copy = disk.ReadAll(PathOf(1));
        using var log = Open(disk);
        log.Append(Header, copy, out var lsn).ShouldBe(AppendOutcome.Written);
        AppendTexts(log, 1);
        disk.FlipBit(PathOf(1), OffsetOf(3), 0); // the header of the record that holds the copy

        ReadAll(log).ShouldBeTexts([1, 2, 3, lsn + 1]);
    }

    [Fact]
    public void A_record_with_an_lsn_below_those_before_it_does_not_count()
    {
        var disk = Written(3);
        var record = new byte[RecordFormat.SizeOf(8)];
        var stale = new RecordPlace(2, SegmentFirstLsn: 1, OffsetOf(3));
        Text(2).CopyTo(record, RecordFormat.RecordHeaderBytes);
        RecordFormat.WriteRecordHeader(record, Header, stale, 8, Crc32C.Compute(Text(2)));
        using (var file = disk.Open(PathOf(1), writable: true))
        {
            file.Write(OffsetOf(3), record);
        }

        using var log = Open(disk);

        log.NextLsn.ShouldBe(4);
        log.Recovery.TruncatedBytes.ShouldBe(record.Length);
    }

    [Fact]
    public void A_damaged_segment_header_costs_nothing_and_is_mended_in_the_last_segment()
    {
        var disk = Written(6, SmallSegments(records: 4));
        Guid id;
        disk.FlipBit(PathOf(5), 20, 3);
        using (var log = Open(disk, SmallSegments(records: 4)))
        {
            id = log.Id;
            log.Recovery.DamagedHeaders.ShouldBe(1);
            ReadAll(log).ShouldBeTexts(Lsns(1, 6));
        }

        using var again = Open(disk, SmallSegments(records: 4));
        again.Recovery.DamagedHeaders.ShouldBe(0);
        again.Id.ShouldBe(id);
    }

    [Fact]
    public void Opens_over_a_segment_whose_creation_was_cut_short()
    {
        for (var length = 0; length < RecordFormat.SegmentHeaderBytes; length += 7)
        {
            var disk = Written(4, SmallSegments(records: 4));
            var header = new byte[RecordFormat.SegmentHeaderBytes];
            RecordFormat.WriteSegmentHeader(header, Guid.NewGuid(), 5);
            using (var file = disk.Open(PathOf(5), writable: true))
            {
                file.Write(0, header.AsSpan(0, length));
            }
            using (var log = Open(disk, SmallSegments(records: 4)))
            {
                log.NextLsn.ShouldBe(5);
                AppendTexts(log, 2);
                ReadAll(log).ShouldBeTexts(Lsns(1, 6));
            }
            using var again = Open(disk, SmallSegments(records: 4));
            ReadAll(again).ShouldBeTexts(Lsns(1, 6));
        }
    }

    [Fact]
    public void Empty_segments_left_by_failed_rolls_do_not_give_positions_out_twice()
    {
        foreach (var leftOver in (long[][])[[4], [6], [2, 4], [2, 4, 6]])
        {
            var disk = Written(6, SmallSegments(records: 8));
            foreach (var firstLsn in leftOver)
            {
                var header = new byte[RecordFormat.SegmentHeaderBytes];
                RecordFormat.WriteSegmentHeader(header, LogId, firstLsn);
                using var file = disk.Open(PathOf(firstLsn), writable: true);
                file.Write(0, header);
            }
            using (var log = Open(disk, SmallSegments(records: 8)))
            {
                log.NextLsn.ShouldBe(7);
                AppendTexts(log, 4);
                ReadAll(log).ShouldBeTexts(Lsns(1, 10));
                ReadAll(log, 5).ShouldBeTexts(Lsns(5, 10));
            }
            disk.ListFiles(Folder).Order().ShouldBe([RecordFormat.SegmentName(1), RecordFormat.SegmentName(9)]);
        }
    }

    [Fact]
    public void Other_files_in_the_folder_do_not_disturb()
    {
        var disk = Written(3);
        foreach (var name in (string[])["cursors", "notes.log", "0000000000000001.log.bak"])
        {
            using var file = disk.Open(System.IO.Path.Combine(Folder, name), writable: true);
            file.Write(0, [1, 2, 3]);
        }

        using var log = Open(disk);

        ReadAll(log).ShouldBeTexts(Lsns(1, 3));
    }

    [Fact]
    public void What_was_synced_survives_power_loss()
    {
        foreach (var kind in (CrashKind[])[CrashKind.PowerLossPrefix, CrashKind.PowerLossSubset])
        {
            for (var seed = 0; seed < 200; seed++)
            {
                var disk = new FaultyDisk(seed);
                var log = Open(disk, SmallSegments(records: 3));
                AppendTexts(log, seed % 20);
                log.Sync().ShouldBeTrue();
                log.SyncedLsn.ShouldBe(log.NextLsn);
                AppendTexts(log, seed % 7);

                using var after = Open(disk.Crash(kind), SmallSegments(records: 3));

                var synced = log.SyncedLsn;
                var read = ReadAll(after);
                read.Select(record => record.Lsn).Where(lsn => lsn < synced).ShouldBe(Lsns(1, synced - 1));
                read.ShouldAllBe(record => record.Payload.SequenceEqual(Text(record.Lsn)));
                after.NextLsn.ShouldBeInRange(synced, log.NextLsn);
            }
        }
    }

    [Fact]
    public void What_an_earlier_process_left_unsynced_is_synced_when_the_log_is_opened()
    {
        for (var seed = 0; seed < 50; seed++)
        {
            var disk = new FaultyDisk(seed);
            AppendTexts(Open(disk, SmallSegments(records: 3)), 8);
            disk = disk.Crash(CrashKind.Kill);
            Open(disk, SmallSegments(records: 3));

            using var log = Open(disk.Crash(CrashKind.PowerLossSubset), SmallSegments(records: 3));

            ReadAll(log).ShouldBeTexts(Lsns(1, 8));
        }
    }

    private static readonly Guid LogId = Guid.Parse("00112233-4455-6677-8899-aabbccddeeff");

    private static FaultyDisk Written(int records, RecordLogOptions? options = null)
    {
        var disk = new FaultyDisk(1);
        using var log = Open(disk, (options ?? new RecordLogOptions()) with { NewLogId = LogId });
        AppendTexts(log, records);
        return disk;
    }
}
