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

    private UInt128 HashAes(ReadOnlySpan<byte> bytes)
    {
        ref var start = ref MemoryMarshal.GetReference(bytes);
        var length = bytes.Length;
        var lane0 = _key0;
        var lane1 = _key1;
        var lane2 = _key2;
        var lane3 = _key3;
        nuint at = 0;
        for (; length - (int)at >= 64; at += 64)
        {
            lane0 = Aes.Encrypt(Aes.Encrypt(lane0 ^ Load(ref start, at), _key1), _key3);
            lane1 = Aes.Encrypt(Aes.Encrypt(lane1 ^ Load(ref start, at + 16), _key2), _key0);
            lane2 = Aes.Encrypt(Aes.Encrypt(lane2 ^ Load(ref start, at + 32), _key3), _key1);
            lane3 = Aes.Encrypt(Aes.Encrypt(lane3 ^ Load(ref start, at + 48), _key0), _key2);
        }
        for (; length - (int)at >= 16; at += 16)
        {
            lane0 = Aes.Encrypt(lane0 ^ Load(ref start, at), _key1);
            lane0 = Aes.Encrypt(lane0, _key2);
        }
        if ((int)at < length)
        {
            Span<byte> tail = stackalloc byte[16];
            tail.Clear();
            bytes[(int)at..].CopyTo(tail);
            lane1 = Aes.Encrypt(lane1 ^ Vector128.Create<byte>(tail), _key3);
            lane1 = Aes.Encrypt(lane1, _key0);
        }
        var mixed = Aes.Encrypt(Aes.Encrypt(lane0, _key2) ^ lane1, _key3);
        // Not on a lane that takes input: there a byte could stand for a difference in length.
        var lengthBlock = Vector128.CreateScalar((ulong)length).AsByte();
        mixed = Aes.Encrypt(mixed ^ Aes.Encrypt(lane2 ^ lengthBlock, _key0), _key1);
        mixed = Aes.Encrypt(mixed ^ Aes.Encrypt(lane3, _key1), _key2);
        mixed = Aes.Encrypt(Aes.Encrypt(mixed, _key3), _key0);
        return Unsafe.BitCast<Vector128<byte>, UInt128>(mixed);
    }

    private static Vector128<byte> Load(ref byte start, nuint at) => Vector128.LoadUnsafe(ref start, at);
}
