using System.Numerics;

namespace Millrace.Protocols.Compression;

/// <summary>What became of a compressed body.</summary>
internal enum DecompressResult : byte
{
    Ok,

    /// <summary>Not in the format, cut off, or its checksum is wrong.</summary>
    Malformed,

    /// <summary>It would be, or says that it is, larger than the caller allows.</summary>
    TooLarge,

    /// <summary>The machine lacks the library for it.</summary>
    Unavailable,
}

/// <summary>A buffer of the caller's that is replaced by a larger one where it is too small.</summary>
internal static class OutputBuffer
{
    private const int SmallestBytes = 4096;

    /// <summary>
    /// Makes room for at least one byte more, doubling, but for no more than <paramref name="maxSizeBytes"/> in all.
    /// False when there is no more to be had.
    /// </summary>
    public static bool TryGrow(ref byte[] buffer, int usedBytes, int maxSizeBytes)
    {
        if (usedBytes >= maxSizeBytes)
        {
            return false;
        }
        if (usedBytes == buffer.Length)
        {
            var doubled = Math.Max(SmallestBytes, (long)buffer.Length * 2);
            Array.Resize(ref buffer, (int)Math.Min(doubled, maxSizeBytes));
        }
        return true;
    }

    /// <summary>Makes the buffer hold the bytes asked for; what it held is gone.</summary>
    public static void Ensure(ref byte[] buffer, int sizeBytes)
    {
        if (buffer.Length < sizeBytes)
        {
            buffer = new byte[Math.Min(BitOperations.RoundUpToPowerOf2((uint)sizeBytes), (uint)Array.MaxLength)];
        }
    }

    /// <summary>Makes room for more bytes behind those in use, which stay.</summary>
    public static void Reserve(ref byte[] buffer, int usedBytes, int moreBytes)
    {
        var wanted = (ulong)usedBytes + (uint)moreBytes;
        if (wanted > (ulong)buffer.Length)
        {
            var rounded = Math.Max(SmallestBytes, BitOperations.RoundUpToPowerOf2(wanted));
            Array.Resize(ref buffer, (int)Math.Min(rounded, (ulong)Array.MaxLength));
        }
    }
}
