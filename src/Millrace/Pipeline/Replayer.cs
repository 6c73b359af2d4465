using Millrace.Log;

namespace Millrace.Pipeline;

/// <summary>
/// Brings the engine from a base, or from nothing, to the end of the log, while new input is accepted beside it: reads
/// the records in order and hands them over as they were handed over when they were appended.
/// </summary>
internal sealed class Replayer
{
    /// <summary>How much the workers may lag behind the reading.</summary>
    private const long MaxBytesInFlight = 64 << 20;

    private readonly RecordLog _log;
    private readonly IngestPipeline _pipeline;
    private readonly Engine _engine;
    private readonly Func<string, Generation?> _compile;
    private readonly TimeProvider _time;
    private readonly BodyDecoder _decoder = new();
    private readonly DerivedDecoder _derivedDecoder = new();
    private readonly List<(UInt128, long)> _closes = [];
    private readonly long _baseLsn;
    private readonly LogReader _reader;

    /// <param name="log">The input log.</param>
    /// <param name="pipeline">Goes live at the end.</param>
    /// <param name="baseLsn">Records up to here are in the engine's state already; 0: none.</param>
    /// <param name="fromLsn">Where lanes that lag behind the base go on.</param>
    /// <param name="compile">From the text of a configuration record; null if this release cannot read it.</param>
    /// <param name="time">For waiting.</param>
    public Replayer(
        RecordLog log, IngestPipeline pipeline, long baseLsn, long fromLsn, Func<string, Generation?> compile,
        TimeProvider time)
    {
        (_log, _pipeline, _engine, _baseLsn, _compile, _time) =
            (log, pipeline, pipeline.Engine, baseLsn, compile, time);
        LookbackLostRecords = Math.Max(0, log.FirstLsn - (baseLsn + 1));
        _reader = log.OpenReader(Math.Max(log.FirstLsn, Math.Min(fromLsn, baseLsn + 1)));
    }

    public long ReplayedRecords { get; private set; }

    /// <summary>Records that could not be read, or that no configuration was in force for.</summary>
    public long LostRecords { get; private set; }

    /// <summary>
    /// Records between the base and the oldest one left, cut off by <c>log.max_bytes</c>: series go on from their last
    /// samples in the base, and windows of that time lack what those records held.
    /// </summary>
    public long LookbackLostRecords { get; }

    /// <summary>Why the log cannot be read; null when all is well.</summary>
    public string? Failure => _reader.Failure;

    /// <summary>Where the replay is; it ends at the log's end.</summary>
    public long NextLsn => _reader.NextLsn;

    /// <summary>
    /// False when the log could not be read to its end (<see cref="Failure"/>): the pipeline stays as it is, since to
    /// go
    /// live would be to forget what was not read.
    /// </summary>
    public async Task<bool> RunAsync(CancellationToken stop)
    {
        while (_reader.NextLsn < _log.NextLsn && _reader.TryRead(out var record))
        {
            stop.ThrowIfCancellationRequested();
            while (_engine.HasThreads && _engine.BytesInFlight > MaxBytesInFlight)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(1), _time, stop).ConfigureAwait(false);
            }
            Apply(record);
        }
        // The last records under the lock, so that nothing can come in between.
        var isLive = _reader.Failure is null && _pipeline.TryGoLive(() =>
        {
            while (_reader.TryRead(out var record))
            {
                Apply(record);
            }
            return _reader.Failure is null;
        });
        LostRecords += _reader.SkippedRecords + _reader.DroppedRecords;
        _reader.Dispose();
        return isLive;
    }

    private void Apply(in LogRecord record)
    {
        ReplayedRecords++;
        var header = record.Header;
        switch (header.Type)
        {
            case RecordType.Batch:
                ApplyBatch(record);
                break;
            case RecordType.Derived when record.Lsn > _baseLsn:
                ApplyDerived(record);
                break;
            case RecordType.Close when record.Lsn > _baseLsn:
                if (CloseRecord.TryRead(record.Payload.Span, _closes))
                {
                    _engine.HandOverClose(_closes, record.Lsn, header.ArrivalMs);
                }
                break;
            case RecordType.Configuration when record.Lsn > _baseLsn:
                if (_compile(System.Text.Encoding.UTF8.GetString(record.Payload.Span)) is { } generation)
                {
                    _engine.HandOverConfiguration(generation, record.Lsn, header.ArrivalMs);
                }
                else
                {
                    LostRecords++;
                }
                break;
            default:
                break; // Bases mean nothing to a replay.
        }
    }

    private void ApplyBatch(in LogRecord record)
    {
        var item = _engine.RentItem();
        var encoding = BodyEncoding.FromNumber(record.Header.Encoding);
        // What lanes missed of the time before the base went by the configuration of that time.
        var isForLanesOnly = record.Lsn <= _baseLsn;
        var generation = isForLanesOnly ? _engine.GenerationAt(record.Lsn) : _engine.Generation;
        // What is in the log was within the limits of its time; those of today do not apply to it.
        if (_decoder.Decode(record.Payload.Span, encoding, generation, BodyLimits.None, item.Batch, out _)
            != DecodeOutcome.Ok)
        {
            LostRecords++;
            _engine.ReturnItem(item);
            return;
        }
        item.Lsn = record.Lsn;
        item.ArrivalMs = record.Header.ArrivalMs;
        item.IsForLanesOnly = isForLanesOnly;
        item.SizeBytes = item.Batch.SizeBytes;
        item.Batch.Stamp(item.ArrivalMs);
        if (IsRepeat(record, item.Batch))
        {
            _engine.ReturnItem(item);
            return;
        }
        item.Deal.Deal(item.Batch, item.ArrivalMs, item.Batch.Generation.TaskCount, _engine.Lanes.Length);
        _engine.HandOver(item);
    }

    private void ApplyDerived(in LogRecord record)
    {
        var item = _engine.RentItem();
        if (!_derivedDecoder.TryDecode(record.Payload, _engine.Generation, item.Batch, out var part))
        {
            LostRecords++;
            _engine.ReturnItem(item);
            return;
        }
        _engine.Emitter.Derivations.Found(part);
        item.Lsn = record.Lsn;
        item.ArrivalMs = record.Header.ArrivalMs;
        item.IsForLanesOnly = false;
        item.SizeBytes = item.Batch.SizeBytes;
        item.Deal.Deal(item.Batch, item.ArrivalMs, item.Batch.Generation.TaskCount, _engine.Lanes.Length);
        _engine.HandOver(item);
    }

    /// <summary>A request that came in again before the replay had come to its first record.</summary>
    private bool IsRepeat(in LogRecord record, DecodedBatch batch)
    {
        var header = record.Header;
        return header.RequestHash != default
            && !_pipeline.Remember(
                RememberedRequest.Of(header.RequestHash, header.ArrivalMs, record.Lsn, batch));
    }
}
