using System.Globalization;
using System.IO;
using System.Linq;
using Millrace.Model;

namespace Millrace.TestKit.Oracle;

/// <summary>A sample of a case; times are milliseconds from T0.</summary>
public sealed record AggregationCaseSample(long PushedMs, LabelSet Series, double Value, long TimestampMs)
{
    /// <summary>The time 0, which is not relative to T0.</summary>
    public const long Epoch = long.MinValue;

    public long TimestampFrom(long originMs) => TimestampMs == Epoch ? 0 : originMs + TimestampMs;
}

/// <summary>Something that happens to the process at a time.</summary>
public sealed record AggregationCaseEvent(long AtMs, AggregationCaseEventKind Kind);

public enum AggregationCaseEventKind
{
    /// <summary>A graceful stop.</summary>
    Stop,

    /// <summary>A graceful stop, and a start at once.</summary>
    Restart,
}

/// <summary>Who plays a case: where they differ on purpose, a line says for whom it holds.</summary>
public enum AggregationCasePlayer
{
    Ours,

    /// <summary>vmagent since the version that the reference follows.</summary>
    NewerVmagent,

    /// <summary>vmagent up to 1.145.</summary>
    Vmagent145,
}

/// <summary>An output sample that must come.</summary>
public sealed record AggregationCaseOutput(
    long EndMs, string Series, double Value, IReadOnlyList<AggregationCasePlayer> Players);

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
/// !9 restart                     (or stop: of the process)
/// </code>
/// Where players differ on purpose, <c>differs: REASON</c> says why, and lines are marked with whom they hold for:
/// <c>=4[1.145]</c> vmagent up to that version, <c>=4[newer]</c> newer ones and ours, <c>=4[vmagent]</c>,
/// <c>=4[ours]</c>; <c>only: ours</c> or <c>only: newer</c> where others do not have it. <c>keep_input: true</c> and
/// <c>drop_input: true</c> are vmagent's flags, keys of a route here.
/// T0 is a boundary of all intervals. All times are seconds, so that the same file can be played against a real
/// vmagent: start it before a boundary, push at the times, collect what it writes.
/// </summary>
public sealed record AggregationCase(
    string File,
    string Name,
    string RulesYaml,
    long StartMs,
    IReadOnlyList<AggregationCaseSample> Samples,
    IReadOnlyList<AggregationCaseEvent> Events,
    IReadOnlyList<AggregationCaseOutput> Outputs,
    long EndMs)
{
    /// <summary>T0 of cases played on a manual clock: a boundary of whole minutes and of 4 s.</summary>
    public const long Origin = 1_700_000_040_000;

    public bool KeepInput { get; init; }

    public bool DropInput { get; init; }

    /// <summary>Why players differ; empty where they do not.</summary>
    public string Differs { get; init; } = "";

    /// <summary>Whose rules these are: what only we have cannot be played by others.</summary>
    public IReadOnlyList<AggregationCasePlayer> Players { get; init; } = AllPlayers;

    public IReadOnlyDictionary<(long EndMs, string Series), double> ExpectedOf(AggregationCasePlayer player)
    {
        var expected = new Dictionary<(long, string), double>();
        foreach (var output in Outputs)
        {
            if (output.Players.Contains(player))
            {
                expected.Add((output.EndMs, output.Series), output.Value);
            }
        }
        return expected;
    }

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

    private static readonly AggregationCasePlayer[] AllPlayers = Enum.GetValues<AggregationCasePlayer>();

    private sealed class Reader(string file)
    {
        private readonly List<string> _rules = [];
        private readonly List<AggregationCaseSample> _samples = [];
        private readonly List<AggregationCaseEvent> _events = [];
        private readonly List<AggregationCaseOutput> _outputs = [];
        private string _name = "";
        private string _differs = "";
        private AggregationCasePlayer[] _players = AllPlayers;
        private bool _keepInput;
        private bool _dropInput;
        private long _startMs = -3_000;
        private long _endMs = long.MinValue;

        public AggregationCase Read(string section)
        {
            foreach (var line in section.Split('\n'))
            {
                ReadLine(line);
            }
            if (_name.Length == 0 || _rules.Count == 0 || _endMs <= _startMs)
            {
                throw new FormatException($"{file}: a case needs a name, rules and what comes out: {section}");
            }
            if (_outputs.Exists(output => output.Players.Count < AllPlayers.Length) != _differs.Length > 0)
            {
                throw new FormatException($"{file}: {_name}: marked lines and differs: belong together");
            }
            return new AggregationCase(
                file, _name, string.Join('\n', _rules) + "\n", _startMs, _samples, _events, _outputs, _endMs)
            {
                KeepInput = _keepInput,
                DropInput = _dropInput,
                Differs = _differs,
                Players = _players,
            };
        }

        private void ReadLine(string line)
        {
            switch (line.Length == 0 ? '#' : line[0])
            {
                case '#': break;
                case '-' or ' ': _rules.Add(line); break;
                case '+': ReadSample(line[1..]); break;
                case '=': ReadExpected(line[1..]); break;
                case '!':
                    var (at, kind) = (line[1..line.IndexOf(' ')], line[(line.IndexOf(' ') + 1)..]);
                    _events.Add(new AggregationCaseEvent(
                        Milliseconds(at), Enum.Parse<AggregationCaseEventKind>(kind, ignoreCase: true)));
                    break;
                default:
                    var (key, value) = line.Split(": ", 2) is [var k, var v] ? (k, v) : (line, "");
                    switch (key)
                    {
                        case "case": _name = value; break;
                        case "start": _startMs = Milliseconds(value); break;
                        case "differs": _differs = value; break;
                        case "only": _players = PlayersOf($"[{value}]"); break;
                        case "keep_input": _keepInput = bool.Parse(value); break;
                        case "drop_input": _dropInput = bool.Parse(value); break;
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
                var written = rest[(at + 2)..];
                timestampMs = written == "epoch" ? AggregationCaseSample.Epoch : Milliseconds(written);
                rest = rest[..at];
            }
            var space = rest.LastIndexOf(' ');
            var value = ReadValue(rest[(space + 1)..]);
            _samples.Add(new AggregationCaseSample(
                pushedMs, RelabelCase.ReadSeries(rest[..space]), value, timestampMs));
        }

        /// <summary>TIME SERIES VALUE, or TIME nothing; the time may be marked with players</summary>
        private void ReadExpected(string text)
        {
            var time = text[..text.IndexOf(' ')];
            var players = AllPlayers;
            if (time.IndexOf('[', StringComparison.Ordinal) is var mark && mark > 0)
            {
                players = PlayersOf(time[mark..]);
                time = time[..mark];
            }
            var endMs = Milliseconds(time);
            var rest = text[(text.IndexOf(' ') + 1)..];
            _endMs = Math.Max(_endMs, endMs);
            if (rest != "nothing")
            {
                var space = rest.LastIndexOf(' ');
                var series = RelabelCase.ReadSeries(rest[..space]).ToString();
                _outputs.Add(new AggregationCaseOutput(endMs, series, ReadValue(rest[(space + 1)..]), players));
            }
        }

        private AggregationCasePlayer[] PlayersOf(string mark) => mark switch
        {
            "[1.145]" => [AggregationCasePlayer.Vmagent145],
            "[newer]" => [AggregationCasePlayer.Ours, AggregationCasePlayer.NewerVmagent],
            "[vmagent]" => [AggregationCasePlayer.Vmagent145, AggregationCasePlayer.NewerVmagent],
            "[ours]" => [AggregationCasePlayer.Ours],
            _ => throw new FormatException($"{file}: {_name}: unknown mark {mark}"),
        };

        private static long Milliseconds(string seconds) =>
            (long)Math.Round(double.Parse(seconds, NumberStyles.Float, CultureInfo.InvariantCulture) * 1000);
    }
}
