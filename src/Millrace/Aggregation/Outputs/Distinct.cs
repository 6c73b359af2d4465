using System.Text;
using Millrace.Model;

namespace Millrace.Aggregation.Outputs;

/// <summary>
/// <c>distinct(label)</c>: the number of different values that a label of the input has among the series of the group
/// with a sample in the window. A series without the label adds none.
/// </summary>
internal sealed class Distinct(int label) : OutputObjects<DistinctSet>
{
    public override void AddSeries(ReadOnlySpan<SeriesWindow> series)
    {
        foreach (ref readonly var one in series)
        {
            var state = this[one.Group];
            if (one.Labels![label] is { Length: > 0 } value)
            {
                state.Add(HashOf(value));
            }
        }
    }

    public override bool TryGetValue(int group, out double value)
    {
        value = Find(group)?.Estimate() ?? 0;
        return Find(group) is not null;
    }

    private static ulong HashOf(string value)
    {
        const int MaxOnStack = 512;
        var size = Encoding.UTF8.GetMaxByteCount(value.Length);
        var buffer = size <= MaxOnStack ? stackalloc byte[MaxOnStack] : new byte[size];
        return StableHash.Hash64(buffer[..Encoding.UTF8.GetBytes(value, buffer)]);
    }
}
