using System.Text;
using Millrace.Delivery;
using Millrace.Protocols;

namespace Millrace.Pipeline;

/// <summary>
/// One lane of a destination, on the side of the input: builds blocks from the samples of the log, in its order, and
/// hands them over sealed. After a crash it goes on behind what the destination says is done, and ends its first block
/// exactly where the block ended whose answer was lost, so that it is sent again as the same bytes.
/// </summary>
internal sealed class Lane : ISeriesLabels
{
    private readonly Destination _destination;
    private readonly int _number;
    private readonly long _flushIntervalMs;
    private readonly TimeProvider _time;
    private readonly BlockBuilder _builder;
    private readonly LogPosition _resumeAt;
    private LogPosition? _sealAt;
    private SeriesCache? _cache;
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

    public ReadOnlySpan<byte> LabelsOf(int seriesId) => _cache!.LabelsOf(seriesId);

    public void Add(BatchItem item, ReadOnlySpan<LaneSample> samples)
    {
        if (!ReferenceEquals(_cache, item.Batch.Cache))
        {
            // A new configuration, or a cache that was full. The former stands in the log, so a replay seals here, too.
            if (!_builder.IsEmpty)
            {
                Seal();
            }
            _builder.ForgetSeries();
            _cache = item.Batch.Cache;
        }
        foreach (ref readonly var sample in samples)
        {
            var end = new LogPosition(item.Lsn, sample.Ordinal + 1);
            if (end <= _resumeAt)
            {
                continue;
            }
            ref var target = ref _cache.Forward(sample.Target);
            if (target.BuilderSeries < 0)
            {
                target.BuilderSeries = _builder.Register(sample.Target);
            }
            if (_builder.IsEmpty)
            {
                _oldestMs = item.ArrivalMs;
                Volatile.Write(ref _startLsn, item.Lsn);
            }
            if (AddTo(item, sample, target.BuilderSeries) == AddResult.MustSealFirst)
            {
                Seal();
                _oldestMs = item.ArrivalMs;
                Volatile.Write(ref _startLsn, item.Lsn);
                AddTo(item, sample, target.BuilderSeries);
            }
            _end = end;
            if (_sealAt is { } sealAt && end >= sealAt)
            {
                Seal();
                _sealAt = null;
            }
        }
    }

    public void AddMetadata(BatchItem item, MetricMetadata metadata)
    {
        if (_sealAt is not null)
        {
            return; // It would change the bytes of a block that must be sent again as it was.
        }
        if (_builder.IsEmpty)
        {
            _oldestMs = item.ArrivalMs;
            _end = LogPosition.Max(_end, new LogPosition(item.Lsn, 0));
        }
        if (TryAddMetadata(metadata) == AddResult.MustSealFirst)
        {
            Seal();
            TryAddMetadata(metadata);
        }
    }

    /// <summary>Seals what has waited long enough; <paramref name="appliedLsn"/>: the last record applied.</summary>
    public void Flush(long nowMs, bool everything, long appliedLsn)
    {
        // A block that must end at a certain place waits for it; that place is in the log.
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
        var bytes = _builder.Seal(out var summary).ToArray();
        var nowMs = _time.GetUtcNow().ToUnixTimeMilliseconds();
        _destination.Offer(
            new SealedBlock
            {
                Feed = Feed.Raw,
                Lane = _number,
                End = _end,
                Bytes = bytes,
                SampleCount = summary.Samples + summary.Histograms,
                MinTimestampMs = summary.MinTimestampMs,
                MaxTimestampMs = summary.MaxTimestampMs,
                SealedAtMs = _oldestMs,
            },
            nowMs);
        Volatile.Write(ref _startLsn, long.MaxValue);
    }
}
