using System.Numerics;

namespace Millrace.TestKit.Simulation;

/// <summary>The exact sum of doubles, rounded once when it is read: to nearest, ties to even.</summary>
internal sealed class ExactSum
{
    /// <summary>The sum is kept as a multiple of 2^-ScaleBits.</summary>
    private const int ScaleBits = 300;

    private BigInteger _sum;

    public void Add(double value)
    {
        var bits = BitConverter.DoubleToInt64Bits(value);
        var exponent = (int)((bits >> 52) & 0x7FF);
        var mantissa = bits & 0xF_FFFF_FFFF_FFFF;
        if (exponent == 0x7FF || (exponent == 0 && mantissa != 0) || exponent - 1075 < -ScaleBits)
        {
            if (exponent != 0 || mantissa != 0)
            {
                throw new ArgumentOutOfRangeException(nameof(value), value, "The simulation sends no such values.");
            }
        }
        if (value == 0)
        {
            return;
        }
        var shifted = new BigInteger(mantissa | (1L << 52)) << (exponent - 1075 + ScaleBits);
        _sum += value < 0 ? -shifted : shifted;
    }

    public double Value
    {
        get
        {
            var magnitude = BigInteger.Abs(_sum);
            var excess = (int)magnitude.GetBitLength() - 53;
            var rounded = magnitude;
            if (excess > 0)
            {
                rounded = magnitude >> excess;
                var rest = magnitude - (rounded << excess);
                var half = BigInteger.One << (excess - 1);
                if (rest > half || (rest == half && !rounded.IsEven))
                {
                    rounded += 1;
                }
            }
            var value = Math.ScaleB((double)(long)rounded, Math.Max(0, excess) - ScaleBits);
            return _sum.Sign < 0 ? -value : value;
        }
    }
}
