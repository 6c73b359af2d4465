using Millrace.Model;
using Millrace.Relabeling;
using Millrace.TestKit;

namespace Millrace.Tests.Relabeling;

public sealed class RelabelTraceTests
{
    [Fact]
    public void Shows_each_rule_with_the_series_before_and_after()
    {
        var trace = Run("""
            - {target_label: b, replacement: "2"}
            - {action: labeldrop, regex: zz}
            - {if: other, target_label: b, replacement: "3"}
            """);

        trace.Steps.Select(step => step.ToString()).ShouldBe(
        [
            "#0 {action: replace, target_label: 'b', replacement: '2'}: m{a=\"1\"} -> m{a=\"1\",b=\"2\"}",
            "#1 {action: labeldrop, regex: 'zz'}: m{a=\"1\",b=\"2\"} -> unchanged",
            "#2 {action: replace, if: ['other'], target_label: 'b', replacement: '3'}: m{a=\"1\",b=\"2\"} -> "
                + "if does not match",
        ]);
        trace.Output!.ToString().ShouldBe("m{a=\"1\",b=\"2\"}");
    }

    [Fact]
    public void Ends_with_the_rule_that_drops_the_series()
    {
        var trace = Run("""
            - {action: drop, source_labels: [a], regex: "1"}
            - {target_label: b, replacement: "2"}
            """);

        trace.Steps.ShouldHaveSingleItem().Decision.ShouldBe(RelabelDecision.Dropped);
        trace.IsDropped.ShouldBeTrue();
    }

    [Fact]
    public void Shows_that_no_label_is_left()
    {
        var trace = Run("- {action: labeldrop, regex: '.*'}");

        trace.Steps.ShouldHaveSingleItem().After.ShouldBe(LabelSet.Empty);
        trace.IsDropped.ShouldBeTrue();
    }

    private static RelabelTrace Run(string yaml) => RelabelTrace.Run(
        Relabeler.Compile(RelabelYaml.Read(yaml), []), LabelSet.Of(("__name__", "m"), ("a", "1")));
}
