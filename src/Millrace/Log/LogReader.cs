using System.IO;

namespace Millrace.Log;

/// <summary>
/// Reads a log in order, from its own file handles. For one thread. Gaps (damage, segments dropped before they were
/// read, LSNs left out) never stop it: they are counted, and told with the record behind them.
/// </summary>
internal sealed class LogReader : IDisposable
{
    private readonly IDisk _disk;
    private readonly SegmentList _segments;
    private readonly long _fromLsn;

    private Segment _segment;
    private IDiskFile? _file;
    private SegmentScanner? _scanner;
    private long _missing; // records missing since the last one given

    internal LogReader(IDisk disk, SegmentList segments, long fromLsn)
    {
        (_disk, _segments, _fromLsn, NextLsn) = (disk, segments, Math.Max(1, fromLsn), Math.Max(1, fromLsn));
        _segment = segments.Holding(NextLsn);
        DroppedRecords = MoveOver(_segment.FirstLsn);
    }

    /// <summary>The record that the next read will give, if nothing is missing.</summary>
    public long NextLsn { get; private set; }

    /// <summary>Records that are damaged, or whose LSNs were left out.</summary>
    public long SkippedRecords { get; private set; }

    /// <summary>Records whose segment was deleted before they were read.</summary>
    public long DroppedRecords { get; private set; }

    /// <summary>Why the last read gave nothing although there is something; null when all is well.</summary>
    public string? Failure { get; private set; }

    /// <summary>
    /// The next record; false at the present end of the log, and while the disk does not let itself be read
    /// (<see cref="Failure"/>), which is no reason to skip what may be readable later.
    /// </summary>
    public bool TryRead(out LogRecord record)
    {
        record = default;
        try
        {
            while (true)
            {
                var end = _segment.CommittedBytes;
                if (TryOpen() && _scanner!.TryNext(end, _fromLsn, out var frame, out var payload))
                {
                    SkippedRecords += MoveOver(frame.Lsn);
                    record = new LogRecord(frame.Lsn, frame.Header, payload, _missing);
                    (NextLsn, _missing, Failure) = (frame.Lsn + 1, 0, null);
                    return true;
                }
                if (!TryMoveOn(end))
                {
                    Failure = null;
                    return false;
                }
            }
        }
        catch (Exception e) when (DiskError.Is(e))
        {
            Failure = $"Cannot read the log segment '{_segment.Path}': {e.Message}";
            return false;
        }
    }

    public void Dispose() => _file?.Dispose();

    /// <summary>False when the segment was deleted before this reader came to it.</summary>
    private bool TryOpen()
    {
        if (_file is not null)
        {
            return true;
        }
        try
        {
            _file = _disk.Open(_segment.Path, writable: false);
        }
        catch (FileNotFoundException) when (_segments.After(_segment) is not null)
        {
            return false;
        }
        _scanner = new SegmentScanner(_file, _segment.FirstLsn);
        return true;
    }

    /// <summary>Goes to the next segment, or notices that this one has grown; false when neither is so.</summary>
    private bool TryMoveOn(long readEnd)
    {
        if (_segments.After(_segment) is not { } next)
        {
            return _segment.CommittedBytes > readEnd;
        }
        // A segment with a successor is complete, but this one may have got its last records after we looked.
        var wasRead = _file is not null;
        if (wasRead && _segment.CommittedBytes > readEnd)
        {
            return true;
        }
        var missing = MoveOver(_segment.EndLsn);
        SkippedRecords += wasRead ? missing : 0;
        DroppedRecords += wasRead ? 0 : missing;
        DroppedRecords += MoveOver(next.FirstLsn);
        _file?.Dispose();
        (_segment, _file, _scanner) = (next, null, null);
        return true;
    }

    /// <summary>Goes on at a later record; returns how many are left out by that.</summary>
    private long MoveOver(long lsn)
    {
        var missing = Math.Max(0, lsn - NextLsn);
        NextLsn += missing;
        _missing += missing;
        return missing;
    }
}
