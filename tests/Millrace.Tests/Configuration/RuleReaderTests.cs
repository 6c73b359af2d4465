using Millrace.Aggregation;

namespace Millrace.Tests.Configuration;

/// <summary>The validation matrix of vmagent's rule files (L9), and the keys that are ours.</summary>
public class RuleReaderTests
{
    private const string Minimal = "outputs: [max]\n  interval: 1m";

    [Theory]
    [InlineData("interval: 1s\n  outputs: [total]")]
    [InlineData("interval: 1500ms\n  outputs: [total]")]
    [InlineData("interval: 1m30s\n  outputs: [total]")]
    [InlineData("interval: 1.5m\n  outputs: [total]")]
    [InlineData("interval: 24h\n  outputs: [total]")]
    [InlineData(Minimal + "\n  name: a")]
    [InlineData(Minimal + "\n  name: 5")]
    [InlineData(Minimal + "\n  match: up")]
    [InlineData(Minimal + "\n  match: '{}'")]
    [InlineData(Minimal + "\n  match: ['up', '{job=\"a\"}']")]
    [InlineData(Minimal + "\n  match: '{a=\"1\" or b=\"2\"}'")]
    [InlineData(Minimal + "\n  match: null")]
    [InlineData(Minimal + "\n  dedup_interval: -1s")]
    [InlineData(Minimal + "\n  dedup_interval: 0s")]
    [InlineData(Minimal + "\n  dedup_interval: 10ms")]
    [InlineData(Minimal + "\n  dedup_interval: 30s")]
    [InlineData(Minimal + "\n  dedup_interval: 1m")]
    [InlineData(Minimal + "\n  staleness_interval: 1m")]
    [InlineData(Minimal + "\n  staleness_interval: 100s")]
    [InlineData(Minimal + "\n  ignore_first_sample_interval: -5s")]
    [InlineData(Minimal + "\n  ignore_first_intervals: -3")]
    [InlineData(Minimal + "\n  no_align_flush_to_interval: yes")]
    [InlineData(Minimal + "\n  flush_on_shutdown: On")]
    [InlineData(Minimal + "\n  keep_metric_names: true")]
    [InlineData(Minimal + "\n  ignore_old_samples: true")]
    [InlineData(Minimal + "\n  enable_windows: true")]
    [InlineData(Minimal + "\n  by: [b, a, b]")]
    [InlineData(Minimal + "\n  without: [__name__]")]
    [InlineData(Minimal + "\n  by: []\n  without: [a]")]
    [InlineData(Minimal + "\n  drop_input_labels: []")]
    [InlineData(Minimal + "\n  input_relabel_configs: []")]
    [InlineData("interval: 1m\n  outputs: [total, total_prometheus, increase, increase_prometheus, rate_sum, rate_avg, "
        + "sum_samples, count_samples, count_series, min, max, avg, last]")]
    [InlineData("interval: 1m\n  outputs: [stddev, stdvar, unique_samples, histogram_bucket, sum_samples_total, "
        + "'quantiles(0, 0.50, 0.990, 1)']")]
    [InlineData("interval: 1m\n  outputs: ['quantiles(NaN)']")]
    [InlineData("interval: 1m\n  outputs: ['quantiles(0.5, 0.5)']")]
    [InlineData("interval: 1m\n  outputs: ['quantiles( 5e-1 )']\n  keep_metric_names: true")]
    public void Loads_what_vmagent_loads(string rule) => LoadedConfig.GoodRule("- " + rule);

    [Theory]
    [InlineData("interval: 1m\n  outputs: [sum_last, first, range]")]
    [InlineData("interval: 1m\n  by: [a]\n  outputs: ['distinct(b)', 'distinct(c)', 'topk(5, b)', "
        + "'topk(5,b,increase)']")]
    [InlineData("interval: 1m\n  without: [__name__, a]\n  outputs: ['distinct(__name__)', 'topk(1000, a)']")]
    [InlineData("interval: 1m\n  by: [a]\n  outputs: ['distinct(b)']\n  keep_metric_names: true")]
    public void Loads_outputs_that_are_ours(string rule) => LoadedConfig.GoodRule("- " + rule);

    public static TheoryData<string, string, string> Refused => new()
    {
        { "outputs: [max]", "[0].interval", "missing" },
        { "outputs: [max]\n  interval: ''", "[0].interval", "missing" },
        { "outputs: [max]\n  interval: 60", "[0].interval", "\"60\" is not a duration" },
        { "outputs: [max]\n  interval: 1d", "[0].interval", "\"1d\" is not a duration" },
        { "outputs: [max]\n  interval: 1foo", "[0].interval", "\"1foo\" is not a duration" },
        { "outputs: [max]\n  interval: 999ms", "[0].interval", "too short" },
        { "outputs: [max]\n  interval: 0s", "[0].interval", "too short" },
        { "outputs: [max]\n  interval: -1m", "[0].interval", "too short" },
        { "outputs: [max]\n  interval: 1000.5ms", "[0].interval", "whole milliseconds" },
        { "outputs: [max]\n  interval: [1m]", "[0].interval", "a list" },
        { Minimal + "\n  match: ''", "[0].match", "not a series selector" },
        { Minimal + "\n  match: 5", "[0].match", "in quotes" },
        { Minimal + "\n  match: 1.5", "[0].match", "in quotes" },
        { Minimal + "\n  match: yes", "[0].match", "in quotes" },
        { Minimal + "\n  match: 'up[5m]'", "[0].match", "not a series selector" },
        { Minimal + "\n  match: 'rate(up)'", "[0].match", "not a series selector" },
        { Minimal + "\n  match: 'foo or bar'", "[0].match", "not a series selector" },
        { Minimal + "\n  match: '{a=~\"(\"}'", "[0].match", "not a series selector" },
        { Minimal + "\n  match: {a: b}", "[0].match", "a mapping" },
        { Minimal + "\n  match: []", "[0].match", "empty list" },
        { Minimal + "\n  match: [up, 5]", "[0].match[1]", "in quotes" },
        { Minimal + "\n  match: [up, null]", "[0].match[1]", "nothing stands here" },
        { Minimal + "\n  match: [up, '']", "[0].match[1]", "not a series selector" },
        { Minimal + "\n  dedup_interval: x", "[0].dedup_interval", "\"x\" is not a duration" },
        { Minimal + "\n  dedup_interval: 2m", "[0].dedup_interval", "longer than the interval" },
        { Minimal + "\n  dedup_interval: 7s", "[0].dedup_interval", "does not divide" },
        { Minimal + "\n  dedup_interval: 100us", "[0].dedup_interval", "whole milliseconds" },
        { Minimal + "\n  staleness_interval: 59s", "[0].staleness_interval", "shorter than the interval" },
        { Minimal + "\n  staleness_interval: 1w", "[0].staleness_interval", "\"1w\" is not a duration" },
        { Minimal + "\n  ignore_first_sample_interval: 1d", "[0].ignore_first_sample_interval", "\"1d\"" },
        { Minimal + "\n  no_align_flush_to_interval: 1", "[0].no_align_flush_to_interval", "not a boolean" },
        { Minimal + "\n  no_align_flush_to_interval: 'true'", "[0].no_align_flush_to_interval", "without quotes" },
        { Minimal + "\n  ignore_first_intervals: '3'", "[0].ignore_first_intervals", "whole number" },
        { Minimal + "\n  ignore_first_intervals: many", "[0].ignore_first_intervals", "whole number" },
        { "interval: 1m", "[0].outputs", "missing" },
        { "interval: 1m\n  outputs: []", "[0].outputs", "missing" },
        { "interval: 1m\n  outputs: total", "[0].outputs", "write [total]" },
        { "interval: 1m\n  outputs: [totals]", "[0].outputs", "did you mean \"total\"" },
        { "interval: 1m\n  outputs: [Total]", "[0].outputs", "unknown output \"Total\"" },
        { "interval: 1m\n  outputs: [null]", "[0].outputs[0]", "must be text" },
        { "interval: 1m\n  outputs: [max, max]", "[0].outputs", "twice" },
        { "interval: 1m\n  outputs: [quantiles]", "[0].outputs", "needs its arguments" },
        { "interval: 1m\n  outputs: ['quantiles(']", "[0].outputs", "closing parenthesis" },
        { "interval: 1m\n  outputs: ['quantiles()']", "[0].outputs", "at least one" },
        { "interval: 1m\n  outputs: ['quantiles(2)']", "[0].outputs", "between 0 and 1" },
        { "interval: 1m\n  outputs: ['quantiles(0.5,)']", "[0].outputs", "between 0 and 1" },
        { "interval: 1m\n  outputs: ['quantiles(-0.1)']", "[0].outputs", "between 0 and 1" },
        { "interval: 1m\n  outputs: ['quantiles(1.1)']", "[0].outputs", "between 0 and 1" },
        { "interval: 1m\n  outputs: ['quantiles(p99)']", "[0].outputs", "has the argument \"p99\"" },
        { "interval: 1m\n  outputs: ['quantiles(0.5)', 'quantiles(0.5)']", "[0].outputs", "twice" },
        { "interval: 1m\n  outputs: ['quantiles(0.5)', 'quantiles(0.9)']", "[0].outputs", "second quantiles()" },
        { "interval: 1m\n  outputs: ['stddev()']", "[0].outputs", "did you mean \"stddev\"" },
        { "interval: 1m\n  outputs: ['median(0.5)']", "[0].outputs", "unknown output" },
        { "interval: 1m\n  by: [a]\n  outputs: [distinct]", "[0].outputs",
            "needs its arguments: write it as distinct(pod)" },
        { "interval: 1m\n  by: [a]\n  outputs: ['distinct()']", "[0].outputs", "needs one label" },
        { "interval: 1m\n  by: [a]\n  outputs: ['distinct(b, c)']", "[0].outputs", "needs one label" },
        { "interval: 1m\n  by: [a]\n  outputs: ['distinct(a)']", "[0].outputs", "which the groups of this rule keep" },
        { "interval: 1m\n  by: [a]\n  outputs: ['distinct(__name__)']", "[0].outputs", "groups of this rule keep" },
        { "interval: 1m\n  outputs: ['distinct(a)']", "[0].outputs", "list it under without" },
        { "interval: 1m\n  without: [a]\n  outputs: ['topk(5, b)']", "[0].outputs", "list it under without" },
        { "interval: 1m\n  by: [a]\n  outputs: ['topk(b)']", "[0].outputs", "needs a number and a label" },
        { "interval: 1m\n  by: [a]\n  outputs: ['topk(5)']", "[0].outputs", "needs a number and a label" },
        { "interval: 1m\n  by: [a]\n  outputs: ['topk(0, b)']", "[0].outputs", "a number from 1 to 1000" },
        { "interval: 1m\n  by: [a]\n  outputs: ['topk(1e3, b)']", "[0].outputs", "a number from 1 to 1000" },
        { "interval: 1m\n  by: [a]\n  outputs: ['topk(5, b, rate)']", "[0].outputs", "last or increase" },
        { "interval: 1m\n  by: [a]\n  outputs: ['topk(5, b)', 'topk(9, b)']", "[0].outputs", "the same series as" },
        { "interval: 1m\n  without: [__name__]\n  outputs: ['topk(5, __name__)']", "[0].outputs", "choose a label" },
        { "interval: 1m\n  outputs: [histogram_bucket]\n  keep_metric_names: true", "[0].keep_metric_names",
            "several series" },
        { "interval: 1m\n  outputs: ['quantiles(0.5, 0.9)']\n  keep_metric_names: true", "[0].keep_metric_names",
            "several series" },
        { "interval: 1m\n  by: [a]\n  outputs: ['topk(5, b)']\n  keep_metric_names: true", "[0].keep_metric_names",
            "several series" },
        { Minimal + "\n  by: a", "[0].by", "write [a]" },
        { Minimal + "\n  by: [a]\n  without: [b]", "[0].without", "exclude" },
        { "interval: 1m\n  outputs: [min, max]\n  keep_metric_names: true", "[0].keep_metric_names", "one name" },
        { Minimal + "\n  input_relabel_configs: [{action: drop, foo: 1}]", "[0].input_relabel_configs[0].foo",
            "unknown" },
        { Minimal + "\n  output_relabel_configs: [null]", "[0].output_relabel_configs[0]", "relabel rule" },
        { Minimal + "\n  enable_windows: 'yes'", "[0].enable_windows", "without quotes" },
        { Minimal + "\n  foo: 1", "[0].foo", "unknown key \"foo\"" },
        { Minimal + "\n  stalenes_interval: 1m", "[0].stalenes_interval", "did you mean \"staleness_interval\"" },
        { Minimal + "\n  interval: 2m", "", "given twice" },
        { Minimal + "\n  time: wall", "[0].time", "event, arrival" },
        { Minimal + "\n  enable_windows: true\n  time: arrival", "[0].time", "remove one" },
        { Minimal + "\n  time: arrival\n  allowed_lateness: 5s", "[0].allowed_lateness", "no meaning" },
        { Minimal + "\n  allowed_lateness: soon", "[0].allowed_lateness", "neither auto nor a duration" },
        { Minimal + "\n  first_sample: one", "[0].first_sample", "auto, count, zero" },
        { Minimal + "\n  partial_windows: keep", "[0].partial_windows", "skip, emit" },
        { Minimal + "\n  gap: interpolate", "[0].gap", "attribute, spread, cap" },
        { Minimal + "\n  resets: vm", "[0].resets", "prometheus, victoriametrics" },
        { Minimal + "\n  late: never", "[0].late", "drop, carry, correct" },
        { Minimal + "\n  corrections_for: 5m", "[0].corrections_for", "without late: correct" },
        { Minimal + "\n  corrections_for: soon", "[0].corrections_for", "not a duration" },
        { Minimal + "\n  corrections_for: 0s", "[0].corrections_for", "too short" },
        { Minimal + "\n  time: arrival\n  late: correct", "[0].late", "event time" },
        { Minimal + "\n  dedup: all", "[0].dedup", "ends, exact" },
        { Minimal + "\n  max_groups: -1", "[0].max_groups", "out of range" },
        { Minimal + "\n  time: arrival\n  gap: spread", "[0].gap", "event time" },
        { Minimal + "\n  time: arrival\n  resets: victoriametrics", "[0].resets", "event time" },
        { Minimal + "\n  time: arrival\n  late: carry", "[0].late", "event time" },
        { Minimal + "\n  time: arrival\n  dedup: exact", "[0].dedup", "event time" },
        { Minimal + "\n  time: arrival\n  max_series: 5", "[0].max_series", "event time" },
    };

    [Theory]
    [MemberData(nameof(Refused))]
    public void Refuses_with_the_rule_and_the_line(string rule, string path, string part)
    {
        var problem = LoadedConfig.LoadRules("# a comment\n- " + rule + "\n").Problems.ShouldHaveSingleItem();
        problem.File.ShouldBe("/etc/millrace/rules.yml");
        problem.Path.ShouldBe(path, problem.Message);
        // The mistake stands on the last line; a missing key is reported where the rule begins.
        problem.Line.ShouldBe(part == "missing" && !rule.Contains("''") && !rule.Contains("[]") ? 2
            : 2 + rule.Count(c => c == '\n'), problem.Message);
        problem.Message.ShouldContain(part);
    }

    [Fact]
    public void Names_the_rule_by_its_place_counted_from_zero() =>
        LoadedConfig.LoadRules("- {interval: 1m, outputs: [max]}\n- {interval: 1m, outputs: [foo]}\n- \n").Problems
            .Select(p => p.ToString().Split(": ")[..2]).ShouldBe([
                ["/etc/millrace/rules.yml:2", "[1].outputs"], ["/etc/millrace/rules.yml:3", "[2]"],
            ]);

    [Theory]
    [InlineData("")]
    [InlineData("# nothing yet\n")]
    [InlineData("[]")]
    [InlineData("null")]
    public void An_empty_file_has_no_rules(string text)
    {
        var result = LoadedConfig.LoadRules(text);
        result.Problems.ShouldBeEmpty();
        result.Config!.Aggregation.Rules.ShouldBeEmpty();
    }

    [Fact]
    public void A_file_that_is_not_a_list_is_a_problem() =>
        LoadedConfig.LoadRules("interval: 1m\n").Problems.ShouldHaveSingleItem().Message.ShouldContain("list of rules");

    [Fact]
    public void An_unknown_variable_stays_as_it_is_written()
    {
        var rules = LoadedConfig.LoadRules("- {name: '%{KNOWN} %{UNKNOWN}', interval: 1m, outputs: [max]}",
            new() { ["KNOWN"] = "known" }).Config!.Aggregation.Rules;
        rules[0].Name.ShouldBe("known %{UNKNOWN}");
    }

    [Fact]
    public void Grouping_labels_are_sorted_and_each_stands_once() =>
        LoadedConfig.GoodRule("- {interval: 1m, outputs: [max], by: [z, a, z, nonexist]}").By
            .ShouldBe(["a", "nonexist", "z"]);

    [Theory]
    [InlineData("", RuleTime.Event, false)]
    [InlineData("enable_windows: true", RuleTime.Event, true)]
    [InlineData("enable_windows: no", RuleTime.Arrival, false)]
    [InlineData("time: arrival", RuleTime.Arrival, false)]
    [InlineData("time: event", RuleTime.Event, false)]
    [InlineData("time: event, enable_windows: no", RuleTime.Event, false)]
    public void Windows_of_vmagent_mean_event_time(string keys, RuleTime time, bool windows)
    {
        var rule = LoadedConfig.GoodRule("- {interval: 1m, outputs: [max], " + keys + "}");
        rule.Time.ShouldBe(time);
        rule.EnableWindows.ShouldBe(windows);
    }

    [Theory]
    [InlineData("", null)]
    [InlineData("allowed_lateness: auto", null)]
    [InlineData("allowed_lateness: 1d", 86_400)]
    [InlineData("allowed_lateness: 0s", 0)]
    public void Lateness_is_a_duration_of_ours_or_auto(string keys, int? seconds) =>
        LoadedConfig.GoodRule("- {interval: 1h, outputs: [max], " + keys + "}").AllowedLateness
            .ShouldBe(seconds is { } s ? TimeSpan.FromSeconds(s) : null);

    [Fact]
    public void A_list_of_regular_expressions_is_joined() =>
        LoadedConfig.GoodRule("- {interval: 1m, outputs: [max], input_relabel_configs: [{action: labeldrop, regex: [a, "
            + "5, yes]}]}")
            .InputRelabelConfigs[0].Regex.ShouldBe("a|5|yes");
}
