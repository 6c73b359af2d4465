using System.Globalization;
using Millrace.Model;

namespace Millrace.Configuration;

/// <summary>What a reading of one file shares: where problems go, and which keys were asked for.</summary>
internal sealed class ConfigContext(string file, List<ConfigProblem> problems, ISet<string>? knownKeys = null)
{
    private readonly HashSet<ConfigProblem> _reported = [];

    public string File { get; } = file;

    public List<ConfigProblem> Problems { get; } = problems;

    /// <summary>Every key the reader knows, as <c>routes[].match</c>; collected for the documentation's test.</summary>
    public ISet<string>? KnownKeys { get; } = knownKeys;

    /// <summary>A value may be looked at twice; what is wrong with it is told once.</summary>
    public void Report(int line, string path, string message)
    {
        var problem = new ConfigProblem(File, line, path, message);
        if (_reported.Add(problem))
        {
            Problems.Add(problem);
        }
    }
}

/// <summary>
/// Reads one mapping key by key. A value that is wrong is reported and its default returned, so that reading goes on
/// and finds the next problem. What was never asked for is an unknown key: <see cref="Finish"/> reports it.
/// </summary>
internal sealed class ConfigReader
{
    private const string NumberHint = "write a whole number";

    private readonly ConfigNode _node;
    private readonly List<string> _asked = [];

    public ConfigReader(ConfigContext context, ConfigNode? node, string path)
    {
        Context = context;
        Path = path;
        _node = node ?? ConfigNode.NullAt(1);
        if (_node.Kind is ConfigNodeKind.Scalar or ConfigNodeKind.Sequence)
        {
            context.Report(_node.Line, path, $"must be a mapping of keys to values, but {_node.Describe()} stands "
                + "here");
        }
    }

    public ConfigContext Context { get; }

    public string Path { get; }

    public int Line => _node.Line;

    public string PathOf(string key) => Path.Length == 0 ? key : $"{Path}.{key}";

    public void Report(string key, string message)
    {
        var line = _node.Line;
        foreach (var entry in _node.Entries)
        {
            line = entry.Key == key ? entry.Line : line;
        }
        Context.Report(line, PathOf(key), message);
    }

    /// <summary>The value under the key; null when it is not written or nothing stands behind it.</summary>
    public ConfigNode? Find(string key)
    {
        _asked.Add(key);
        Context.KnownKeys?.Add(WithoutIndices(PathOf(key)));
        var value = _node.Find(key);
        return value is null || value.Kind == ConfigNodeKind.Null ? null : value;
    }

    public bool Has(string key) => _node.Find(key) is { Kind: not ConfigNodeKind.Null };

    /// <summary>A key that this version cannot honour yet: better refused than ignored.</summary>
    public void Unavailable(string key, string instead)
    {
        _asked.Add(key);
        if (Has(key))
        {
            Report(key, $"\"{key}\" is not available in this version: {instead}");
        }
    }

    public string? Text(string key)
    {
        var value = Find(key);
        if (value is null)
        {
            return null;
        }
        if (value.Kind != ConfigNodeKind.Scalar)
        {
            Report(key, $"must be text, but {value.Describe()} stands here");
            return null;
        }
        return value.Text;
    }

    public bool Flag(string key, bool fallback)
    {
        var value = Find(key);
        if (value is null)
        {
            return fallback;
        }
        if (AsBoolean(value) is { } flag)
        {
            return flag;
        }
        Report(key, $"{value.Describe()} is not a boolean: write true or false, without quotes");
        return fallback;
    }

    /// <summary>YAML 1.1, as vmagent reads it: a plain yes, no, on or off is a boolean, a quoted one is text.</summary>
    public static bool? AsBoolean(ConfigNode value) => value.Kind != ConfigNodeKind.Scalar || !value.IsPlain
        ? null
        : value.Text switch
        {
            "true" or "True" or "TRUE" or "yes" or "Yes" or "YES" or "y" or "Y" or "on" or "On" or "ON" => true,
            "false" or "False" or "FALSE" or "no" or "No" or "NO" or "n" or "N" or "off" or "Off" or "OFF" => false,
            _ => null,
        };

    public long Number(string key, long fallback, long least, long most)
    {
        var value = Find(key);
        if (value is null)
        {
            return fallback;
        }
        if (value.Kind != ConfigNodeKind.Scalar || !value.IsPlain
            || !long.TryParse(value.Text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number))
        {
            Report(key, $"{value.Describe()} is not a whole number: {NumberHint} between {least} and {most}");
            return fallback;
        }
        if (number < least || number > most)
        {
            Report(key, $"\"{number}\" is out of range: {NumberHint} between {least} and {most}");
            return fallback;
        }
        return number;
    }

    public long Size(string key, long fallback, long least, long most)
    {
        var text = Text(key);
        if (text is null)
        {
            return fallback;
        }
        if (!ConfigQuantity.TryParseSize(text, out var bytes))
        {
            Report(key, $"\"{text}\" is not a size: write bytes as 32MiB, 64KB or a plain number");
            return fallback;
        }
        if (bytes < least || bytes > most)
        {
            Report(key, $"\"{text}\" is out of range: write a size between {ConfigQuantity.FormatSize(least)} and "
                + ConfigQuantity.FormatSize(most));
            return fallback;
        }
        return bytes;
    }

    public TimeSpan Duration(string key, TimeSpan fallback, TimeSpan least) =>
        OptionalDuration(key, least) ?? fallback;

    public TimeSpan? OptionalDuration(string key, TimeSpan least)
    {
        var text = Text(key);
        if (text is null)
        {
            return null;
        }
        if (!ConfigQuantity.TryParsePrometheusDuration(text, out var duration))
        {
            Report(key, $"\"{text}\" is not a duration: write it as 500ms, 30s, 1m30s, 1d or 0s");
            return null;
        }
        if (duration < least)
        {
            Report(key, $"\"{text}\" is too short: the least is {ConfigQuantity.FormatDuration(least)}");
            return null;
        }
        return duration;
    }

    /// <summary>One of a few words; the default when none is written.</summary>
    public T Choice<T>(string key, T fallback, params ReadOnlySpan<(string Word, T Value)> choices)
    {
        var text = Text(key);
        if (text is null)
        {
            return fallback;
        }
        var words = new List<string>(choices.Length);
        foreach (var (word, value) in choices)
        {
            if (word == text)
            {
                return value;
            }
            words.Add(word);
        }
        Report(key, $"\"{text}\" is not one of {string.Join(", ", words)}{DidYouMean(text, words)}");
        return fallback;
    }

    /// <summary>A list of texts; null when not written, so that an explicit empty list can be told apart.</summary>
    public IReadOnlyList<string>? Texts(string key)
    {
        var value = Find(key);
        if (value is null)
        {
            return null;
        }
        if (value.Kind != ConfigNodeKind.Sequence)
        {
            Report(key, $"must be a list, but {value.Describe()} stands here: write [{Sample(value)}]");
            return null;
        }
        var texts = new List<string>(value.Elements.Count);
        for (var i = 0; i < value.Elements.Count; i++)
        {
            var element = value.Elements[i];
            if (element.Kind == ConfigNodeKind.Scalar)
            {
                texts.Add(element.Text);
                continue;
            }
            Context.Report(element.Line, $"{PathOf(key)}[{i}]", $"must be text, but {element.Describe()} stands here");
        }
        return texts;
    }

    public ConfigReader Mapping(string key) => new(Context, Find(key), PathOf(key));

    /// <summary>The elements of a list; none when it is not written or not a list.</summary>
    public IReadOnlyList<ConfigNode> Sequence(string key)
    {
        var value = Find(key);
        if (value is null)
        {
            return [];
        }
        if (value.Kind != ConfigNodeKind.Sequence)
        {
            Report(key, $"must be a list, but {value.Describe()} stands here");
            return [];
        }
        return value.Elements;
    }

    /// <summary>Reports every key that nobody asked for.</summary>
    public void Finish()
    {
        foreach (var entry in _node.Entries)
        {
            if (!_asked.Contains(entry.Key))
            {
                Context.Report(entry.Line, PathOf(entry.Key),
                    $"unknown key \"{entry.Key}\"{DidYouMean(entry.Key, _asked)}");
            }
        }
    }

    public static string DidYouMean(string written, IEnumerable<string> known)
    {
        string? best = null;
        var bestDistance = Math.Max(2, written.Length / 3) + 1;
        foreach (var candidate in known)
        {
            var isPrefix = candidate.Length > 2 && written.StartsWith(candidate, StringComparison.Ordinal);
            var distance = isPrefix ? 1 : Distance(Plain(written), Plain(candidate));
            if (distance < bestDistance && distance < candidate.Length)
            {
                best = candidate;
                bestDistance = distance;
            }
        }
        return best is null ? "" : $": did you mean \"{best}\"?";
    }

    private static string Sample(ConfigNode value) => value.Kind == ConfigNodeKind.Scalar ? value.Text : "...";

    /// <summary><c>keepInput</c> and <c>keep_input</c> are near to each other.</summary>
    private static string Plain(string key) =>
        key.Replace("_", "", StringComparison.Ordinal).Replace("-", "", StringComparison.Ordinal).ToLowerInvariant();

    /// <summary>
    /// Levenshtein's: insertions, deletions and replacements. Long words are cut, they are no typing errors.
    /// </summary>
    private static int Distance(string a, string b)
    {
        a = a.Length > 64 ? a[..64] : a;
        b = b.Length > 64 ? b[..64] : b;
        var row = new int[b.Length + 1];
        for (var j = 0; j < row.Length; j++)
        {
            row[j] = j;
        }
        for (var i = 1; i <= a.Length; i++)
        {
            var diagonal = row[0];
            row[0] = i;
            for (var j = 1; j <= b.Length; j++)
            {
                var replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.Min(replaced, Math.Min(row[j], row[j - 1]) + 1);
            }
        }
        return row[^1];
    }

    private static string WithoutIndices(string path)
    {
        var text = new System.Text.StringBuilder(path.Length);
        foreach (var c in path)
        {
            if (!char.IsAsciiDigit(c) || text.Length == 0 || text[^1] != '[')
            {
                text.Append(c);
            }
        }
        return text.ToString();
    }
}
