using Millrace.Log;
using Millrace.TestKit;
using static Millrace.Tests.Log.LogTesting;

namespace Millrace.Tests.Log;

public class LogReaderTests
{
    [Fact]
    public void Sees_what_is_appended_after_it_came_to_the_end()
    {
        using var log = Open(new FaultyDisk(1), SmallSegments(records: 3));
        using var reader = log.OpenReader(1);
        for (var round = 0; round < 20; round++)
        {
            reader.TryRead(out _).ShouldBeFalse();
            AppendTexts(log, round % 4);
            ReadOn(reader).ShouldBeTexts(Lsns(log.NextLsn - round % 4, log.NextLsn - 1));
            reader.NextLsn.ShouldBe(log.NextLsn);
        }
    }

    [Fact]
    public void Begins_at_any_record_also_one_that_is_yet_to_come()
    {
        using var log = Open(new FaultyDisk(1), SmallSegments(records: 3));
        AppendTexts(log, 10);
        using var early = log.OpenReader(14);
        early.TryRead(out _).ShouldBeFalse();
        for (var from = -1; from <= 11; from++)
        {
            ReadAll(log, from).ShouldBeTexts(Lsns(Math.Max(1, from), 10));
        }

        AppendTexts(log, 5);

        ReadOn(early).ShouldBeTexts([14, 15]);
        early.SkippedRecords.ShouldBe(0);
        early.DroppedRecords.ShouldBe(0);
    }

    [Fact]
    public void Reads_on_in_a_segment_that_is_deleted_under_it()
    {
        using var log = Open(new FaultyDisk(1), SmallSegments(records: 4));
        AppendTexts(log, 12);
        using var reader = log.OpenReader(1);
        reader.TryRead(out _).ShouldBeTrue();

        log.DropOldestSegment(out _);

        ReadOn(reader).ShouldBeTexts(Lsns(2, 12));
        reader.DroppedRecords.ShouldBe(0);
    }

    [Fact]
    public void Tells_what_was_dropped_before_it_came_there()
    {
        using var log = Open(new FaultyDisk(1), SmallSegments(records: 4));
        AppendTexts(log, 14);
        using var opened = log.OpenReader(1);
        using var unopened = log.OpenReader(2);
        opened.TryRead(out _).ShouldBeTrue();

        log.ReleaseBefore(9);
        using var behind = log.OpenReader(5);

        ReadOn(opened).ShouldBeTexts([2, 3, 4, 9, 10, 11, 12, 13, 14]);
        opened.DroppedRecords.ShouldBe(4);
        unopened.TryRead(out var record).ShouldBeTrue();
        (record.Lsn, record.MissingBefore).ShouldBe((9, 7));
        unopened.DroppedRecords.ShouldBe(7);
        behind.TryRead(out record).ShouldBeTrue();
        (record.Lsn, record.MissingBefore).ShouldBe((9, 4));
        behind.DroppedRecords.ShouldBe(4);
        behind.SkippedRecords.ShouldBe(0);
    }

    [Fact]
    public void Tells_a_gap_with_the_record_behind_it()
    {
        var disk = new FaultyDisk(1);
        using var log = Open(disk, SmallSegments(records: 4));
        AppendTexts(log, 9);
        disk.FlipBit(PathOf(1), OffsetOf(2) + RecordFormat.RecordHeaderBytes, 0); // payload of record 3
        disk.FlipBit(PathOf(1), OffsetOf(3) + 20, 0); // header of record 4
        disk.FlipBit(PathOf(5), OffsetOf(0) + 20, 0);
        using var reader = log.OpenReader(1);

        var gaps = new List<(long, long)>();
        while (reader.TryRead(out var record))
        {
            gaps.Add((record.Lsn, record.MissingBefore));
        }

        gaps.ShouldBe([(1, 0), (2, 0), (6, 3), (7, 0), (8, 0), (9, 0)]);
        reader.SkippedRecords.ShouldBe(3);
        reader.DroppedRecords.ShouldBe(0);
    }

    [Fact]
    public void Skips_nothing_because_the_disk_cannot_be_read_just_now()
    {
        var disk = new FaultyDisk(1);
        using var log = Open(disk, SmallSegments(records: 4));
        AppendTexts(log, 9);
        using var reader = log.OpenReader(1);
        var read = new List<(long Lsn, byte[] Payload)>();
        for (var round = 0; read.Count < 9; round++)
        {
            disk.FailNextReads(round % 2);
            if (reader.TryRead(out var record))
            {
                read.Add((record.Lsn, record.Payload.ToArray()));
            }
            else
            {
                reader.Failure!.ShouldContain("Input/output error");
            }
            disk.FailNextReads(0);
        }

        read.ShouldBeTexts(Lsns(1, 9));
        reader.TryRead(out _).ShouldBeFalse();
        reader.Failure.ShouldBeNull();
        reader.SkippedRecords.ShouldBe(0);
    }

    [Fact]
    public void Reads_records_of_any_size_in_any_order_of_sizes()
    {
        using var log = Open(new FaultyDisk(1), new RecordLogOptions { SegmentBytes = 20 << 20 });
        var random = new Random(9);
        var expected = new List<byte[]>();
        int[] sizes = [0, 1, 7, 8, 9, 262_055, 262_056, 262_057, 300_000, 100, 9_000_000, 3, 65_448, 65_449];
        foreach (var size in sizes)
        {
            var payload = new byte[size];
            random.NextBytes(payload);
            expected.Add(payload);
            log.Append(Header, payload.AsSpan(0, size / 3), payload.AsSpan(size / 3), out _)
                .ShouldBe(AppendOutcome.Written);
        }

        var read = ReadAll(log);
        read.Count.ShouldBe(expected.Count);
        read.ShouldAllBe(record => record.Payload.SequenceEqual(expected[(int)record.Lsn - 1]));
    }

    [Fact]
    public void Misses_nothing_that_is_appended_while_it_looks_at_the_end()
    {
        var disk = new HookedDisk(new FaultyDisk(1));
        using var log = Open(disk, SmallSegments(records: 4));
        using var reader = log.OpenReader(1);
        disk.OnRead = () => AppendTexts(log, 6); // after the reader saw an empty segment, before it asks for the next

        ReadOn(reader).ShouldBeTexts(Lsns(1, 6));
        reader.SkippedRecords.ShouldBe(0);
    }

    /// <summary>Does something once, when a file is next opened for reading.</summary>
    private sealed class HookedDisk(IDisk disk) : IDisk
    {
        public Action? OnRead { get; set; }

        public void CreateFolder(string folder) => disk.CreateFolder(folder);

        public IReadOnlyList<string> ListFiles(string folder) => disk.ListFiles(folder);

        public IDiskFile Open(string path, bool writable)
        {
            if (!writable && OnRead is { } action)
            {
                OnRead = null;
                action();
            }
            return disk.Open(path, writable);
        }

        public void Delete(string path) => disk.Delete(path);

        public void SyncFolder(string folder) => disk.SyncFolder(folder);

        public long FreeBytes(string folder) => disk.FreeBytes(folder);

        public IDisposable? TryLock(string path) => disk.TryLock(path);
    }
}
