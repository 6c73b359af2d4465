using System.Runtime.InteropServices;

namespace Millrace.Aggregation;

/// <summary>
/// The stable key of a series as shards keep it: 96 of its 128 bits. Of a million series in one shard two share them
/// with a chance of one in 10^17.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 4)]
internal readonly record struct SeriesKey(ulong Low, uint High)
{
    public static implicit operator SeriesKey(UInt128 key) => new((ulong)key, (uint)(key >> 64));

    public UInt128 ToUInt128() => new(High, Low);
}
