using System.Runtime.InteropServices;

namespace Millrace.Model.Re2;

/// <summary>A set of Unicode code points: sorted ranges that do not touch, and a bitmap for ASCII.</summary>
internal sealed class CodePointSet
{
    public const int MaxCodePoint = 0x10FFFF;

    private readonly Range[] _ranges;
    private readonly UInt128 _ascii;

    private CodePointSet(Range[] ranges)
    {
        _ranges = ranges;
        foreach (var range in ranges)
        {
            for (var c = range.Low; c <= Math.Min(range.High, 127); c++)
            {
                _ascii |= UInt128.One << c;
            }
        }
    }

    /// <summary>Code points from <paramref name="Low"/> to <paramref name="High"/>, both included.</summary>
    public readonly record struct Range(int Low, int High);

    public ReadOnlySpan<Range> Ranges => _ranges;

    public static CodePointSet From(List<Range> ranges) => new(Normalize(ranges));

    public bool Contains(int codePoint)
    {
        if (codePoint < 128)
        {
            return codePoint >= 0 && (_ascii >> codePoint & UInt128.One) != UInt128.Zero;
        }
        var low = 0;
        var high = _ranges.Length - 1;
        while (low <= high)
        {
            var middle = (low + high) / 2;
            if (codePoint < _ranges[middle].Low)
            {
                high = middle - 1;
            }
            else if (codePoint > _ranges[middle].High)
            {
                low = middle + 1;
            }
            else
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>Every code point that is not in the ranges.</summary>
    public static List<Range> Negate(List<Range> ranges)
    {
        var negated = new List<Range>();
        var next = 0;
        foreach (var range in Normalize(ranges))
        {
            if (range.Low > next)
            {
                negated.Add(new Range(next, range.Low - 1));
            }
            next = range.High + 1;
        }
        if (next <= MaxCodePoint)
        {
            negated.Add(new Range(next, MaxCodePoint));
        }
        return negated;
    }

    private static Range[] Normalize(List<Range> ranges)
    {
        var sorted = new List<Range>(ranges);
        CollectionsMarshal.AsSpan(sorted).Sort(static (a, b) => a.Low != b.Low ? a.Low - b.Low : a.High - b.High);
        var merged = new List<Range>(sorted.Count);
        foreach (var range in sorted)
        {
            if (merged.Count > 0 && range.Low <= merged[^1].High + 1)
            {
                merged[^1] = new Range(merged[^1].Low, Math.Max(merged[^1].High, range.High));
            }
            else
            {
                merged.Add(range);
            }
        }
        return [.. merged];
    }
}
