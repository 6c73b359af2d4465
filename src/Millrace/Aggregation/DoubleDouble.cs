namespace Millrace.Aggregation;

/// <summary>
/// A sum of doubles kept as an unevaluated pair, about 106 bits (Dekker 1971, Knuth's two-sum). Integers below 2^53
/// add exactly and the order of the summands does not show after the one rounding in <see cref="Value"/>.
/// </summary>
internal struct DoubleDouble
{
    public double High;
    public double Low;

    public readonly double Value => High + Low;

    public void Add(double value)
    {
        var sum = High + value;
        var part = sum - High;
        var error = (High - (sum - part)) + (value - part);
        High = sum;
        // An infinity makes the error term NaN; the sum itself is then right.
        if (double.IsFinite(sum))
        {
            Low += error;
        }
        else
        {
            Low = 0;
        }
    }

    public void Add(in DoubleDouble other)
    {
        Add(other.High);
        if (double.IsFinite(High))
        {
            Low += other.Low;
            Normalize();
        }
    }

    /// <summary>Moves what the low part has gathered into the high one.</summary>
    public void Normalize()
    {
        if (!double.IsFinite(High))
        {
            return;
        }
        var sum = High + Low;
        Low -= sum - High;
        High = sum;
    }
}
