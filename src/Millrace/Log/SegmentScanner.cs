using System.Numerics;
using System.Runtime.InteropServices;

namespace Millrace.Log;

/// <summary>
/// Walks through the records of one segment, over what is damaged. Serves readers and recovery. Bytes behind the
/// <c>end</c> it is given are never looked at, so an append in progress is never seen.
/// </summary>
internal sealed class SegmentScanner
{
    // One read serves many small records; a buffer grows only for a record that is larger.
    private const int ReadAheadBytes = 256 << 10;

    // A larger buffer is given back once small records follow.
    private const int KeptBytes = 4 << 20;

    private readonly IDiskFile _file;
    private readonly long _firstLsn;

    private byte[] _buffer = [];
    private long _bufferStart;
    private int _buffered;
    private long _minLsn; // LSNs rise

    public SegmentScanner(IDiskFile file, long firstLsn) => (_file, _firstLsn, _minLsn) = (file, firstLsn, firstLsn);

    /// <summary>Where the next record is expected.</summary>
    public long Position { get; private set; } = RecordFormat.SegmentHeaderBytes;

    /// <summary>End of the last good record seen, or of the segment's header.</summary>
    public long GoodEnd { get; private set; } = RecordFormat.SegmentHeaderBytes;

    /// <summary>
    /// The next good record with at least the LSN <paramref name="fromLsn"/>; false when there is none before
    /// <paramref name="end"/>, and then <see cref="Position"/> has reached it.
    /// </summary>
    public bool TryNext(long end, long fromLsn, out RecordFrame frame, out ReadOnlyMemory<byte> payload)
    {
        while (Position < end)
        {
            if (!TryReadHeader(Position, end, out frame) || frame.Lsn < _minLsn)
            {
                Position = FindHeader(Position + RecordFormat.Alignment, end);
                continue;
            }
            var payloadStart = Position + RecordFormat.RecordHeaderBytes;
            if (payloadStart + frame.PayloadBytes > end)
            {
                Position = end; // The file ends inside the record: nothing can stand behind it.
                break;
            }
            var isWanted = frame.Lsn >= fromLsn;
            payload = default;
            var isGood = !isWanted || (TryPeek(payloadStart, frame.PayloadBytes, end, out payload)
                && Crc32C.Compute(payload.Span) == frame.PayloadCrc);
            Position += frame.SizeBytes;
            _minLsn = frame.Lsn + 1;
            if (isGood)
            {
                GoodEnd = Position;
                if (isWanted)
                {
                    return true;
                }
            }
        }
        (frame, payload) = (default, default);
        return false;
    }

    private bool TryReadHeader(long offset, long end, out RecordFrame frame)
    {
        frame = default;
        return TryPeek(offset, RecordFormat.RecordHeaderBytes, end, out var bytes)
            && RecordFormat.TryReadRecordHeader(bytes.Span, _firstLsn, offset, out frame);
    }

    /// <summary>The offset of the next good header, or the end.</summary>
    private long FindHeader(long offset, long end)
    {
        while (offset + RecordFormat.RecordHeaderBytes <= end)
        {
            var window = Peek(offset, (int)Math.Min(ReadAheadBytes, end - offset), end);
            var count = window.Length & ~(RecordFormat.Alignment - 1);
            if (count < RecordFormat.RecordHeaderBytes)
            {
                return end; // The file is shorter than it should be.
            }
            var words = MemoryMarshal.Cast<byte, ulong>(window.Span[..count]);
            for (var i = 0; i < words.Length; i++)
            {
                var candidate = offset + (long)i * RecordFormat.Alignment;
                if ((uint)words[i] != RecordFormat.RecordMagic)
                {
                    continue;
                }
                if (TryReadHeader(candidate, end, out var frame) && frame.Lsn >= _minLsn)
                {
                    return candidate;
                }
                // The look at the header may have moved the buffer: begin a new window behind it.
                count = (i + 1) * RecordFormat.Alignment;
                break;
            }
            offset += count;
        }
        return end;
    }

    /// <summary>False when the file, or what may be looked at, ends before these bytes do.</summary>
    private bool TryPeek(long offset, int count, long end, out ReadOnlyMemory<byte> bytes)
    {
        bytes = offset + count <= end ? Peek(offset, count, end) : default;
        return bytes.Length == count;
    }

    /// <summary>
    /// Bytes of the file, buffered if possible; fewer where the file ends. It may end before <paramref name="end"/>:
    /// the zeros behind the last payload need not be there.
    /// </summary>
    private ReadOnlyMemory<byte> Peek(long offset, int count, long end)
    {
        var start = offset - _bufferStart;
        if (start < 0 || start + count > _buffered)
        {
            Fill(offset, count, end);
            start = 0;
        }
        return _buffer.AsMemory((int)start, (int)Math.Min(count, _buffered - start));
    }

    private void Fill(long offset, int count, long end)
    {
        var start = offset - _bufferStart;
        var kept = start >= 0 && start < _buffered ? (int)(_buffered - start) : 0;
        var wanted = (int)Math.Min(Math.Max(count, ReadAheadBytes), end - offset);
        var fits = _buffer.Length >= wanted && (_buffer.Length <= KeptBytes || wanted > ReadAheadBytes);
        var target = fits
            ? _buffer
            : GC.AllocateUninitializedArray<byte>((int)BitOperations.RoundUpToPowerOf2((uint)wanted));
        if (kept > 0)
        {
            Buffer.BlockCopy(_buffer, (int)start, target, 0, kept);
        }
        _buffer = target;
        _bufferStart = offset;
        _buffered = kept; // So that an error of the read leaves a buffer that is true.
        _buffered += _file.Read(offset + kept, target.AsSpan(kept, wanted - kept));
    }
}
