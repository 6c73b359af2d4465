using System.Buffers;
using Millrace.Protocols;
using Millrace.Protocols.Compression;
using Millrace.Protocols.RemoteWrite;

namespace Millrace.Delivery;

/// <summary>A canonical block that was made from another one.</summary>
internal readonly record struct EditedBlock(
    byte[] Bytes, int SampleCount, int SeriesCount, long MinTimestampMs, long MaxTimestampMs);

/// <summary>
/// Takes canonical blocks apart when a backend refuses them: in halves by series, or without the samples outside a span.
/// Equal input gives equal bytes. Cold: a refused block is the exception.
/// </summary>
internal static class BlockEditor
{
    /// <summary>Blocks are built far below this; more is damage.</summary>
    private const int MaxDecodedBytes = 256 << 20;

    /// <summary>
    /// In two by series, or by time when there is only one; false when a single sample is left, or the block is damaged.
    /// </summary>
    public static bool TrySplit(ReadOnlySpan<byte> canonical, out EditedBlock first, out EditedBlock second)
    {
        (first, second) = (default, default);
        if (!TryEdit(canonical, new Selection { Series = 0..int.MaxValue }, out var whole))
        {
            return false;
        }
        if (whole.SeriesCount > 1)
        {
            var half = whole.SeriesCount / 2;
            return TryEdit(canonical, new Selection { Series = 0..half, KeepsMetadata = true }, out first)
                && TryEdit(canonical, new Selection { Series = half..int.MaxValue }, out second);
        }
        if (whole.SampleCount < 2 || whole.MinTimestampMs >= whole.MaxTimestampMs)
        {
            return false;
        }
        var middle = whole.MinTimestampMs + (whole.MaxTimestampMs - whole.MinTimestampMs) / 2;
        return TryTrim(canonical, long.MinValue, middle, out first)
            && TryTrim(canonical, middle + 1, long.MaxValue, out second);
    }

    /// <summary>Without the samples outside a span, both ends of which belong to it; false when the block is damaged.</summary>
    public static bool TryTrim(ReadOnlySpan<byte> canonical, long keepFromMs, long keepToMs, out EditedBlock rest) =>
        TryEdit(
            canonical,
            new Selection
            {
                Series = 0..int.MaxValue,
                KeepsMetadata = true,
                TrimsTime = true,
                FromMs = keepFromMs,
                ToMs = keepToMs,
            },
            out rest);

    private readonly record struct Selection
    {
        public Range Series { get; init; }

        public bool KeepsMetadata { get; init; }

        public bool TrimsTime { get; init; }

        public long FromMs { get; init; }

        public long ToMs { get; init; }
    }

    private ref struct Tally
    {
        public int Samples;
        public int Series;
        public long MinMs;
        public long MaxMs;
    }

    private static bool TryEdit(ReadOnlySpan<byte> canonical, in Selection selection, out EditedBlock edited)
    {
        edited = default;
        if (!Snappy.TryGetDecodedLength(canonical, out var length) || length > MaxDecodedBytes)
        {
            return false;
        }
        var decoded = ArrayPool<byte>.Shared.Rent(length);
        var target = ArrayPool<byte>.Shared.Rent(length);
        try
        {
            var tally = new Tally { MinMs = long.MaxValue, MaxMs = long.MinValue };
            // Fields are left out, never added, so that what is kept has room where the whole had.
            if (!Snappy.TryDecode(canonical, decoded.AsSpan(0, length))
                || !TryCopy(decoded.AsSpan(0, length), selection, target, ref tally, out var written))
            {
                return false;
            }
            var encoded = new byte[Snappy.MaxEncodedLength(written)];
            var encodedBytes = Snappy.Encode(target.AsSpan(0, written), encoded);
            edited = new EditedBlock(
                encoded.AsSpan(0, encodedBytes).ToArray(), tally.Samples, tally.Series, tally.MinMs, tally.MaxMs);
            return true;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(decoded);
            ArrayPool<byte>.Shared.Return(target);
        }
    }

    private static bool TryCopy(
        ReadOnlySpan<byte> request, in Selection selection, Span<byte> target, ref Tally tally, out int written)
    {
        var writer = new WireWriter(target);
        var reader = new FieldReader(request);
        var seriesNumber = 0;
        var start = 0;
        for (; reader.NextField(out var tag); start = reader.Position)
        {
            if (tag != V1Wire.RequestSeries)
            {
                reader.Skip(tag);
                if (selection.KeepsMetadata && !reader.IsFaulty)
                {
                    writer.WriteRaw(request[start..reader.Position]);
                }
                continue;
            }
            var series = reader.ReadBytes();
            var number = seriesNumber++;
            if (reader.IsFaulty || number < selection.Series.Start.Value || number >= selection.Series.End.Value)
            {
                continue;
            }
            if (!TryCopySeries(series, selection, ref writer, ref tally))
            {
                reader.Fail("a series is malformed", start);
            }
        }
        written = writer.Position;
        return !reader.IsFaulty;
    }

    private static bool TryCopySeries(
        ReadOnlySpan<byte> series, in Selection selection, ref WireWriter writer, ref Tally tally)
    {
        var kept = ArrayPool<byte>.Shared.Rent(series.Length);
        try
        {
            var keptWriter = new WireWriter(kept);
            var reader = new FieldReader(series);
            var (samples, keptSamples) = (0, 0);
            var start = 0;
            for (; reader.NextField(out var tag); start = reader.Position)
            {
                if (tag is not (V1Wire.SeriesSample or V1Wire.SeriesHistogram))
                {
                    reader.Skip(tag);
                }
                else
                {
                    var timestampTag = tag == V1Wire.SeriesSample ? V1Wire.SampleTimestamp : V1Wire.HistogramTimestamp;
                    if (!V1Wire.TryReadTimestamp(reader.ReadBytes(), timestampTag, out var time))
                    {
                        return false;
                    }
                    samples++;
                    if (selection.TrimsTime && (time < selection.FromMs || time > selection.ToMs))
                    {
                        continue;
                    }
                    keptSamples++;
                    tally.MinMs = Math.Min(tally.MinMs, time);
                    tally.MaxMs = Math.Max(tally.MaxMs, time);
                }
                if (!reader.IsFaulty)
                {
                    keptWriter.WriteRaw(series[start..reader.Position]);
                }
            }
            if (reader.IsFaulty || (samples > 0 && keptSamples == 0))
            {
                return !reader.IsFaulty;
            }
            tally.Series++;
            tally.Samples += keptSamples;
            writer.WriteBytes(V1Wire.RequestSeries, kept.AsSpan(0, keptWriter.Position));
            return true;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(kept);
        }
    }
}
