using System.Text;
using Millrace.Log;
using Millrace.TestKit;

namespace Millrace.Tests.Log;

/// <summary>What the tests of the log share: a clock, small segments, payloads that tell themselves apart.</summary>
internal static class LogTesting
{
    public const string Folder = "/log";

    public static readonly RecordHeader Header = new() { Type = RecordType.Batch, FormatVersion = 1 };

    public static ManualTimeProvider Clock() => new(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero));

    public static RecordLog Open(IDisk disk, RecordLogOptions? options = null, TimeProvider? time = null) =>
        RecordLog.Open(Folder, options ?? new RecordLogOptions(), disk, time ?? Clock());

    /// <summary>Options under which a segment holds about this many payloads of <see cref="Text"/>.</summary>
    public static RecordLogOptions SmallSegments(int records = 4) =>
        new() { SegmentBytes = RecordFormat.SegmentHeaderBytes + records * RecordFormat.SizeOf(8) };

    public static byte[] Text(long number) => Encoding.ASCII.GetBytes($"r{number:d7}");

    public static byte[] RandomBytes(Random random, int maxLength)
    {
        var bytes = new byte[random.Next(maxLength + 1)];
        random.NextBytes(bytes);
        return bytes;
    }

    public static void AppendTexts(RecordLog log, int count)
    {
        for (var i = 0; i < count; i++)
        {
            log.Append(Header, Text(log.NextLsn), out _).ShouldBe(AppendOutcome.Written);
        }
    }

    public static List<(long Lsn, byte[] Payload)> ReadAll(RecordLog log, long fromLsn = 1)
    {
        using var reader = log.OpenReader(fromLsn);
        return ReadOn(reader);
    }

    public static List<(long Lsn, byte[] Payload)> ReadOn(LogReader reader)
    {
        var records = new List<(long, byte[])>();
        while (reader.TryRead(out var record))
        {
            records.Add((record.Lsn, record.Payload.ToArray()));
        }
        reader.Failure.ShouldBeNull();
        return records;
    }

    /// <summary>The records are exactly these LSNs, with the payload that <see cref="Text"/> gives them.</summary>
    public static void ShouldBeTexts(this List<(long Lsn, byte[] Payload)> records, IEnumerable<long> lsns)
    {
        records.Select(record => record.Lsn).ShouldBe(lsns);
        records.ShouldAllBe(record => record.Payload.SequenceEqual(Text(record.Lsn)));
    }

    public static IEnumerable<long> Lsns(long first, long last)
    {
        for (var lsn = first; lsn <= last; lsn++)
        {
            yield return lsn;
        }
    }

    public static string PathOf(long firstLsn) => System.IO.Path.Combine(Folder, RecordFormat.SegmentName(firstLsn));

    /// <summary>Where record n of a segment of <see cref="Text"/> payloads begins, from 0.</summary>
    public static long OffsetOf(int record) => RecordFormat.SegmentHeaderBytes + record * RecordFormat.SizeOf(8);
}

/// <summary>A folder of its own for tests on real files.</summary>
internal sealed class TempFolder : IDisposable
{
    public string Path { get; } = System.IO.Directory.CreateTempSubdirectory("millrace-log-").FullName;

    public void Dispose() => System.IO.Directory.Delete(Path, recursive: true);
}
