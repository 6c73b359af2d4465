using System.Buffers.Binary;
using System.Diagnostics;
using System.Text;

namespace Millrace.Model;

/// <summary>A label: a name and a value, both text without a size limit of their own.</summary>
public readonly record struct Label(string Name, string Value);

/// <summary>
/// The identity of a series: labels sorted by the UTF-8 bytes of their names, each name once, no empty value.
/// Immutable; the metric name is the label <c>__name__</c>.
/// </summary>
public sealed class LabelSet : IEquatable<LabelSet>
{
    public const string MetricName = "__name__";

    public static readonly LabelSet Empty = new([]);

    private readonly Label[] _labels;

    private LabelSet(Label[] sortedLabels) => _labels = sortedLabels;

    /// <summary>Labels sorted by name. Of two with one name the later wins; empty values are left out.</summary>
    public static LabelSet From(IEnumerable<Label> labels)
    {
        Label[] sorted = [.. labels];
        Sort(sorted);
        var kept = 0;
        for (var i = 0; i < sorted.Length; i++)
        {
            var isLast = i + 1 == sorted.Length || sorted[i + 1].Name != sorted[i].Name;
            if (isLast && sorted[i].Value.Length > 0)
            {
                sorted[kept++] = sorted[i];
            }
        }
        return kept == 0 ? Empty : new LabelSet(kept == sorted.Length ? sorted : sorted[..kept]);
    }

    /// <summary>By name; of one name in the order in which they came.</summary>
    private static void Sort(Label[] labels)
    {
        const int FewLabels = 64;
        if (labels.Length > FewLabels)
        {
            SortMany(labels);
            return;
        }
        // They come nearly sorted: a label moves a few places at most.
        for (var i = 1; i < labels.Length; i++)
        {
            var label = labels[i];
            var at = i;
            for (; at > 0 && Utf8Order.Compare(labels[at - 1].Name, label.Name) > 0; at--)
            {
                labels[at] = labels[at - 1];
            }
            labels[at] = label;
        }
    }

    private static void SortMany(Label[] labels)
    {
        var places = new int[labels.Length];
        for (var i = 0; i < places.Length; i++)
        {
            places[i] = i;
        }
        var unsorted = (Label[])labels.Clone();
        Array.Sort(places, (a, b) =>
        {
            var order = Utf8Order.Compare(unsorted[a].Name, unsorted[b].Name);
            return order != 0 ? order : a - b;
        });
        for (var i = 0; i < places.Length; i++)
        {
            labels[i] = unsorted[places[i]];
        }
    }

    public static LabelSet Of(params ReadOnlySpan<(string Name, string Value)> labels)
    {
        var list = new List<Label>(labels.Length);
        foreach (var (name, value) in labels)
        {
            list.Add(new Label(name, value));
        }
        return From(list);
    }

    /// <summary>As <see cref="From"/>, of labels that are already sorted, named once and not empty.</summary>
    internal static LabelSet FromSorted(ReadOnlySpan<Label> labels)
    {
        for (var i = 0; i < labels.Length; i++)
        {
            Debug.Assert(labels[i].Value.Length > 0, "an empty label");
            Debug.Assert(i == 0 || Utf8Order.Compare(labels[i - 1].Name, labels[i].Name) < 0, "labels out of order");
        }
        return labels.IsEmpty ? Empty : new LabelSet(labels.ToArray());
    }

    public int Count => _labels.Length;

    public ReadOnlySpan<Label> Labels => _labels;

    /// <summary>The value of a label; empty when the series does not have it.</summary>
    public string this[string name]
    {
        get
        {
            foreach (var label in _labels)
            {
                if (string.Equals(label.Name, name, StringComparison.Ordinal))
                {
                    return label.Value;
                }
            }
            return "";
        }
    }

    /// <summary>
    /// The 128-bit key of the series: equal in every process, release and platform. Hashes name and value of each
    /// label in order, each as a 4-byte little-endian length and its UTF-8 bytes.
    /// </summary>
    public UInt128 StableKey()
    {
        var sizeBytes = 0;
        foreach (var label in _labels)
        {
            sizeBytes += 8 + Encoding.UTF8.GetByteCount(label.Name) + Encoding.UTF8.GetByteCount(label.Value);
        }
        var buffer = sizeBytes <= 2048 ? stackalloc byte[sizeBytes] : new byte[sizeBytes];
        var position = 0;
        foreach (var label in _labels)
        {
            position += WriteDelimited(buffer[position..], label.Name);
            position += WriteDelimited(buffer[position..], label.Value);
        }
        return StableHash.Hash128(buffer);
    }

    public bool Equals(LabelSet? other) => other is not null && _labels.AsSpan().SequenceEqual(other._labels);

    public override bool Equals(object? obj) => Equals(obj as LabelSet);

    public override int GetHashCode() => (int)(ulong)StableKey();

    /// <summary>The text form of Prometheus: <c>name{a="1",b="2"}</c>.</summary>
    public override string ToString()
    {
        var text = new StringBuilder(this[MetricName]);
        var separator = '{';
        foreach (var label in _labels)
        {
            if (label.Name == MetricName)
            {
                continue;
            }
            text.Append(separator).Append(label.Name).Append("=\"");
            text.Append(label.Value.Replace("\\", "\\\\", StringComparison.Ordinal)
                .Replace("\"", "\\\"", StringComparison.Ordinal)
                .Replace("\n", "\\n", StringComparison.Ordinal));
            text.Append('"');
            separator = ',';
        }
        if (separator == ',')
        {
            text.Append('}');
        }
        else if (text.Length == 0)
        {
            text.Append("{}");
        }
        return text.ToString();
    }

    private static int WriteDelimited(Span<byte> target, string text)
    {
        var length = Encoding.UTF8.GetBytes(text, target[4..]);
        BinaryPrimitives.WriteInt32LittleEndian(target, length);
        return 4 + length;
    }
}

/// <summary>The order of UTF-8 bytes on UTF-16 strings: code points, not code units, decide.</summary>
public static class Utf8Order
{
    public static readonly IComparer<string> Comparer = Comparer<string>.Create(Compare);

    public static int Compare(string? a, string? b)
    {
        if (a is null || b is null)
        {
            return a is null ? (b is null ? 0 : -1) : 1;
        }
        var length = Math.Min(a.Length, b.Length);
        for (var i = 0; i < length; i++)
        {
            if (a[i] != b[i])
            {
                // A surrogate stands for a code point above every other code unit.
                var aHigh = char.IsSurrogate(a[i]);
                var bHigh = char.IsSurrogate(b[i]);
                return aHigh == bHigh ? a[i] - b[i] : (aHigh ? 1 : -1);
            }
        }
        return a.Length - b.Length;
    }
}
