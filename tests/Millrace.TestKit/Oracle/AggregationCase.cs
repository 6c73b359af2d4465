using System.Globalization;
using System.IO;
using System.Linq;
using Millrace.Model;

namespace Millrace.TestKit.Oracle;

/// <summary>A sample of a case; times are milliseconds from T0.</summary>
public sealed record AggregationCaseSample(long PushedMs, LabelSet Series, double Value, long TimestampMs);

/// <summary>
/// A case of tests/cases/aggregation: rules as in a file of vmagent, a timeline, and everything that must come out. A
/// file holds several, separated by lines of dashes:
/// <code>
/// case: C9 goes on after a pause
/// start: -3                      (when the rules come into force; -3 if left out)
/// rules:
/// - interval: 4s
///   outputs: [total]
/// +1.5 foo{a="1"} 10             (pushed at T0 + 1.5 s, with that timestamp)
/// +2 foo{a="1"} 12 @-0.5         (with the timestamp T0 - 0.5 s; @epoch: with the timestamp 0)
/// =4 foo:4s_total{a="1"} 2       (an output sample with the timestamp T0 + 4 s)
/// =8 nothing                     (none; and the case goes on until then)
/// </code>
/// T0 is a boundary of all intervals. All times are seconds, so that the same file can be played against a real
/// vmagent: start it before a boundary, push at the times, collect what it writes.
/// </summary>
public sealed record AggregationCase(
    string File,
    string Name,
    string RulesYaml,
    long StartMs,
    IReadOnlyList<AggregationCaseSample> Samples,
    IReadOnlyDictionary<(long EndMs, string Series), double> Expected,
    long EndMs)
{
    /// <summary>T0 of cases played on a manual clock: a boundary of whole minutes and of 4 s.</summary>
    public const long Origin = 1_700_000_040_000;

    public static IEnumerable<AggregationCase> ReadAll()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!Directory.Exists(Path.Combine(folder.FullName, "tests", "cases")))
        {
            folder = folder.Parent ?? throw new DirectoryNotFoundException("tests/cases is not above the test binary");
        }
        var files = Directory.GetFiles(Path.Combine(folder.FullName, "tests", "cases", "aggregation"), "*.txt");
        foreach (var file in files.Order(StringComparer.Ordinal))
        {
            foreach (var section in System.IO.File.ReadAllText(file).Split("\n---\n"))
            {
                yield return new Reader(Path.GetFileName(file)).Read(section);
            }
        }
    }

    /// <summary>A value as Prometheus writes it.</summary>
    public static double ReadValue(string text) => text switch
    {
        "+Inf" => double.PositiveInfinity,
        "-Inf" => double.NegativeInfinity,
        _ => double.Parse(text, NumberStyles.Float, CultureInfo.InvariantCulture),
    };

    private sealed class Reader(string file)
    {
        private readonly List<string> _rules = [];
        private readonly List<AggregationCaseSample> _samples = [];
        private readonly Dictionary<(long, string), double> _expected = [];
        private string _name = "";
        private long _startMs = -3_000;
        private long _endMs = long.MinValue;

        public AggregationCase Read(string section)
        {
            foreach (var line in section.Split('\n'))
            {
                ReadLine(line);
            }
            return _name.Length > 0 && _rules.Count > 0 && _endMs > _startMs
                ? new AggregationCase(
                    file, _name, string.Join('\n', _rules) + "\n", _startMs, _samples, _expected, _endMs)
                : throw new FormatException($"{file}: a case needs a name, rules and what comes out: {section}");
        }

        private void ReadLine(string line)
        {
            switch (line.Length == 0 ? '#' : line[0])
            {
                case '#': break;
                case '-' or ' ': _rules.Add(line); break;
                case '+': ReadSample(line[1..]); break;
                case '=': ReadExpected(line[1..]); break;
                default:
                    var (key, value) = line.Split(": ", 2) is [var k, var v] ? (k, v) : (line, "");
                    switch (key)
                    {
                        case "case": _name = value; break;
                        case "start": _startMs = Milliseconds(value); break;
                        case "rules:": break;
                        default: throw new FormatException($"{file}: cannot read the line \"{line}\"");
                    }
                    break;
            }
        }

        /// <summary>TIME SERIES VALUE [@TIME]</summary>
        private void ReadSample(string text)
        {
            var pushedMs = Milliseconds(text[..text.IndexOf(' ')]);
            var rest = text[(text.IndexOf(' ') + 1)..];
            var timestampMs = pushedMs;
            if (rest.LastIndexOf(" @", StringComparison.Ordinal) is var at && at > 0)
            {
                timestampMs = rest[(at + 2)..] == "epoch" ? -Origin : Milliseconds(rest[(at + 2)..]);
                rest = rest[..at];
            }
            var space = rest.LastIndexOf(' ');
            var value = ReadValue(rest[(space + 1)..]);
            _samples.Add(new AggregationCaseSample(
                pushedMs, RelabelCase.ReadSeries(rest[..space]), value, timestampMs));
        }

        /// <summary>TIME SERIES VALUE, or TIME nothing</summary>
        private void ReadExpected(string text)
        {
            var endMs = Milliseconds(text[..text.IndexOf(' ')]);
            var rest = text[(text.IndexOf(' ') + 1)..];
            _endMs = Math.Max(_endMs, endMs);
            if (rest != "nothing")
            {
                var space = rest.LastIndexOf(' ');
                var series = RelabelCase.ReadSeries(rest[..space]).ToString();
                _expected.Add((endMs, series), ReadValue(rest[(space + 1)..]));
            }
        }

        private static long Milliseconds(string seconds) =>
            (long)Math.Round(double.Parse(seconds, NumberStyles.Float, CultureInfo.InvariantCulture) * 1000);
    }
}
