using System.Runtime.CompilerServices;

namespace Millrace.Aggregation;

/// <summary>
/// Times of many rows, each kept in its row as 32 bits: milliseconds from an origin that moves on with the present, so
/// that 24 days before and behind it fit. Of other times, which only a wrong clock or an odd configuration brings, the
/// whole is kept beside. Nothing is rounded, and the origin shows nowhere.
/// </summary>
internal sealed class NarrowTimes(long originMs)
{
    /// <summary>The origin is left behind so far before it moves.</summary>
    private const long MaxAgeMs = 10L * 24 * 3600 * 1000;

    private const int Far = int.MinValue;

    private readonly Dictionary<int, long> _far = []; // by row
    private long _originMs = originMs;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public long TimeOf(int row, int offset) => offset != Far ? _originMs + offset : _far[row];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int OffsetOf(int row, long timeMs)
    {
        var offset = timeMs - _originMs;
        return offset == (int)offset && offset != Far ? (int)offset : KeepWhole(row, timeMs);
    }

    /// <summary>The row is free.</summary>
    public void Forget(int row)
    {
        if (_far.Count > 0)
        {
            _far.Remove(row);
        }
    }

    /// <summary>Whether offsets must be taken anew, from <see cref="Move"/> on.</summary>
    public bool MustMove(long nowMs) => nowMs - _originMs is > MaxAgeMs or < -MaxAgeMs;

    /// <summary>The present is the origin; returns by how much it moved, for <see cref="Moved"/>.</summary>
    public long Move(long nowMs)
    {
        var byMs = nowMs - _originMs;
        _originMs = nowMs;
        return byMs;
    }

    /// <summary>The offset of a row behind a move.</summary>
    public int Moved(int row, int offset, long byMs)
    {
        if (offset != Far)
        {
            return OffsetOf(row, _originMs - byMs + offset);
        }
        _far.Remove(row, out var timeMs);
        return OffsetOf(row, timeMs);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private int KeepWhole(int row, long timeMs)
    {
        _far[row] = timeMs;
        return Far;
    }
}
