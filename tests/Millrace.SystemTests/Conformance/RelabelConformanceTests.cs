using System.Globalization;
using System.Net;
using System.Net.Http;
using System.Text.Json;
using Millrace.Model;
using Millrace.Relabeling;
using Millrace.TestKit;
using Millrace.TestKit.Conformance;
using Millrace.TestKit.Processes;

namespace Millrace.SystemTests.Conformance;

/// <summary>
/// Random relabel rules on random series, in both dialects, against who they come from: vmagent's page for debugging
/// relabeling, and the targets of a Prometheus. <c>MILLRACE_CONFORMANCE_PAIRS</c> takes more pairs of a list of rules
/// and a series, <c>MILLRACE_CONFORMANCE_SEED</c> others.
/// </summary>
public sealed class RelabelConformanceTests(ITestOutputHelper output)
{
    private const int DefaultPairs = 1_000;
    private const int DefaultSeed = 1;
    private const string Dropped = "dropped";

    private readonly LabelBuilder _builder = new();

    [Fact]
    public async Task Vmagent_relabels_as_ours_in_its_dialect()
    {
        const int SeriesPerList = 10;
        Needs.Peer(Peers.Vmagent);
        await using var vmagent = await VmagentProcess.StartAsync("", [new Uri("http://127.0.0.1:9/")]);
        using var http = new HttpClient();
        var lists = Lists(RelabelDialect.VmAgent, SeriesPerList).ToList();
        foreach (var one in RelabelCase.ReadAll().Where(c => c.Dialects.Contains(RelabelDialect.VmAgent)))
        {
            lists.Add((one.RulesYaml, [.. one.Series.Select(series => series.Input)]));
        }
        var differences = new List<string>();
        var pairs = 0;
        foreach (var (rules, allSeries) in lists)
        {
            foreach (var series in allSeries)
            {
                pairs++;
                var theirs = await DebugAsync(http, vmagent.BaseUrl, rules, series);
                var ours = Relabel(rules, RelabelDialect.VmAgent, series, AsPage);
                if (ours != theirs)
                {
                    differences.Add($"{series}: ours {ours}, vmagent {theirs}\n{rules}");
                }
            }
        }

        output.WriteLine($"{pairs} pairs, {differences.Count} differences");
        differences.Take(10).ShouldBeEmpty($"{differences.Count} of {pairs}");
    }

    [Fact]
    public async Task Prometheus_relabels_as_ours_in_its_dialect()
    {
        const int SeriesPerList = 50;
        Needs.Peer(Peers.Prometheus);
        var lists = Lists(RelabelDialect.Prometheus, SeriesPerList).Index().ToList();
        var config = string.Concat(lists.Select(list => JobOf(list.Index, list.Item.Rules, list.Item.Series)));
        await using var prometheus = await PrometheusServer.StartReceiverAsync("scrape_configs:\n" + config);
        var targets = await prometheus.ReadTargetsAsync(lists.Sum(list => list.Item.Series.Count));

        var differences = new List<string>();
        foreach (var (discovered, theirs) in targets)
        {
            var rules = lists[int.Parse(discovered["__param_list"], CultureInfo.InvariantCulture)].Item.Rules;
            var input = LabelSet.From(discovered.Select(label => new Label(label.Key, label.Value)));
            var ours = Relabel(rules, RelabelDialect.Prometheus, input, result => AsTarget(result, input));
            if (ours != theirs)
            {
                differences.Add($"{input}: ours {ours}, Prometheus {theirs}\n{rules}");
            }
        }

        output.WriteLine($"{targets.Count} pairs, {differences.Count} differences");
        differences.Take(10).ShouldBeEmpty($"{differences.Count} of {targets.Count}");
    }

    private static IEnumerable<(string Rules, List<LabelSet> Series)> Lists(RelabelDialect dialect, int seriesPerList)
    {
        var (pairs, seed) = (Setting("PAIRS", DefaultPairs), Setting("SEED", DefaultSeed));
        for (var list = 0; list < (pairs + seriesPerList - 1) / seriesPerList; list++)
        {
            var random = new RandomRelabeling(unchecked((seed * 1_000_003) + list), dialect);
            yield return (
                random.RulesYaml(), [.. Enumerable.Range(0, seriesPerList).Select(_ => random.Series())]);
        }
    }

    /// <param name="shown">What the other side shows of the result.</param>
    private string Relabel(
        string rules, RelabelDialect dialect, LabelSet series, Func<LabelSet, LabelSet> shown)
    {
        var problems = new List<ConfigProblem>();
        var relabeler = Relabeler.Compile(RelabelYaml.Read(rules), problems, dialect);
        return problems.Count > 0 ? $"refused: {problems[0].Message}"
            : relabeler.TryApply(series, _builder, out var result) && shown(result) is { Count: > 0 } labels
                ? labels.ToString() : Dropped;
    }

    private static async Task<string> DebugAsync(HttpClient http, Uri vmagent, string rules, LabelSet series)
    {
        using var form = new FormUrlEncodedContent(new Dictionary<string, string>
        {
            ["format"] = "json",
            ["relabel_configs"] = rules,
            ["metric"] = TextOf(series),
        });
        using var response = await http.PostAsync(new Uri(vmagent, "metric-relabel-debug"), form);
        using var answer = JsonDocument.Parse(await response.Content.ReadAsStringAsync());
        if (!answer.RootElement.TryGetProperty("resultingLabels", out var result))
        {
            return $"refused: {answer.RootElement}";
        }
        var text = WebUtility.HtmlDecode(result.GetString()!);
        return text == "{}" ? Dropped : SeriesOf(text).ToString();
    }

    /// <summary>Names may be any text here, so that it is read by its quotes.</summary>
    private static LabelSet SeriesOf(string text)
    {
        var labels = new List<Label>();
        var at = 0;
        for (var quote = text.IndexOf("=\"", StringComparison.Ordinal); quote >= 0;)
        {
            if (labels.Count == 0)
            {
                at = text.LastIndexOf('{', quote);
                labels.Add(new Label(LabelSet.MetricName, text[..at++]));
            }
            var end = quote + 2;
            while (text[end] != '"')
            {
                end += text[end] == '\\' ? 2 : 1;
            }
            var value = JsonSerializer.Deserialize<string>(text[(quote + 1)..(end + 1)])!;
            labels.Add(new Label(text[at..quote].Trim(), value));
            at = end + 2;
            quote = at < text.Length ? text.IndexOf("=\"", at, StringComparison.Ordinal) : -1;
        }
        return labels.Count == 0 ? LabelSet.Of((LabelSet.MetricName, text)) : LabelSet.From(labels);
    }

    /// <summary>The metric's name as a label, as it may be any text.</summary>
    private static string TextOf(LabelSet series)
    {
        var text = series.ToString();
        var name = series[LabelSet.MetricName];
        var labels = text.Length == name.Length ? "" : text[(name.Length + 1)..^1];
        return name.Length == 0 ? text
            : $"{{__name__=\"{name}\"{(labels.Length > 0 ? "," : "")}{labels}}}";
    }

    /// <summary>A list of rules as a job, its series as targets that are not scraped before the test is over.</summary>
    private static string JobOf(int number, string rules, IReadOnlyList<LabelSet> allSeries)
    {
        var targets = allSeries.Index().Select(series =>
        {
            var labels = series.Item.ToArray().Where(label => label.Name != LabelSet.MetricName)
                .Select(label => $"{label.Name}: {JsonSerializer.Serialize(label.Value)}");
            return $"  - {{targets: ['h{number}-{series.Index}:80'], labels: "
                + $"{{__param_list: '{number}', {string.Join(", ", labels)}}}}}\n";
        });
        return $"- job_name: job-{number}\n  scrape_interval: 10d\n  scrape_timeout: 1s\n  static_configs:\n"
            + $"{string.Concat(targets)}  relabel_configs:\n{rules.Replace("- ", "  - ", StringComparison.Ordinal)}";
    }

    /// <summary>The page leaves out labels with underscores.</summary>
    private static LabelSet AsPage(LabelSet relabeled) => LabelSet.From(relabeled.ToArray().Where(label =>
        label.Name == LabelSet.MetricName || !label.Name.StartsWith("__", StringComparison.Ordinal)));

    /// <summary>What becomes of a target after relabeling: only labels without underscores, and an instance.</summary>
    private static LabelSet AsTarget(LabelSet relabeled, LabelSet input)
    {
        var labels = relabeled.ToArray().Where(label => !label.Name.StartsWith("__", StringComparison.Ordinal));
        return LabelSet.From(relabeled["instance"].Length > 0 ? labels
            : labels.Append(new Label("instance", input["__address__"])));
    }

    private static int Setting(string name, int value) =>
        Environment.GetEnvironmentVariable($"MILLRACE_CONFORMANCE_{name}") is { Length: > 0 } text
            ? int.Parse(text, CultureInfo.InvariantCulture) : value;
}

internal static class LabelSetExtensions
{
    public static Label[] ToArray(this LabelSet labels) => labels.Labels.ToArray();
}
