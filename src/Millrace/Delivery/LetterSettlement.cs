using Millrace.Log;

namespace Millrace.Delivery;

/// <summary>
/// Says in the log of the dead letters what became of those before it. Letters are never rewritten: a start reads
/// letters and settlements in their order and knows which of them still wait.
/// </summary>
/// <param name="Fate">What became of them.</param>
/// <param name="Range">Which; of those only what the fate concerns.</param>
/// <param name="Totals">After it, so that the sums outlive the letters.</param>
internal readonly record struct LetterSettlement(LetterFate Fate, LetterRange Range, LetterTotals Totals)
{
    /// <summary>
    /// Layout, little-endian: u8 fate, i64 from, i64 to, i64 replayed, i64 discarded, i64 evicted samples.
    /// </summary>
    public const byte FormatVersion = 1;

    public void Write(PayloadWriter payload)
    {
        payload.Clear();
        payload.Byte((byte)Fate);
        payload.Int64(Range.From);
        payload.Int64(Range.To);
        payload.Int64(Totals.Replayed);
        payload.Int64(Totals.Discarded);
        payload.Int64(Totals.Evicted);
    }

    public static RecordHeader RecordHeader(long nowMs) => new()
    {
        Type = RecordType.LetterSettlement,
        FormatVersion = FormatVersion,
        ArrivalMs = nowMs,
    };

    /// <summary>Null when the record is none, or is of a newer layout, or is cut short.</summary>
    public static LetterSettlement? TryRead(in LogRecord record)
    {
        if (record.Header.Type != RecordType.LetterSettlement || record.Header.FormatVersion != FormatVersion)
        {
            return null;
        }
        var reader = new PayloadReader(record.Payload);
        var settlement = new LetterSettlement(
            (LetterFate)reader.Byte(), new LetterRange(reader.Int64(), reader.Int64()),
            new LetterTotals(reader.Int64(), reader.Int64(), reader.Int64()));
        return reader.Failed || settlement.Fate is < LetterFate.Wanted or > LetterFate.Evicted ? null : settlement;
    }
}
