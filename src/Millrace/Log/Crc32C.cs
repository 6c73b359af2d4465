using System.Numerics;
using System.Runtime.InteropServices;

namespace Millrace.Log;

/// <summary>CRC-32C (Castagnoli), which processors compute by the word.</summary>
internal static class Crc32C
{
    private const int StripeBytes = 1024;

    private static readonly uint[] Carried = CarryTable();

    public static uint Compute(ReadOnlySpan<byte> bytes) => Extend(0, bytes);

    /// <summary>The checksum of what <paramref name="crc"/> stands for, followed by <paramref name="bytes"/>.</summary>
    public static uint Extend(uint crc, ReadOnlySpan<byte> bytes)
    {
        crc = ~crc;
        while (bytes.Length >= 3 * StripeBytes)
        {
            crc = ExtendByThreeStripes(crc, MemoryMarshal.Cast<byte, ulong>(bytes[..(3 * StripeBytes)]));
            bytes = bytes[(3 * StripeBytes)..];
        }
        foreach (var word in MemoryMarshal.Cast<byte, ulong>(bytes))
        {
            crc = BitOperations.Crc32C(crc, word);
        }
        foreach (var b in bytes[(bytes.Length & ~7)..])
        {
            crc = BitOperations.Crc32C(crc, b);
        }
        return ~crc;
    }

    /// <summary>
    /// Each instruction waits for the one before, so three checksums are made side by side. A checksum is linear: that
    /// of two stripes is the first one's, carried over as many zero bytes as the second has, plus the second one's.
    /// </summary>
    private static uint ExtendByThreeStripes(uint crc, ReadOnlySpan<ulong> words)
    {
        var (second, third) = (0u, 0u);
        for (var i = 0; i < StripeBytes / 8; i++)
        {
            crc = BitOperations.Crc32C(crc, words[i]);
            second = BitOperations.Crc32C(second, words[i + StripeBytes / 8]);
            third = BitOperations.Crc32C(third, words[i + 2 * StripeBytes / 8]);
        }
        return CarryOverStripe(CarryOverStripe(crc) ^ second) ^ third;
    }

    private static uint CarryOverStripe(uint crc) =>
        Carried[crc & 0xFF] ^ Carried[256 + ((crc >> 8) & 0xFF)]
        ^ Carried[512 + ((crc >> 16) & 0xFF)] ^ Carried[768 + (crc >> 24)];

    /// <summary>For each byte of a checksum and each of its values: what a stripe of zeros makes of it.</summary>
    private static uint[] CarryTable()
    {
        var table = new uint[4 * 256];
        for (var i = 0; i < table.Length; i++)
        {
            var crc = (uint)(i & 0xFF) << (8 * (i >> 8));
            for (var word = 0; word < StripeBytes / 8; word++)
            {
                crc = BitOperations.Crc32C(crc, 0UL);
            }
            table[i] = crc;
        }
        return table;
    }
}
