using System.Text;
using Millrace.Model;

namespace Millrace.Routing;

/// <summary>
/// Which lane of a destination carries a series: the same in every release, because a lane keeps the order of its
/// series. The key is metric name, <c>job</c> and <c>instance</c>, so that the series that a target exposes together
/// (the buckets of a histogram, the paths and codes of a counter) stay together in a block, where they need little more
/// than half of the bytes that they need among strangers. The name keeps a target of a million series from filling one
/// lane. Series without an instance, as aggregates are, are dealt one by one.
/// </summary>
internal static class LaneKey
{
    private const string Job = "job";
    private const string Instance = "instance";
    private const int StackBytes = 1024;

    public static int StableLaneOf(LabelSet series, int lanes)
    {
        var key = series[Instance].Length == 0 ? series.StableKey() : StableTargetKey(series);
        return (int)(ulong)(key % (UInt128)lanes);
    }

    private static UInt128 StableTargetKey(LabelSet series)
    {
        string[] values = [series[LabelSet.MetricName], series[Job], series[Instance]];
        var sizeBytes = 0;
        foreach (var value in values)
        {
            sizeBytes += sizeof(int) + Encoding.UTF8.GetByteCount(value);
        }
        var buffer = sizeBytes <= StackBytes ? stackalloc byte[sizeBytes] : new byte[sizeBytes];
        var at = 0;
        foreach (var value in values)
        {
            var length = Encoding.UTF8.GetBytes(value, buffer[(at + sizeof(int))..]);
            System.Buffers.Binary.BinaryPrimitives.WriteInt32LittleEndian(buffer[at..], length);
            at += sizeof(int) + length;
        }
        return StableHash.Hash128(buffer);
    }
}
