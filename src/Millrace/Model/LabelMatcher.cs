using Millrace.Model.Re2;

namespace Millrace.Model;

/// <summary>One condition of a <see cref="SeriesSelector"/>: a label, an operator and a value.</summary>
public sealed class LabelMatcher
{
    private readonly GoRegex? _regex;

    private LabelMatcher(string name, MatchOperator matchOperator, string value, GoRegex? regex)
    {
        Name = name;
        Operator = matchOperator;
        Value = value;
        _regex = regex;
    }

    public string Name { get; }

    public MatchOperator Operator { get; }

    /// <summary>The text compared with, or the regular expression.</summary>
    public string Value { get; }

    public static bool TryCreate(string name, MatchOperator matchOperator, string value,
        out LabelMatcher? matcher, out string error)
    {
        GoRegex? regex = null;
        error = "";
        if (matchOperator is MatchOperator.Regex or MatchOperator.NotRegex
            && !GoRegex.TryCreateAnchored(value, out regex, out error))
        {
            matcher = null;
            return false;
        }
        matcher = new LabelMatcher(name, matchOperator, value, regex);
        return true;
    }

    public bool Matches(ReadOnlySpan<Label> labels)
    {
        foreach (ref readonly var label in labels)
        {
            if (string.Equals(label.Name, Name, StringComparison.Ordinal))
            {
                return MatchesValue(label.Value);
            }
        }
        return MatchesValue("");
    }

    /// <summary>Whether a label with this value satisfies the condition; empty stands for a missing label.</summary>
    public bool MatchesValue(string value) => Operator switch
    {
        MatchOperator.Equal => string.Equals(value, Value, StringComparison.Ordinal),
        MatchOperator.NotEqual => !string.Equals(value, Value, StringComparison.Ordinal),
        MatchOperator.Regex => _regex!.IsMatch(value),
        _ => !_regex!.IsMatch(value),
    };

    public override string ToString()
    {
        var name = SeriesSelectorParser.IsPlainName(Name) ? Name : SeriesSelectorParser.Quote(Name);
        var symbol = Operator switch
        {
            MatchOperator.Equal => "=",
            MatchOperator.NotEqual => "!=",
            MatchOperator.Regex => "=~",
            _ => "!~",
        };
        return name + symbol + SeriesSelectorParser.Quote(Value);
    }
}
