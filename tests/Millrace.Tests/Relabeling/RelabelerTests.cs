using Millrace.Model;
using Millrace.Relabeling;
using Millrace.TestKit;

namespace Millrace.Tests.Relabeling;

public sealed class RelabelerTests
{
    private const RelabelDialect Prometheus = RelabelDialect.Prometheus;
    private const RelabelDialect VmAgent = RelabelDialect.VmAgent;

    [Theory]
    [InlineData("{action: foo}", "action", "unknown action \"foo\"; write one of ", null)]
    [InlineData("{action: replace}", "target_label", "needs the key", null)]
    [InlineData("{action: hashmod, source_labels: [a], target_label: b}", "modulus", "above 0", null)]
    [InlineData("{action: hashmod, modulus: 8, target_label: b}", "source_labels", "at least 1", VmAgent)]
    [InlineData("{action: lowercase, source_labels: [a]}", "target_label", "needs the key", null)]
    [InlineData("{action: uppercase, source_labels: [a], target_label: b, replacement: x}", "replacement",
        "does not use", Prometheus)]
    [InlineData("{action: keepequal, source_labels: [a], target_label: b, regex: (.*)}", "regex", "does not use", null)]
    [InlineData("{action: dropequal, source_labels: [a], target_label: b, separator: x}", "separator", "does not use",
        Prometheus)]
    [InlineData("{action: labeldrop, regex: a, source_labels: [a]}", "source_labels", "does not use", Prometheus)]
    [InlineData("{action: labelkeep, regex: a, modulus: 1}", "modulus", "does not use", Prometheus)]
    [InlineData("{action: labelmap, regex: a, replacement: ''}", "replacement", "cannot be empty", Prometheus)]
    [InlineData("{action: keep, regex: a}", "source_labels", "at least 1", VmAgent)]
    [InlineData("{action: drop, regex: a}", "source_labels", "at least 1", VmAgent)]
    [InlineData("{action: replace_all, target_label: a}", "source_labels", "at least 1", null)]
    [InlineData("{action: replace_all, source_labels: [a]}", "target_label", "needs the key", null)]
    [InlineData("{action: keep_if_equal, source_labels: [a]}", "source_labels", "at least 2", null)]
    [InlineData("{action: drop_if_equal, source_labels: [a, b], target_label: c}", "target_label", "does not use",
        null)]
    [InlineData("{action: keep_if_contains, source_labels: [a]}", "target_label", "needs the key", null)]
    [InlineData("{action: drop_if_contains, source_labels: [a], target_label: b, regex: x}", "regex", "does not use",
        null)]
    [InlineData("{action: keep_metrics}", "regex", "needs the key", null)]
    [InlineData("{action: drop_metrics, regex: a, source_labels: [a]}", "source_labels", "does not use", null)]
    [InlineData("{action: graphite, labels: {a: $1}}", "match", "needs the key", null)]
    [InlineData("{action: graphite, match: a.*}", "labels", "needs the key", null)]
    [InlineData("{action: graphite, match: a.*, labels: {a: $1}, regex: x}", "regex", "does not use", null)]
    [InlineData("{action: drop, source_labels: [a], match: a.*}", "match", "does not use", null)]
    [InlineData("{action: drop, source_labels: [a], regex: 'a('}", "regex", "invalid regular expression \"a(\"", null)]
    [InlineData("{action: drop, if: 'foo[5m]'}", "if", "cannot read the selector \"foo[5m]\": position 4", null)]
    [InlineData("{action: drop, if: [foo, '1']}", "if[1]", "is a number", null)]
    [InlineData("{action: drop, if: []}", "if", "the list is empty", null)]
    public void Refuses_the_rule(string rule, string key, string expected, RelabelDialect? onlyIn)
    {
        foreach (var dialect in new[] { Prometheus, VmAgent })
        {
            var problems = new List<ConfigProblem>();
            Relabeler.Compile(RelabelYaml.Read("- " + rule), problems, dialect);
            if (onlyIn is { } only && only != dialect)
            {
                problems.ShouldBeEmpty();
                continue;
            }
            problems.ShouldHaveSingleItem().Path.ShouldBe("[0]." + key);
            problems[0].Message.ShouldContain(expected);
        }
    }

    [Fact]
    public void Reports_every_problem_of_every_rule_at_once()
    {
        var problems = new List<ConfigProblem> { new("", 0, "before", "kept") };

        Relabeler.Compile(RelabelYaml.Read("""
            - {action: drop, regex: "(", if: "{"}
            - {target_label: a}
            - {action: hashmod}
            """), problems);

        problems.Select(p => p.Path).ShouldBe(
            ["before", "[0].regex", "[0].if", "[2].target_label", "[2].modulus"]);
        problems[1].Line.ShouldBe(1);
        problems[3].Line.ShouldBe(3);
    }

    [Fact]
    public void Actions_may_be_written_in_any_case()
    {
        var relabeler = Compile("- {action: LabelDrop, regex: a}");
        var labels = new LabelBuilder(LabelSet.Of(("a", "1"), ("b", "2")));

        relabeler.Apply(labels).ShouldBeTrue();
        labels.ToLabelSet().ShouldBe(LabelSet.Of(("b", "2")));
    }

    [Fact]
    public void Gives_back_the_same_labels_when_nothing_changed()
    {
        var input = LabelSet.Of(("__name__", "m"), ("a", "1"));

        var relabeler = Compile("- {source_labels: [a], target_label: a}");
        relabeler.TryApply(input, new LabelBuilder(), out var output).ShouldBeTrue();

        output.ShouldBeSameAs(input);
    }

    [Fact]
    public void No_rules_change_nothing()
    {
        Compile("").IsEmpty.ShouldBeTrue();
        Relabeler.None.Apply(new LabelBuilder(LabelSet.Of(("a", "1")))).ShouldBeTrue();
        Relabeler.None.Apply(new LabelBuilder(LabelSet.Empty)).ShouldBeFalse();
    }

    [Fact]
    public void The_result_is_sorted_by_bytes_and_ready_for_more_rules()
    {
        var labels = new LabelBuilder();
        labels.Append("z", "1");
        labels.Append("Ａ", "fullwidth");
        labels.Append("😀", "astral");
        labels.Append("a", "");
        labels.Append("z", "2");

        Compile("- {target_label: b, replacement: x}").Apply(labels).ShouldBeTrue();

        labels.Labels.ToArray().Select(l => l.Name).ShouldBe(["b", "z", "Ａ", "😀"]);
        labels["z"].ShouldBe("2");
        labels["nope"].ShouldBe("");
    }

    [Fact]
    public void Internal_labels_are_removed_on_request_only()
    {
        var labels = new LabelBuilder(LabelSet.Of(("__name__", "m"), ("__tmp", "1"), ("_x", "2")));

        labels.RemoveInternalLabels();

        labels.ToLabelSet().ShouldBe(LabelSet.Of(("__name__", "m"), ("_x", "2")));
    }

    [Fact]
    public void Long_values_and_many_labels_fit()
    {
        var relabeler = Compile("""
            - {source_labels: [a, a], regex: "(x+);(x+)", target_label: joined, replacement: $1$2}
            - {action: labelmap, regex: "l(.+)", replacement: "m$1"}
            - {action: labeldrop, regex: "l.*"}
            """);
        var labels = new LabelBuilder();
        labels.Append("a", new string('x', 200_000));
        for (var i = 0; i < 300; i++)
        {
            labels.Append($"l{i}", "v");
        }

        relabeler.Apply(labels).ShouldBeTrue();

        labels["joined"].Length.ShouldBe(400_000);
        labels.Count.ShouldBe(302);
        labels["m299"].ShouldBe("v");
    }

    [Fact]
    public void One_builder_serves_many_series_without_traces_of_the_one_before()
    {
        var relabeler = Compile("- {source_labels: [a, b], target_label: c}");
        var labels = new LabelBuilder();
        foreach (var value in new[] { "long long value", "x", "" })
        {
            relabeler.TryApply(LabelSet.Of(("a", value), ("k", "v")), labels, out var output).ShouldBeTrue();
            output["c"].ShouldBe(value + ";");
            output.Count.ShouldBe(value.Length == 0 ? 2 : 3);
        }
    }

    [Fact]
    public void A_series_that_no_rule_changes_costs_no_memory()
    {
        var relabeler = Compile("""
            - {action: drop, source_labels: [__name__], regex: "go_.*|process_.*"}
            - {action: keep, source_labels: [job, env], regex: "(api|web);(prod|test)"}
            - {action: drop, if: '{instance=~"10[.][0-9]+[.].*",job="db"}'}
            - {source_labels: [instance], regex: "(.+):80(\\d+)", target_label: port, replacement: "$2"}
            - {action: labeldrop, regex: "tmp_.*|pod_template_hash"}
            - {source_labels: [env], target_label: env}
            """);
        var input = LabelSet.Of(("__name__", "http_requests_total"), ("job", "api"), ("env", "prod"),
            ("instance", "10.1.2.3:9100"), ("path", "/a"));
        var labels = new LabelBuilder();
        relabeler.TryApply(input, labels, out _).ShouldBeTrue();

        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 100; i++)
        {
            relabeler.TryApply(input, labels, out _);
        }

        (GC.GetAllocatedBytesForCurrentThread() - before).ShouldBe(0);
    }

    private static Relabeler Compile(string yaml)
    {
        var problems = new List<ConfigProblem>();
        var relabeler = Relabeler.Compile(RelabelYaml.Read(yaml), problems);
        problems.ShouldBeEmpty();
        return relabeler;
    }
}
