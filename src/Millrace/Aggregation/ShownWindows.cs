using System.Buffers.Binary;
using Millrace.Memory;
using Millrace.Model;

namespace Millrace.Aggregation;

/// <summary>
/// What a rule with <c>late: correct</c> has given of the windows that may still change: of each sample a digest, so
/// that a later look at the window tells which samples are new or have other values. Bounded by the windows that a rule
/// corrects times what it gives.
/// </summary>
internal sealed class ShownWindows
{
    private readonly SortedDictionary<long, UInt128[]> _digests = []; // by window; each sorted

    /// <summary>Windows up to here were given.</summary>
    public long Through { get; set; }

    /// <summary>The oldest window that got something since it was last looked at; mostly none did.</summary>
    public long ChangedFrom { get; private set; } = long.MaxValue;

    public void MarkChanged(long window) => ChangedFrom = Math.Min(ChangedFrom, window);

    /// <summary>Of a window given before, what is not as it was given; of others everything.</summary>
    /// <returns>Null: nothing has changed.</returns>
    public WindowPart? Compare(long window, WindowPart part)
    {
        var digests = new UInt128[part.Samples.Count];
        for (var i = 0; i < digests.Length; i++)
        {
            digests[i] = DigestOf(part.Samples[i]);
        }
        var changed = window > Through ? part : Changed(window, part, digests);
        if (digests.Length > 0)
        {
            Array.Sort(digests);
            _digests[window] = digests;
        }
        return changed;
    }

    /// <summary>All that is to be closed now has been looked at; windows up to one are final.</summary>
    public void Advance(long through, long finalThrough)
    {
        (Through, ChangedFrom) = (through, long.MaxValue);
        var final = new List<long>();
        foreach (var window in _digests.Keys)
        {
            if (window > finalThrough)
            {
                break;
            }
            final.Add(window);
        }
        foreach (var window in final)
        {
            _digests.Remove(window);
        }
    }

    public void Write(SnapshotWriter writer)
    {
        writer.Write(Through);
        writer.Write(ChangedFrom);
        writer.Write(_digests.Count);
        foreach (var (window, digests) in _digests)
        {
            writer.Write(window);
            writer.WriteSpan<UInt128>(digests);
        }
    }

    public void Read(SnapshotReader reader)
    {
        Through = reader.ReadInt64();
        ChangedFrom = reader.ReadInt64();
        for (var count = reader.ReadInt32(); count > 0; count--)
        {
            _digests.Add(reader.ReadInt64(), reader.ReadSpan<UInt128>());
        }
    }

    private WindowPart? Changed(long window, WindowPart part, UInt128[] digests)
    {
        var known = _digests.GetValueOrDefault(window) ?? [];
        WindowPart? changed = null;
        for (var i = 0; i < digests.Length; i++)
        {
            if (Array.BinarySearch(known, digests[i]) < 0)
            {
                changed ??= new WindowPart(part.EndMs) { IsCorrection = true };
                changed.Samples.Add(part.Samples[i]);
            }
        }
        return changed;
    }

    /// <summary>Series, time and value. Two that are alike are the same point.</summary>
    private static UInt128 DigestOf(in OutputSample sample)
    {
        Span<byte> bytes = stackalloc byte[41];
        BinaryPrimitives.WriteUInt128LittleEndian(bytes, sample.Key);
        BinaryPrimitives.WriteInt64LittleEndian(bytes[16..], sample.BeforeMs);
        bytes[24] = sample.Histogram is null ? (byte)0 : (byte)1;
        BinaryPrimitives.WriteUInt128LittleEndian(
            bytes[25..],
            sample.Histogram is { } histogram
                ? StableHash.Hash128(histogram)
                : BitConverter.DoubleToUInt64Bits(sample.Value));
        return StableHash.Hash128(bytes);
    }
}
