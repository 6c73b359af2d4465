namespace Millrace.Pipeline;

/// <summary>One record of what a rule wrote in a window; large ones are in several parts.</summary>
internal readonly record struct DerivedPart(UInt128 Rule, long WindowEndMs, int Part);

/// <summary>
/// What of the rules' outputs is on its way into the log for other rules. Between the close of a window and the records
/// of its outputs no rule that takes them may close: the closes under way say from when on. And while a log is
/// replayed, the records found in it say which windows need none any more. Nothing here decides a value: a replay has
/// the closes and the records in their order.
/// </summary>
internal sealed class Derivations
{
    private readonly Lock _lock = new(); // covers everything
    private readonly Dictionary<UInt128, List<long>> _underWay = []; // by taker: ends of the first windows closed
    private readonly HashSet<DerivedPart> _found = [];

    /// <summary>A close was handed over; a rule that takes what it gives waits with its own from there on.</summary>
    public void Begin(UInt128 taker, long fromMs)
    {
        lock (_lock)
        {
            if (!_underWay.TryGetValue(taker, out var ends))
            {
                _underWay.Add(taker, ends = []);
            }
            ends.Add(fromMs);
        }
    }

    /// <summary>All of it is in the log.</summary>
    public void End(UInt128 taker, long fromMs)
    {
        lock (_lock)
        {
            if (_underWay.TryGetValue(taker, out var ends) && ends.Remove(fromMs) && ends.Count == 0)
            {
                _underWay.Remove(taker);
            }
        }
    }

    /// <summary>The end of the first window whose outputs are under way to a rule; none: the end of time.</summary>
    public long UnderWayFromMs(UInt128 taker)
    {
        lock (_lock)
        {
            var fromMs = long.MaxValue;
            foreach (var end in _underWay.TryGetValue(taker, out var ends) ? ends : [])
            {
                fromMs = Math.Min(fromMs, end);
            }
            return fromMs;
        }
    }

    /// <summary>A replay has come to a record.</summary>
    public void Found(DerivedPart part)
    {
        lock (_lock)
        {
            _found.Add(part);
        }
    }

    /// <summary>Whether a record is in the log already; it is asked for once.</summary>
    public bool TakeFound(DerivedPart part)
    {
        lock (_lock)
        {
            return _found.Remove(part);
        }
    }

    /// <summary>All closes of before the start have been worked off: what is left belongs to none of them.</summary>
    public void ForgetFound()
    {
        lock (_lock)
        {
            _found.Clear();
        }
    }
}
