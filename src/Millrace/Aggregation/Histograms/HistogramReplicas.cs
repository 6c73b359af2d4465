using Millrace.Memory;

namespace Millrace.Aggregation.Histograms;

/// <summary>
/// Which histograms of a series that several replicas send are counted: chosen as for numbers (see
/// <see cref="ReplicaFilter"/>), the number being the histogram's count. Only series with histograms have a row.
/// </summary>
internal sealed class HistogramReplicas(HaConfig config)
{
    private sealed class Series(int row)
    {
        public int Row { get; } = row;

        /// <summary>The messages of the samples that the filter holds.</summary>
        public List<(long TimeMs, byte[] Message)> Held { get; } = [];

        /// <summary>Of several at that time the last one that came. There must be one.</summary>
        public (long TimeMs, byte[] Message) HeldAt(long timeMs)
        {
            var at = Held.Count - 1;
            while (Held[at].TimeMs != timeMs)
            {
                at--;
            }
            return Held[at];
        }
    }

    private readonly ReplicaFilter _filter = new(config);
    private readonly SortedDictionary<int, Series> _series = []; // by slot
    private readonly Stack<int> _freeRows = new();
    private int _rowCount;

    /// <summary>A series takes a slot.</summary>
    public void Begin(int slot, ShardCounters counters)
    {
        if (_series.TryGetValue(slot, out var before))
        {
            _series.Remove(slot);
            _filter.Begin(before.Row, counters);
            _freeRows.Push(before.Row);
        }
    }

    /// <summary>Adds to <paramref name="counted"/> what counts because of the next histogram.</summary>
    /// <param name="slot">The series.</param>
    /// <param name="replica">Who sends it.</param>
    /// <param name="timeMs">Its timestamp.</param>
    /// <param name="message">Its bytes.</param>
    /// <param name="arrivalMs">The record's.</param>
    /// <param name="scratch">Overwritten.</param>
    /// <param name="counted">Behind what is in it.</param>
    /// <param name="counters">The shard's.</param>
    public void Filter(
        int slot, uint replica, long timeMs, ReadOnlySpan<byte> message, long arrivalMs, PendingSamples scratch,
        List<(long TimeMs, byte[] Message)> counted, ShardCounters counters)
    {
        if (!_series.TryGetValue(slot, out var series))
        {
            _series.Add(slot, series = NewSeries(counters));
        }
        series.Held.Add((timeMs, message.ToArray()));
        scratch.Count = 0;
        _filter.Filter(
            series.Row, replica, timeMs, HistogramCodec.CountOf(message), startMs: 0, arrivalMs, scratch, counters);
        for (var i = 0; i < scratch.Count; i++)
        {
            counted.Add(series.HeldAt(scratch.TimesMs[i]));
        }
        scratch.Count = 0;
        for (var i = series.Held.Count - 1; i >= 0; i--)
        {
            if (!_filter.Holds(series.Row, series.Held[i].TimeMs))
            {
                series.Held.RemoveAt(i);
            }
        }
    }

    public void Write(SnapshotWriter writer)
    {
        writer.Write(_series.Count);
        foreach (var (slot, series) in _series)
        {
            writer.Write(slot);
            _filter.WriteSeries(writer, series.Row);
            writer.Write(series.Held.Count);
            foreach (var (timeMs, message) in series.Held)
            {
                writer.Write(timeMs);
                writer.WriteSpan<byte>(message);
            }
        }
    }

    public void Read(SnapshotReader reader, ShardCounters counters)
    {
        for (var count = reader.ReadInt32(); count > 0; count--)
        {
            var slot = reader.ReadInt32();
            var series = NewSeries(counters);
            _series.Add(slot, series);
            _filter.ReadSeries(reader, series.Row);
            for (var held = reader.ReadInt32(); held > 0; held--)
            {
                series.Held.Add((reader.ReadInt64(), reader.ReadSpan<byte>()));
            }
        }
    }

    private Series NewSeries(ShardCounters counters)
    {
        if (!_freeRows.TryPop(out var row))
        {
            row = _rowCount++;
        }
        _filter.Begin(row, counters);
        return new Series(row);
    }
}
