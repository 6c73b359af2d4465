using Millrace.Log;

namespace Millrace.Delivery;

/// <summary>A block in a log of the destination's own: the spill, or the dead letters.</summary>
/// <param name="Block">The block; its bytes are a slice of the record's payload.</param>
/// <param name="LogId">The input log that <see cref="SealedBlock.End"/> counts in.</param>
/// <param name="Refusal">Why it is a dead letter; None in the spill.</param>
/// <param name="StatusCode">The last answer to a dead letter.</param>
/// <param name="Text">What the backend said of a dead letter.</param>
/// <param name="LostSamples">Of a dead letter: how many of its samples the backend did not take.</param>
internal sealed record StoredBlock(
    SealedBlock Block, Guid LogId, Refusal Refusal, int StatusCode, string Text, int LostSamples)
{
    /// <summary>
    /// Layout, little-endian: u8 feed, u8 refusal, u16 lane, u16 status, log id (16), i64 end LSN, i32 end index,
    /// i32 samples, i32 lost samples, i64 min ms, i64 max ms, i64 sealed at ms, text (u16 n, n bytes), then the block.
    /// </summary>
    public const byte FormatVersion = 1;

    private const int MaxTextChars = 1_000;

    /// <summary>What stands before the block's bytes, which follow as the second piece of the append.</summary>
    public void WriteHead(PayloadWriter payload)
    {
        payload.Clear();
        payload.Byte((byte)Block.Feed);
        payload.Byte((byte)Refusal);
        payload.UInt16(checked((ushort)Block.Lane));
        payload.UInt16((ushort)Math.Clamp(StatusCode, 0, ushort.MaxValue));
        Span<byte> id = stackalloc byte[16];
        LogId.TryWriteBytes(id);
        payload.Int64(BitConverter.ToInt64(id));
        payload.Int64(BitConverter.ToInt64(id[8..]));
        payload.Int64(Block.End.Lsn);
        payload.Int32(Block.End.Index);
        payload.Int32(Block.SampleCount);
        payload.Int32(LostSamples);
        payload.Int64(Block.MinTimestampMs);
        payload.Int64(Block.MaxTimestampMs);
        payload.Int64(Block.SealedAtMs);
        payload.Text(Text.Length <= MaxTextChars ? Text : Text[..MaxTextChars]);
    }

    public RecordHeader RecordHeader(long arrivalMs) => new()
    {
        Type = RecordType.Block,
        FormatVersion = FormatVersion,
        ArrivalMs = arrivalMs,
        GatewayId = LogId,
        GatewayLsn = Block.End.Lsn,
    };

    /// <summary>Null when the record is no block, or is of a newer layout, or is cut short.</summary>
    public static StoredBlock? TryRead(in LogRecord record)
    {
        if (record.Header.Type != RecordType.Block || record.Header.FormatVersion != FormatVersion)
        {
            return null;
        }
        var reader = new PayloadReader(record.Payload);
        var feed = (Feed)reader.Byte();
        var refusal = (Refusal)reader.Byte();
        var lane = reader.UInt16();
        var status = reader.UInt16();
        Span<byte> id = stackalloc byte[16];
        BitConverter.TryWriteBytes(id, reader.Int64());
        BitConverter.TryWriteBytes(id[8..], reader.Int64());
        var end = new LogPosition(reader.Int64(), reader.Int32());
        var samples = reader.Int32();
        var lost = reader.Int32();
        var (min, max, sealedAt) = (reader.Int64(), reader.Int64(), reader.Int64());
        var text = reader.Text();
        var bytes = reader.Rest();
        if (reader.Failed || samples < 0)
        {
            return null;
        }
        var block = new SealedBlock
        {
            Feed = feed,
            Lane = lane,
            End = end,
            Bytes = bytes,
            SampleCount = samples,
            MinTimestampMs = min,
            MaxTimestampMs = max,
            SealedAtMs = sealedAt,
        };
        return new StoredBlock(block, new Guid(id), refusal, status, text, lost);
    }
}
