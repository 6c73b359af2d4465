namespace Millrace.Log;

/// <summary>
/// Refuses appends before the disk is full, so that what must still be written (closes, outputs) has room: others may
/// go down to <c>minFreeBytes</c>, reserved ones to a quarter of it. Once refusing, it waits until a quarter more than
/// the limit is free, so that it does not flap. The disk is asked once per second; between, what we write is deducted.
/// </summary>
internal sealed class FreeSpaceGuard(string folder, IDisk disk, TimeProvider time, long minFreeBytes)
{
    private static readonly TimeSpan CheckInterval = TimeSpan.FromSeconds(1);

    private readonly Lock _lock = new(); // covers all fields
    private bool _checked;
    private long _checkedAt;
    private long _freeBytes = long.MaxValue;
    private bool _refusesReserved;
    private bool _refusesOthers;
    private bool _writeFailed; // the disk said that it is full: nobody tries again before the next check

    public bool Allows(bool reserved)
    {
        lock (_lock)
        {
            return AllowsLocked(0, reserved);
        }
    }

    /// <summary>True when this many bytes may be written; they are then taken as written.</summary>
    public bool TryTake(long bytes, bool reserved)
    {
        lock (_lock)
        {
            if (!AllowsLocked(bytes, reserved))
            {
                return false;
            }
            _freeBytes -= bytes;
            return true;
        }
    }

    public void WriteFailed()
    {
        lock (_lock)
        {
            _writeFailed = true;
            _checked = true;
            _checkedAt = time.GetTimestamp();
        }
    }

    private bool AllowsLocked(long bytes, bool reserved)
    {
        if (!_checked || time.GetElapsedTime(_checkedAt) >= CheckInterval)
        {
            _checked = true;
            _checkedAt = time.GetTimestamp();
            _writeFailed = false;
            _freeBytes = minFreeBytes > 0 ? MeasureFreeBytes() : long.MaxValue;
        }
        _refusesReserved = Refuses(_refusesReserved, minFreeBytes / 4, bytes);
        _refusesOthers = Refuses(_refusesOthers, minFreeBytes, bytes);
        return !_writeFailed && !(reserved ? _refusesReserved : _refusesOthers);
    }

    private bool Refuses(bool refused, long limit, long bytes) =>
        limit > 0 && _freeBytes - bytes < (refused ? limit + limit / 4 : limit);

    private long MeasureFreeBytes()
    {
        try
        {
            return disk.FreeBytes(folder);
        }
        catch (Exception e) when (DiskError.Is(e))
        {
            return long.MaxValue; // Nobody knows; the write will tell.
        }
    }
}
