using System.IO;

namespace Millrace.Log;

/// <summary>Opens the segments of a folder: reads their headers, and finds the end of the last one.</summary>
internal sealed class SegmentRecovery(string folder, IDisk disk)
{
    private int _damagedHeaders;
    private long _truncatedBytes;
    private long _skippedRecords;
    private readonly List<string> _leftOver = [];

    public SegmentList Segments { get; } = new();

    /// <summary>Empty when no segment has a good header.</summary>
    public Guid LogId { get; private set; }

    public long NextLsn { get; private set; } = 1;

    public RecoveryReport Report => new(Segments.Count, _truncatedBytes, _skippedRecords, _damagedHeaders);

    /// <summary>Reads only; nothing is changed, so it serves tools beside a running gateway too.</summary>
    public void Read()
    {
        var firstLsns = new List<long>();
        foreach (var name in disk.ListFiles(folder))
        {
            if (RecordFormat.TryParseSegmentName(name, out var firstLsn))
            {
                firstLsns.Add(firstLsn);
            }
        }
        firstLsns.Sort();
        var found = new List<Segment>();
        for (var i = 0; i < firstLsns.Count; i++)
        {
            var segment = ReadSegment(firstLsns[i]);
            // An empty segment before others was created by a roll that failed, and would be in the way of look-ups.
            if (segment.CommittedBytes <= RecordFormat.SegmentHeaderBytes && i < firstLsns.Count - 1)
            {
                _leftOver.Add(segment.Path);
            }
            else
            {
                found.Add(segment);
            }
        }
        FindEnd(found);
        foreach (var segment in found)
        {
            Segments.Add(segment);
        }
    }

    /// <summary>Makes the last segment ready for appends: cuts off a torn tail, mends its header.</summary>
    public void Repair(Segment last, IDiskFile file, Guid logId)
    {
        if (file.Length > last.CommittedBytes)
        {
            file.SetLength(last.CommittedBytes);
        }
        foreach (var path in _leftOver)
        {
            disk.Delete(path);
        }
        if (last.HasDamagedHeader)
        {
            Span<byte> header = stackalloc byte[RecordFormat.SegmentHeaderBytes];
            RecordFormat.WriteSegmentHeader(header, logId, last.FirstLsn);
            file.Write(0, header);
        }
    }

    private Segment ReadSegment(long firstLsn)
    {
        var path = Path.Combine(folder, RecordFormat.SegmentName(firstLsn));
        using var file = disk.Open(path, writable: false);
        var headerIsGood = ReadHeader(path, firstLsn, file);
        return new Segment(path, firstLsn, file.Length) { HasDamagedHeader = !headerIsGood };
    }

    private bool ReadHeader(string path, long firstLsn, IDiskFile file)
    {
        Span<byte> bytes = stackalloc byte[RecordFormat.SegmentHeaderBytes];
        var read = file.Read(0, bytes);
        if (!RecordFormat.TryReadSegmentHeader(bytes[..read], out var id, out var statedLsn, out var version))
        {
            _damagedHeaders++;
            return false;
        }
        if (version is > RecordFormat.Version or < RecordFormat.OldestVersion)
        {
            throw new LogOpenException(
                $"The log segment '{path}' has format version {version}; this release reads "
                + $"{RecordFormat.OldestVersion} to {RecordFormat.Version}. Run the release that wrote it (or a newer "
                + "one), or move the folder away to begin with an empty log.");
        }
        if (statedLsn != firstLsn)
        {
            throw new LogOpenException(
                $"The log segment '{path}' says that it begins with record {statedLsn}, which its name does not: it "
                + "was renamed or copied. Give it its own name back, or move it out of the folder.");
        }
        if (LogId != Guid.Empty && id != LogId)
        {
            throw new LogOpenException(
                $"The log segment '{path}' belongs to the log {id}, the segments before it to {LogId}: two logs were "
                + "put into one folder. Move the files of one of them into a folder of their own.");
        }
        LogId = id;
        return true;
    }

    private void FindEnd(List<Segment> segments)
    {
        if (segments.Count == 0)
        {
            return;
        }
        var last = segments[^1];
        FindEnd(last);
        if (NextLsn > last.FirstLsn || segments.Count < 2)
        {
            return;
        }
        // An empty last segment is new, or left over from a roll that failed, after which the one before it went on.
        var (nextLsn, truncated, skipped) = (NextLsn, _truncatedBytes, _skippedRecords);
        var length = segments[^2].CommittedBytes;
        FindEnd(segments[^2]);
        if (NextLsn > last.FirstLsn)
        {
            _leftOver.Add(last.Path);
            segments.RemoveAt(segments.Count - 1);
            return;
        }
        segments[^2].CommittedBytes = length;
        (NextLsn, _truncatedBytes, _skippedRecords) = (nextLsn, truncated, skipped);
    }

    private void FindEnd(Segment segment)
    {
        using var file = disk.Open(segment.Path, writable: false);
        var length = file.Length;
        var scanner = new SegmentScanner(file, segment.FirstLsn);
        NextLsn = segment.FirstLsn;
        _skippedRecords = 0;
        while (scanner.TryNext(length, fromLsn: 0, out var frame, out _))
        {
            _skippedRecords += frame.Lsn - NextLsn;
            NextLsn = frame.Lsn + 1;
        }
        segment.CommittedBytes = scanner.GoodEnd;
        _truncatedBytes = Math.Max(0, length - scanner.GoodEnd);
    }
}
