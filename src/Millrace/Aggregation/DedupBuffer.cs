using Millrace.Memory;

namespace Millrace.Aggregation;

/// <summary>
/// What deduplication holds back in arrival time: per series the sample with the largest time that came in the dedup
/// interval under way, of equal times the one with the larger value. As in vmagent, the survivors reach the outputs
/// when the interval ends.
/// </summary>
internal sealed class DedupBuffer
{
    private struct Held
    {
        public long TimeMs;
        public double Value;
        public long StartMs;
        public bool IsHeld;
    }

    private readonly Column<Held> _held = new(); // by series slot

    /// <summary>The interval under way; it ends at <c>Interval</c> times its length.</summary>
    public long Interval { get; set; }

    public int Count { get; private set; }

    public bool Holds(int slot) => _held[slot].IsHeld;

    public void Reserve(int seriesCount) => _held.EnsureCapacity(seriesCount);

    /// <summary>False when a sample was lost by it: this one, or one that was held before.</summary>
    public bool TryHold(int slot, long timeMs, double value, long startMs)
    {
        ref var held = ref _held[slot];
        var isFirst = !held.IsHeld;
        if (isFirst || timeMs > held.TimeMs || (timeMs == held.TimeMs && SampleOrder.IsLarger(value, held.Value)))
        {
            held = new Held { TimeMs = timeMs, Value = value, StartMs = startMs, IsHeld = true };
        }
        Count += isFirst ? 1 : 0;
        return isFirst;
    }

    public void Take(int slot, out long timeMs, out double value, out long startMs)
    {
        ref var held = ref _held[slot];
        (timeMs, value, startMs) = (held.TimeMs, held.Value, held.StartMs);
        held = default;
        Count--;
    }

    public void Write(SnapshotWriter writer, int seriesCount)
    {
        writer.Write(Interval);
        writer.Write(Count);
        for (var slot = 0; slot < seriesCount; slot++)
        {
            ref var held = ref _held[slot];
            writer.Write(held.IsHeld ? 1 : 0);
            writer.Write(held.TimeMs);
            writer.Write(held.Value);
            writer.Write(held.StartMs);
        }
    }

    public void Read(SnapshotReader reader, int seriesCount)
    {
        Interval = reader.ReadInt64();
        Count = reader.ReadInt32();
        Reserve(seriesCount);
        for (var slot = 0; slot < seriesCount; slot++)
        {
            _held[slot] = new Held
            {
                IsHeld = reader.ReadInt32() != 0,
                TimeMs = reader.ReadInt64(),
                Value = reader.ReadDouble(),
                StartMs = reader.ReadInt64(),
            };
        }
    }
}
