using System.IO;
using Millrace.Log;

namespace Millrace.Delivery;

/// <summary>
/// Blocks that a backend refused for good: kept to be looked at and replayed, bounded, the oldest goes. They were
/// counted as parked when they came and stay so.
/// </summary>
internal sealed class DeadLetters : IDisposable
{
    private readonly RecordLog _log;
    private readonly PayloadWriter _head = new(512);
    private readonly Guid _inputLogId;
    private readonly long _maxBytes;
    private long _added;

    public DeadLetters(DestinationConfig config, DestinationEnvironment environment)
    {
        _maxBytes = config.DeadLetterMaxBytes;
        _inputLogId = environment.InputLogId;
        _log = RecordLog.Open(
            Path.Combine(environment.Folder, "dead-letters"),
            new RecordLogOptions
            {
                SegmentBytes = Math.Clamp(_maxBytes / 8, 64 << 10, 16 << 20),
                MinFreeBytes = environment.MinFreeBytes,
            },
            environment.Disk, environment.Time);
    }

    public long SizeBytes => _log.SizeBytes;

    /// <summary>Letters since the start.</summary>
    public long Added => Interlocked.Read(ref _added);

    /// <summary>Segments that went because of the bound.</summary>
    public long DroppedSegments { get; private set; }

    /// <param name="part">The samples as last sent, in canonical form.</param>
    /// <param name="lostSamples">How many of them the backend did not take.</param>
    public bool TryAdd(SealedBlock part, Refusal refusal, in SendResult answer, int lostSamples, long nowMs)
    {
        var letter = new StoredBlock(part, _inputLogId, refusal, answer.StatusCode, answer.Body ?? "", lostSamples);
        letter.WriteHead(_head);
        var header = letter.RecordHeader(nowMs);
        if (_log.Append(header, _head.Written.Span, part.Bytes.Span, out _) != AppendOutcome.Written)
        {
            return false;
        }
        Interlocked.Increment(ref _added);
        while (_log.SizeBytes > _maxBytes && _log.DropOldestSegment(out _))
        {
            DroppedSegments++;
        }
        return true;
    }

    /// <summary>The letters from a record on; the bytes of a block are its own.</summary>
    public IEnumerable<(long Lsn, StoredBlock Letter)> Read(long fromLsn = 1)
    {
        using var reader = _log.OpenReader(fromLsn);
        while (reader.TryRead(out var record))
        {
            if (StoredBlock.TryRead(record) is { } letter)
            {
                yield return (record.Lsn, letter with
                {
                    Block = letter.Block with { Bytes = letter.Block.Bytes.ToArray() },
                });
            }
        }
    }

    public bool Sync() => _log.Sync();

    public void Dispose()
    {
        _log.Dispose();
        _head.Dispose();
    }
}
