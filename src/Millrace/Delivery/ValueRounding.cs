using System.Globalization;

namespace Millrace.Delivery;

/// <summary>
/// How a destination rounds values, for storages that compress round ones better: first to significant figures, then
/// to digits behind the point, with vmagent's arithmetic bit for bit, so that both write the same values. NaN, of which
/// stale markers are a kind, and infinities stay as they are.
/// </summary>
internal readonly record struct ValueRounding(int SignificantFigures, int Digits)
{
    /// <summary>More figures than a double has.</summary>
    public const int AllFigures = 18;

    public const int AllDigits = 100;

    public static readonly ValueRounding Off = new(0, AllDigits);

    /// <summary>A decimal is sought that is nearer than this share to the binary value.</summary>
    private const double Precision = 1e12;

    /// <summary>The same for values above a million.</summary>
    private const double PrecisionOfLarge = 1e15;

    /// <summary>From here on an integer may have digits that the double does not.</summary>
    private const ulong ExactIntegers = 1UL << 55;

    private const double DecimalDigitsPerBit = 0.30102999566398119521; // ln 2 / ln 10
    private const int PowerStep = 32;

    private static readonly double[] SmallPowers = PowersOfTen(PowerStep, 1);
    private static readonly double[] LargePowers = PowersOfTen(10, PowerStep);
    private static readonly double[] NegativePowers = PowersOfTen(11, -PowerStep);

    public bool IsOff => SignificantFigures is <= 0 or >= AllFigures && Digits is <= -AllDigits or >= AllDigits;

    public double Apply(double value)
    {
        if (!double.IsFinite(value))
        {
            return value;
        }
        var rounded = SignificantFigures is > 0 and < AllFigures && value != 0
            ? ToFigures(value, SignificantFigures) : value;
        rounded = Digits is > -AllDigits and < AllDigits ? ToDigits(rounded, Digits) : rounded;
        return IsOff ? value : rounded + 0.0; // a negative zero becomes zero, as on vmagent's wire
    }

    private static double ToDigits(double value, int digits)
    {
        var unit = PowerOfTen(digits);
        var scaled = value * unit;
        // Here vmagent would write an infinity: a value so large has no such digits.
        return double.IsFinite(scaled) ? Math.Round(scaled, MidpointRounding.AwayFromZero) / unit : value;
    }

    private static double ToFigures(double value, int figures)
    {
        var (mantissa, exponent) = ToDecimal(Math.Abs(value));
        var limit = (long)PowerOfTen(figures);
        var lastDigit = 0L;
        while (mantissa > limit)
        {
            (mantissa, lastDigit) = Math.DivRem(mantissa, 10);
            exponent++;
        }
        mantissa += lastDigit >= 5 ? 1 : 0;
        var magnitude = exponent < 0 ? mantissa / PowerOfTen(-exponent) : mantissa * PowerOfTen(exponent);
        return value < 0 ? -magnitude : magnitude;
    }

    /// <summary>The shortest decimal near a positive value, as mantissa · 10^exponent.</summary>
    private static (long Mantissa, int Exponent) ToDecimal(double value)
    {
        if (value < 18_446_744_073_709_551_616.0 && (ulong)value is var whole && whole == value)
        {
            return whole < ExactIntegers && whole % 10 != 0 ? ((long)whole, 0) : Shorten(whole);
        }
        var (mantissa, exponent) = SeekDecimal(value);
        return mantissa % 10 != 0 ? (mantissa, exponent) : (mantissa / 10, exponent + 1);
    }

    private static (long Mantissa, int Exponent) Shorten(ulong whole)
    {
        var exponent = 0;
        for (; whole >= ExactIntegers; exponent++)
        {
            whole /= 10;
        }
        for (; whole != 0 && whole % 10 == 0; exponent++)
        {
            whole /= 10;
        }
        return ((long)whole, exponent);
    }

    /// <summary>Two more digits at a time, until what is left behind the point is noise.</summary>
    private static (long Mantissa, int Exponent) SeekDecimal(double value)
    {
        var exponent = 0;
        var precision = value > 1e6 ? PrecisionOfLarge : Precision;
        if (value is > 1e6 or < 1e-6)
        {
            var binary = Math.Clamp(Math.ILogB(value) + 1, -1022, 1023);
            exponent = (int)(binary * DecimalDigitsPerBit);
            value *= PowerOfTen(-exponent);
        }
        while (value < precision)
        {
            var whole = Math.Truncate(value);
            var fraction = value - whole;
            if (fraction * precision < whole)
            {
                value = whole;
                break;
            }
            if ((1 - fraction) * precision < whole)
            {
                value = whole + 1;
                break;
            }
            value *= 100;
            exponent -= 2;
        }
        return ((long)value, exponent);
    }

    /// <summary>
    /// Put together as Go does it, from two tables: a power of ten in one step may differ in its last bit.
    /// </summary>
    private static double PowerOfTen(int exponent) => exponent switch
    {
        < -323 => 0,
        < 0 => NegativePowers[-exponent / PowerStep] / SmallPowers[-exponent % PowerStep],
        <= 308 => LargePowers[exponent / PowerStep] * SmallPowers[exponent % PowerStep],
        _ => double.PositiveInfinity,
    };

    private static double[] PowersOfTen(int count, int step)
    {
        var powers = new double[count];
        for (var i = 0; i < count; i++)
        {
            powers[i] = double.Parse(
                string.Create(CultureInfo.InvariantCulture, $"1e{i * step}"), CultureInfo.InvariantCulture);
        }
        return powers;
    }
}
