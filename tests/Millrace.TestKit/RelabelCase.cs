using System.IO;
using Millrace.Model;
using Millrace.Relabeling;

namespace Millrace.TestKit;

/// <summary>
/// A case of tests/cases/relabel: rules, and series with what becomes of them. A file holds several, separated by
/// lines of dashes:
/// <code>
/// case: Joins the source labels
/// dialect: prometheus            (or vmagent; both if left out)
/// rules:
/// - source_labels: [a, b]
///   target_label: c
/// in: foo{a="1",b="2"}
/// out: foo{a="1",b="2",c="1;2"}  (or: dropped)
/// </code>
/// </summary>
public sealed record RelabelCase(
    string File,
    string Name,
    IReadOnlyList<RelabelDialect> Dialects,
    string RulesYaml,
    IReadOnlyList<(LabelSet Input, LabelSet? Output)> Series)
{
    public static IEnumerable<RelabelCase> ReadAll()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!Directory.Exists(Path.Combine(folder.FullName, "tests", "cases")))
        {
            folder = folder.Parent ?? throw new DirectoryNotFoundException("tests/cases is not above the test binary");
        }
        var files = Directory.GetFiles(Path.Combine(folder.FullName, "tests", "cases", "relabel"), "*.txt");
        Array.Sort(files, StringComparer.Ordinal);
        foreach (var file in files)
        {
            foreach (var section in System.IO.File.ReadAllText(file).Split("\n---\n"))
            {
                yield return Read(Path.GetFileName(file), section);
            }
        }
    }

    /// <summary>Labels in the text form of Prometheus; label and metric names may be quoted.</summary>
    public static LabelSet ReadSeries(string text)
    {
        if (!SeriesSelector.TryParse(text, out var selector, out var error))
        {
            throw new FormatException($"cannot read the series {text}: {error}");
        }
        var labels = new List<Label>();
        foreach (var matcher in selector.Groups[0])
        {
            labels.Add(new Label(matcher.Name, matcher.Value));
        }
        return LabelSet.From(labels);
    }

    private static RelabelCase Read(string file, string section)
    {
        var name = "";
        var dialects = new List<RelabelDialect> { RelabelDialect.Prometheus, RelabelDialect.VmAgent };
        var rules = new List<string>();
        var series = new List<(LabelSet, LabelSet?)>();
        LabelSet? input = null;
        foreach (var line in section.Split('\n'))
        {
            var (key, value) = line.Split(": ", 2) is [var k, var v] ? (k, v.Trim()) : (line, "");
            switch (key)
            {
                case "case": name = value; break;
                case "dialect":
                    dialects = [Enum.Parse<RelabelDialect>(value, ignoreCase: true)];
                    break;
                case "in": input = ReadSeries(value); break;
                case "out": series.Add((input!, value == "dropped" ? null : ReadSeries(value))); break;
                case "rules:": break;
                default:
                    if (line.StartsWith('-') || line.StartsWith(' '))
                    {
                        rules.Add(line);
                    }
                    else if (line.Length > 0 && !line.StartsWith('#'))
                    {
                        throw new FormatException($"{file}: cannot read the line \"{line}\"");
                    }
                    break;
            }
        }
        if (name.Length == 0 || series.Count == 0)
        {
            throw new FormatException($"{file}: a case needs a name and at least one series: {section}");
        }
        return new RelabelCase(file, name, dialects, string.Join('\n', rules), series);
    }
}
