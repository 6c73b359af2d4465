using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Millrace.Model;

/// <summary>
/// Hashes that must give the same answer in every process, release and platform: ownership, keys on disk, checksums
/// of requests. XXH64 as published in the xxHash specification; the 128-bit form is two of them with different seeds.
/// </summary>
public static class StableHash
{
    private const ulong Prime1 = 0x9E3779B185EBCA87;
    private const ulong Prime2 = 0xC2B2AE3D27D4EB4F;
    private const ulong Prime3 = 0x165667B19E3779F9;
    private const ulong Prime4 = 0x85EBCA77C2B2AE63;
    private const ulong Prime5 = 0x27D4EB2F165667C5;
    private const ulong SecondSeed = 0x4D696C6C72616365; // "Millrace"

    /// <summary>Both halves in one pass: each waits for its multiplications, and the other fills the gaps.</summary>
    public static UInt128 Hash128(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < 32 || !BitConverter.IsLittleEndian)
        {
            return new UInt128(Hash64(bytes, SecondSeed), Hash64(bytes));
        }
        var length = (ulong)bytes.Length;
        var lower = new Stripes(0);
        var upper = new Stripes(SecondSeed);
        while (bytes.Length >= 32)
        {
            var words = MemoryMarshal.Cast<byte, ulong>(bytes[..32]);
            lower.Add(words[0], words[1], words[2], words[3]);
            upper.Add(words[0], words[1], words[2], words[3]);
            bytes = bytes[32..];
        }
        return new UInt128(Finish(upper.Hash + length, bytes), Finish(lower.Hash + length, bytes));
    }

    public static ulong Hash64(ReadOnlySpan<byte> bytes, ulong seed = 0)
    {
        if (!BitConverter.IsLittleEndian)
        {
            throw new PlatformNotSupportedException("Millrace runs on little-endian machines only.");
        }
        var length = (ulong)bytes.Length;
        ulong hash;
        if (bytes.Length >= 32)
        {
            var stripes = new Stripes(seed);
            while (bytes.Length >= 32)
            {
                var words = MemoryMarshal.Cast<byte, ulong>(bytes[..32]);
                stripes.Add(words[0], words[1], words[2], words[3]);
                bytes = bytes[32..];
            }
            hash = stripes.Hash;
        }
        else
        {
            hash = seed + Prime5;
        }
        return Finish(hash + length, bytes);
    }

    private static ulong Finish(ulong hash, ReadOnlySpan<byte> rest)
    {
        while (rest.Length >= 8)
        {
            hash ^= Round(0, MemoryMarshal.Read<ulong>(rest));
            hash = BitOperations.RotateLeft(hash, 27) * Prime1 + Prime4;
            rest = rest[8..];
        }
        if (rest.Length >= 4)
        {
            hash ^= MemoryMarshal.Read<uint>(rest) * Prime1;
            hash = BitOperations.RotateLeft(hash, 23) * Prime2 + Prime3;
            rest = rest[4..];
        }
        foreach (var b in rest)
        {
            hash ^= b * Prime5;
            hash = BitOperations.RotateLeft(hash, 11) * Prime1;
        }
        hash ^= hash >> 33;
        hash *= Prime2;
        hash ^= hash >> 29;
        hash *= Prime3;
        return hash ^ (hash >> 32);
    }

    private static ulong Round(ulong accumulator, ulong lane) =>
        BitOperations.RotateLeft(accumulator + lane * Prime2, 31) * Prime1;

    private static ulong Merge(ulong hash, ulong accumulator) => (hash ^ Round(0, accumulator)) * Prime1 + Prime4;

    /// <summary>The four accumulators that take 32 bytes at a time.</summary>
    private struct Stripes(ulong seed)
    {
        private ulong _v1 = seed + Prime1 + Prime2;
        private ulong _v2 = seed + Prime2;
        private ulong _v3 = seed;
        private ulong _v4 = seed - Prime1;

        public readonly ulong Hash
        {
            get
            {
                var hash = BitOperations.RotateLeft(_v1, 1) + BitOperations.RotateLeft(_v2, 7)
                    + BitOperations.RotateLeft(_v3, 12) + BitOperations.RotateLeft(_v4, 18);
                return Merge(Merge(Merge(Merge(hash, _v1), _v2), _v3), _v4);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Add(ulong word1, ulong word2, ulong word3, ulong word4)
        {
            _v1 = Round(_v1, word1);
            _v2 = Round(_v2, word2);
            _v3 = Round(_v3, word3);
            _v4 = Round(_v4, word4);
        }
    }
}
