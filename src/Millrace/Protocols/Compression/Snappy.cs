using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Millrace.Protocols.Compression;

/// <summary>
/// The snappy block format: a varint with the decoded length, then elements, each one byte of tag and what it asks for.
/// <code>
/// tag &amp; 3 = 0  literal: length - 1 in the upper six bits, 60..63 mean that it follows in 1..4 bytes
///           1  copy: length 4..11 in three bits, offset in three bits and one byte
///           2  copy: length 1..64 in six bits, offset in two bytes
///           3  copy: length 1..64 in six bits, offset in four bytes
/// </code>
/// Both directions work on references without bounds checks, because a checked byte-wise copy is several times slower.
/// What makes that safe is said where it is done: a fast loop runs only while a full vector fits behind both cursors,
/// and everything near an end goes through spans.
/// </summary>
internal static class Snappy
{
    /// <summary>What an element of the fast loop may read past its tag, and write past the cursor.</summary>
    private const int FastReadBytes = 80;
    private const int FastWriteBytes = 64;

    /// <summary>The encoder forgets everything every 64 KiB, so that positions fit 16 bits.</summary>
    private const int EncodeWindowBytes = 1 << 16;
    private const int MaxTableBits = 14;

    /// <summary>The encoder's loop loads eight bytes at a match and copies sixteen of a literal.</summary>
    private const int EncodeMarginBytes = 15;

    private const int MaxPreambleBytes = 5;

    [ThreadStatic]
    private static ushort[]? _encodeTable;

    /// <summary>The length that the data claims to decode to: to refuse it before memory is spent.</summary>
    public static bool TryGetDecodedLength(ReadOnlySpan<byte> compressed, out int length) =>
        TryReadPreamble(compressed, out length, out _);

    /// <summary>
    /// Decodes all of <paramref name="compressed"/> into the first <see cref="TryGetDecodedLength"/> bytes of the
    /// target, which may be longer; its rest is not touched. False for anything malformed; then those first bytes
    /// hold nothing of use.
    /// </summary>
    public static bool TryDecode(ReadOnlySpan<byte> compressed, Span<byte> target)
    {
        var progress = default(SnappyProgress);
        return TryReadPreamble(compressed, out var length, out _)
            && length <= target.Length
            && TryDecodePart(compressed, target[..length], length, ref progress);
    }

    /// <summary>
    /// The same in parts, for who looks at the bytes while they are in the cache: goes on until so many bytes are
    /// decoded, or a few more. False for anything malformed, which the last part may be the first to show.
    /// </summary>
    /// <param name="compressed">All of it.</param>
    /// <param name="target">As long as <see cref="TryGetDecodedLength"/> says, the same in every call.</param>
    /// <param name="until">The target's length in the last call.</param>
    /// <param name="progress">Of the calls before.</param>
    public static bool TryDecodePart(
        ReadOnlySpan<byte> compressed, Span<byte> target, int until, ref SnappyProgress progress)
    {
        if (progress.Read == 0)
        {
            if (!TryReadPreamble(compressed, out var length, out progress.Read) || length != target.Length)
            {
                return false;
            }
        }
        return TryDecodeElements(compressed, target, until, ref progress.Read, ref progress.Decoded);
    }

    /// <summary>The room that <see cref="Encode"/> asks for.</summary>
    public static int MaxEncodedLength(int sourceLength) => checked(32 + sourceLength + sourceLength / 6);

    /// <summary>Encodes; equal sources give equal bytes. Returns the length written.</summary>
    /// <param name="source">Any bytes.</param>
    /// <param name="target">At least <see cref="MaxEncodedLength"/> bytes; all of them may be written.</param>
    public static int Encode(ReadOnlySpan<byte> source, Span<byte> target)
    {
        if (target.Length < MaxEncodedLength(source.Length))
        {
            throw new ArgumentException($"{target.Length} bytes may not hold {source.Length} encoded ones.");
        }
        var table = _encodeTable ??= new ushort[1 << MaxTableBits];
        var written = WriteLength(target, source.Length);
        while (source.Length > 0)
        {
            var window = source[..Math.Min(source.Length, EncodeWindowBytes)];
            written += EncodeWindow(window, ref target[written], table);
            source = source[window.Length..];
        }
        return written;
    }

    /// <summary>The preamble; at most five bytes.</summary>
    public static int WriteLength(Span<byte> target, int length)
    {
        var rest = (uint)length;
        var written = 0;
        while (rest >= 0x80)
        {
            target[written++] = (byte)(rest | 0x80);
            rest >>= 7;
        }
        target[written++] = (byte)rest;
        return written;
    }

    /// <summary>Writes the tag of a literal; the caller puts its bytes behind it.</summary>
    public static int WriteLiteralTag(ref byte target, int length)
    {
        var n = length - 1;
        if (n < 60)
        {
            target = (byte)(n << 2);
            return 1;
        }
        var extraBytes = n < 1 << 8 ? 1 : n < 1 << 16 ? 2 : n < 1 << 24 ? 3 : 4;
        target = (byte)((59 + extraBytes) << 2);
        for (var i = 0; i < extraBytes; i++)
        {
            Unsafe.Add(ref target, i + 1) = (byte)(n >> (8 * i));
        }
        return 1 + extraBytes;
    }

    /// <summary>
    /// Writes a match as copies of at most 64 bytes: three bytes for each 64 begun. The offset is below 65536,
    /// the length at least four.
    /// </summary>
    public static int WriteCopy(ref byte target, int offset, int length)
    {
        var written = 0;
        // Four bytes at least must be left for the last one, hence 68 and 60.
        while (length >= 68)
        {
            written += WriteLongCopy(ref Unsafe.Add(ref target, written), offset, 64);
            length -= 64;
        }
        if (length > 64)
        {
            written += WriteLongCopy(ref Unsafe.Add(ref target, written), offset, 60);
            length -= 60;
        }
        if (length < 12 && offset < 2048)
        {
            Unsafe.Add(ref target, written) = (byte)(((offset >> 8) << 5) | ((length - 4) << 2) | 1);
            Unsafe.Add(ref target, written + 1) = (byte)offset;
            return written + 2;
        }
        return written + WriteLongCopy(ref Unsafe.Add(ref target, written), offset, length);
    }

    /// <summary>How many bytes are equal from two positions on; the second, later one ends before <c>end</c>.</summary>
    public static int CommonLength(ref byte bytes, int earlier, int later, int end)
    {
        var start = later;
        while (later <= end - 8)
        {
            var difference = Load64(ref bytes, earlier) ^ Load64(ref bytes, later);
            if (difference != 0)
            {
                return later - start + (BitOperations.TrailingZeroCount(difference) >> 3);
            }
            earlier += 8;
            later += 8;
        }
        while (later < end && Unsafe.Add(ref bytes, earlier) == Unsafe.Add(ref bytes, later))
        {
            earlier++;
            later++;
        }
        return later - start;
    }

    private static int WriteLongCopy(ref byte target, int offset, int length)
    {
        target = (byte)(((length - 1) << 2) | 2);
        Unsafe.WriteUnaligned(ref Unsafe.Add(ref target, 1), (ushort)offset);
        return 3;
    }

    private static bool TryReadPreamble(ReadOnlySpan<byte> compressed, out int length, out int preambleBytes)
    {
        length = 0;
        ulong value = 0;
        for (preambleBytes = 0; preambleBytes < Math.Min(compressed.Length, MaxPreambleBytes);)
        {
            var b = compressed[preambleBytes];
            value |= (ulong)(b & 0x7F) << (7 * preambleBytes++);
            if (b < 0x80)
            {
                length = (int)value;
                return value <= int.MaxValue;
            }
        }
        return false;
    }

    private static bool TryDecodeElements(
        ReadOnlySpan<byte> source, Span<byte> target, int until, ref int read, ref int written)
    {
        while (true)
        {
            if (!TryDecodeFast(source, target, until, ref read, ref written))
            {
                return false;
            }
            if (read == source.Length)
            {
                return written == target.Length;
            }
            if (written >= until && until < target.Length)
            {
                return true;
            }
            // One element near an end, or a long literal; then fast again where there is room.
            if (!TryDecodeElement(source, target, ref read, ref written))
            {
                return false;
            }
        }
    }

    /// <summary>
    /// The loop that does nearly all the work. Invariant at its head: <see cref="FastReadBytes"/> can be read at
    /// <c>read</c> and <see cref="FastWriteBytes"/> written at <c>written</c>, so whole vectors may be moved for
    /// any element of up to 64 bytes; what they write too much is overwritten by the next element. It stops before
    /// a literal of more than 60 bytes. False: a copy reaches before the start.
    /// </summary>
    private static bool TryDecodeFast(
        ReadOnlySpan<byte> source, Span<byte> target, int until, ref int read, ref int written)
    {
        ref var sourceStart = ref MemoryMarshal.GetReference(source);
        ref var targetStart = ref MemoryMarshal.GetReference(target);
        nint r = read;
        nint w = written;
        nint lastRead = source.Length - FastReadBytes;
        nint lastWrite = Math.Min(target.Length - FastWriteBytes, until - 1);
        var isSound = true;
        while (r <= lastRead && w <= lastWrite)
        {
            nint tag = Unsafe.Add(ref sourceStart, r);
            nint length;
            nint offset;
            switch (tag & 3)
            {
                case 0:
                    length = (tag >> 2) + 1;
                    if (length > 60)
                    {
                        goto Done;
                    }
                    Copy16(ref Unsafe.Add(ref sourceStart, r + 1), ref Unsafe.Add(ref targetStart, w));
                    if (length > 16)
                    {
                        CopyRest64(ref Unsafe.Add(ref sourceStart, r + 1), ref Unsafe.Add(ref targetStart, w));
                    }
                    r += length + 1;
                    w += length;
                    continue;
                case 1:
                    length = 4 + ((tag >> 2) & 7);
                    offset = ((tag >> 5) << 8) | Unsafe.Add(ref sourceStart, r + 1);
                    r += 2;
                    break;
                case 2:
                    length = (tag >> 2) + 1;
                    offset = Unsafe.ReadUnaligned<ushort>(ref Unsafe.Add(ref sourceStart, r + 1));
                    r += 3;
                    break;
                default:
                    length = (tag >> 2) + 1;
                    offset = (nint)Unsafe.ReadUnaligned<uint>(ref Unsafe.Add(ref sourceStart, r + 1));
                    r += 5;
                    break;
            }
            if ((nuint)(offset - 1) >= (nuint)w)
            {
                isSound = false;
                goto Done;
            }
            CopyWithin(ref Unsafe.Add(ref targetStart, w), offset, length);
            w += length;
        }
    Done:
        read = (int)r;
        written = (int)w;
        return isSound;
    }

    /// <summary>Repeats up to 64 bytes from <c>offset</c> before the target; may write 64 in any case.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void CopyWithin(ref byte target, nint offset, nint length)
    {
        ref var from = ref Unsafe.Subtract(ref target, offset);
        if (offset >= 32)
        {
            Copy32(ref from, ref target);
            if (length > 32)
            {
                Copy32(ref Unsafe.Add(ref from, 32), ref Unsafe.Add(ref target, 32));
            }
        }
        else if (offset >= 16)
        {
            for (nint done = 0; done < length; done += 16)
            {
                Copy16(ref Unsafe.Add(ref from, done), ref Unsafe.Add(ref target, done));
            }
        }
        else
        {
            // The copy reads what it writes: byte by byte, in order.
            for (nint done = 0; done < length; done++)
            {
                Unsafe.Add(ref target, done) = Unsafe.Add(ref from, done);
            }
        }
    }

    private static bool TryDecodeElement(
        ReadOnlySpan<byte> source, Span<byte> target, ref int read, ref int written)
    {
        var tag = source[read++];
        var kind = tag & 3;
        var extraBytes = kind switch { 0 => Math.Max(0, (tag >> 2) - 59), 1 => 1, 2 => 2, _ => 4 };
        if (source.Length - read < extraBytes)
        {
            return false;
        }
        uint extra = 0;
        for (var i = 0; i < extraBytes; i++)
        {
            extra |= (uint)source[read++] << (8 * i);
        }
        var room = target.Length - written;
        if (kind == 0)
        {
            var literalLength = (long)(extraBytes == 0 ? (uint)tag >> 2 : extra) + 1;
            if (literalLength > room || literalLength > source.Length - read)
            {
                return false;
            }
            source.Slice(read, (int)literalLength).CopyTo(target[written..]);
            read += (int)literalLength;
            written += (int)literalLength;
            return true;
        }
        var length = kind == 1 ? 4 + ((tag >> 2) & 7) : (tag >> 2) + 1;
        var offset = kind == 1 ? ((uint)(tag >> 5) << 8) | extra : extra;
        if (offset == 0 || offset > (uint)written || length > room)
        {
            return false;
        }
        for (var i = 0; i < length; i++, written++)
        {
            target[written] = target[written - (int)offset];
        }
        return true;
    }

    /// <summary>
    /// Greedy matching through a table of the last position of each hashed four bytes. The longer nothing matches,
    /// the larger the steps. The target has room for the worst case, which the caller checked.
    /// </summary>
    private static int EncodeWindow(ReadOnlySpan<byte> window, ref byte target, ushort[] table)
    {
        ref var source = ref MemoryMarshal.GetReference(window);
        var written = 0;
        var literalStart = 0;
        var limit = window.Length - EncodeMarginBytes;
        var tableBits = Math.Clamp(BitOperations.Log2((uint)window.Length | 1) + 1, 8, MaxTableBits);
        var shift = 32 - tableBits;
        table.AsSpan(0, 1 << tableBits).Clear();
        ref var positions = ref MemoryMarshal.GetArrayDataReference(table);
        var at = 1;
        while (TryFindMatch(ref source, ref positions, shift, limit, ref at, out var candidate))
        {
            written += WriteShortLiteral(
                ref Unsafe.Add(ref source, literalStart), at - literalStart, ref Unsafe.Add(ref target, written));
            while (true)
            {
                var length = 4 + CommonLength(ref source, candidate + 4, at + 4, window.Length);
                written += WriteCopy(ref Unsafe.Add(ref target, written), at - candidate, length);
                at += length;
                literalStart = at;
                if (at >= limit)
                {
                    break;
                }
                // Often one match follows another at once.
                Unsafe.Add(ref positions, Hash(ref source, at - 1, shift)) = (ushort)(at - 1);
                ref var slot = ref Unsafe.Add(ref positions, Hash(ref source, at, shift));
                candidate = slot;
                slot = (ushort)at;
                if (Load32(ref source, candidate) != Load32(ref source, at))
                {
                    at++;
                    break;
                }
            }
        }
        var rest = window[literalStart..];
        if (rest.Length > 0)
        {
            written += WriteLiteralTag(ref Unsafe.Add(ref target, written), rest.Length);
            rest.CopyTo(MemoryMarshal.CreateSpan(ref Unsafe.Add(ref target, written), rest.Length));
            written += rest.Length;
        }
        return written;
    }

    /// <summary>Every position below the limit can be hashed: fifteen bytes follow it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool TryFindMatch(
        ref byte source, ref ushort positions, int shift, int limit, ref int at, out int candidate)
    {
        // A step grows by one for every 32 misses.
        for (var misses = 32; at < limit; at += misses++ >> 5)
        {
            ref var slot = ref Unsafe.Add(ref positions, Hash(ref source, at, shift));
            candidate = slot;
            slot = (ushort)at;
            if (Load32(ref source, candidate) == Load32(ref source, at))
            {
                return true;
            }
        }
        candidate = 0;
        return false;
    }

    /// <summary>
    /// A literal that ends at or before the limit of the window: sixteen bytes from its start are in the source,
    /// and the worst-case target has more room than that.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int WriteShortLiteral(ref byte source, int length, ref byte target)
    {
        if (length == 0)
        {
            return 0;
        }
        var tagBytes = WriteLiteralTag(ref target, length);
        if (length <= 16)
        {
            Copy16(ref source, ref Unsafe.Add(ref target, tagBytes));
        }
        else
        {
            Unsafe.CopyBlockUnaligned(ref Unsafe.Add(ref target, tagBytes), ref source, (uint)length);
        }
        return tagBytes + length;
    }

    private static int Hash(ref byte source, int at, int shift) =>
        (int)((Load32(ref source, at) * 0x1E35A7BD) >> shift);

    private static uint Load32(ref byte source, int at) =>
        Unsafe.ReadUnaligned<uint>(ref Unsafe.Add(ref source, at));

    private static ulong Load64(ref byte source, int at) =>
        Unsafe.ReadUnaligned<ulong>(ref Unsafe.Add(ref source, at));

    private static void Copy16(ref byte from, ref byte to) => Vector128.LoadUnsafe(ref from).StoreUnsafe(ref to);

    private static void Copy32(ref byte from, ref byte to) => Vector256.LoadUnsafe(ref from).StoreUnsafe(ref to);

    /// <summary>Bytes 16 to 63.</summary>
    private static void CopyRest64(ref byte from, ref byte to)
    {
        Copy16(ref Unsafe.Add(ref from, 16), ref Unsafe.Add(ref to, 16));
        Copy32(ref Unsafe.Add(ref from, 32), ref Unsafe.Add(ref to, 32));
    }
}

/// <summary>How far a body is decoded.</summary>
internal struct SnappyProgress
{
    /// <summary>Of the compressed bytes.</summary>
    public int Read;

    /// <summary>Of the target; these bytes change no more.</summary>
    public int Decoded;
}
