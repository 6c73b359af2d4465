using System.Runtime.InteropServices;
using Millrace.Memory;

namespace Millrace.Aggregation;

/// <summary>A sample of an open window as <c>dedup: exact</c> remembers it.</summary>
internal struct RememberedSample
{
    public double Value;

    /// <summary>Milliseconds from the window's start.</summary>
    public int Offset;

    /// <summary>When the counter began, in milliseconds from the window's start; or <see cref="NoStart"/>.</summary>
    public int StartOffset;

    public const int NoStart = int.MinValue;
}

/// <summary>
/// All samples of one open window, by series and time: 16 bytes a sample. With them every repeat is known, and counters
/// are exact whatever came in which order. Bounded: a sample too many is not remembered, and its series falls back on
/// what a rule without it knows: its runs.
/// </summary>
internal sealed class RememberedSamples
{
    /// <summary>More than four a second in a window of an hour.</summary>
    public const int MaxPerSeries = 16_384;

    /// <summary>Of all series of a shard in one window: 64 MiB.</summary>
    public const int MaxSamples = 4 << 20;

    /// <summary>Longer lists are not kept: what they hold in reserve would not be bounded by anything.</summary>
    private const int MaxKept = 1024;

    private readonly List<List<RememberedSample>?> _bySlot = []; // lists are kept from window to window
    private readonly HashSet<int> _incomplete = [];
    private int _count;

    /// <summary>In order of time; empty where the series has none.</summary>
    public ReadOnlySpan<RememberedSample> this[int slot] =>
        slot < _bySlot.Count ? CollectionsMarshal.AsSpan(_bySlot[slot]) : default;

    /// <summary>Whether every sample of the series is there.</summary>
    public bool IsComplete(int slot) => _incomplete.Count == 0 || !_incomplete.Contains(slot);

    /// <summary>False, and nothing known of it, if the sample would be one too many.</summary>
    public bool TryAdd(int slot, in RememberedSample sample, out Booking booking, out double oldValue)
    {
        var samples = SamplesOf(slot);
        var at = samples.Count;
        while (at > 0 && samples[at - 1].Offset > sample.Offset)
        {
            at--;
        }
        if (at > 0 && samples[at - 1].Offset == sample.Offset)
        {
            ref var known = ref CollectionsMarshal.AsSpan(samples)[at - 1];
            oldValue = known.Value;
            booking = sample.Value > oldValue ? Booking.Replaced : Booking.Repeat;
            if (booking == Booking.Replaced)
            {
                known = sample;
            }
            return true;
        }
        (booking, oldValue) = (Booking.New, 0);
        if (samples.Count >= MaxPerSeries || _count >= MaxSamples)
        {
            _incomplete.Add(slot);
            return false;
        }
        samples.Insert(at, sample);
        _count++;
        return true;
    }

    public void Remove(int slot)
    {
        if (slot < _bySlot.Count && _bySlot[slot] is { Count: > 0 } samples)
        {
            _count -= samples.Count;
            samples.Clear();
            _bySlot[slot] = samples.Capacity > MaxKept ? null : samples;
            _incomplete.Remove(slot);
        }
    }

    public void Write(SnapshotWriter writer)
    {
        var slots = 0;
        foreach (var samples in _bySlot)
        {
            slots += samples is { Count: > 0 } ? 1 : 0;
        }
        writer.Write(slots);
        for (var slot = 0; slot < _bySlot.Count; slot++)
        {
            if (_bySlot[slot] is { Count: > 0 } samples)
            {
                writer.Write(slot);
                writer.Write(IsComplete(slot) ? 1 : 0);
                writer.WriteSpan<RememberedSample>(CollectionsMarshal.AsSpan(samples));
            }
        }
    }

    public void Read(SnapshotReader reader)
    {
        for (var count = reader.ReadInt32(); count > 0; count--)
        {
            var slot = reader.ReadInt32();
            if (reader.ReadInt32() == 0)
            {
                _incomplete.Add(slot);
            }
            var samples = SamplesOf(slot);
            samples.AddRange(reader.ReadSpan<RememberedSample>());
            _count += samples.Count;
        }
    }

    private List<RememberedSample> SamplesOf(int slot)
    {
        while (_bySlot.Count <= slot)
        {
            _bySlot.Add(null);
        }
        return _bySlot[slot] ??= [];
    }
}
