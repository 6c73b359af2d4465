using Millrace.Memory;

namespace Millrace.Aggregation;

/// <summary>
/// When series of a window were declared gone: the time of the last stale marker of each, in milliseconds from the
/// window's start. For outputs that show what is there at the window's end; few series have one.
/// </summary>
internal sealed class StaleMarkers
{
    private const ulong Bits = 0x7FF0000000000002;

    private readonly SortedDictionary<int, int> _offsets = []; // by series slot

    public static bool IsMarker(double value) => BitConverter.DoubleToUInt64Bits(value) == Bits;

    public void Add(int slot, int offset) =>
        _offsets[slot] = _offsets.TryGetValue(slot, out var known) ? Math.Max(known, offset) : offset;

    public bool Has(int slot) => _offsets.ContainsKey(slot);

    /// <summary>A sample and a marker at one time: the series is there.</summary>
    public bool IsGone(int slot, long lastSampleOffset) =>
        _offsets.TryGetValue(slot, out var offset) && offset > lastSampleOffset;

    public void Clear() => _offsets.Clear();

    public void Write(SnapshotWriter writer)
    {
        writer.Write(_offsets.Count);
        foreach (var (slot, offset) in _offsets)
        {
            writer.Write(slot);
            writer.Write(offset);
        }
    }

    public void Read(SnapshotReader reader)
    {
        for (var count = reader.ReadInt32(); count > 0; count--)
        {
            _offsets.Add(reader.ReadInt32(), reader.ReadInt32());
        }
    }
}
