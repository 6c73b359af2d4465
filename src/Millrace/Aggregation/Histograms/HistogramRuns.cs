using Millrace.Aggregation.Outputs;
using Millrace.Memory;

namespace Millrace.Aggregation.Histograms;

/// <summary>A stretch of a histogram series without a reset: its first and its last sample.</summary>
internal record struct HistogramRun(long FirstMs, NativeHistogram First, long LastMs, NativeHistogram Last)
{
    public readonly bool IsEnd(long timeMs) => timeMs == FirstMs || timeMs == LastMs;
}

/// <summary>
/// The runs of one histogram series in one window, in order of time. As with numbers (see <see cref="SideRuns"/>): the
/// increase they give does not depend on the order in which samples came, unless a late one is the only witness of a
/// reset.
/// </summary>
internal sealed class HistogramRuns(int group)
{
    /// <summary>
    /// A gauge that is taken for a counter has a run per sample. Further ones are left out; the last one stays.
    /// </summary>
    private const int MaxRuns = 512;

    private readonly List<HistogramRun> _runs = [];

    public int Group { get; } = group;

    public IReadOnlyList<HistogramRun> All => _runs;

    /// <summary>Books a sample; of two at one time the larger stays.</summary>
    /// <param name="old">The sample that gave way, with <see cref="Booking.Replaced"/>.</param>
    public Booking Add(
        long timeMs, NativeHistogram sample, bool isCounter, ref long ambiguous, out NativeHistogram? old)
    {
        old = null;
        var at = _runs.FindLastIndex(run => run.FirstMs <= timeMs);
        if (at >= 0 && _runs[at].IsEnd(timeMs))
        {
            old = timeMs == _runs[at].LastMs ? _runs[at].Last : _runs[at].First;
            if (NativeHistogram.Compare(sample, old) <= 0)
            {
                return Booking.Repeat;
            }
            Replace(at, timeMs, sample, isCounter);
            return Booking.Replaced;
        }
        if (at >= 0 && timeMs < _runs[at].LastMs)
        {
            AddInside(at, timeMs, sample, isCounter, ref ambiguous);
            return Booking.New;
        }
        if (at >= 0 && Follows(_runs[at].LastMs, _runs[at].Last, sample, isCounter))
        {
            _runs[at] = _runs[at] with { LastMs = timeMs, Last = sample };
        }
        else if (at + 1 < _runs.Count && Follows(timeMs, sample, _runs[at + 1].First, isCounter))
        {
            _runs[at + 1] = _runs[at + 1] with { FirstMs = timeMs, First = sample };
        }
        else
        {
            Insert(at + 1, new HistogramRun(timeMs, sample, timeMs, sample));
        }
        return Booking.New;
    }

    public void Write(SnapshotWriter writer)
    {
        writer.Write(_runs.Count);
        foreach (var run in _runs)
        {
            writer.Write(run.FirstMs);
            Write(writer, run.First);
            writer.Write(run.LastMs);
            Write(writer, run.Last);
        }
    }

    public void Read(SnapshotReader reader)
    {
        for (var count = reader.ReadInt32(); count > 0; count--)
        {
            _runs.Add(new HistogramRun(
                reader.ReadInt64(), ReadHistogram(reader), reader.ReadInt64(), ReadHistogram(reader)));
        }
    }

    public static void Write(SnapshotWriter writer, NativeHistogram histogram)
    {
        writer.Write(histogram.StartMs);
        writer.WriteSpan<byte>(HistogramCodec.Write(histogram));
    }

    public static NativeHistogram ReadHistogram(SnapshotReader reader)
    {
        var startMs = reader.ReadInt64();
        return HistogramCodec.TryRead(reader.ReadSpan<byte>(), startMs, out var histogram)
            ? histogram
            : throw new InvalidOperationException("A histogram in a snapshot cannot be read.");
    }

    private static bool Follows(long beforeMs, NativeHistogram before, NativeHistogram after, bool isCounter) =>
        !isCounter || !NativeHistogram.IsReset(beforeMs, before, after);

    /// <summary>Between the run's ends there is nothing to do, unless it tells of a reset before or after.</summary>
    private void AddInside(int at, long timeMs, NativeHistogram sample, bool isCounter, ref long ambiguous)
    {
        var run = _runs[at];
        if (!Follows(run.FirstMs, run.First, sample, isCounter))
        {
            ambiguous++;
            _runs[at] = run with { LastMs = run.FirstMs, Last = run.First };
            Insert(at + 1, new HistogramRun(timeMs, sample, run.LastMs, run.Last));
        }
        else if (!Follows(timeMs, sample, run.Last, isCounter))
        {
            _runs[at] = run with { LastMs = timeMs, Last = sample };
            Insert(at + 1, new HistogramRun(run.LastMs, run.Last, run.LastMs, run.Last));
        }
    }

    private void Replace(int at, long timeMs, NativeHistogram sample, bool isCounter)
    {
        var run = _runs[at];
        if (run.FirstMs == run.LastMs)
        {
            _runs[at] = new HistogramRun(timeMs, sample, timeMs, sample);
        }
        else if (timeMs == run.LastMs)
        {
            _runs[at] = run with { Last = sample };
        }
        else if (Follows(timeMs, sample, run.Last, isCounter))
        {
            _runs[at] = run with { First = sample };
        }
        else
        {
            _runs[at] = new HistogramRun(timeMs, sample, timeMs, sample);
            Insert(at + 1, new HistogramRun(run.LastMs, run.Last, run.LastMs, run.Last));
        }
    }

    private void Insert(int at, in HistogramRun run)
    {
        if (_runs.Count < MaxRuns)
        {
            _runs.Insert(at, run);
        }
        else if (at == _runs.Count)
        {
            _runs[^1] = run;
        }
    }
}

/// <summary>A sum of histograms per group: the state of an output that shows them.</summary>
internal sealed class HistogramOutput : OutputObjects<HistogramSum>
{
    public HistogramSum Of(int group) => this[group];

    public HistogramSum? TryFind(int group) => Find(group);

    public override bool TryGetValue(int group, out double value)
    {
        value = 0;
        return Find(group) is not null;
    }
}

/// <summary>The histograms of one open window of a shard.</summary>
internal sealed class HistogramWindow(AggregationRule rule)
{
    /// <summary>By series slot.</summary>
    public SortedDictionary<int, HistogramRuns> Runs { get; } = [];

    /// <summary>By output; null where an output takes no histograms.</summary>
    public HistogramOutput?[] Outputs { get; } = NewOutputs(rule);

    /// <summary>With deduplication: by series slot, the survivor of each interval, in their order.</summary>
    public SortedDictionary<int, List<(long Interval, long TimeMs, NativeHistogram Sample)>> Held { get; } = [];

    public bool Holds(int slot) => Runs.ContainsKey(slot) || Held.ContainsKey(slot);

    /// <summary>
    /// Of a series and interval the sample with the largest time stays, of equal times the larger one. False when one
    /// was lost by it.
    /// </summary>
    public bool TryHold(int slot, long interval, long timeMs, NativeHistogram sample)
    {
        if (!Held.TryGetValue(slot, out var held))
        {
            Held.Add(slot, held = []);
        }
        var at = held.Count;
        while (at > 0 && held[at - 1].Interval >= interval)
        {
            at--;
        }
        if (at == held.Count || held[at].Interval != interval)
        {
            held.Insert(at, (interval, timeMs, sample));
            return true;
        }
        if (timeMs > held[at].TimeMs
            || (timeMs == held[at].TimeMs && NativeHistogram.Compare(sample, held[at].Sample) > 0))
        {
            held[at] = (interval, timeMs, sample);
        }
        return false;
    }

    public static HistogramOutput?[] NewOutputs(AggregationRule rule)
    {
        var outputs = new HistogramOutput?[rule.Outputs.Length];
        for (var i = 0; i < outputs.Length; i++)
        {
            outputs[i] = rule.Outputs[i].OfHistograms == HistogramUse.None ? null : new HistogramOutput();
        }
        return outputs;
    }

    public void Reserve(int groupCount)
    {
        foreach (var output in Outputs)
        {
            output?.Reserve(groupCount);
        }
    }

    public void Clear(int group)
    {
        foreach (var output in Outputs)
        {
            output?.Clear(group);
        }
    }

    public void Write(SnapshotWriter writer, int groupCount)
    {
        writer.Write(Runs.Count);
        foreach (var (slot, runs) in Runs)
        {
            writer.Write(slot);
            writer.Write(runs.Group);
            runs.Write(writer);
        }
        writer.Write(Held.Count);
        foreach (var (slot, held) in Held)
        {
            writer.Write(slot);
            writer.Write(held.Count);
            foreach (var (interval, timeMs, sample) in held)
            {
                writer.Write(interval);
                writer.Write(timeMs);
                HistogramRuns.Write(writer, sample);
            }
        }
        foreach (var output in Outputs)
        {
            output?.Write(writer, groupCount);
        }
    }

    public void Read(SnapshotReader reader, int groupCount)
    {
        for (var count = reader.ReadInt32(); count > 0; count--)
        {
            var slot = reader.ReadInt32();
            var runs = new HistogramRuns(reader.ReadInt32());
            runs.Read(reader);
            Runs.Add(slot, runs);
        }
        for (var count = reader.ReadInt32(); count > 0; count--)
        {
            var held = new List<(long, long, NativeHistogram)>();
            Held.Add(reader.ReadInt32(), held);
            for (var samples = reader.ReadInt32(); samples > 0; samples--)
            {
                held.Add((reader.ReadInt64(), reader.ReadInt64(), HistogramRuns.ReadHistogram(reader)));
            }
        }
        Reserve(groupCount);
        foreach (var output in Outputs)
        {
            output?.Read(reader, groupCount);
        }
    }
}
