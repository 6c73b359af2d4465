using System.Globalization;
using Millrace.Model;

namespace Millrace.Relabeling;

/// <summary>
/// vmagent's action <c>graphite</c>: a glob on the metric name, whose stars match up to the next dot, and templates
/// in which <c>$1</c> or <c>${1}</c> is what the first star matched and <c>$0</c> is the name. A star takes as little
/// as possible and never gives back: <c>a*b</c> does not match <c>axbb</c>. A reference beyond the last star is text.
/// </summary>
internal sealed class GraphiteRule
{
    private const string Star = "*";

    private readonly List<string> _parts = [];
    private readonly List<(string Label, List<Piece> Template)> _labels = [];

    public GraphiteRule(string match, IReadOnlyDictionary<string, string> labels)
    {
        var rest = match.AsSpan();
        while (!rest.IsEmpty)
        {
            var length = rest[0] == '*' ? 1 : rest.IndexOf('*') is var star and >= 0 ? star : rest.Length;
            _parts.Add(rest[..length].ToString());
            rest = rest[length..];
        }
        foreach (var (label, template) in labels)
        {
            _labels.Add((label, Parse(template)));
        }
        // The order of a YAML map is not defined; sorted, two rules written alike do the same.
        _labels.Sort(static (a, b) => string.CompareOrdinal(a.Label, b.Label));
    }

    /// <summary>A piece of a template: a reference, or text if the group is negative.</summary>
    private readonly record struct Piece(string Text, int Group);

    public void Apply(LabelBuilder labels)
    {
        var name = labels[LabelSet.MetricName];
        var stars = new List<Range> { .. };
        if (!TryMatch(name, stars))
        {
            return;
        }
        foreach (var (label, template) in _labels)
        {
            labels.Output.Clear();
            foreach (var piece in template)
            {
                labels.Output.Append(piece.Group >= 0 && piece.Group < stars.Count
                    ? name.AsSpan()[stars[piece.Group]]
                    : piece.Text);
            }
            labels.Set(label, labels.Output.Span);
        }
    }

    private bool TryMatch(string name, List<Range> stars)
    {
        var position = 0;
        for (var i = 0; i < _parts.Count; i++)
        {
            if (_parts[i] != Star)
            {
                if (!name.AsSpan(position).StartsWith(_parts[i]))
                {
                    return false;
                }
                position += _parts[i].Length;
                continue;
            }
            // The star ends where the next part begins, or at the end of the name.
            var next = i + 1 < _parts.Count ? _parts[i + 1] : null;
            var length = next is null
                ? name.Length - position
                : name.AsSpan(position).IndexOf(next, StringComparison.Ordinal);
            if (length < 0 || name.AsSpan(position, length).Contains('.'))
            {
                return false;
            }
            stars.Add(position..(position + length));
            position += length;
            if (next == Star)
            {
                // vmagent looks for the second of two stars as a character of the name.
                position++;
                i++;
            }
        }
        return position == name.Length;
    }

    private static List<Piece> Parse(string template)
    {
        var pieces = new List<Piece>();
        var position = 0;
        while (position < template.Length)
        {
            var dollar = template.IndexOf('$', position);
            if (dollar < 0)
            {
                pieces.Add(new Piece(template[position..], -1));
                break;
            }
            pieces.Add(new Piece(template[position..dollar], -1));
            var braces = dollar + 1 < template.Length && template[dollar + 1] == '{';
            var start = braces ? dollar + 2 : dollar + 1;
            var end = start;
            while (end < template.Length && (braces ? template[end] != '}' : char.IsAsciiDigit(template[end])))
            {
                end++;
            }
            var open = braces && end == template.Length;
            if (open || !int.TryParse(template.AsSpan(start, end - start), NumberStyles.None,
                CultureInfo.InvariantCulture, out var group))
            {
                group = -1;
            }
            position = braces ? Math.Min(end + 1, template.Length) : end;
            pieces.Add(new Piece(template[dollar..position], group));
        }
        return pieces;
    }
}
