using System.Text;

namespace Millrace.Model;

/// <summary>How a <see cref="LabelMatcher"/> compares; the values are the operators of PromQL.</summary>
public enum MatchOperator
{
    /// <summary><c>=</c></summary>
    Equal,

    /// <summary><c>!=</c></summary>
    NotEqual,

    /// <summary><c>=~</c></summary>
    Regex,

    /// <summary><c>!~</c></summary>
    NotRegex,
}

/// <summary>
/// Chooses series by their labels: <c>foo{a="1",b=~"x.*"}</c>, as Prometheus and MetricsQL write it. It is a list of
/// groups of matchers: a series is chosen when all matchers of one of the groups match. MetricsQL writes the groups
/// as <c>{a="1" or b="2"}</c>; a list of selectors in a configuration file means the same (<see cref="AnyOf"/>).
/// A label the series does not have counts as empty, so <c>{a=""}</c> matches a series without it.
/// </summary>
public sealed class SeriesSelector
{
    /// <summary><c>{}</c>: every series.</summary>
    public static readonly SeriesSelector All = new([[]]);

    private readonly LabelMatcher[][] _groups;

    internal SeriesSelector(LabelMatcher[][] groups) => _groups = groups;

    /// <summary>Any group must match; in a group, all matchers must.</summary>
    public IReadOnlyList<IReadOnlyList<LabelMatcher>> Groups => _groups;

    /// <summary>
    /// Reads one selector. On failure <paramref name="error"/> says at which position (1-based) stands what, and
    /// what to write instead; <paramref name="selector"/> is then <see cref="All"/>, which nobody should use.
    /// </summary>
    public static bool TryParse(string text, out SeriesSelector selector, out string error)
    {
        var parser = new SeriesSelectorParser(text);
        if (parser.TryParse(out var groups))
        {
            selector = new SeriesSelector(groups);
            error = "";
            return true;
        }
        selector = All;
        error = parser.Error;
        return false;
    }

    /// <summary>One selector that chooses what any of these chooses; none at all choose nothing.</summary>
    public static SeriesSelector AnyOf(IReadOnlyList<SeriesSelector> selectors)
    {
        if (selectors.Count == 1)
        {
            return selectors[0];
        }
        var groups = new List<LabelMatcher[]>();
        foreach (var selector in selectors)
        {
            groups.AddRange(selector._groups);
        }
        return new SeriesSelector([.. groups]);
    }

    public bool Matches(LabelSet labels) => Matches(labels.Labels);

    /// <summary>The labels may stand in any order; of two with one name the first counts.</summary>
    public bool Matches(ReadOnlySpan<Label> labels)
    {
        foreach (var group in _groups)
        {
            if (AllMatch(group, labels))
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>A text that <see cref="TryParse"/> reads back as an equal selector.</summary>
    public override string ToString()
    {
        var text = new StringBuilder();
        var name = SharedPlainName();
        text.Append(name);
        if (name is not null && _groups is [[_]])
        {
            return text.ToString();
        }
        text.Append('{');
        for (var g = 0; g < _groups.Length; g++)
        {
            if (g > 0)
            {
                text.Append(" or ");
            }
            for (var i = name is null ? 0 : 1; i < _groups[g].Length; i++)
            {
                if (i > (name is null ? 0 : 1))
                {
                    text.Append(',');
                }
                text.Append(_groups[g][i]);
            }
        }
        return text.Append('}').ToString();
    }

    private static bool AllMatch(LabelMatcher[] group, ReadOnlySpan<Label> labels)
    {
        foreach (var matcher in group)
        {
            if (!matcher.Matches(labels))
            {
                return false;
            }
        }
        return true;
    }

    /// <summary>
    /// The metric name that can stand before the braces: every group begins with it, and no group would be left
    /// empty beside another (<c>foo{ or a="1"}</c> cannot be written).
    /// </summary>
    private string? SharedPlainName()
    {
        string? shared = null;
        foreach (var group in _groups)
        {
            if (group is not [{ Name: LabelSet.MetricName, Operator: MatchOperator.Equal } first, ..]
                || !SeriesSelectorParser.IsPlainName(first.Value)
                || (shared is not null && shared != first.Value)
                || (group.Length == 1 && _groups.Length > 1))
            {
                return null;
            }
            shared = first.Value;
        }
        return shared;
    }
}
