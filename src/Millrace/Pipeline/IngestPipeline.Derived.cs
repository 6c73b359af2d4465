namespace Millrace.Pipeline;

/// <summary>How it went to bring a derived record into the log.</summary>
internal enum DeriveOutcome
{
    /// <summary>It is in the log, now or since a life before.</summary>
    Done,

    /// <summary>The disk is full, or the caller is inside a hand-over of its own: try again.</summary>
    Later,

    /// <summary>The log is being replayed, and it may still be found there.</summary>
    Replaying,
}

/// <summary>The second way into the log: what rules wrote, for the rules that take it.</summary>
internal sealed partial class IngestPipeline
{
    private readonly DerivedDecoder _derivedDecoder = new(); // the emitter's

    /// <summary>Appends a derived record and hands it over, unless it is in the log already.</summary>
    public DeriveOutcome Derive(DerivedPayload payload)
    {
        if (!Volatile.Read(ref _isLive))
        {
            return _engine.Emitter.Derivations.TakeFound(payload.Part) ? DeriveOutcome.Done : DeriveOutcome.Replaying;
        }
        if (_appendLock.IsHeldByCurrentThread)
        {
            // Without threads the close is still being handed over: nothing may come into the middle of that.
            return DeriveOutcome.Later;
        }
        while (true)
        {
            var item = _engine.RentItem();
            if (!_derivedDecoder.TryDecode(payload.Bytes, Generation, item.Batch, out _))
            {
                throw new InvalidOperationException($"The record {payload.Part} cannot be read again.");
            }
            item.ArrivalMs = _clock.NowMs();
            item.Deal.Deal(item.Batch, item.ArrivalMs, item.Batch.Generation.TaskCount, _engine.Lanes.Length);
            if (TryAppendDerived(payload, item, out var outcome))
            {
                return outcome;
            }
            _engine.ReturnItem(item); // A new configuration came into force meanwhile.
        }
    }

    private bool TryAppendDerived(in DerivedPayload payload, BatchItem item, out DeriveOutcome outcome)
    {
        lock (_appendLock)
        {
            outcome = DeriveOutcome.Done;
            if (!ReferenceEquals(item.Batch.Generation, _generation))
            {
                return false;
            }
            // Asked here, where a replay that had not come to it before has come to its end.
            if (_engine.Emitter.Derivations.TakeFound(payload.Part))
            {
                _engine.ReturnItem(item);
                return true;
            }
            if (!TryAppendLocked(DerivedRecord.Header(item.ArrivalMs), payload.Bytes, out var lsn))
            {
                _engine.ReturnItem(item);
                outcome = DeriveOutcome.Later;
                return true;
            }
            item.Lsn = lsn;
            item.IsForLanesOnly = false;
            item.SizeBytes = item.Batch.SizeBytes;
            LastDerivedLsn = lsn;
            _engine.HandOver(item);
            return true;
        }
    }

    /// <summary>Of this process; a base must not be on disk without it.</summary>
    public long LastDerivedLsn { get; private set; }
}
