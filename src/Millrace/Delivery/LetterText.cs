using System.Globalization;
using Millrace.Model;
using Millrace.Protocols;
using Millrace.Protocols.RemoteWrite;

namespace Millrace.Delivery;

/// <summary>Dead letters in words: what commands and pages show.</summary>
internal static class LetterText
{
    private const long StaleMarker = 0x7ff0000000000002;

    /// <summary>One line per series, as <c>name{labels} value @ time, value @ time</c>.</summary>
    /// <param name="maxSeries">Series that are told.</param>
    /// <param name="maxSamples">Samples that are told of each.</param>
    /// <param name="seriesCount">How many there are; 0: the block cannot be read.</param>
    public static List<string> SeriesOf(
        ReadOnlySpan<byte> canonical, int maxSeries, int maxSamples, out int seriesCount)
    {
        var lines = new List<string>();
        seriesCount = 0;
        var block = new CanonicalBlock(RemoteWriteTranscoder.DefaultMaxDecodedBytes);
        if (!block.TryRead(canonical))
        {
            return lines;
        }
        foreach (ref readonly var entry in block.Entries)
        {
            if (entry.IsSeries && ++seriesCount <= maxSeries)
            {
                lines.Add(SeriesText(block, entry, maxSamples));
            }
        }
        return lines;
    }

    public static string NameOf(Refusal refusal) => refusal switch
    {
        Refusal.None => "none",
        Refusal.Duplicate => "duplicate",
        Refusal.OutOfOrder => "out_of_order",
        Refusal.TooOld => "too_old",
        Refusal.TooFarAhead => "too_far_ahead",
        Refusal.TooLarge => "too_large",
        Refusal.Unsupported => "unsupported",
        Refusal.NothingWritten => "nothing_written",
        Refusal.Invalid => "invalid",
        _ => "unavailable",
    };

    /// <summary>One line, whatever the backend wrote.</summary>
    public static string OneLine(string text, int maxChars) => string.Create(
        Math.Min(text.Length, maxChars), text, static (target, from) =>
        {
            for (var i = 0; i < target.Length; i++)
            {
                target[i] = char.IsControl(from[i]) ? ' ' : from[i];
            }
        });

    private static string SeriesText(CanonicalBlock block, in BlockEntry entry, int maxSamples)
    {
        var labels = new List<Label>();
        var text = LabelBlock.TryParse(block.LabelsOf(entry), LabelLimits.Default, labels, out _)
            ? LabelSet.From(labels).ToString() : "(labels that cannot be read)";
        var (samples, separator) = (0, " ");
        foreach (ref readonly var field in block.FieldsOf(entry))
        {
            if (field.Kind == BlockFieldKind.Exemplar || ++samples > maxSamples)
            {
                continue;
            }
            var time = DateTimeOffset.FromUnixTimeMilliseconds(
                Math.Clamp(field.TimestampMs, -62_135_596_800_000, 253_402_300_799_999));
            text += separator + ValueText(block, field) + " @ "
                + time.ToString("yyyy-MM-ddTHH:mm:ss.FFFZ", CultureInfo.InvariantCulture);
            separator = ", ";
        }
        return samples > maxSamples
            ? string.Create(CultureInfo.InvariantCulture, $"{text}, {samples - maxSamples} more") : text;
    }

    private static string ValueText(CanonicalBlock block, in BlockField field)
    {
        if (field.Kind != BlockFieldKind.Sample)
        {
            return "histogram";
        }
        var reader = new FieldReader(block.Bytes[field.Start..field.End]);
        var value = SampleMessage.Read(ref reader).Value;
        return BitConverter.DoubleToInt64Bits(value) == StaleMarker
            ? "stale" : value.ToString("R", CultureInfo.InvariantCulture);
    }
}
