using System.Text;

namespace Millrace.TestKit.Fleet;

/// <summary>Label sets as text in one canonical form, so that what was sent and what is stored compare.</summary>
public static class SeriesText
{
    /// <summary>Such as <c>{code="200",job="web"}</c>: sorted, without the labels named.</summary>
    public static string Of(
        IEnumerable<KeyValuePair<string, string>> labels, params ReadOnlySpan<string> without)
    {
        List<KeyValuePair<string, string>> kept = [];
        foreach (var label in labels)
        {
            if (!without.Contains(label.Key))
            {
                kept.Add(label);
            }
        }
        kept.Sort((left, right) => string.CompareOrdinal(left.Key, right.Key));
        var text = new StringBuilder("{");
        foreach (var (name, value) in kept)
        {
            text.Append(text.Length > 1 ? "," : "").Append(name).Append("=\"").Append(value).Append('"');
        }
        return text.Append('}').ToString();
    }
}
