namespace Millrace.Log;

/// <summary>One file of a log, as its writer and its readers share it.</summary>
internal sealed class Segment(string path, long firstLsn, long committedBytes)
{
    private long _committedBytes = committedBytes;
    private long _endLsn = long.MaxValue;

    public string Path { get; } = path;

    public long FirstLsn { get; } = firstLsn;

    public bool HasDamagedHeader { get; init; }

    /// <summary>Whole records end here. Readers look no further; only the writer moves it.</summary>
    public long CommittedBytes
    {
        get => Volatile.Read(ref _committedBytes);
        set => Volatile.Write(ref _committedBytes, value);
    }

    /// <summary>Where the next segment begins: all records of this one are below it. Unlimited in the last.</summary>
    public long EndLsn
    {
        get => Volatile.Read(ref _endLsn);
        set => Volatile.Write(ref _endLsn, value);
    }
}

/// <summary>
/// The segments of a log in order. Thread-safe: the writer adds and removes while readers look for the next.
/// </summary>
internal sealed class SegmentList
{
    private readonly Lock _lock = new(); // covers _segments
    private readonly List<Segment> _segments = [];

    public int Count
    {
        get
        {
            lock (_lock)
            {
                return _segments.Count;
            }
        }
    }

    public long[] FirstLsnsDescending()
    {
        lock (_lock)
        {
            var lsns = _segments.ConvertAll(static segment => segment.FirstLsn);
            lsns.Reverse();
            return [.. lsns];
        }
    }

    public long SizeBytes
    {
        get
        {
            lock (_lock)
            {
                var size = 0L;
                foreach (var segment in _segments)
                {
                    size += segment.CommittedBytes;
                }
                return size;
            }
        }
    }

    public Segment First
    {
        get
        {
            lock (_lock)
            {
                return _segments[0];
            }
        }
    }

    public Segment Last
    {
        get
        {
            lock (_lock)
            {
                return _segments[^1];
            }
        }
    }

    public IReadOnlyList<Segment> Newest(int count)
    {
        lock (_lock)
        {
            return _segments.GetRange(Math.Max(0, _segments.Count - count), Math.Min(count, _segments.Count));
        }
    }

    public void Add(Segment segment)
    {
        lock (_lock)
        {
            if (_segments.Count > 0)
            {
                _segments[^1].EndLsn = segment.FirstLsn;
            }
            _segments.Add(segment);
        }
    }

    /// <summary>Where to look for a record: the last segment that begins at or before it, or the first.</summary>
    public Segment Holding(long lsn)
    {
        lock (_lock)
        {
            var index = _segments.Count - 1;
            while (index > 0 && _segments[index].FirstLsn > lsn)
            {
                index--;
            }
            return _segments[index];
        }
    }

    /// <summary>The first segment that begins behind this one; null when it is the last.</summary>
    public Segment? After(Segment segment)
    {
        lock (_lock)
        {
            foreach (var candidate in _segments)
            {
                if (candidate.FirstLsn > segment.FirstLsn)
                {
                    return candidate;
                }
            }
            return null;
        }
    }

    /// <summary>The oldest segment with the one behind it; false when there is only the active one.</summary>
    public bool TryGetOldest(out Segment oldest, out Segment next)
    {
        lock (_lock)
        {
            oldest = _segments[0];
            next = _segments[^1];
            if (_segments.Count < 2)
            {
                return false;
            }
            next = _segments[1];
            return true;
        }
    }

    public void Remove(Segment segment)
    {
        lock (_lock)
        {
            _segments.Remove(segment);
        }
    }
}
