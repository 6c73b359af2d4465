using Millrace.Configuration;
using Millrace.Delivery;
using Millrace.Model;
using Millrace.Pipeline;
using Millrace.Tests.Configuration;

namespace Millrace.Tests.Pipeline;

public sealed class LanePlanTests
{
    private const string Nodes =
        "nodes: [{name: a, url: 'http://a:1/w'}, {name: b, url: 'http://b:2/w'}, {name: c, url: 'http://c:3/w'}]";

    [Fact]
    public void The_series_of_a_group_meet_in_one_task_and_carry_its_number_once()
    {
        var plan = PlanOf("tasks: {count: 32, without: [pod], label: stream_task_id}");
        var lanes = new HashSet<int>();
        for (var pod = 0; pod < 50; pod++)
        {
            var series = LabelSet.Of(("__name__", "m"), ("job", "a"), ("pod", $"p{pod}"), ("zone", "z"));
            var sent = plan.LabelsOf(series);
            var lane = plan.LaneOf(sent);
            lanes.Add(lane);
            plan.LaneOf(series).ShouldBe(lane);
            sent["stream_task_id"].ShouldBe($"{lane}");
            sent.Labels.ToArray().Select(label => label.Name)
                .ShouldBe(["__name__", "job", "pod", "stream_task_id", "zone"]);
            // Behind another tier, or with a number that a sender made up, the same comes out.
            plan.LabelsOf(sent).ShouldBe(sent);
            var forged = LabelSet.From([.. series.Labels.ToArray(), new Label("stream_task_id", "9999")]);
            plan.LabelsOf(forged).ShouldBe(sent);
        }
        lanes.Count.ShouldBe(1);
    }

    [Fact]
    public void The_number_is_there_with_one_node_too_and_there_are_never_more_than_tasks()
    {
        var one = PlanOf(
            "tasks: {count: 8, label: task}", "nodes: [{name: only, url: 'http://a/'}]");
        var numbers = Enumerable.Range(0, 500)
            .Select(i => one.LabelsOf(LabelSet.Of(("__name__", "m"), ("i", $"{i}")))["task"]).Distinct().ToList();
        numbers.Count.ShouldBe(8);
        numbers.ShouldAllBe(number => int.Parse(number) < 8);
    }

    [Fact]
    public void Each_copy_has_lanes_of_its_own()
    {
        var plan = PlanOf("tasks: {count: 16}, replicas: 3");
        plan.Copies.ShouldBe(3);
        var series = LabelSet.Of(("__name__", "m"), ("a", "b"));
        var first = plan.LaneOf(series);
        first.ShouldBeInRange(0, 15);
        plan.LaneOf(series, 1).ShouldBe(first + 16);
        plan.LaneOf(series, 2).ShouldBe(first + 32);
    }

    [Fact]
    public void The_key_may_come_from_the_rules_of_the_aggregators()
    {
        const string Rules = "- {interval: 1m, without: [pod], outputs: [total]}\n"
            + "- {interval: 1m, without: [instance, pod], outputs: [total]}";
        var config = LoadedConfig.Good(
            Text("tasks: {count: 64, rule_files: [rules.yml]}", Nodes),
            new Dictionary<string, string> { ["/etc/millrace/rules.yml"] = Rules });
        var plan = new LanePlan(config.Destinations[0], config.Destinations[0].Lanes);
        var a = LabelSet.Of(("__name__", "m"), ("instance", "i"), ("job", "j"), ("pod", "p"));
        var b = LabelSet.Of(("__name__", "m"), ("instance", "k"), ("job", "j"), ("pod", "q"));
        plan.LaneOf(a).ShouldBe(plan.LaneOf(b));
        config.Destinations[0].Sharded!.Tasks.Without.ShouldBe(["instance", "pod"]);
    }

    [Theory]
    [InlineData("vmagent")]
    [InlineData("stream-metrics-route")]
    public void A_scheme_of_others_names_the_node_and_the_lanes_of_a_node_are_together(string scheme)
    {
        var plan = PlanOf($"placement: {scheme}, tasks: {{count: 100, by: [job]}}");
        var nodes = new HashSet<int>();
        for (var i = 0; i < 200; i++)
        {
            var series = LabelSet.Of(("__name__", "m"), ("i", $"{i}"), ("job", $"j{i % 40}"));
            var sent = plan.LabelsOf(series);
            var lane = plan.LaneOf(sent);
            plan.LaneOf(series).ShouldBe(lane);
            nodes.Add(lane / ShardedConfig.LanesPerNode);
            sent.Labels.Length.ShouldBe(scheme == "vmagent" ? 3 : 4);
        }
        nodes.ShouldBe([0, 1, 2], ignoreOrder: true);
    }

    [Fact]
    public void Copies_of_vmagents_scheme_are_the_urls_that_follow()
    {
        var plan = PlanOf("placement: vmagent, replicas: 2");
        for (var i = 0; i < 50; i++)
        {
            var series = LabelSet.Of(("__name__", "m"), ("i", $"{i}"));
            var (first, second) = (plan.LaneOf(series), plan.LaneOf(series, 1));
            (second / ShardedConfig.LanesPerNode).ShouldBe((first / ShardedConfig.LanesPerNode + 1) % 3);
        }
    }

    [Theory]
    [InlineData("tasks: {count: 32, by: [job], without: [__name__], label: t}, replicas: 2")]
    [InlineData("placement: vmagent, tasks: {without: [pod]}")]
    [InlineData("placement: stream-metrics-route, tasks: {count: 7, by: [job]}")]
    public void The_record_in_the_log_deals_as_the_file_does(string keys)
    {
        var config = LoadedConfig.Good(Text(keys, Nodes));
        var again = ConfigLoader.LoadCanonical(config.CanonicalText).Config.ShouldNotBeNull();
        again.CanonicalText.ShouldBe(config.CanonicalText);
        var lanes = config.Destinations[0].Lanes;
        var plan = new LanePlan(config.Destinations[0], lanes);
        var replayed = new LanePlan(again.Destinations[0], lanes);
        for (var i = 0; i < 100; i++)
        {
            var series = LabelSet.Of(("__name__", $"m{i % 3}"), ("job", $"j{i}"), ("pod", "p"));
            replayed.LabelsOf(series).ShouldBe(plan.LabelsOf(series));
            replayed.LaneOf(series).ShouldBe(plan.LaneOf(series));
        }
    }

    [Theory]
    [InlineData("tasks: {count: 4096}, replicas: 2", "lower one of the two")]
    [InlineData("replicas: 4", "4 copies need as many nodes")]
    [InlineData("tasks: {by: [a], without: [b]}", "exclude each other")]
    [InlineData("tasks: {label: __name__}", "give it a name of its own")]
    [InlineData("bounded_load: 0.5", "not a number between 1")]
    public void What_cannot_be_is_told(string keys, string part) =>
        LoadedConfig.Bad(Text(keys, Nodes))
            .ShouldContain(problem => problem.Message.Contains(part, StringComparison.Ordinal));

    [Fact]
    public void A_scheme_that_goes_by_the_order_of_urls_needs_a_list_without_secrets()
    {
        LoadedConfig.Bad(Text("placement: vmagent", "dns: {name: vmagents, port: 8429}")).ShouldContain(
            problem => problem.Message.Contains("goes by the order of a list", StringComparison.Ordinal));
        var problems = LoadedConfig.Bad(Text("placement: vmagent", "nodes: [{name: a, url: 'http://u:secret@a/'}]"));
        problems.ShouldContain(problem => problem.Message.Contains("has a user in its url", StringComparison.Ordinal));
        problems.ShouldAllBe(problem => !problem.ToString().Contains("secret", StringComparison.Ordinal));
    }

    private static LanePlan PlanOf(string keys, string nodes = Nodes)
    {
        var destination = LoadedConfig.Good(Text(keys, nodes)).Destinations[0];
        return new LanePlan(destination, destination.Lanes);
    }

    private static string Text(string keys, string nodes) =>
        $"destinations: [{{name: d, sharded: {{{nodes}, {keys}}}}}]";
}
