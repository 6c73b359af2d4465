namespace Millrace.Aggregation;

/// <summary>
/// Deduplication in front of a shard in event time: the samples of a window are held, and what survives is booked when
/// it closes.
/// </summary>
internal sealed partial class EventShard
{
    private void Hold(PendingSamples samples, long arrivalMs, ShardScratch scratch)
    {
        var ahead = WindowOf(arrivalMs) + 1;
        for (var i = 0; i < samples.Count; i++)
        {
            var timeMs = samples.TimesMs[i];
            if (double.IsNaN(samples.Values[i]))
            {
                Counters.NotANumber++;
                continue;
            }
            var window = WindowFor(timeMs, ahead);
            if (window is null)
            {
                Refuse(samples, i, arrivalMs);
                continue;
            }
            var slot = samples.Slots[i];
            if (_series[slot].IsShared)
            {
                // Several series past the bound: nobody knows which of them the sample belongs to.
                scratch.Survivors.Add(slot, timeMs, samples.Values[i], samples.StartsMs[i]);
                continue;
            }
            var isNew = window.Dedup!.TryHold(
                slot, (int)(timeMs - window.StartMs), samples.Values[i], samples.StartsMs[i]);
            Counters.DedupDropped += isNew ? 0 : 1;
        }
        BookSurvivors(scratch, arrivalMs);
    }

    /// <summary>What was held back of a window goes the way of samples, series by series.</summary>
    private void BookSurvivors(WindowState window, ShardScratch scratch)
    {
        foreach (var (slot, held) in window.Histograms?.Held ?? [])
        {
            foreach (var (_, timeMs, sample) in held)
            {
                BookHistogram(window, slot, timeMs, sample);
            }
        }
        window.Histograms?.Held.Clear();
        if (window.Dedup is not { } dedup)
        {
            return;
        }
        var survivors = scratch.Survivors;
        var endMs = Rule.EndOf(window.Window, Clock.OffsetMs);
        for (var slot = 0; slot < Series.SlotCount; slot++)
        {
            for (var entry = dedup.Begin(slot); entry >= 0;)
            {
                entry = dedup.Take(entry, out var offset, out var value, out var startMs);
                survivors.Add(slot, window.StartMs + offset, value, startMs);
                if (survivors.Count == PendingSamples.Capacity)
                {
                    BookSurvivors(scratch, endMs);
                }
            }
        }
        BookSurvivors(scratch, endMs);
        dedup.Clear();
    }

    private void BookSurvivors(ShardScratch scratch, long arrivalMs)
    {
        if (scratch.Survivors.Count > 0)
        {
            BookAll(scratch.Survivors, arrivalMs, scratch);
            scratch.Survivors.Count = 0;
        }
    }
}
