using Millrace.Filtering;
using Millrace.Model;
using Millrace.Protocols;

namespace Millrace.Pipeline;

/// <summary>A native histogram or an exemplar of a series, its bytes kept beside the batch.</summary>
internal readonly record struct BatchExtra(
    int Series, int Ordinal, bool IsExemplar, long TimestampMs, double Value, int BytesStart, int BytesLength);

/// <summary>
/// A decoded body: samples as parallel columns, series as ids of the cache. Rented for one body, filled by one thread,
/// then read by the workers; whoever is last returns it.
/// </summary>
internal sealed class DecodedBatch
{
    /// <summary>
    /// Samples of one body. A sample takes two bytes of a body that compresses well, and here twenty: beyond this they
    /// are refused. Fixed, because a replay must refuse the same ones. No sender comes near it.
    /// </summary>
    public const int MaxSamples = 1 << 23;

    /// <summary>Columns longer than this are not kept for the next body.</summary>
    private const int MaxKeptSamples = 1 << 18;

    private static readonly TimeWindowFilter[] AnyTime =
        [new TimeWindowFilter(new TimeWindowConfig { MaxAge = null, MaxFuture = null })];

    private const int SampleBytes = sizeof(int) + sizeof(long) + sizeof(double);
    private int[] _series = new int[4096];
    private long[] _timesMs = new long[4096];
    private double[] _values = new double[4096];
    private long[] _startsMs = [];
    private int[] _ordinals = [];
    private byte[] _extraBytes = [];
    private int _extraBytesUsed;

    public Generation Generation { get; private set; } = null!;

    public SeriesCache Cache { get; private set; } = null!;

    /// <summary>Not received: outputs of rules, for the rules that take them (<see cref="DerivedRecord"/>).</summary>
    public bool IsDerived { get; private set; }

    /// <summary>By route; what was not received is as old as it is, and all its series are on route 0.</summary>
    public TimeWindowFilter[] TimeWindows => IsDerived ? AnyTime : Generation.TimeWindows;

    public int Count { get; private set; }

    /// <summary>Some sample carries the time at which its counter began.</summary>
    public bool HasStarts { get; private set; }

    /// <summary>Every sample carries its timestamp, so that an equal body is a repeat of this one.</summary>
    public bool HasAllTimestamps { get; private set; }

    public List<BatchExtra> Extras { get; } = [];

    /// <summary>Each once, although remote write 2.0 tells it with every series.</summary>
    public List<MetricMetadata> Metadata { get; } = [];

    public HashSet<UInt128> ToldMetadata { get; } = [];

    public int RefusedSamples { get; private set; }

    public int RefusedExtras { get; private set; }

    /// <summary>Why the first of the refused ones was refused.</summary>
    public string? Refusal { get; private set; }

    public int HistogramCount { get; private set; }

    public int ExemplarCount { get; private set; }

    /// <summary>Nothing came in, not even something to refuse.</summary>
    public bool IsEmpty => Count + Extras.Count + Metadata.Count == 0 && Refusal is null;

    /// <summary>What it takes in memory, roughly.</summary>
    public long SizeBytes => (long)Count * SampleBytes + _extraBytesUsed;

    /// <summary>Grown by a rare giant: not worth keeping.</summary>
    public bool IsOversized => _series.Length > MaxKeptSamples || _extraBytes.Length > MaxKeptSamples * SampleBytes;

    public ReadOnlySpan<int> Series => _series.AsSpan(0, Count);

    public ReadOnlySpan<long> TimesMs => _timesMs.AsSpan(0, Count);

    public ReadOnlySpan<double> Values => _values.AsSpan(0, Count);

    public long StartMs(int sample) => HasStarts ? _startsMs[sample] : 0;

    /// <summary>The place of a sample among everything in the body: it makes positions inside a record.</summary>
    public int OrdinalOf(int sample) => Extras.Count == 0 ? sample : _ordinals[sample];

    public ReadOnlySpan<byte> BytesOf(in BatchExtra extra) =>
        _extraBytes.AsSpan(extra.BytesStart, extra.BytesLength);

    public void Begin(Generation generation, bool isDerived = false)
    {
        Generation = generation;
        IsDerived = isDerived;
        Cache = generation.Cache;
        Count = 0;
        HasStarts = false;
        HasAllTimestamps = true;
        Extras.Clear();
        Metadata.Clear();
        ToldMetadata.Clear();
        RefusedSamples = 0;
        RefusedExtras = 0;
        Refusal = null;
        HistogramCount = 0;
        ExemplarCount = 0;
        _extraBytesUsed = 0;
    }

    public void Add(int series, long timestampMs, double value, long startMs)
    {
        var at = Count;
        if (at == _series.Length && !TryGrow())
        {
            Refuse("one request holds more samples than can be taken at once", 1, 0);
            return;
        }
        _series[at] = series;
        _timesMs[at] = timestampMs;
        _values[at] = value;
        if (startMs != 0 || HasStarts)
        {
            SetStart(at, startMs);
        }
        if (Extras.Count > 0)
        {
            SetOrdinal(at);
        }
        if (timestampMs == IWriteSink.NoTimestamp)
        {
            HasAllTimestamps = false;
        }
        Count = at + 1;
    }

    public void AddExtra(int series, bool isExemplar, long timestampMs, double value, ReadOnlySpan<byte> bytes)
    {
        if (Extras.Count == 0)
        {
            // Until now samples alone were numbered, from 0.
            _ordinals = _ordinals.Length < _series.Length ? new int[_series.Length] : _ordinals;
            for (var i = 0; i < Count; i++)
            {
                _ordinals[i] = i;
            }
        }
        if (_extraBytes.Length < _extraBytesUsed + bytes.Length)
        {
            Array.Resize(ref _extraBytes, Math.Max(_extraBytes.Length * 2, _extraBytesUsed + bytes.Length));
        }
        bytes.CopyTo(_extraBytes.AsSpan(_extraBytesUsed));
        Extras.Add(new BatchExtra(
            series, Count + Extras.Count, isExemplar, timestampMs, value, _extraBytesUsed, bytes.Length));
        _extraBytesUsed += bytes.Length;
        if (isExemplar)
        {
            ExemplarCount++;
        }
        else
        {
            HistogramCount++;
        }
        HasAllTimestamps &= timestampMs != IWriteSink.NoTimestamp;
    }

    public void Refuse(string reason, int samples, int extras)
    {
        RefusedSamples += samples;
        RefusedExtras += extras;
        Refusal ??= reason;
    }

    /// <summary>Gives samples without a timestamp that of their arrival.</summary>
    public void Stamp(long arrivalMs)
    {
        if (HasAllTimestamps)
        {
            return;
        }
        foreach (ref var timeMs in _timesMs.AsSpan(0, Count))
        {
            timeMs = timeMs == IWriteSink.NoTimestamp ? arrivalMs : timeMs;
        }
    }

    private void SetStart(int at, long startMs)
    {
        if (!HasStarts)
        {
            _startsMs = _startsMs.Length < _series.Length ? new long[_series.Length] : _startsMs;
            Array.Clear(_startsMs, 0, at);
            HasStarts = true;
        }
        _startsMs[at] = startMs;
    }

    private void SetOrdinal(int at) => _ordinals[at] = at + Extras.Count;

    private bool TryGrow()
    {
        if (_series.Length == MaxSamples)
        {
            return false;
        }
        var size = _series.Length * 2;
        Array.Resize(ref _series, size);
        Array.Resize(ref _timesMs, size);
        Array.Resize(ref _values, size);
        if (_startsMs.Length > 0)
        {
            Array.Resize(ref _startsMs, size);
        }
        if (_ordinals.Length > 0)
        {
            Array.Resize(ref _ordinals, size);
        }
        return true;
    }
}

/// <summary>
/// Takes what a decoder tells into a batch. A series whose label bytes are known costs a hash and, mostly, one
/// comparison; an unknown one is parsed, relabeled and routed here, once.
/// </summary>
internal struct BatchSink(DecodedBatch batch, List<Label> labels) : IWriteSink
{
    private readonly SeriesCache _cache = batch.Cache;
    private int _series = -1;
    private int _invalid;

    public bool TryKnownSeries(ReadOnlySpan<byte> block)
    {
        var id = _cache.Find(_cache.HashOf(block), _series);
        if (id < 0)
        {
            return false;
        }
        Enter(id);
        return true;
    }

    public void BeginSeries(ReadOnlySpan<byte> block)
    {
        var hash = _cache.HashOf(block);
        var id = _cache.Find(hash, _series);
        Enter(id >= 0 ? id : _cache.Add(hash, _series, Resolve(block)));
    }

    public readonly void Sample(long timestampMs, double value, long startTimestampMs)
    {
        if (_invalid != 0)
        {
            batch.Refuse(LabelBlock.Describe((LabelDefect)_invalid), 1, 0);
            return;
        }
        batch.Add(_series, timestampMs, value, startTimestampMs);
    }

    public readonly void Histogram(ReadOnlySpan<byte> histogram, long timestampMs, long startTimestampMs) =>
        Extra(isExemplar: false, histogram, timestampMs, 0);

    public readonly void Exemplar(ReadOnlySpan<byte> exemplarLabels, double value, long timestampMs) =>
        Extra(isExemplar: true, exemplarLabels, timestampMs, value);

    public readonly void Metadata(
        ReadOnlySpan<byte> family, MetricType type, ReadOnlySpan<byte> help, ReadOnlySpan<byte> unit)
    {
        if (family.IsEmpty)
        {
            batch.Refuse(LabelBlock.Describe(LabelDefect.MissingMetricName), 0, 0);
            return;
        }
        var hash = MetadataStore.HashOf(family, type, help, unit);
        if (batch.ToldMetadata.Add(hash))
        {
            batch.Metadata.Add(batch.Generation.Metadata.Take(hash, family, type, help, unit));
        }
    }

    public readonly void Refused(string reason, int samples, int histograms, int exemplars) =>
        batch.Refuse(reason, samples, histograms + exemplars);

    private readonly void Extra(bool isExemplar, ReadOnlySpan<byte> bytes, long timestampMs, double value)
    {
        if (_invalid != 0)
        {
            batch.Refuse(LabelBlock.Describe((LabelDefect)_invalid), 0, 1);
            return;
        }
        batch.AddExtra(_series, isExemplar, timestampMs, value, bytes);
    }

    private void Enter(int id)
    {
        _series = id;
        ref readonly var shape = ref _cache.Shape(id);
        _invalid = shape.Fate == SeriesFate.InvalidLabels ? shape.Route : 0;
    }

    private readonly ResolvedSeries Resolve(ReadOnlySpan<byte> block)
    {
        if (!LabelBlock.TryParse(block, batch.Generation.Labels, labels, out var defect))
        {
            // The defect stands where the route would: an invalid series has none.
            return new ResolvedSeries(SeriesFate.InvalidLabels, (int)defect, [], []);
        }
        return batch.Generation.Resolve(labels);
    }
}
