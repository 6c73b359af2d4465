using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Millrace.Model;

namespace Millrace.Memory;

/// <summary>
/// A 128-bit hash for caches, keyed so that no sender can aim at collisions. It lives as long as the process: never
/// store it. With AES instructions each 16 bytes cost two rounds in one of four lanes; the finish mixes the lanes and
/// the length by further rounds. One round would be too few: a sender who changes one byte could undo the difference
/// 64 bytes on, and be right for one key in 128.
/// </summary>
internal sealed class KeyedHash
{
    private readonly Vector128<byte> _key0;
    private readonly Vector128<byte> _key1;
    private readonly Vector128<byte> _key2;
    private readonly Vector128<byte> _key3;
    private readonly ulong _seed0;
    private readonly ulong _seed1;

    public KeyedHash(Random random)
    {
        Span<byte> key = stackalloc byte[80];
        random.NextBytes(key);
        var vectors = MemoryMarshal.Cast<byte, Vector128<byte>>(key);
        (_key0, _key1, _key2, _key3) = (vectors[0], vectors[1], vectors[2], vectors[3]);
        var seeds = MemoryMarshal.Cast<byte, ulong>(key[64..]);
        (_seed0, _seed1) = (seeds[0], seeds[1]);
    }

    public UInt128 Hash(ReadOnlySpan<byte> bytes)
    {
        if (Aes.IsSupported)
        {
            return HashAes(bytes);
        }
        return new UInt128(StableHash.Hash64(bytes, _seed0), StableHash.Hash64(bytes, _seed1));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private UInt128 HashAes(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < 64)
        {
            return HashShort(bytes);
        }
        ref var start = ref MemoryMarshal.GetReference(bytes);
        var lane0 = _key0;
        var lane1 = _key1;
        var lane2 = _key2;
        var lane3 = _key3;
        var last = (nuint)bytes.Length - 64;
        for (nuint at = 0; at < last; at += 64)
        {
            lane0 = Aes.Encrypt(Aes.Encrypt(lane0 ^ Load(ref start, at), _key1), _key3);
            lane1 = Aes.Encrypt(Aes.Encrypt(lane1 ^ Load(ref start, at + 16), _key2), _key0);
            lane2 = Aes.Encrypt(Aes.Encrypt(lane2 ^ Load(ref start, at + 32), _key3), _key1);
            lane3 = Aes.Encrypt(Aes.Encrypt(lane3 ^ Load(ref start, at + 48), _key0), _key2);
        }
        // The rest as the last 64 bytes, some of them for the second time: no tail to treat apart.
        return Finish(ref start, last, lane0, lane1, lane2, lane3, bytes.Length);
    }

    private UInt128 HashShort(ReadOnlySpan<byte> bytes)
    {
        Span<byte> padded = stackalloc byte[64];
        padded.Clear();
        bytes.CopyTo(padded);
        return Finish(ref MemoryMarshal.GetReference(padded), 0, _key0, _key1, _key2, _key3, bytes.Length);
    }

    /// <summary>
    /// Takes the last 64 bytes and mixes: three rounds let every bit of a lane reach every bit of the result.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private UInt128 Finish(
        ref byte start, nuint last, Vector128<byte> lane0, Vector128<byte> lane1, Vector128<byte> lane2,
        Vector128<byte> lane3, int length)
    {
        lane0 = Aes.Encrypt(Aes.Encrypt(lane0 ^ Load(ref start, last), _key1), _key3);
        lane1 = Aes.Encrypt(Aes.Encrypt(lane1 ^ Load(ref start, last + 16), _key2), _key0);
        lane2 = Aes.Encrypt(Aes.Encrypt(lane2 ^ Load(ref start, last + 32), _key3), _key1);
        lane3 = Aes.Encrypt(Aes.Encrypt(lane3 ^ Load(ref start, last + 48), _key0), _key2);
        // Not on a lane that takes input: there a byte could stand for a difference in length.
        var lengthBlock = Vector128.CreateScalar((ulong)length).AsByte();
        var left = Aes.Encrypt(Aes.Encrypt(lane0, _key2) ^ lane1, _key3);
        var right = Aes.Encrypt(Aes.Encrypt(lane2 ^ lengthBlock, _key0) ^ lane3, _key1);
        var mixed = Aes.Encrypt(left ^ Aes.Encrypt(right, _key2), _key3);
        return Unsafe.BitCast<Vector128<byte>, UInt128>(Aes.Encrypt(Aes.Encrypt(mixed, _key0), _key1));
    }

    private static Vector128<byte> Load(ref byte start, nuint at) => Vector128.LoadUnsafe(ref start, at);
}
