using Millrace.Memory;

namespace Millrace.Aggregation.Outputs;

/// <summary>
/// Number, sum and sum of squares, all exact. So the variance needs no care for cancellation, states merge, and
/// neither order nor split shows.
/// </summary>
internal sealed class Moments : IOutputState<Moments>
{
    // The square of a sum of 2^53 doubles takes 135 limbs, its place another; the product with the count two more.
    private const int MaxLimbs = 160;

    private long _count;
    private long _notFinite;
    private WideSum _sum;
    private WideSum _squares;

    public bool IsLarge => false;

    public void Add(double value, bool isAdded = true)
    {
        var count = isAdded ? 1 : -1;
        _count += count;
        if (!double.IsFinite(value))
        {
            _notFinite += count;
            return;
        }
        _sum.Add(value, isAdded);
        _squares.AddSquare(value, isAdded);
    }

    /// <summary>
    /// The population variance n·Σx² - (Σx)² over n², the numerator exact, the quotient rounded from 100 bits and more.
    /// NaN with an infinity among the values.
    /// </summary>
    public double Variance()
    {
        if (_notFinite != 0)
        {
            return double.NaN;
        }
        Span<uint> numerator = stackalloc uint[MaxLimbs];
        Span<uint> square = stackalloc uint[MaxLimbs];
        var squares = _squares.Digits(out var firstSquare);
        var sum = _sum.Digits(out var firstSum);
        if (squares.Length == 0)
        {
            return 0;
        }
        // Both in units of the sum of squares: the sum's own unit, squared, is 2^FractionBits of that.
        var firstOfSquare = 2 * firstSum - WideSum.FractionBits / 32;
        var first = sum.Length == 0 ? firstSquare : Math.Min(firstSquare, firstOfSquare);
        MultiplyCount(squares, numerator[(firstSquare - first)..]);
        if (sum.Length > 0)
        {
            Square(sum, square[(firstOfSquare - first)..]);
        }
        Subtract(numerator, square);
        var exponent = Leading(numerator, out var leading) + 32 * first - WideSum.FractionBits;
        return Math.ScaleB(Divide(leading, (UInt128)_count * (UInt128)_count), exponent);
    }

    public void Clear()
    {
        _count = 0;
        _notFinite = 0;
        _sum.Clear();
        _squares.Clear();
    }

    public void Merge(Moments other)
    {
        _count += other._count;
        _notFinite += other._notFinite;
        _sum.Add(ref other._sum);
        _squares.Add(ref other._squares);
    }

    public void Write(SnapshotWriter writer)
    {
        writer.Write(_count);
        writer.Write(_notFinite);
        _sum.Write(writer);
        _squares.Write(writer);
    }

    public void Read(SnapshotReader reader)
    {
        _count = reader.ReadInt64();
        _notFinite = reader.ReadInt64();
        _sum.Read(reader);
        _squares.Read(reader);
    }

    private void MultiplyCount(ReadOnlySpan<long> digits, Span<uint> product)
    {
        UInt128 carry = 0;
        var at = 0;
        foreach (var digit in digits)
        {
            carry += (UInt128)(ulong)digit * (ulong)_count;
            product[at++] = (uint)carry;
            carry >>= 32;
        }
        for (; carry != 0; carry >>= 32)
        {
            product[at++] = (uint)carry;
        }
    }

    private static void Square(ReadOnlySpan<long> digits, Span<uint> square)
    {
        for (var i = 0; i < digits.Length; i++)
        {
            var carry = 0UL;
            var at = i;
            foreach (var digit in digits)
            {
                // (2^32 - 1)² and two more of 2^32 - 1 are below 2^64.
                carry += (ulong)Math.Abs(digits[i]) * (ulong)Math.Abs(digit) + square[at];
                square[at++] = (uint)carry;
                carry >>= 32;
            }
            square[at] = (uint)carry;
        }
    }

    private static void Subtract(Span<uint> from, ReadOnlySpan<uint> what)
    {
        var borrow = 0L;
        for (var i = 0; i < from.Length; i++)
        {
            borrow += (long)from[i] - what[i];
            from[i] = (uint)borrow;
            borrow >>= 32;
        }
    }

    /// <summary>The leading 97 bits and more, and the exponent of the lowest of them.</summary>
    private static int Leading(ReadOnlySpan<uint> digits, out UInt128 leading)
    {
        var top = digits.Length - 1;
        while (top > 0 && digits[top] == 0)
        {
            top--;
        }
        leading = 0;
        var low = Math.Max(0, top - 3);
        for (var i = top; i >= low; i--)
        {
            leading = (leading << 32) | digits[i];
        }
        return 32 * low;
    }

    private static double Divide(UInt128 dividend, UInt128 divisor)
    {
        if (dividend == 0)
        {
            return 0;
        }
        var (high, low) = Pair(dividend);
        var (divisorHigh, divisorLow) = Pair(divisor);
        var quotient = high / divisorHigh;
        var rest = Math.FusedMultiplyAdd(-quotient, divisorHigh, high) + (low - quotient * divisorLow);
        return quotient + rest / divisorHigh;
    }

    private static (double High, double Low) Pair(UInt128 value)
    {
        // Of the top 53 bits nothing is rounded, and the rest has at most 75, of which 53 stay.
        var shift = Math.Max(0, 75 - (int)UInt128.LeadingZeroCount(value));
        var top = value >> shift << shift;
        return ((double)top, (double)(value - top));
    }
}

/// <summary><c>stdvar</c>: the population variance of the samples; <c>stddev</c>: its square root.</summary>
internal sealed class StdVar(bool isRoot) : OutputObjects<Moments>
{
    public override void AddSamples(
        ReadOnlySpan<int> groups, ReadOnlySpan<double> values, ReadOnlySpan<long> timesMs)
    {
        for (var i = 0; i < groups.Length; i++)
        {
            this[groups[i]].Add(values[i]);
        }
    }

    public override void Replace(int group, double oldValue, double newValue, long timeMs)
    {
        var state = this[group];
        state.Add(oldValue, isAdded: false);
        state.Add(newValue);
    }

    public override bool TryGetValue(int group, out double value)
    {
        value = Find(group)?.Variance() ?? 0;
        value = isRoot ? Math.Sqrt(value) : value;
        return Find(group) is not null;
    }
}
