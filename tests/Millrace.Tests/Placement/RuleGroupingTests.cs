using Millrace.Aggregation;
using Millrace.Model;
using Millrace.Placement;

namespace Millrace.Tests.Placement;

public sealed class RuleGroupingTests
{
    private static readonly RuleGrouping ByJob = new() { By = ["job"] };
    private static readonly RuleGrouping ByJobAndCode = new() { By = ["code", "job"] };
    private static readonly RuleGrouping WithoutPod = new() { Without = ["pod"] };
    private static readonly RuleGrouping WithoutName = new() { Without = ["__name__", "pod"] };
    private static readonly RuleGrouping Everything = new();

    [Fact]
    public void The_derived_key_is_what_all_rules_keep()
    {
        Derived(ByJobAndCode).By.ShouldBe(["code", "job"]);
        Derived(ByJob, ByJobAndCode).By.ShouldBe(["job"]);
        Derived(ByJobAndCode, new() { Without = ["job"] }).By.ShouldBe(["code"]);
        Derived(WithoutPod, new() { Without = ["instance"] }).Without.ShouldBe(["instance", "pod"]);
        Derived(new() { By = ["job"] }, new() { By = ["zone"] }).By.ShouldBe([]);
        Derived(Everything, ByJob).By.ShouldBe(["job"]);
        Derived(ByJobAndCode, new() { By = ["code", "job"], Changed = ["code"] }).By.ShouldBe(["job"]);
    }

    [Fact]
    public void The_name_is_in_the_key_unless_a_rule_drops_it()
    {
        Derived(ByJob).Without.ShouldBeNull();
        Derived(ByJob, WithoutName).By.ShouldBe(["job"]);
        Derived(ByJob, WithoutName).Without.ShouldBe(["__name__"]);
        Derived(WithoutPod, WithoutName).Without.ShouldBe(["__name__", "pod"]);
    }

    [Fact]
    public void Without_rules_or_anything_in_common_the_whole_series_is_the_key()
    {
        TaskKeyConfig[] keys =
            [Derived(), Derived(Everything), Derived(WithoutName with { Without = ["__name__", "job"] }, ByJob)];
        foreach (var key in keys)
        {
            (key.By, key.Without, key.Problem()).ShouldBe((null, null, null));
        }
    }

    [Fact]
    public void A_rule_that_no_key_makes_local_does_not_make_the_key_coarser()
    {
        var hopeless = ByJob with { ChangesAny = true };

        Derived(WithoutPod, hopeless).Without.ShouldBe(["pod"]);
        hopeless.LocalityUnder(Derived(WithoutPod, hopeless)).ShouldBe(Locality.Merged);
    }

    [Fact]
    public void The_label_of_the_task_is_not_in_the_derived_key()
    {
        var key = RuleGrouping.DeriveKey([new() { By = ["job", "stream_task_id"] }], 16, "stream_task_id");

        key.By.ShouldBe(["job"]);
        (key.Count, key.Label).ShouldBe((16, "stream_task_id"));
    }

    [Fact]
    public void A_rule_is_local_where_the_key_is_part_of_its_grouping()
    {
        ByJobAndCode.LocalityUnder(Key(by: ["job"])).ShouldBe(Locality.Local);
        ByJob.LocalityUnder(Key(by: ["code", "job"])).ShouldBe(Locality.Merged);
        ByJob.LocalityUnder(Key()).ShouldBe(Locality.Merged);
        ByJob.LocalityUnder(Key(without: ["pod"])).ShouldBe(Locality.Merged);
        WithoutPod.LocalityUnder(Key(by: ["job"])).ShouldBe(Locality.Local);
        WithoutPod.LocalityUnder(Key(by: ["pod"])).ShouldBe(Locality.Merged);
        WithoutPod.LocalityUnder(Key(without: ["pod", "instance"])).ShouldBe(Locality.Local);
        WithoutPod.LocalityUnder(Key(without: ["instance"])).ShouldBe(Locality.Merged);
        WithoutName.LocalityUnder(Key(by: ["job"])).ShouldBe(Locality.Merged);
        WithoutName.LocalityUnder(Key(by: ["job"], without: ["__name__"])).ShouldBe(Locality.Local);
        Everything.LocalityUnder(Key()).ShouldBe(Locality.Local);
        (ByJob with { Changed = ["job"] }).LocalityUnder(Key(by: ["job"])).ShouldBe(Locality.Merged);
    }

    [Fact]
    public void A_key_that_spreads_unlabeled_series_makes_only_the_labeled_local()
    {
        var key = Key(by: ["job"]) with { Missing = MissingLabels.WholeSeries };

        ByJob.LocalityUnder(key).ShouldBe(Locality.LocalWhereLabeled);
        Everything.LocalityUnder(key).ShouldBe(Locality.Local);
        ByJob.LocalityUnder(key with { By = [] }).ShouldBe(Locality.Local);
    }

    /// <summary>Whatever the rules: under a key that says local, the series of a group share a task.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Series_of_a_local_rules_group_are_in_one_task(int seed)
    {
        var random = new Random(seed);
        var local = 0;
        for (var round = 0; round < 60; round++)
        {
            RuleGrouping[] rules = [.. Enumerable.Range(0, random.Next(1, 4)).Select(_ => RandomRule(random))];
            var config = RuleGrouping.DeriveKey(rules, 64);
            var key = new TaskKey(config);
            LabelSet[] series = [.. Enumerable.Range(0, 120).Select(_ => RandomSeries(random))];
            foreach (var rule in rules)
            {
                // The derived key is a part of every grouping, unless these have nothing in common.
                var isWhole = config is { By: null, Without: null };
                (rule.LocalityUnder(config) == Locality.Local || isWhole).ShouldBeTrue();
                if (rule.LocalityUnder(config) != Locality.Local)
                {
                    continue;
                }
                local++;
                var aggregation = new AggregationRuleConfig { By = rule.By, Without = rule.Without };
                foreach (var group in series.GroupBy(one => OutputNaming.Group(aggregation, one)))
                {
                    group.Select(key.TaskOf).Distinct().Count().ShouldBe(1);
                }
            }
        }
        local.ShouldBeGreaterThan(60);
    }

    private static RuleGrouping RandomRule(Random random)
    {
        string[] labels = ["__name__", "a", "b", "c", "d"];
        string[] some = [.. labels.Where(_ => random.Next(2) == 0).Order(StringComparer.Ordinal)];
        return random.Next(2) == 0 ? new() { By = some } : new() { Without = some };
    }

    private static LabelSet RandomSeries(Random random) => LabelSet.Of(
        ("__name__", $"m{random.Next(3)}"), ("a", Value(random)), ("b", Value(random)), ("c", Value(random)),
        ("d", Value(random)));

    private static string Value(Random random) => random.Next(4) is var value and > 0 ? $"{value}" : "";

    private static TaskKeyConfig Derived(params IEnumerable<RuleGrouping> rules) => RuleGrouping.DeriveKey(rules);

    private static TaskKeyConfig Key(string[]? by = null, string[]? without = null) =>
        new() { By = by, Without = without, Missing = MissingLabels.KeepKey };
}
