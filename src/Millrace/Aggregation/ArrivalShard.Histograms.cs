using Millrace.Aggregation.Histograms;
using Millrace.Memory;

namespace Millrace.Aggregation;

/// <summary>
/// Native histograms in arrival time: they belong to the window in which they come. The timestamps order those of a
/// series, and one that is older than what an earlier window counted is left out.
/// </summary>
internal sealed partial class ArrivalShard
{
    private readonly HistogramBook? _histograms; // null where no output takes histograms

    // With deduplication: of each series with histograms the survivor of the interval under way.
    private readonly SortedDictionary<int, (long TimeMs, NativeHistogram Sample)> _heldHistograms = [];
    private long _heldInterval;

    private long HeldEndMs => _heldInterval * Rule.DedupMs + Clock.OffsetMs;

    public override void AddHistogram(int slot, long timeMs, ReadOnlySpan<byte> message, long arrivalMs)
    {
        Counters.Histograms++;
        if (_histograms is null || _series[slot].Has(Marks.IsShared)
            || !HistogramCodec.TryRead(message, 0, out var sample))
        {
            Counters.UnusedHistograms++;
        }
        else if (Rule.Config.IgnoreOldSamples && timeMs < Rule.EndOf(ClosedThrough, Clock.OffsetMs))
        {
            Counters.CountLate(arrivalMs - timeMs);
        }
        else if (_dedup is null)
        {
            BookHistogram(slot, timeMs, sample, arrivalMs);
        }
        else
        {
            HoldHistogram(slot, timeMs, sample, arrivalMs);
        }
    }

    private void BookHistogram(int slot, long timeMs, NativeHistogram sample, long arrivalMs)
    {
        ref var series = ref _series[slot];
        if (_histograms!.IsOld(slot, timeMs))
        {
            Counters.OutOfOrder++;
            return;
        }
        Groups.TouchByHistogram(series.Group, arrivalMs);
        Use(slot, ref series, arrivalMs);
        var booking = _histograms.Add(_window, slot, series.Group, timeMs, sample, Groups.RowCount, Counters);
        Counters.Repeats += booking == Booking.New ? 0 : 1;
    }

    /// <summary>As for numbers: intervals go by arrival; what came before the first window waits for its end.</summary>
    private void HoldHistogram(int slot, long timeMs, NativeHistogram sample, long arrivalMs)
    {
        var firstMs = Rule.EndOf(Clock.FirstWholeWindow - 1, Clock.OffsetMs);
        var interval = Rule.DedupIntervalOf(Math.Max(arrivalMs, firstMs + 1), Clock.OffsetMs);
        if (interval > _heldInterval)
        {
            BookHeldHistograms(long.MaxValue);
            _heldInterval = interval;
        }
        if (!_heldHistograms.TryGetValue(slot, out var held))
        {
            _heldHistograms.Add(slot, (timeMs, sample));
            return;
        }
        Counters.DedupDropped++;
        if (timeMs > held.TimeMs || (timeMs == held.TimeMs && NativeHistogram.Compare(sample, held.Sample) > 0))
        {
            _heldHistograms[slot] = (timeMs, sample);
        }
    }

    /// <summary>The interval has ended by a time: for the rule its survivors arrive at its end.</summary>
    private void BookHeldHistograms(long nowMs)
    {
        if (_heldHistograms.Count == 0 || HeldEndMs > nowMs)
        {
            return;
        }
        foreach (var (slot, (timeMs, sample)) in _heldHistograms)
        {
            BookHistogram(slot, timeMs, sample, HeldEndMs);
        }
        _heldHistograms.Clear();
    }

    private void WriteHistograms(SnapshotWriter writer)
    {
        if (_histograms is null)
        {
            return;
        }
        _histograms.Write(writer);
        writer.Write(_heldInterval);
        writer.Write(_heldHistograms.Count);
        foreach (var (slot, (timeMs, sample)) in _heldHistograms)
        {
            writer.Write(slot);
            writer.Write(timeMs);
            HistogramRuns.Write(writer, sample);
        }
    }

    private void ReadHistograms(SnapshotReader reader)
    {
        if (_histograms is null)
        {
            return;
        }
        _histograms.Read(reader);
        _heldInterval = reader.ReadInt64();
        for (var count = reader.ReadInt32(); count > 0; count--)
        {
            _heldHistograms.Add(reader.ReadInt32(), (reader.ReadInt64(), HistogramRuns.ReadHistogram(reader)));
        }
    }
}
