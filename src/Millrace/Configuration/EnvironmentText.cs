using System.Text;
using Millrace.Model;

namespace Millrace.Configuration;

/// <summary>
/// Writes the values of environment variables over <c>%{NAME}</c>, before YAML is parsed, as vmagent does: so a
/// variable may stand where a plain value may. A comment line is left alone.
/// </summary>
internal static class EnvironmentText
{
    /// <summary>
    /// An unknown variable is a problem if <paramref name="problems"/> are asked for (our own file); otherwise it
    /// stays as it is written (vmagent's files).
    /// </summary>
    public static string Expand(
        string file, string text, Func<string, string?> environment, List<ConfigProblem>? problems)
    {
        if (!text.Contains("%{", StringComparison.Ordinal))
        {
            return text;
        }
        var expanded = new StringBuilder(text.Length);
        var lineNumber = 0;
        foreach (var line in text.Split('\n'))
        {
            lineNumber++;
            if (lineNumber > 1)
            {
                expanded.Append('\n');
            }
            if (line.AsSpan().TrimStart().StartsWith("#"))
            {
                expanded.Append(line);
                continue;
            }
            AppendLine(expanded, file, line, lineNumber, environment, problems);
        }
        return expanded.ToString();
    }

    private static void AppendLine(StringBuilder expanded, string file, string line, int lineNumber,
        Func<string, string?> environment, List<ConfigProblem>? problems)
    {
        var position = 0;
        while (true)
        {
            var begin = line.IndexOf("%{", position, StringComparison.Ordinal);
            var end = begin < 0 ? -1 : line.IndexOf('}', begin);
            if (end < 0)
            {
                expanded.Append(line, position, line.Length - position);
                return;
            }
            expanded.Append(line, position, begin - position);
            position = end + 1;
            var name = line[(begin + 2)..end];
            var value = IsName(name) ? environment(name) : null;
            if (value is null && problems is not null && IsName(name))
            {
                problems.Add(new ConfigProblem(file, lineNumber, "",
                    $"environment variable \"{name}\" is not set: set it, or write the value in place of %{{{name}}}"));
            }
            else if (value is not null && problems is not null && value.AsSpan().ContainsAny('\n', '\r'))
            {
                problems.Add(new ConfigProblem(file, lineNumber, "",
                    $"environment variable \"{name}\" holds more than one line: only one can stand here"));
                value = "";
            }
            expanded.Append(value ?? line[begin..position]);
        }
    }

    private static bool IsName(string name)
    {
        foreach (var c in name)
        {
            if (!char.IsAsciiLetterOrDigit(c) && c is not ('_' or '.' or '-'))
            {
                return false;
            }
        }
        return name.Length > 0;
    }
}
