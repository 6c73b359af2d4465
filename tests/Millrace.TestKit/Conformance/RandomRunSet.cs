using System.Globalization;
using System.Linq;
using System.Text.RegularExpressions;
using Millrace.Aggregation;
using Millrace.TestKit.Oracle;
using Millrace.TestKit.Simulation;

namespace Millrace.TestKit.Conformance;

/// <summary>What came out of a set of runs: values by absolute time and series.</summary>
internal sealed class RandomRunOutput
{
    private static readonly Regex RunOfSeries = new("^m([0-9]+)|run=\"([0-9]+)\"", RegexOptions.CultureInvariant);

    private readonly Dictionary<int, Dictionary<(long TimestampMs, string Series), double>> _runs = [];

    public RandomRunOutput(IEnumerable<PlainSample> samples)
    {
        foreach (var sample in samples)
        {
            var series = PlainSeriesText.TextOf(sample.Series);
            var match = RunOfSeries.Match(series);
            var run = int.Parse(
                match.Groups[1].Success ? match.Groups[1].ValueSpan : match.Groups[2].ValueSpan,
                CultureInfo.InvariantCulture);
            if (!_runs.TryGetValue(run, out var values))
            {
                _runs[run] = values = [];
            }
            if (!values.TryAdd((sample.TimestampMs, series), sample.Value))
            {
                Repeats.Add($"{series} @{sample.TimestampMs}");
            }
        }
    }

    /// <summary>Points that came twice.</summary>
    public List<string> Repeats { get; } = [];

    public IReadOnlyDictionary<(long TimestampMs, string Series), double> Of(int run) =>
        _runs.TryGetValue(run, out var values) ? values : new Dictionary<(long, string), double>();
}

/// <summary>Runs that are played at once: on one live vmagent, or in process.</summary>
internal sealed class RandomRunSet(IReadOnlyList<RandomRun> runs)
{
    public IReadOnlyList<RandomRun> Runs { get; } = runs;

    public string RulesYaml { get; } = string.Concat(runs.Select(run => run.RuleYaml));

    /// <summary>Requests by when they are sent, from T0.</summary>
    public IEnumerable<(long PushedMs, byte[] Body)> Requests(long originMs) =>
        Runs.SelectMany(run => run.Samples).GroupBy(sample => sample.PushedMs).OrderBy(push => push.Key)
            .Select(push => (push.Key, PlainRemoteWrite.Encode([.. push.Select(one => Shifted(one, originMs))])));

    /// <summary>In process, with T0 at a chosen time.</summary>
    public RandomRunOutput PlayInProcess(long originMs)
    {
        using var gateway = new GatewayPlayer(RulesYaml, originMs + RandomRun.StartMs, dropInput: true);
        foreach (var (pushedMs, body) in Requests(originMs))
        {
            gateway.RunUntil(originMs + pushedMs);
            gateway.Push(body);
        }
        gateway.RunUntil(originMs + RandomRun.Seconds * 1000L + 1_500);
        return new RandomRunOutput(gateway.Delivered);
    }

    /// <summary>Where a run's output is not what the model says; empty where it is.</summary>
    /// <param name="startMs">When the rule began, absolute.</param>
    public static IReadOnlyList<string> Differences(
        RandomRun run, RandomRunOutput output, long originMs, long startMs, AggregationCasePlayer player)
    {
        var endMs = originMs + RandomRun.Seconds * 1000L;
        var expected = Model(run, originMs, startMs, player).Where(point => point.Key.TimestampMs <= endMs)
            .ToDictionary();
        var differences = new List<string>();
        foreach (var (key, value) in output.Of(run.Number))
        {
            if (key.TimestampMs > endMs)
            {
                continue;
            }
            var line = $"={(key.TimestampMs - originMs) / 1000.0} {key.Series} {value:R}";
            if (!expected.Remove(key, out var model))
            {
                differences.Add($"{player}: {line} was not to come");
            }
            else if (!model.IsSame(value))
            {
                differences.Add($"{player}: {line} instead of {model.Value:R}");
            }
        }
        foreach (var (key, value) in expected)
        {
            differences.Add($"{player}: ={(key.TimestampMs - originMs) / 1000.0} {key.Series} {value.Value:R} "
                + "did not come");
        }
        return differences;
    }

    public static Dictionary<(long TimestampMs, string Series), ModelValue> Model(
        RandomRun run, long originMs, long startMs, AggregationCasePlayer player)
    {
        var model = new VmagentModel(RuleOf(run), startMs, player);
        foreach (var sample in run.Samples)
        {
            model.Add(Shifted(sample, originMs), originMs + sample.PushedMs);
        }
        model.FlushUntil(originMs + RandomRun.Seconds * 1000L);
        return model.Written;
    }

    public static AggregationRuleConfig RuleOf(RandomRun run)
    {
        var loaded = GatewayPlayer.Load(run.RuleYaml);
        return loaded.Config?.Aggregation.Rules[0]
            ?? throw new FormatException($"{string.Join('\n', loaded.Problems)}\n{run.Describe()}");
    }

    private static PlainSample Shifted(RandomRunSample one, long originMs) =>
        one.Sample with { TimestampMs = originMs + one.Sample.TimestampMs };
}
