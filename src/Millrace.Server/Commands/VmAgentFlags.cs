using System.Text;

namespace Millrace.Server.Commands;

/// <summary>
/// vmagent's command line: <c>-name=value</c>, <c>--name value</c>, <c>-name</c> for booleans. A flag may be repeated,
/// and one value may hold several behind commas; what stands between them goes by position to the URLs.
/// </summary>
internal sealed class VmAgentFlags
{
    private static readonly string[] Booleans =
    [
        "disableOnDiskQueue", "dropInput", "dropSamplesOnOverload", "dryRun", "enableMetadata", "enableWindows",
        "forcePromProto", "forceVMProto", "ignoreOldSamples", "keepDanglingQueues", "keepInput", "shardByURL",
        "showURL", "sortLabels", "tlsInsecureSkipVerify", "usePromCompatibleNaming",
    ];

    /// <summary>Flags whose value is one text, commas and all.</summary>
    private static readonly string[] Undivided =
        ["remoteWrite.headers", "remoteWrite.basicAuth.password", "remoteWrite.oauth2.endpointParams"];

    private readonly Dictionary<string, List<string>> _values = new(StringComparer.Ordinal);
    private readonly HashSet<string> _used = new(StringComparer.Ordinal);

    /// <summary>Names in the order of the command line.</summary>
    public List<string> Names { get; } = [];

    public bool IsUsed(string name) => _used.Contains(name);

    /// <summary>Takes flags from words; returns the words that are none: names of files.</summary>
    public List<string> Add(IReadOnlyList<string> words)
    {
        var rest = new List<string>();
        for (var i = 0; i < words.Count; i++)
        {
            var word = words[i];
            if (word.Length < 2 || word[0] != '-' || word == "--")
            {
                if (word.Length > 0 && word != "--")
                {
                    rest.Add(word);
                }
                continue;
            }
            var flag = word.TrimStart('-');
            var equals = flag.IndexOf('=', StringComparison.Ordinal);
            if (equals >= 0)
            {
                Add(flag[..equals], flag[(equals + 1)..]);
            }
            else if (IsBoolean(flag) || i + 1 >= words.Count || words[i + 1].StartsWith('-'))
            {
                Add(flag, "true");
            }
            else
            {
                Add(flag, words[++i]);
            }
        }
        return rest;
    }

    /// <summary>All values of a flag.</summary>
    public IReadOnlyList<string> All(string name)
    {
        _used.Add(name);
        return _values.TryGetValue(name, out var values) ? values : [];
    }

    /// <summary>The last value; null when the flag is not given or empty.</summary>
    public string? One(string name) => All(name) is [.., { Length: > 0 } last] ? last : null;

    public bool Flag(string name) => IsTrue(One(name));

    /// <summary>
    /// The value for the URL at the index: a single value stands for all, an empty one for the default.
    /// </summary>
    public string? At(string name, int index)
    {
        var values = All(name);
        var value = values.Count == 1 ? values[0] : index < values.Count ? values[index] : "";
        return value.Length == 0 ? null : value;
    }

    public bool FlagAt(string name, int index) => IsTrue(At(name, index));

    private static bool IsTrue(string? value) => value is "true" or "1" or "t" or "T" or "TRUE" or "True";

    /// <summary>Words as a shell splits them: quotes, backslashes, comments, continued lines.</summary>
    public static List<string> SplitWords(string text)
    {
        var words = new List<string>();
        var word = new StringBuilder();
        var isInWord = false;
        var quote = '\0';
        for (var i = 0; i < text.Length; i++)
        {
            var c = text[i];
            if (c == '\\' && quote != '\'' && i + 1 < text.Length)
            {
                i++;
                if (text[i] == '\r' && i + 1 < text.Length && text[i + 1] == '\n')
                {
                    i++;
                }
                if (text[i] != '\n')
                {
                    word.Append(text[i]);
                    isInWord = true;
                }
            }
            else if (quote != '\0')
            {
                if (c == quote)
                {
                    quote = '\0';
                }
                else
                {
                    word.Append(c);
                }
            }
            else if (c is '"' or '\'')
            {
                quote = c;
                isInWord = true;
            }
            else if (c == '#' && !isInWord)
            {
                var end = text.IndexOf('\n', i);
                i = end < 0 ? text.Length : end;
            }
            else if (!char.IsWhiteSpace(c))
            {
                word.Append(c);
                isInWord = true;
            }
            else if (isInWord)
            {
                words.Add(word.ToString());
                word.Clear();
                isInWord = false;
            }
        }
        if (isInWord)
        {
            words.Add(word.ToString());
        }
        return words;
    }

    private void Add(string name, string value)
    {
        if (!_values.TryGetValue(name, out var values))
        {
            values = _values[name] = [];
            Names.Add(name);
        }
        if (Array.IndexOf(Undivided, name) >= 0)
        {
            values.Add(value);
        }
        else
        {
            AddDivided(values, value);
        }
    }

    /// <summary>Commas divide, but not inside quotes, brackets or braces.</summary>
    private static void AddDivided(List<string> values, string value)
    {
        var depth = 0;
        var quote = '\0';
        var start = 0;
        for (var i = 0; i < value.Length; i++)
        {
            var c = value[i];
            if (quote != '\0')
            {
                quote = c == quote ? '\0' : quote;
            }
            else if (c is '"' or '\'')
            {
                quote = c;
            }
            else if (c is '{' or '[' or '(')
            {
                depth++;
            }
            else if (c is '}' or ']' or ')')
            {
                depth--;
            }
            else if (c == ',' && depth == 0)
            {
                values.Add(Unquoted(value[start..i]));
                start = i + 1;
            }
        }
        values.Add(Unquoted(value[start..]));
    }

    private static string Unquoted(string value) =>
        value.Length > 1 && value[0] is '"' or '\'' && value[^1] == value[0] ? value[1..^1] : value;

    private static bool IsBoolean(string name) =>
        Array.IndexOf(Booleans, name[(name.LastIndexOf('.') + 1)..]) >= 0;
}
