using System.Numerics;

namespace Millrace.TestKit.Oracle;

/// <summary>A sum of doubles without any rounding but the last: an integer in units of the smallest double.</summary>
public sealed class ExactSum
{
    public const int FractionBits = 1074;

    private BigInteger _units;
    private double _notFinite; // the sum of infinities, if any
    private bool _hasNotFinite;

    public ExactSum Add(double value)
    {
        if (double.IsFinite(value))
        {
            _units += UnitsOf(value);
        }
        else
        {
            _notFinite += value;
            _hasNotFinite = true;
        }
        return this;
    }

    /// <summary>The double nearest to the sum, of two equally near the even one.</summary>
    public double Value
    {
        get
        {
            if (_hasNotFinite)
            {
                return _notFinite;
            }
            var magnitude = BigInteger.Abs(_units);
            var bits = (long)magnitude.GetBitLength();
            var exponent = (int)Math.Max(0, bits - 53);
            var mantissa = magnitude >> exponent;
            var rest = magnitude - (mantissa << exponent);
            var half = exponent == 0 ? BigInteger.Zero : BigInteger.One << (exponent - 1);
            if (exponent > 0 && (rest > half || (rest == half && !mantissa.IsEven)))
            {
                mantissa += 1;
            }
            var value = Math.ScaleB((double)(ulong)mantissa, exponent - FractionBits);
            return _units.Sign < 0 ? -value : value;
        }
    }

    public static BigInteger UnitsOf(double value)
    {
        var bits = BitConverter.DoubleToInt64Bits(value);
        var exponent = (int)(bits >> 52) & 0x7FF;
        var mantissa = bits & ((1L << 52) - 1);
        var units = exponent == 0 ? new BigInteger(mantissa) : new BigInteger(mantissa | (1L << 52)) << (exponent - 1);
        return bits < 0 ? -units : units;
    }
}
