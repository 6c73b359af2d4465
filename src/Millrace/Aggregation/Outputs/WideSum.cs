using Millrace.Memory;

namespace Millrace.Aggregation.Outputs;

/// <summary>
/// A sum of doubles, or of their squares, without any rounding: limbs of 32 bits, each in a long so that carries may
/// wait, over the range of exponents that occurred. Exact, so neither order nor cancellation shows. The whole range of
/// doubles takes 68 limbs, that of their squares 135; values of one magnitude take about six.
/// </summary>
internal struct WideSum
{
    /// <summary>The weight of limb 0 is 2^-this: below the smallest square of a double.</summary>
    public const int FractionBits = 2176;

    /// <summary>A pending limb grows by less than 2^32 per addition.</summary>
    private const int MaxPending = 1 << 30;

    private long[]? _limbs;
    private int _first;   // the number of _limbs[0]
    private int _pending; // additions since the carries were moved

    /// <summary>Adds, or takes away, a finite double.</summary>
    public void Add(double value, bool isAdded)
    {
        var (mantissa, exponent) = Split(value);
        Add(mantissa, exponent + FractionBits, (value >= 0) == isAdded);
    }

    /// <summary>Adds, or takes away, the square of a finite double.</summary>
    public void AddSquare(double value, bool isAdded)
    {
        var (mantissa, exponent) = Split(value);
        Add((UInt128)mantissa * mantissa, 2 * exponent + FractionBits, isAdded);
    }

    public void Add(ref WideSum other)
    {
        var digits = other.Digits(out var first);
        if (digits.Length == 0)
        {
            return;
        }
        Normalize();
        Cover(first, digits.Length);
        for (var i = 0; i < digits.Length; i++)
        {
            _limbs![first - _first + i] += digits[i];
        }
        _pending = 1;
    }

    public void Clear()
    {
        _limbs?.AsSpan().Clear();
        _pending = 0;
    }

    /// <summary>Moves the carries: after it all limbs have one sign and at most 32 bits.</summary>
    public void Normalize()
    {
        _pending = 0;
        if (_limbs is not { Length: > 0 } limbs)
        {
            return;
        }
        var carry = MoveCarries(limbs);
        if (carry < 0)
        {
            Negate(limbs);
            carry -= MoveCarries(limbs);
            Negate(limbs);
        }
        if (carry != 0)
        {
            Array.Resize(ref _limbs, limbs.Length + 1);
            _limbs[^1] = carry;
        }
    }

    /// <summary>
    /// The one form of the value: digits of one sign, lowest first, without zeros at the ends, and the number of the
    /// lowest.
    /// </summary>
    public ReadOnlySpan<long> Digits(out int first)
    {
        Normalize();
        var digits = _limbs.AsSpan();
        while (digits.Length > 0 && digits[^1] == 0)
        {
            digits = digits[..^1];
        }
        first = _first;
        while (digits.Length > 0 && digits[0] == 0)
        {
            digits = digits[1..];
            first++;
        }
        first = digits.Length == 0 ? 0 : first;
        return digits;
    }

    public void Write(SnapshotWriter writer)
    {
        var digits = Digits(out var first);
        writer.Write(first);
        writer.WriteSpan(digits);
    }

    public void Read(SnapshotReader reader)
    {
        _first = reader.ReadInt32();
        _limbs = reader.ReadSpan<long>();
        _pending = 0;
    }

    private static (ulong Mantissa, int Exponent) Split(double value)
    {
        var bits = BitConverter.DoubleToUInt64Bits(value);
        var exponent = (int)(bits >> 52) & 0x7FF;
        var fraction = bits & ((1UL << 52) - 1);
        return exponent == 0 ? (fraction, -1074) : (fraction | (1UL << 52), exponent - 1075);
    }

    private void Add(UInt128 magnitude, int position, bool isPositive)
    {
        if (magnitude == 0)
        {
            return;
        }
        // 106 bits, moved by up to 31, reach into five limbs; the sixth is for carries.
        Cover(position >> 5, 6);
        var at = (position >> 5) - _first;
        var shift = position & 31;
        var low = magnitude << shift;
        var high = shift == 0 ? 0 : (ulong)(magnitude >> (128 - shift));
        var limbs = _limbs!;
        while (low != 0 || high != 0)
        {
            long digit = (uint)low;
            limbs[at++] += isPositive ? digit : -digit;
            low = (low >> 32) | ((UInt128)high << 96);
            high = 0;
        }
        if (++_pending == MaxPending)
        {
            Normalize();
        }
    }

    /// <summary>Makes limbs for some numbers.</summary>
    private void Cover(int first, int count)
    {
        if (_limbs is not { Length: > 0 } limbs)
        {
            _limbs = new long[count];
            _first = first;
            return;
        }
        if (first >= _first && first + count <= _first + limbs.Length)
        {
            return;
        }
        var newFirst = Math.Min(first, _first);
        var grown = new long[Math.Max(first + count, _first + limbs.Length) - newFirst];
        limbs.CopyTo(grown, _first - newFirst);
        _limbs = grown;
        _first = newFirst;
    }

    /// <summary>Leaves digits of 32 bits, and gives what belongs to the limb above.</summary>
    private static long MoveCarries(long[] limbs)
    {
        var carry = 0L;
        for (var i = 0; i < limbs.Length; i++)
        {
            var sum = limbs[i] + carry;
            limbs[i] = (uint)sum;
            carry = sum >> 32;
        }
        return carry;
    }

    private static void Negate(long[] limbs)
    {
        for (var i = 0; i < limbs.Length; i++)
        {
            limbs[i] = -limbs[i];
        }
    }
}
