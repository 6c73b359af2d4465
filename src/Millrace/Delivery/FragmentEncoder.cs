using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Millrace.Protocols;
using Millrace.Protocols.Compression;
using Millrace.Protocols.RemoteWrite;

namespace Millrace.Delivery;

/// <summary>
/// One entry of a block that takes part in fragments: a TimeSeries with one sample.
/// <code>
/// 0A length  labels  12 10 09 | value8 10 timestamp6                      Plain
/// 0A length  labels  12 17 09 | value8 10 timestamp6 18 startTimestamp6   WithStart
/// </code>
/// What stands right of the bar changes with every sample and has a fixed length, because a timestamp between 1971
/// and 2109 is a varint of six bytes. It is a literal in every fragment, its last bytes, and no copy reaches into it.
/// </summary>
internal static class EntryForm
{
    public const int Plain = 0;
    public const int WithStart = 1;

    private const long FirstTimestampMs = 1L << 35;
    private const long LastTimestampMs = (1L << 42) - 1;
    private const int TimestampFieldBytes = 7;

    /// <summary>Whether a timestamp is a varint of six bytes.</summary>
    public static bool Fits(long timestampMs) => timestampMs is >= FirstTimestampMs and <= LastTimestampMs;

    /// <summary>The bytes right of the bar.</summary>
    public static int VolatileBytes(int form) => sizeof(double) + TimestampFieldBytes * (1 + form);

    /// <summary>Size of the bytes left of the bar.</summary>
    public static int FixedBytes(int labelBytes, int form) =>
        WireWriter.FieldSize(labelBytes + 3 + VolatileBytes(form)) - VolatileBytes(form);

    public static void WriteFixed(ReadOnlySpan<byte> labels, int form, Span<byte> target)
    {
        var sampleBytes = 1 + VolatileBytes(form);
        var writer = new WireWriter(target);
        writer.WriteHead(V1Wire.RequestSeries, labels.Length + 2 + sampleBytes);
        writer.WriteRaw(labels);
        writer.WriteHead(V1Wire.SeriesSample, sampleBytes);
        writer.WriteVarint(V1Wire.SampleValue);
    }

    /// <summary>
    /// Writes the bytes right of the bar so that they end before <paramref name="end"/>, and one byte more: words
    /// of eight bytes are written where seven are wanted, left to right.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Patch(ref byte end, int form, double value, long timestampMs, long startTimestampMs)
    {
        Unsafe.WriteUnaligned(ref Unsafe.Subtract(ref end, VolatileBytes(form)), value);
        var timestampAt = TimestampFieldBytes * (1 + form);
        Unsafe.WriteUnaligned(
            ref Unsafe.Subtract(ref end, timestampAt), Field(V1Wire.SampleTimestamp, timestampMs));
        if (form == WithStart)
        {
            Unsafe.WriteUnaligned(
                ref Unsafe.Subtract(ref end, TimestampFieldBytes),
                Field(V1Wire.SampleStartTimestamp, startTimestampMs));
        }
    }

    /// <summary>A tag and a varint of six bytes, in the lower seven bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Field(uint tag, long timestampMs)
    {
        var t = (ulong)timestampMs;
        return tag
            | (((t & 0x7F) | ((t << 1) & 0x7F00) | ((t << 2) & 0x7F_0000) | ((t << 3) & 0x7F00_0000)
            | ((t << 4) & 0x7F_0000_0000) | ((t << 5) & 0x7F00_0000_0000) | 0x80_8080_8080) << 8);
    }
}

/// <summary>
/// Makes the snappy elements of an entry that stands right behind another one, as a pure function of the two entries'
/// labels and forms. Matches are looked for in the entry before and in the entry's own bytes, never further back, so
/// that the result fits wherever these two meet.
/// </summary>
internal sealed class FragmentEncoder
{
    /// <summary>Two such entries and the positions in them fit 16 bits. Larger ones are written as literals.</summary>
    public const int MaxLabelBytes = 16 << 10;

    private const int TableBits = 11;
    private const int MaxEntryBytes = MaxLabelBytes + 64;

    /// <summary>A position plus one, 0 where there is none, by the hash of the four bytes that stand there.</summary>
    private readonly ushort[] _positions = new ushort[1 << TableBits];

    /// <summary>The entry before, then this one; what is right of the bar is neither set nor matched.</summary>
    private readonly byte[] _entries = new byte[2 * MaxEntryBytes];

    private readonly byte[] _fragment = new byte[Snappy.MaxEncodedLength(MaxEntryBytes)];

    /// <summary>The entry without predecessor: the first in a block, or behind one that is no part of this.</summary>
    public ReadOnlySpan<byte> Encode(ReadOnlySpan<byte> labels, int form)
    {
        Array.Clear(_positions);
        return EncodeAt(0, 0, labels, form);
    }

    /// <summary>
    /// The entry right behind another. The result ends with the bytes that <see cref="EntryForm.Patch"/> fills in;
    /// it is valid until the next call.
    /// </summary>
    public ReadOnlySpan<byte> Encode(
        ReadOnlySpan<byte> labels, int form, ReadOnlySpan<byte> previousLabels, int previousForm)
    {
        Array.Clear(_positions);
        var previousFixed = EntryForm.FixedBytes(previousLabels.Length, previousForm);
        EntryForm.WriteFixed(previousLabels, previousForm, _entries);
        for (var at = 0; at <= previousFixed - 4; at++)
        {
            _positions[HashAt(at)] = (ushort)(at + 1);
        }
        return EncodeAt(previousFixed + EntryForm.VolatileBytes(previousForm), previousFixed, labels, form);
    }

    private ReadOnlySpan<byte> EncodeAt(int start, int previousEnd, ReadOnlySpan<byte> labels, int form)
    {
        var end = start + EntryForm.FixedBytes(labels.Length, form);
        EntryForm.WriteFixed(labels, form, _entries.AsSpan(start));
        ref var entries = ref MemoryMarshal.GetArrayDataReference(_entries);
        var written = 0;
        var literalStart = start;
        // Entries of one target have the same labels in the same places: try the same place first.
        var lastOffset = start;
        var at = start;
        while (at <= end - 4)
        {
            var from = FindMatch(at, start, previousEnd, lastOffset);
            if (from < 0)
            {
                at++;
                continue;
            }
            var isOwn = from >= start;
            var matchEnd = isOwn ? end : Math.Min(end, at + previousEnd - from);
            var matchAt = at + 4 + Snappy.CommonLength(ref entries, from + 4, at + 4, matchEnd);
            // The byte before may match too, where the table had forgotten its place.
            var firstFrom = isOwn ? start : 0;
            while (at > literalStart && from > firstFrom && _entries[from - 1] == _entries[at - 1])
            {
                at--;
                from--;
            }
            written += WriteLiteral(literalStart, at - literalStart, written);
            written += Snappy.WriteCopy(ref _fragment[written], at - from, matchAt - at);
            lastOffset = at - from;
            at = matchAt;
            literalStart = matchAt;
        }
        written += WriteLiteral(literalStart, end - literalStart + EntryForm.VolatileBytes(form), written);
        return _fragment.AsSpan(0, written);
    }

    private int FindMatch(int at, int start, int previousEnd, int lastOffset)
    {
        var bytes = LoadAt(at);
        ref var slot = ref _positions[HashAt(at)];
        var hashed = slot - 1;
        slot = (ushort)(at + 1);
        var aligned = at - lastOffset;
        if (lastOffset > 0 && aligned >= 0 && (aligned >= start || aligned <= previousEnd - 4)
            && LoadAt(aligned) == bytes)
        {
            return aligned;
        }
        return hashed >= 0 && LoadAt(hashed) == bytes ? hashed : -1;
    }

    private int WriteLiteral(int start, int length, int written)
    {
        if (length == 0)
        {
            return 0;
        }
        var tagBytes = Snappy.WriteLiteralTag(ref _fragment[written], length);
        _entries.AsSpan(start, length).CopyTo(_fragment.AsSpan(written + tagBytes));
        return tagBytes + length;
    }

    private uint LoadAt(int at) => Unsafe.ReadUnaligned<uint>(ref _entries[at]);

    private int HashAt(int at) => (int)((LoadAt(at) * 0x1E35A7BD) >> (32 - TableBits));
}
