using System.Text;
using Millrace.Delivery;
using Millrace.Model;
using Millrace.Protocols;

namespace Millrace.Pipeline;

/// <summary>
/// One lane of a destination, on the side of the input: builds blocks from the samples of the log, in its order, and
/// hands them over sealed. After a crash it goes on behind what the destination says is done, and ends its first block
/// exactly where the block ended whose answer was lost, so that it is sent again as the same bytes.
/// </summary>
internal sealed class Lane : ISeriesLabels
{
    /// <summary>Where metadata counts from inside a record: behind any number of samples.</summary>
    private const int FirstMetadata = 1 << 30;

    private readonly Destination _destination;
    private readonly int _number;
    private readonly long _flushIntervalMs;
    private readonly TimeProvider _time;
    private readonly BlockBuilder _builder;
    private readonly LogPosition _resumeAt;

    // To the builder a series is its target in the first of its caches, or, below 0, the complement of a number here.
    private readonly List<(SeriesCache Cache, int Target)> _ofLaterCaches = [];
    private SeriesCache? _firstCache;
    private byte[] _labels = [];
    private byte[] _otherLabels = [];
    private LogPosition? _sealAt;
    private SeriesCache? _cache;
    private ValueRounding _rounding = ValueRounding.Off;
    private LaneSample[] _rounded = [];
    private int _round; // how often the builder's series were forgotten
    private Dictionary<UInt128, int>? _registeredByLabels;
    private LogPosition _end;
    private long _oldestMs;
    private long _startLsn = long.MaxValue; // of the block being built; read by the thread that trims the log

    public Lane(Destination destination, DestinationConfig config, int number, TimeProvider time)
    {
        _destination = destination;
        _number = number;
        _time = time;
        _flushIntervalMs = (long)config.FlushInterval.TotalMilliseconds;
        _builder = new BlockBuilder(this, new BlockLimits { MaxSamples = config.MaxSamplesPerBlock });
        _resumeAt = destination.RawResumeAt(number);
        _sealAt = destination.RawSealAt(number);
    }

    /// <summary>The input log from here on is needed by the block being built.</summary>
    public long NeededFromLsn => Volatile.Read(ref _startLsn);

    /// <summary>Samples in the block being built; read by others without a promise of the moment.</summary>
    public int SamplesInBlock => _builder.SampleCount;

    public int FragmentBytes => _builder.FragmentBytes;

    public ReadOnlySpan<byte> LabelsOf(int seriesId)
    {
        // Two in turns: those of the call before stay valid.
        (_labels, _otherLabels) = (_otherLabels, _labels);
        var (cache, target) = seriesId >= 0 ? (_firstCache!, seriesId) : _ofLaterCaches[~seriesId];
        return cache.LabelsOf(target, ref _labels);
    }

    public void Add(BatchItem item, ReadOnlySpan<LaneSample> samples)
    {
        if (!ReferenceEquals(_cache, item.Batch.Cache))
        {
            Change(item.Batch.Cache);
            // As the record's configuration has it: a block that is built again gets the values that it was sent with.
            _rounding = item.Batch.Generation.Resolver.RoundingOf(_destination.Name);
        }
        if (!_rounding.IsOff)
        {
            samples = Round(samples);
        }
        var mayBeDone = item.Lsn <= _resumeAt.Lsn;
        foreach (ref readonly var sample in samples)
        {
            var end = new LogPosition(item.Lsn, sample.Ordinal + 1);
            if (mayBeDone && end <= _resumeAt)
            {
                continue;
            }
            ref var target = ref _cache!.Forward(sample.Target);
            if (target.BuilderRound != _round)
            {
                Register(ref target, sample.Target);
            }
            if (_builder.IsEmpty)
            {
                Begin(item);
            }
            if (AddTo(item, sample, target.BuilderSeries) == AddResult.MustSealFirst)
            {
                Seal();
                Begin(item);
                AddTo(item, sample, target.BuilderSeries);
            }
            _end = end;
            if (_sealAt is not null)
            {
                Added(end);
            }
        }
    }

    private ReadOnlySpan<LaneSample> Round(ReadOnlySpan<LaneSample> samples)
    {
        if (_rounded.Length < samples.Length)
        {
            _rounded = new LaneSample[samples.Length];
        }
        for (var i = 0; i < samples.Length; i++)
        {
            _rounded[i] = samples[i] with { Value = _rounding.Apply(samples[i].Value) };
        }
        return _rounded.AsSpan(0, samples.Length);
    }

    /// <summary>
    /// Batches come with another cache: its targets are not registered yet. A block is sealed then, and its series are
    /// forgotten. But one that is built again must come out as it was sent, and a replay changes caches at other places
    /// than the process that sent it: there the series stay, and those of the new cache are found by their labels.
    /// </summary>
    private void Change(SeriesCache cache)
    {
        _cache = cache;
        if (!_builder.IsEmpty && _sealAt is null)
        {
            Seal();
        }
        _round++;
        if (_builder.IsEmpty)
        {
            _builder.ForgetSeries();
            _firstCache = cache;
            _ofLaterCaches.Clear();
            _registeredByLabels = null;
            return;
        }
        _registeredByLabels = [];
        for (var series = 0; series < _builder.SeriesCount; series++)
        {
            _registeredByLabels.TryAdd(StableHash.Hash128(LabelsOf(_builder.SeriesIdOf(series))), series);
        }
    }

    private void Register(ref ForwardTarget target, int index)
    {
        target.BuilderRound = _round;
        if (_registeredByLabels is null || !_registeredByLabels.TryGetValue(
            StableHash.Hash128(_cache!.LabelsOf(index, ref _labels)), out target.BuilderSeries))
        {
            if (!ReferenceEquals(_cache, _firstCache))
            {
                _ofLaterCaches.Add((_cache!, index));
                index = -_ofLaterCaches.Count;
            }
            target.BuilderSeries = _builder.Register(index);
        }
    }

    /// <param name="item">The record.</param>
    /// <param name="number">The metadata's place among that of the record; all of it stands behind the samples.</param>
    public void AddMetadata(BatchItem item, int number)
    {
        var end = new LogPosition(item.Lsn, FirstMetadata + number);
        if (end <= _resumeAt)
        {
            return;
        }
        if (_builder.IsEmpty)
        {
            Begin(item);
        }
        var metadata = item.Batch.Metadata[number];
        if (TryAddMetadata(metadata) == AddResult.MustSealFirst)
        {
            Seal();
            Begin(item);
            TryAddMetadata(metadata);
        }
        Added(end);
    }

    /// <summary>Seals what has waited long enough; <paramref name="appliedLsn"/>: the last record applied.</summary>
    public void Flush(long nowMs, bool everything, long appliedLsn)
    {
        if (_sealAt is { } place && place.Lsn <= appliedLsn)
        {
            _sealAt = null; // The log has been read past that place, and a power loss took what stood there.
        }
        // A block that must end at a certain place waits for it.
        if (!_builder.IsEmpty && _sealAt is null && (everything || nowMs - _oldestMs >= _flushIntervalMs))
        {
            Seal();
        }
        if (_builder.IsEmpty)
        {
            // Nothing of the log up to here waits for this lane: it must not pin the log.
            _destination.Passed(Feed.Raw, _number, new LogPosition(appliedLsn, int.MaxValue));
        }
    }

    private void Begin(BatchItem item)
    {
        _oldestMs = item.ArrivalMs;
        Volatile.Write(ref _startLsn, item.Lsn);
    }

    private void Added(LogPosition end)
    {
        _end = end;
        if (_sealAt is { } sealAt && end >= sealAt)
        {
            Seal();
            _sealAt = null;
        }
    }

    private AddResult TryAddMetadata(MetricMetadata metadata) =>
        _builder.AddMetadata(
            Encoding.UTF8.GetBytes(metadata.Family), metadata.Type,
            Encoding.UTF8.GetBytes(metadata.Help), Encoding.UTF8.GetBytes(metadata.Unit));

    private AddResult AddTo(BatchItem item, in LaneSample sample, int series)
    {
        if (sample.Extra < 0)
        {
            return _builder.Add(series, sample.TimeMs, sample.Value, sample.StartMs);
        }
        var extra = item.Batch.Extras[sample.Extra];
        var bytes = item.Batch.BytesOf(extra);
        return extra.IsExemplar
            ? _builder.AddExemplar(series, bytes, extra.Value, extra.TimestampMs)
            : _builder.AddHistogram(series, bytes, extra.TimestampMs);
    }

    private void Seal()
    {
        // Hundreds of kilobytes, many times a second: fresh memory for each would cost more than filling it.
        var block = _builder.SealRented(out var summary, out var rented);
        var nowMs = _time.GetUtcNow().ToUnixTimeMilliseconds();
        _destination.Offer(
            new SealedBlock
            {
                Feed = Feed.Raw,
                Lane = _number,
                End = _end,
                Bytes = block,
                RentedBytes = rented,
                SampleCount = summary.Samples + summary.Histograms,
                MinTimestampMs = summary.MinTimestampMs,
                MaxTimestampMs = summary.MaxTimestampMs,
                SealedAtMs = _oldestMs,
            },
            nowMs);
        Volatile.Write(ref _startLsn, long.MaxValue);
    }
}
