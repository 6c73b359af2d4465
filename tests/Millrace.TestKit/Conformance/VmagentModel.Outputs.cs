using System.Globalization;
using System.Linq;
using Millrace.Model;
using Millrace.TestKit.Oracle;

namespace Millrace.TestKit.Conformance;

/// <summary>What the outputs show of a window.</summary>
internal sealed partial class VmagentModel
{
    private IEnumerable<(string Label, string Text, ModelValue Value)> ValuesOf(
        Group group, string output, (double Sum, double Scale, int Series) rates)
    {
        if (output == "histogram_bucket")
        {
            return Buckets(group);
        }
        if (output.StartsWith("quantiles(", StringComparison.Ordinal))
        {
            return group.Values.Count == 0 ? [] : Quantiles(group, output);
        }
        return ValueOf(group, output, rates) is { } value ? [("", "", value)] : [];
    }

    private ModelValue? ValueOf(Group group, string output, (double Sum, double Scale, int Series) rates)
    {
        var isIdle = group.Values.Count == 0;
        switch (output)
        {
            case "total" or "total_prometheus":
                return Total(group, output);
            case "increase" or "increase_prometheus" when isIdle:
                return Is145 ? new ModelValue(0, 0) : null;
            case "increase":
                return new ModelValue(group.Increase, group.IncreaseScale);
            case "increase_prometheus":
                return new ModelValue(group.IncreasePrometheus, group.IncreaseScale);
            case "rate_sum" or "rate_avg" when rates.Series == 0:
                return null;
            case "rate_sum":
                return new ModelValue(rates.Sum, rates.Scale);
            case "rate_avg":
                return new ModelValue(rates.Sum / rates.Series, rates.Scale);
            case "sum_samples":
                return Sum(group);
            case "sum_samples_total":
                return SumTotal(group);
            default:
                return isIdle ? null : OfValues(group, output);
        }
    }

    private ModelValue Total(Group group, string output) => Accumulate(group, output, new ModelValue(
        output == "total" ? group.Increase : group.IncreasePrometheus, group.IncreaseScale));

    private ModelValue SumTotal(Group group) => Accumulate(group, "sum_samples_total", Sum(group));

    private ModelValue Accumulate(Group group, string output, ModelValue delta)
    {
        const double Largest = 1L << 53;
        var (before, scale) = group.Totals.GetValueOrDefault(output);
        var total = new ModelValue(before + delta.Value, scale + delta.Scale);
        // Ours: one sample that is not finite must not spoil the total for good.
        var isReset = Math.Abs(total.Value) >= Largest
            || (_player == AggregationCasePlayer.Ours && !double.IsFinite(total.Value));
        group.Totals[output] = isReset ? default : total;
        return total;
    }

    private static ModelValue? OfValues(Group group, string output)
    {
        var (bestMs, best) = group.Values[0];
        foreach (var (timeMs, value) in group.Values)
        {
            var isBetter = output switch
            {
                "min" => value < best,
                "max" => value > best,
                _ => timeMs >= bestMs, // last: of equal ones, the one that came last
            };
            (bestMs, best) = isBetter ? (timeMs, value) : (bestMs, best);
        }
        return output switch
        {
            "min" or "max" or "last" => new ModelValue(best, 0),
            "count_samples" => new ModelValue(group.Values.Count, 0),
            "count_series" => new ModelValue(group.SeriesInWindow.Count, 0),
            "unique_samples" => new ModelValue(group.Values.DistinctBy(one => one.Value).Count(), 0),
            "stdvar" => Variance(group),
            "stddev" => StandardDeviation(group),
            "avg" => new ModelValue(
                Sum(group).Value / group.Values.Count, Sum(group).Scale / group.Values.Count),
            _ => throw new ArgumentOutOfRangeException(nameof(output), output, "is not in the model"),
        };
    }

    private static ModelValue Sum(Group group)
    {
        var (sum, scale) = (0.0, 0.0);
        foreach (var (_, value) in group.Values)
        {
            sum += value;
            scale += Math.Abs(value);
        }
        return new ModelValue(sum, scale);
    }

    private static ModelValue Variance(Group group)
    {
        var (mean, squares, scale) = (group.Values.Average(one => one.Value), 0.0, 0.0);
        foreach (var (_, value) in group.Values)
        {
            squares += (value - mean) * (value - mean);
            scale += value * value;
        }
        return new ModelValue(squares / group.Values.Count, scale / group.Values.Count);
    }

    /// <summary>Near zero a root is far more wrong than what it is taken of.</summary>
    private static ModelValue StandardDeviation(Group group)
    {
        var (variance, scale) = Variance(group);
        return new ModelValue(Math.Sqrt(variance), Math.Sqrt(scale / ModelValue.Tolerance));
    }

    /// <summary>18 buckets a decade from 1e-9 to 1e18, upper bounds inside; counted on while the group lives.</summary>
    private static IEnumerable<(string Label, string Text, ModelValue Value)> Buckets(Group group)
    {
        foreach (var (_, value) in group.Values)
        {
            if (value >= 0)
            {
                var range = RangeOf(value);
                group.Buckets[range] = group.Buckets.GetValueOrDefault(range) + 1;
            }
        }
        foreach (var (range, count) in group.Buckets)
        {
            yield return ("vmrange", range, new ModelValue(count, 0));
        }
    }

    private static string RangeOf(double value)
    {
        if (value < 1e-9)
        {
            return "0...1.000e-09";
        }
        if (value >= 1e18)
        {
            return "1.000e+18...+Inf";
        }
        var place = (Math.Log10(value) + 9) * 18;
        var bucket = Math.Floor(place);
        bucket -= bucket == place && bucket > 0 ? 1 : 0;
        return string.Create(CultureInfo.InvariantCulture, $"{Bound(bucket)}...{Bound(bucket + 1)}");
    }

    private static string Bound(double bucket) =>
        Math.Pow(10, (bucket / 18) - 9).ToString("0.000e+00", CultureInfo.InvariantCulture);

    /// <summary>Exact for up to 1000 samples.</summary>
    private static IEnumerable<(string Label, string Text, ModelValue Value)> Quantiles(Group group, string output)
    {
        var values = group.Values.Select(one => one.Value).Order().ToArray();
        foreach (var text in output["quantiles(".Length..^1].Split(',', StringSplitOptions.TrimEntries))
        {
            var phi = double.Parse(text, CultureInfo.InvariantCulture);
            var at = (int)((phi * (values.Length - 1)) + 0.5);
            yield return ("quantile", phi.ToString(CultureInfo.InvariantCulture), new ModelValue(values[at], 0));
        }
    }

    /// <param name="extra">A label of the output; without a name: none.</param>
    private void Write(Group group, string output, long endMs, Label extra, ModelValue value)
    {
        var labels = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (var label in group.Labels.Labels)
        {
            labels[label.Name] = label.Value;
        }
        if (!_config.KeepMetricNames)
        {
            labels[LabelSet.MetricName] = labels.GetValueOrDefault(LabelSet.MetricName, "") + ":"
                + _config.IntervalText + Grouping("_by_", _config.By) + Grouping("_without_", _config.Without)
                + "_" + output.Split('(')[0];
        }
        if (extra.Name.Length > 0)
        {
            labels[extra.Name] = extra.Value;
        }
        var list = new List<Label>();
        foreach (var (name, text) in labels)
        {
            list.Add(new Label(name, text));
        }
        if (_outputRelabeling.TryApply(LabelSet.From(list), _builder, out var series))
        {
            Written[(endMs, series.ToString())] = value;
        }
    }

    private static string Grouping(string word, IReadOnlyList<string> labels)
    {
        var named = new SortedSet<string>(labels, StringComparer.Ordinal);
        named.Remove(LabelSet.MetricName);
        return named.Count == 0 ? "" : word + string.Join('_', named);
    }
}
