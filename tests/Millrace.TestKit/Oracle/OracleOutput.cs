using System.Globalization;
using System.Linq;
using System.Numerics;
using Millrace.Model;

namespace Millrace.TestKit.Oracle;

/// <summary>What a series of a group has in a window.</summary>
public readonly record struct OracleMember(LabelSet Series, OracleWindow Window);

/// <summary>
/// One output of one group by its definition: the values of a window from the samples of its series, and what it
/// carries from window to window. A group that dies begins with a new one.
/// </summary>
public sealed class OracleOutput
{
    private readonly string _name;
    private readonly string[] _arguments;
    private readonly SortedDictionary<int, long> _buckets = [];
    private ExactSum _total = new();

    private OracleOutput(string name, string[] arguments)
    {
        (_name, _arguments) = (name, arguments);
        Label = name switch
        {
            "quantiles" => "quantile",
            "histogram_bucket" => "vmrange",
            "topk" => arguments[1],
            _ => null,
        };
    }

    /// <summary>The label that tells its series apart; null: there is one.</summary>
    public string? Label { get; }

    /// <summary>It shows what came to be over all windows.</summary>
    public bool IsCumulative =>
        _name is "total" or "total_prometheus" or "sum_samples_total" or "histogram_bucket";

    public static OracleOutput Create(string text)
    {
        var parts = text.TrimEnd(')').Split('(', ',');
        return new OracleOutput(parts[0], [.. parts[1..].Select(part => part.Trim())]);
    }

    /// <summary>The next window that closes.</summary>
    /// <param name="windows">The series with samples in it.</param>
    /// <param name="others">Those for which something is booked from elsewhere.</param>
    public List<(string Label, double Value)> Close(List<OracleMember> windows, List<OracleMember> others)
    {
        var values = windows.SelectMany(one => one.Window.Samples).Select(sample => sample.Value).ToList();
        var everything = windows.SelectMany(one => one.Window.Everything).Select(sample => sample.Value).ToList();
        var carried = windows.Concat(others).SelectMany(one => one.Window.Carried).Select(one => one.Value).ToList();
        return _name switch
        {
            "histogram_bucket" => Buckets([.. values, .. carried]),
            "quantiles" when windows.Count > 0 => Quantiles(values, everything.Min()),
            "topk" => Top(windows, others),
            _ when Label is not null => [],
            _ => (Counter(windows, others) ?? OfSamples(windows, values, carried, everything)) is { } value
                ? [("", value)] : [],
        };
    }

    /// <summary>Null also for outputs that are no counters.</summary>
    private double? Counter(List<OracleMember> windows, List<OracleMember> others)
    {
        var gains = windows.Concat(others).SelectMany(one => one.Window.Gains).ToList();
        var increase = Sum([.. windows.Select(one => one.Window.Increase), .. gains]);
        var prometheus = Sum([.. windows.Select(one => one.Window.IncreasePrometheus), .. gains]);
        List<double> rates = [.. windows.Select(one => one.Window.Rate).OfType<double>()];
        var hasAny = windows.Count + gains.Count > 0;
        return _name switch
        {
            "total" => Accumulate(increase),
            "total_prometheus" => Accumulate(prometheus),
            "increase" when hasAny => increase,
            "increase_prometheus" when hasAny => prometheus,
            "rate_sum" when rates.Count > 0 => Sum(rates),
            "rate_avg" when rates.Count > 0 => Sum(rates) / rates.Count,
            _ => null,
        };
    }

    private double? OfSamples(
        List<OracleMember> windows, List<double> values, List<double> carried, List<double> everything)
    {
        var samples = windows.SelectMany(one => one.Window.Samples).Where(sample => sample.TimeMs > 0).ToList();
        return _name switch
        {
            "total" or "total_prometheus" or "increase" or "increase_prometheus" or "rate_sum" or "rate_avg" => null,
            "sum_samples_total" => Accumulate(Sum([.. values, .. carried])),
            "sum_samples" => Sum([.. values, .. carried]),
            "count_samples" => values.Count + carried.Count is var count && count > 0 ? count : null,
            _ when windows.Count == 0 => null,
            "count_series" => windows.Count,
            "unique_samples" => everything.Select(value => value + 0.0).Distinct().Count(),
            "min" => everything.Min(),
            "max" => values.Max(),
            "range" => everything.Max() - everything.Min(),
            "avg" => Sum(values) / values.Count,
            "stdvar" => Variance(values),
            "stddev" => Math.Sqrt(Variance(values)),
            "sum_last" => windows.Exists(one => one.Window.IsThere)
                ? Sum(windows.Where(one => one.Window.IsThere).Select(one => one.Window.Samples[^1].Value)) : null,
            "first" => samples.OrderBy(sample => sample.TimeMs).ThenByDescending(sample => sample.Value)
                .Select(sample => (double?)sample.Value).FirstOrDefault(),
            "last" => samples.OrderBy(sample => sample.TimeMs).ThenBy(sample => sample.Value)
                .Select(sample => (double?)sample.Value).LastOrDefault(),
            "distinct" => windows.Select(one => one.Series[_arguments[0]]).Where(value => value.Length > 0)
                .Distinct().Count(),
            _ => throw new NotSupportedException($"The oracle does not know the output {_name}."),
        };
    }

    /// <summary>A running total starts again from 0 after it has shown 2^53.</summary>
    private double Accumulate(double increase)
    {
        var shown = _total.Add(increase).Value;
        if (!(Math.Abs(shown) < Math.Pow(2, 53)))
        {
            _total = new ExactSum();
        }
        return shown;
    }

    /// <summary>The quantile 0 is what <c>min</c> is, also of a sample that gave way to a larger one.</summary>
    private List<(string, double)> Quantiles(List<double> values, double min)
    {
        var sorted = values.Select(value => value + 0.0).Order().ToList();
        return
        [
            .. _arguments.Select(text => double.Parse(text, CultureInfo.InvariantCulture)).Select(phi => (
                phi.ToString("R", CultureInfo.InvariantCulture),
                phi <= 0 ? min : sorted[(int)Math.Floor(phi * (sorted.Count - 1) + 0.5)])),
        ];
    }

    /// <summary>Buckets as VictoriaMetrics computes them, with logarithms.</summary>
    private List<(string, double)> Buckets(List<double> values)
    {
        foreach (var value in values.Where(value => value >= 0))
        {
            var index = (Math.Log10(value) + 9) * 18;
            var bucket = index < 0 ? -1 : index >= 27 * 18 ? 27 * 18
                : index == Math.Floor(index) && index > 0 ? (int)index - 1 : (int)index;
            _buckets[bucket] = _buckets.GetValueOrDefault(bucket) + 1;
        }
        return [.. _buckets.Select(bucket => (RangeOf(bucket.Key), (double)bucket.Value))];
    }

    private static string RangeOf(int bucket)
    {
        static string Bound(int i) => Math.Pow(10, i / 18.0 - 9).ToString("0.000e+00", CultureInfo.InvariantCulture);
        return (bucket < 0 ? "0" : Bound(bucket)) + "..." + (bucket == 27 * 18 ? "+Inf" : Bound(bucket + 1));
    }

    private List<(string, double)> Top(List<OracleMember> windows, List<OracleMember> others)
    {
        var summands = _arguments.Length > 2
            ? windows.Select(one => (one.Series, one.Window.Increase)).Concat(windows.Concat(others).SelectMany(
                one => one.Window.Gains.Select(gain => (one.Series, gain)))).ToList()
            : windows.Where(one => one.Window.IsThere)
                .Select(one => (one.Series, one.Window.Samples[^1].Value)).ToList();
        return
        [
            .. summands.GroupBy(one => one.Item1[_arguments[1]], one => one.Item2).Where(group => group.Key.Length > 0)
                .Select(group => (group.Key, Value: Sum(group)))
                .OrderByDescending(one => one.Value).ThenBy(one => one.Key, StringComparer.Ordinal)
                .Take(int.Parse(_arguments[0], CultureInfo.InvariantCulture)),
        ];
    }

    private static double Sum(IEnumerable<double> values)
    {
        var sum = new ExactSum();
        foreach (var value in values)
        {
            sum.Add(value);
        }
        return sum.Value;
    }

    /// <summary>The population variance without rounding, then the nearest double.</summary>
    public static double Variance(IReadOnlyList<double> values)
    {
        BigInteger sum = 0;
        BigInteger squares = 0;
        foreach (var value in values)
        {
            var units = ExactSum.UnitsOf(value);
            sum += units;
            squares += units * units;
        }
        return Nearest(values.Count * squares - sum * sum, (BigInteger)values.Count * values.Count,
            -2 * ExactSum.FractionBits);
    }

    /// <summary>The double nearest to numerator / denominator · 2^exponent, both not below 0.</summary>
    private static double Nearest(BigInteger numerator, BigInteger denominator, int exponent)
    {
        if (numerator.IsZero)
        {
            return 0;
        }
        // A quotient of 66 bits and more, its last bit set if anything is left.
        var shift = (int)Math.Max(0, 66 - numerator.GetBitLength() + denominator.GetBitLength());
        var quotient = BigInteger.DivRem(numerator << shift, denominator, out var rest);
        quotient |= rest.IsZero ? 0 : 1;
        var drop = (int)quotient.GetBitLength() - 55;
        var sticky = (quotient & ((BigInteger.One << drop) - 1)).IsZero ? 0UL : 1UL;
        var top = (ulong)(quotient >> drop) | sticky;
        return Math.ScaleB((double)top, exponent - shift + drop);
    }
}
