using System.Buffers.Binary;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Millrace.Model;
using Millrace.Model.Re2;

namespace Millrace.Relabeling;

/// <summary>One relabel rule, compiled: every default filled in, the regex parsed.</summary>
internal sealed class RelabelRule
{
    public required RelabelConfig Config { get; init; }

    public required RelabelAction Action { get; init; }

    public required RelabelDialect Dialect { get; init; }

    /// <summary>Null: no condition.</summary>
    public SeriesSelector? If { get; init; }

    public string[] SourceLabels { get; init; } = [];

    public string Separator { get; init; } = ";";

    public string TargetLabel { get; init; } = "";

    public required GoRegex Regex { get; init; }

    public ulong Modulus { get; init; }

    public string Replacement { get; init; } = "$1";

    public GraphiteRule? Graphite { get; init; }

    /// <summary>The replacement as pieces, if it names labels as <c>{{label}}</c>.</summary>
    public ReplacementTemplate? LabelReferences { get; init; }

    public bool HasDefaultRegex { get; init; }

    /// <summary>The rule only copies: the default regex, <c>$1</c> and a target without references.</summary>
    public bool Copies { get; init; }

    public bool TargetHasReferences { get; init; }

    public bool ReplacementHasReferences { get; init; }

    public RelabelDecision Apply(LabelBuilder labels)
    {
        if (If is not null && !If.Matches(labels.Labels))
        {
            // vmagent: a series that "keep" was not about is not kept.
            return Action is RelabelAction.Keep or RelabelAction.KeepMetrics
                ? RelabelDecision.Dropped
                : RelabelDecision.Skipped;
        }
        switch (Action)
        {
            case RelabelAction.Replace: Replace(labels); break;
            case RelabelAction.ReplaceAll: ReplaceAll(labels); break;
            case RelabelAction.Keep or RelabelAction.KeepMetrics: return KeepIf(Regex.IsMatch(Value(labels)));
            case RelabelAction.Drop or RelabelAction.DropMetrics: return KeepIf(!Regex.IsMatch(Value(labels)));
            case RelabelAction.KeepEqual: return KeepIf(Value(labels).SequenceEqual(labels[TargetLabel]));
            case RelabelAction.DropEqual: return KeepIf(!Value(labels).SequenceEqual(labels[TargetLabel]));
            case RelabelAction.KeepIfEqual: return KeepIf(SourcesAreEqual(labels));
            case RelabelAction.DropIfEqual: return KeepIf(!SourcesAreEqual(labels));
            case RelabelAction.KeepIfContains: return KeepIf(TargetContainsSources(labels));
            case RelabelAction.DropIfContains: return KeepIf(!TargetContainsSources(labels));
            case RelabelAction.HashMod: HashMod(labels); break;
            case RelabelAction.LabelMap: LabelMap(labels); break;
            case RelabelAction.LabelMapAll: LabelMapAll(labels); break;
            case RelabelAction.LabelDrop: RetainNames(labels, matching: false); break;
            case RelabelAction.LabelKeep: RetainNames(labels, matching: true); break;
            case RelabelAction.Lowercase: ChangeCase(labels, upper: false); break;
            case RelabelAction.Uppercase: ChangeCase(labels, upper: true); break;
            case RelabelAction.Graphite: Graphite!.Apply(labels); break;
        }
        return RelabelDecision.Continued;
    }

    private static RelabelDecision KeepIf(bool keep) => keep ? RelabelDecision.Continued : RelabelDecision.Dropped;

    /// <summary>The values of the source labels, joined; a view that the next rule overwrites.</summary>
    private ReadOnlySpan<char> Value(LabelBuilder labels)
    {
        if (SourceLabels.Length == 1)
        {
            return labels[SourceLabels[0]];
        }
        labels.Source.Clear();
        for (var i = 0; i < SourceLabels.Length; i++)
        {
            if (i > 0)
            {
                labels.Source.Append(Separator);
            }
            labels.Source.Append(labels[SourceLabels[i]]);
        }
        return labels.Source.Span;
    }

    private void Replace(LabelBuilder labels)
    {
        if (Copies && SourceLabels.Length == 1)
        {
            labels.Set(TargetLabel, labels[SourceLabels[0]]);
            return;
        }
        var value = Value(labels);
        var slots = Regex.CaptureSlots;
        Span<int> captures = slots <= 32 ? stackalloc int[slots] : new int[slots];
        if (!Regex.TryMatch(value, 0, captures))
        {
            return;
        }
        var target = TargetLabel;
        if (TargetHasReferences)
        {
            labels.Output.Clear();
            Regex.Expand(TargetLabel, value, captures, labels.Output);
            target = labels.Output.Span.ToString();
        }
        if (LabelReferences is not null)
        {
            labels.Output.Clear();
            LabelReferences.Expand(this, labels, value, captures);
            labels.Set(target, labels.Output.Span);
        }
        else if (ReplacementHasReferences)
        {
            labels.Output.Clear();
            Regex.Expand(Replacement, value, captures, labels.Output);
            labels.Set(target, labels.Output.Span);
        }
        else
        {
            labels.Set(target, Replacement);
        }
    }

    private void ReplaceAll(LabelBuilder labels)
    {
        var value = Value(labels);
        labels.Output.Clear();
        Regex.ReplaceAll(value, Replacement, labels.Output);
        if (!labels.Output.Span.SequenceEqual(value))
        {
            labels.Set(TargetLabel, labels.Output.Span);
        }
    }

    private bool SourcesAreEqual(LabelBuilder labels)
    {
        var first = labels[SourceLabels[0]];
        foreach (var source in SourceLabels)
        {
            if (!string.Equals(labels[source], first, StringComparison.Ordinal))
            {
                return false;
            }
        }
        return true;
    }

    private bool TargetContainsSources(LabelBuilder labels)
    {
        var target = labels[TargetLabel];
        foreach (var source in SourceLabels)
        {
            if (!target.Contains(labels[source], StringComparison.Ordinal))
            {
                return false;
            }
        }
        return true;
    }

    private void HashMod(LabelBuilder labels)
    {
        var value = Value(labels);
        var size = Encoding.UTF8.GetMaxByteCount(value.Length);
        var bytes = size <= 1024 ? stackalloc byte[size] : new byte[size];
        bytes = bytes[..Encoding.UTF8.GetBytes(value, bytes)];
        Span<char> text = stackalloc char[20];
        int length;
        if (Dialect == RelabelDialect.VmAgent)
        {
            // Go's int: a modulus above 2^63 gives negative numbers there.
            var remainder = (long)(StableHash.Hash64(bytes) % Modulus);
            remainder.TryFormat(text, out length, provider: CultureInfo.InvariantCulture);
        }
        else
        {
            // The last 8 of the 16 bytes: Prometheus kept its first implementation's results.
            Span<byte> hash = stackalloc byte[MD5.HashSizeInBytes];
#pragma warning disable CA5351 // Prometheus fixed the algorithm; it spreads series and protects nothing.
            MD5.HashData(bytes, hash);
#pragma warning restore CA5351
            var remainder = BinaryPrimitives.ReadUInt64BigEndian(hash[8..]) % Modulus;
            remainder.TryFormat(text, out length, provider: CultureInfo.InvariantCulture);
        }
        labels.Set(TargetLabel, text[..length]);
    }

    private void LabelMap(LabelBuilder labels)
    {
        // Both go over the labels as they were. Prometheus over a copy; vmagent over the list itself, so that it sees
        // values which the mapping of a label before has changed.
        var isCopy = Dialect == RelabelDialect.Prometheus;
        var before = isCopy ? labels.Snapshot() : [];
        var count = labels.Count;
        for (var i = 0; i < count; i++)
        {
            var label = isCopy ? before[i] : labels.Labels[i];
            if (!Regex.IsMatch(label.Name))
            {
                continue;
            }
            labels.Output.Clear();
            Regex.ReplaceAll(label.Name, Replacement, labels.Output);
            var name = labels.Output.Span;
            if (!name.SequenceEqual(label.Name) || isCopy)
            {
                labels.Set(name.ToString(), label.Value);
            }
        }
    }

    private void LabelMapAll(LabelBuilder labels)
    {
        for (var i = 0; i < labels.Count; i++)
        {
            var name = labels.Labels[i].Name;
            labels.Output.Clear();
            Regex.ReplaceAll(name, Replacement, labels.Output);
            if (!labels.Output.Span.SequenceEqual(name))
            {
                labels.Rename(i, labels.Output.Span.ToString());
            }
        }
    }

    private void RetainNames(LabelBuilder labels, bool matching)
    {
        Span<bool> keep = labels.Count <= 128 ? stackalloc bool[labels.Count] : new bool[labels.Count];
        for (var i = 0; i < keep.Length; i++)
        {
            keep[i] = Regex.IsMatch(labels.Labels[i].Name) == matching;
        }
        labels.Retain(keep);
    }

    private void ChangeCase(LabelBuilder labels, bool upper)
    {
        var value = Value(labels);
        labels.Output.Clear();
        Span<char> encoded = stackalloc char[2];
        foreach (var rune in value.EnumerateRunes())
        {
            var changed = upper ? GoUnicode.ToUpper(rune) : GoUnicode.ToLower(rune);
            labels.Output.Append(encoded[..changed.EncodeToUtf16(encoded)]);
        }
        labels.Set(TargetLabel, labels.Output.Span);
    }
}
