using System.Text;
using System.Text.Unicode;
using Millrace.Model;

namespace Millrace.Protocols;

/// <summary>Bounds of the labels of one series.</summary>
internal readonly record struct LabelLimits(int MaxLabels, int MaxNameBytes, int MaxValueBytes)
{
    public static readonly LabelLimits Default = new(128, 1024, 16 << 10);
}

/// <summary>Why a label block is not the identity of a series.</summary>
internal enum LabelDefect : byte
{
    None = 0,
    Malformed = 1,
    TooManyLabels = 2,
    NameTooLong = 3,
    ValueTooLong = 4,
    EmptyName = 5,
    InvalidUtf8 = 6,
    DuplicateName = 7,

    /// <summary>All else is well; remote write refuses such a series, vmagent takes it.</summary>
    MissingMetricName = 8,
}

/// <summary>
/// The bytes by which a series is known on the hot path: <c>0x0A length (0x0A length name 0x12 length value)</c> for
/// each label, as in remote write 1.0's TimeSeries. Encoders leave an empty name or value out; both forms are read.
/// This is the slow path, once per series.
/// </summary>
internal static class LabelBlock
{
    private static readonly Comparer<Label> ByName =
        Comparer<Label>.Create((a, b) => Utf8Order.Compare(a.Name, b.Name));

    /// <summary>
    /// Decodes a block to labels sorted by name, without empty values. Unsorted labels are taken, as Prometheus does.
    /// False with the defect; after <see cref="LabelDefect.MissingMetricName"/> the labels are complete, so that a
    /// caller who tolerates it may go on.
    /// </summary>
    public static bool TryParse(
        ReadOnlySpan<byte> block, in LabelLimits limits, List<Label> labels, out LabelDefect defect)
    {
        labels.Clear();
        var sorted = true;
        var reader = new FieldReader(block);
        while (reader.NextField(out var tag))
        {
            if (tag != LabelBlockWriter.LabelTag || labels.Count == limits.MaxLabels)
            {
                defect = tag == LabelBlockWriter.LabelTag ? LabelDefect.TooManyLabels : LabelDefect.Malformed;
                return false;
            }
            var message = reader.ReadMessage();
            if (reader.IsFaulty)
            {
                break;
            }
            defect = ReadLabel(ref message, limits, out var label);
            if (defect != LabelDefect.None)
            {
                return false;
            }
            sorted = sorted && (labels.Count == 0 || Utf8Order.Compare(labels[^1].Name, label.Name) < 0);
            labels.Add(label);
        }
        if (reader.IsFaulty)
        {
            defect = LabelDefect.Malformed;
            return false;
        }
        if (!sorted && !TrySort(labels))
        {
            defect = LabelDefect.DuplicateName;
            return false;
        }
        defect = DropEmptyValues(labels) ? LabelDefect.None : LabelDefect.MissingMetricName;
        return defect == LabelDefect.None;
    }

    /// <summary>What to tell the sender.</summary>
    public static string Describe(LabelDefect defect) => defect switch
    {
        LabelDefect.None => "",
        LabelDefect.Malformed => "the labels are not well formed",
        LabelDefect.TooManyLabels => "a series has more labels than ingest.max_labels_per_series allows",
        LabelDefect.NameTooLong => "a label name is longer than ingest.max_label_name_bytes allows",
        LabelDefect.ValueTooLong => "a label value is longer than ingest.max_label_value_bytes allows",
        LabelDefect.EmptyName => "a label name is empty",
        LabelDefect.InvalidUtf8 => "a label is not valid UTF-8",
        LabelDefect.DuplicateName => "a series has two labels of the same name",
        LabelDefect.MissingMetricName => "a series has no metric name (label __name__)",
        _ => throw new ArgumentOutOfRangeException(nameof(defect), defect, null),
    };

    public static byte[] Encode(LabelSet labels)
    {
        var block = new byte[EncodedBytes(labels.Labels)];
        Encode(labels.Labels, block);
        return block;
    }

    public static int EncodedBytes(ReadOnlySpan<Label> labels)
    {
        var bytes = 0;
        foreach (var label in labels)
        {
            var labelBytes = LabelBytes(label);
            bytes += 1 + LabelBlockWriter.VarintBytes((ulong)labelBytes) + labelBytes;
        }
        return bytes;
    }

    /// <summary>Writes the labels in the order given; returns the bytes written.</summary>
    public static int Encode(ReadOnlySpan<Label> labels, Span<byte> target)
    {
        var position = 0;
        foreach (var label in labels)
        {
            target[position++] = LabelBlockWriter.LabelTag;
            position += WriteVarint(target[position..], (uint)LabelBytes(label));
            position += WriteField(target[position..], LabelBlockWriter.NameTag, label.Name);
            position += WriteField(target[position..], LabelBlockWriter.ValueTag, label.Value);
        }
        return position;
    }

    private static LabelDefect ReadLabel(ref FieldReader reader, in LabelLimits limits, out Label label)
    {
        ReadOnlySpan<byte> name = default;
        ReadOnlySpan<byte> value = default;
        label = default;
        while (reader.NextField(out var tag))
        {
            switch (tag)
            {
                case LabelBlockWriter.NameTag:
                    name = reader.ReadBytes();
                    break;
                case LabelBlockWriter.ValueTag:
                    value = reader.ReadBytes();
                    break;
                default:
                    reader.SkipUnknown(tag, 2);
                    break;
            }
        }
        if (reader.IsFaulty)
        {
            return LabelDefect.Malformed;
        }
        if (name.IsEmpty)
        {
            return LabelDefect.EmptyName;
        }
        if (name.Length > limits.MaxNameBytes)
        {
            return LabelDefect.NameTooLong;
        }
        if (value.Length > limits.MaxValueBytes)
        {
            return LabelDefect.ValueTooLong;
        }
        if (!Utf8.IsValid(name) || !Utf8.IsValid(value))
        {
            return LabelDefect.InvalidUtf8;
        }
        label = new Label(Encoding.UTF8.GetString(name), Encoding.UTF8.GetString(value));
        return LabelDefect.None;
    }

    /// <summary>False when a name stands twice, whether its value is empty or not.</summary>
    private static bool TrySort(List<Label> labels)
    {
        labels.Sort(ByName);
        for (var i = 1; i < labels.Count; i++)
        {
            if (string.Equals(labels[i].Name, labels[i - 1].Name, StringComparison.Ordinal))
            {
                return false;
            }
        }
        return true;
    }

    /// <summary>An empty value is the same as no label. False when no metric name is left.</summary>
    private static bool DropEmptyValues(List<Label> labels)
    {
        var hasMetricName = false;
        var kept = 0;
        for (var i = 0; i < labels.Count; i++)
        {
            var label = labels[i];
            if (label.Value.Length == 0)
            {
                continue;
            }
            hasMetricName |= label.Name == LabelSet.MetricName;
            labels[kept++] = label;
        }
        labels.RemoveRange(kept, labels.Count - kept);
        return hasMetricName;
    }

    private static int LabelBytes(Label label) =>
        LabelBlockWriter.FieldBytes(Encoding.UTF8.GetByteCount(label.Name))
        + LabelBlockWriter.FieldBytes(Encoding.UTF8.GetByteCount(label.Value));

    private static int WriteField(Span<byte> target, byte tag, string text)
    {
        if (text.Length == 0)
        {
            return 0;
        }
        target[0] = tag;
        var position = 1 + WriteVarint(target[1..], (uint)Encoding.UTF8.GetByteCount(text));
        return position + Encoding.UTF8.GetBytes(text, target[position..]);
    }

    private static int WriteVarint(Span<byte> target, uint value)
    {
        var position = 0;
        while (value >= 0x80)
        {
            target[position++] = (byte)(value | 0x80);
            value >>= 7;
        }
        target[position] = (byte)value;
        return position + 1;
    }
}
