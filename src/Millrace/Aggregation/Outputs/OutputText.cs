using System.Globalization;

namespace Millrace.Aggregation.Outputs;

/// <summary>
/// Outputs as they stand in a rule: a name, or a name with arguments in parentheses. What is wrong with one is said as
/// the end of a sentence that begins with its text.
/// </summary>
internal static class OutputText
{
    /// <summary>More series per group are no top.</summary>
    private const int MaxTop = 1000;

    private const string QuantilesExample = "quantiles(0.5, 0.9)";
    private const string DistinctExample = "distinct(pod)";
    private const string TopExample = "topk(5, pod)";

    /// <summary>All outputs, for error texts and the documents.</summary>
    public static IReadOnlyList<string> Names { get; } = NewNames();

    /// <summary>False with a null <paramref name="problem"/>: there is no output of that name.</summary>
    public static bool TryRead(string text, out OutputKind? kind, out string? problem)
    {
        (kind, problem) = (null, null);
        var open = text.IndexOf('(', StringComparison.Ordinal);
        if (open < 0)
        {
            foreach (var plain in OutputKind.Plain)
            {
                kind = plain.Name == text ? plain : kind;
            }
            problem = Example(text) is { } example ? $"needs its arguments: write it as {example}" : null;
            return kind is not null;
        }
        var read = text[..open] switch
        {
            "quantiles" => ReadQuantiles,
            "distinct" => ReadDistinct,
            "topk" => (Func<string[], (OutputKind?, string?)>?)ReadTop,
            _ => null,
        };
        if (read is null)
        {
            return false;
        }
        if (!text.EndsWith(')'))
        {
            problem = "lacks its closing parenthesis: write it as " + Example(text[..open]);
            return false;
        }
        var list = text[(open + 1)..^1];
        var arguments = list.Length == 0 ? [] : list.Split(',');
        for (var i = 0; i < arguments.Length; i++)
        {
            arguments[i] = arguments[i].Trim();
        }
        (kind, problem) = read(arguments);
        return kind is not null;
    }

    private static (OutputKind?, string?) ReadQuantiles(string[] arguments)
    {
        if (arguments.Length == 0)
        {
            return (null, "needs at least one quantile, such as quantiles(0.5)");
        }
        var phis = new List<double>();
        var labels = new List<string>();
        foreach (var argument in arguments)
        {
            // NaN is let through, as in vmagent.
            if (!double.TryParse(argument, NumberStyles.Float, CultureInfo.InvariantCulture, out var phi)
                || phi < 0 || phi > 1)
            {
                return (null, $"has the argument \"{argument}\": write numbers between 0 and 1");
            }
            // Go's shortest form writes the e small.
            var label = phi.ToString("R", CultureInfo.InvariantCulture).Replace('E', 'e');
            if (!double.IsNaN(phi) && !labels.Contains(label))
            {
                phis.Add(phi);
                labels.Add(label);
            }
        }
        double[] ordered = [.. phis];
        string[] texts = [.. labels];
        return (new OutputKind("quantiles", _ => new Quantiles(ordered, texts))
        {
            UsesSamples = true,
            Label = "quantile",
            LabelValues = texts,
            ExemplarLabel = texts.Length == 0 ? null : texts[Array.IndexOf(ordered, Max(ordered))],
        }, null);
    }

    private static double Max(double[] values)
    {
        var max = values[0];
        foreach (var value in values)
        {
            max = Math.Max(max, value);
        }
        return max;
    }

    private static (OutputKind?, string?) ReadDistinct(string[] arguments)
    {
        if (arguments is not [{ Length: > 0 } label])
        {
            return (null, $"needs one label, such as {DistinctExample}");
        }
        return (new OutputKind("distinct", setting => new Distinct(setting.InputLabel))
        {
            Suffix = "distinct_" + label,
            InputLabel = label,
        }, null);
    }

    private static (OutputKind?, string?) ReadTop(string[] arguments)
    {
        if (arguments.Length is not (2 or 3) || arguments[1].Length == 0)
        {
            return (null, $"needs a number and a label, such as {TopExample}");
        }
        if (!int.TryParse(arguments[0], NumberStyles.None, CultureInfo.InvariantCulture, out var count)
            || count is < 1 or > MaxTop)
        {
            return (null, $"has \"{arguments[0]}\" where a number from 1 to {MaxTop} must stand, as in {TopExample}");
        }
        var by = arguments.Length == 3 ? arguments[2] : "last";
        if (by is not ("last" or "increase"))
        {
            return (null, $"has \"{by}\" where last or increase must stand, as in topk(5, pod, increase)");
        }
        var label = arguments[1];
        var ofIncrease = by == "increase";
        return (new OutputKind("topk", setting => new TopK(count, setting.InputLabel, ofIncrease))
        {
            Suffix = "topk_" + label + (ofIncrease ? "_increase" : ""),
            IsCounter = ofIncrease,
            UsesLastSamples = !ofIncrease,
            Label = label,
            InputLabel = label,
        }, null);
    }

    private static string? Example(string name) => name switch
    {
        "quantiles" => QuantilesExample,
        "distinct" => DistinctExample,
        "topk" => TopExample,
        _ => null,
    };

    private static List<string> NewNames()
    {
        var names = new List<string> { "quantiles(φ, …)", "distinct(label)", "topk(k, label)" };
        foreach (var kind in OutputKind.Plain)
        {
            names.Add(kind.Name);
        }
        names.Sort(StringComparer.Ordinal);
        return names;
    }
}
