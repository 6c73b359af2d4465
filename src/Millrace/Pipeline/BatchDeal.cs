namespace Millrace.Pipeline;

/// <summary>A sample for one rule of one task.</summary>
internal struct TaskSample
{
    public int Target;
    public long TimeMs;
    public double Value;
    public long StartMs;
}

/// <summary>A sample, histogram or exemplar for one lane of a destination.</summary>
internal struct LaneSample
{
    public int Target;

    /// <summary>The place in the body: with the LSN it makes the position behind which a lane goes on.</summary>
    public int Ordinal;

    public long TimeMs;
    public double Value;
    public long StartMs;

    /// <summary>Index into the batch's extras; -1 for a sample.</summary>
    public int Extra;
}

/// <summary>
/// A batch dealt to tasks and lanes: filtered by time, then sorted by who applies it, each in the batch's order. Made
/// by
/// the thread that decoded, outside any lock; a function of the batch and of the record's arrival time alone.
/// </summary>
internal sealed partial class BatchDeal
{
    private const int Dropped = -1;

    private int[] _fates = [];
    private int[] _taskStarts = [];
    private int[] _laneStarts = [];
    private TaskSample[] _taskSamples = [];
    private LaneSample[] _laneSamples = [];

    public Ledger.Entry Ledger { get; } = new();

    public ReadOnlySpan<TaskSample> ForTask(int task) =>
        _taskSamples.AsSpan(_taskStarts[task].._taskStarts[task + 1]);

    public ReadOnlySpan<LaneSample> ForLane(int lane) =>
        _laneSamples.AsSpan(_laneStarts[lane].._laneStarts[lane + 1]);

    public void Deal(DecodedBatch batch, long arrivalMs, int taskCount, int laneCount)
    {
        Ledger.Clear();
        // Refused ones never became part of the batch, but they came in, and their body is in the log.
        Ledger.Samples = batch.Count + batch.RefusedSamples;
        Ledger.InvalidLabels = batch.RefusedSamples;
        Ledger.Histograms = batch.HistogramCount;
        Ledger.Exemplars = batch.ExemplarCount;
        Reset(ref _taskStarts, taskCount + 1);
        Reset(ref _laneStarts, laneCount + 1);
        if (_fates.Length < batch.Count)
        {
            _fates = new int[batch.Count];
        }
        var retiring = batch.Generation.Retiring.Count > 0 ? batch.Cache.Retiring : null;
        Count(batch, arrivalMs);
        DealExtras(batch, retiring, arrivalMs);
        if (retiring is not null)
        {
            CountRetiring(batch, retiring, arrivalMs);
        }
        SumUp(_taskStarts);
        SumUp(_laneStarts);
        EnsureSize(ref _taskSamples, _taskStarts[^1]);
        EnsureSize(ref _laneSamples, _laneStarts[^1]);
        Scatter(batch);
        if (retiring is not null)
        {
            ScatterRetiring(batch, retiring, arrivalMs);
        }
        ShiftBack(_taskStarts);
        ShiftBack(_laneStarts);
        if (batch.IsDerived)
        {
            Ledger.Clear();
            Ledger.Derived = batch.Count + batch.HistogramCount;
        }
    }

    /// <summary>Decides each sample's fate and counts what each task and lane gets, one place further on.</summary>
    private void Count(DecodedBatch batch, long arrivalMs)
    {
        var cache = batch.Cache;
        var windows = batch.TimeWindows;
        var series = batch.Series;
        var times = batch.TimesMs;
        for (var i = 0; i < series.Length; i++)
        {
            ref readonly var shape = ref cache.Shape(series[i]);
            _fates[i] = Dropped;
            if (shape.Fate != SeriesFate.None)
            {
                Ledger.Count(shape.Fate);
                continue;
            }
            ref readonly var window = ref windows[shape.Route];
            if (window.IsTooOld(times[i], arrivalMs))
            {
                Ledger.CountTooOld(arrivalMs - times[i]);
                continue;
            }
            if (window.IsTooFarAhead(times[i], arrivalMs))
            {
                Ledger.TooFarAhead++;
                continue;
            }
            _fates[i] = series[i];
            if (shape.AggregateCount > 0)
            {
                _taskStarts[shape.FirstTask + 1]++;
                CountOtherAggregates(cache, series[i], shape.AggregateCount);
            }
            CountForwards(cache, series[i], shape, shape.ForwardCount);
            if (shape.AggregateCount > 0)
            {
                Ledger.Aggregated++;
            }
            else
            {
                Ledger.ForwardedOnly++;
            }
        }
        foreach (ref readonly var extra in System.Runtime.InteropServices.CollectionsMarshal.AsSpan(batch.Extras))
        {
            ref readonly var shape = ref cache.Shape(extra.Series);
            var forwards = shape.ForwardCount + shape.ExtraForwardCount;
            if (forwards == 0)
            {
                Ledger.DroppedExtras++;
            }
            CountForwards(cache, extra.Series, shape, forwards);
        }
    }

    private void CountOtherAggregates(SeriesCache cache, int series, int aggregates)
    {
        for (var t = 1; t < aggregates; t++)
        {
            _taskStarts[cache.PlaceOf(cache.FirstAggregate(series) + t).Task + 1]++;
        }
    }

    private void CountForwards(SeriesCache cache, int series, in SeriesShape shape, int forwards)
    {
        if (forwards > 0)
        {
            _laneStarts[shape.FirstLane + 1]++;
        }
        for (var t = 1; t < forwards; t++)
        {
            _laneStarts[cache.Forward(cache.FirstForward(series) + t).Lane + 1]++;
        }
    }

    private void Scatter(DecodedBatch batch)
    {
        var cache = batch.Cache;
        var times = batch.TimesMs;
        var values = batch.Values;
        var extras = System.Runtime.InteropServices.CollectionsMarshal.AsSpan(batch.Extras);
        var nextExtra = 0;
        for (var i = 0; i < times.Length; i++)
        {
            var ordinal = batch.OrdinalOf(i);
            while (nextExtra < extras.Length && extras[nextExtra].Ordinal < ordinal)
            {
                ScatterExtra(cache, extras[nextExtra], nextExtra++);
            }
            if (_fates[i] == Dropped)
            {
                continue;
            }
            ref readonly var shape = ref cache.Shape(_fates[i]);
            var first = shape.AggregateCount > 0 ? cache.FirstAggregate(_fates[i]) : 0;
            for (var t = 0; t < shape.AggregateCount; t++)
            {
                var task = t == 0 ? shape.FirstTask : cache.PlaceOf(first + t).Task;
                ref var sample = ref _taskSamples[_taskStarts[task]++];
                sample.Target = first + t;
                sample.TimeMs = times[i];
                sample.Value = values[i];
                sample.StartMs = batch.StartMs(i);
            }
            first = shape.ForwardCount > 0 ? cache.FirstForward(_fates[i]) : 0;
            for (var t = 0; t < shape.ForwardCount; t++)
            {
                var lane = t == 0 ? shape.FirstLane : cache.Forward(first + t).Lane;
                ref var sample = ref _laneSamples[_laneStarts[lane]++];
                sample.Target = first + t;
                sample.Ordinal = ordinal;
                sample.TimeMs = times[i];
                sample.Value = values[i];
                sample.StartMs = batch.StartMs(i);
                sample.Extra = -1;
            }
        }
        while (nextExtra < extras.Length)
        {
            ScatterExtra(cache, extras[nextExtra], nextExtra++);
        }
    }

    private void ScatterExtra(SeriesCache cache, in BatchExtra extra, int index)
    {
        ref readonly var shape = ref cache.Shape(extra.Series);
        var forwards = shape.ForwardCount + shape.ExtraForwardCount;
        for (var t = 0; t < forwards; t++)
        {
            var target = cache.FirstForward(extra.Series) + t;
            _laneSamples[_laneStarts[cache.Forward(target).Lane]++] = new LaneSample
            {
                Target = target,
                Ordinal = extra.Ordinal,
                TimeMs = extra.TimestampMs,
                Value = extra.Value,
                Extra = index,
            };
        }
    }

    private static void Reset(ref int[] starts, int count)
    {
        if (starts.Length != count)
        {
            starts = new int[count];
        }
        Array.Clear(starts);
    }

    private static void SumUp(int[] starts)
    {
        for (var i = 1; i < starts.Length; i++)
        {
            starts[i] += starts[i - 1];
        }
    }

    /// <summary>Scattering moved each start to its end, which is the next one's start.</summary>
    private static void ShiftBack(int[] starts)
    {
        Array.Copy(starts, 0, starts, 1, starts.Length - 1);
        starts[0] = 0;
    }

    private static void EnsureSize<T>(ref T[] samples, int count)
    {
        if (samples.Length < count)
        {
            samples = new T[Math.Max(count, samples.Length * 2)];
        }
    }
}
