using Millrace.TestKit.Conformance;
using Millrace.TestKit.Simulation;

namespace Millrace.SystemTests.Conformance;

/// <summary>What vmagent does around its rules, beside the gateway with the converted flags.</summary>
public sealed class PipelineScenarioTests
{
    private const string Rule = """
        - interval: 2s
          enable_windows: false
          outputs: [sum_samples]
        """;

    [Fact]
    public async Task A_rule_without_labels_to_drop_keeps_those_that_the_flag_drops()
    {
        await using var both = await SideBySide.StartAsync(
            new Dictionary<string, string> { ["rules.yml"] = Rule + "\n  drop_input_labels: []\n" }, "",
            "-streamAggr.config={rules.yml}", "-streamAggr.dropInputLabels=replica", "-remoteWrite.forcePromProto");
        await LiveVmagent.WaitUntilAsync(NextMs() + 500);
        await both.PushAsync(Sample("m", "replica", "a", 1));
        await both.WaitForAsync(1, 1);

        both.Received(SideBySide.Vmagent)[0].ShouldBe("m:2s_sum_samples{replica=\"a\"} 1");
        both.Received(SideBySide.Millrace)[0].ShouldBe("m:2s_sum_samples{replica=\"a\"} 1");
    }

    [Fact]
    public async Task Labels_that_begin_with_two_underscores_end_with_global_relabeling()
    {
        await using var both = await SideBySide.StartAsync(
            new Dictionary<string, string>
            {
                ["relabel.yml"] = "- {target_label: __hid, replacement: x}\n- {target_label: seen, replacement: x}\n",
                ["rules.yml"] = Rule + "\n  match: m\n",
            },
            "", "-remoteWrite.relabelConfig={relabel.yml}", "-streamAggr.config={rules.yml}",
            "-remoteWrite.forcePromProto");
        await LiveVmagent.WaitUntilAsync(NextMs() + 500);
        await both.PushAsync(Sample("m", "l", "a", 1), Sample("raw", "l", "a", 2));
        await both.WaitForAsync(2, 2);

        foreach (var backend in new[] { SideBySide.Vmagent, SideBySide.Millrace })
        {
            var received = both.Received(backend);
            received.ShouldContain("m:2s_sum_samples{l=\"a\",seen=\"x\"} 1");
            received.ShouldContain("raw{l=\"a\",seen=\"x\"} 2");
        }
    }

    [Fact]
    public async Task Standalone_deduplication_keeps_one_sample_of_each_interval()
    {
        await using var both = await SideBySide.StartAsync(
            new Dictionary<string, string>(), "", "-streamAggr.dedupInterval=2s", "-streamAggr.dropInputLabels=replica",
            "-remoteWrite.forcePromProto");
        var origin = NextMs();
        await LiveVmagent.WaitUntilAsync(origin + 700);
        var t = origin + 500;
        await both.PushAsync(
            Sample("d", "replica", "a", 1, t), Sample("d", "replica", "a", 5, t),
            Sample("d", "replica", "b", 9, t + 50), Sample("d", "replica", "a", 2, t + 100),
            Sample("e", "l", "a", 4, t), Sample("e", "l", "a", SideBySide.Stale, t),
            Sample("f", "l", "a", 4, t), Sample("f", "l", "a", SideBySide.Stale, t + 1),
            Sample("g", "l", "a", double.NaN, t), Sample("g", "l", "a", 1, t));
        await both.WaitForAsync(4, 4);

        string[] expected =
            ["d 2 @600", "e{l=\"a\"} 4 @500", "f{l=\"a\"} stale @501", "g{l=\"a\"} NaN @500"];
        both.Received(SideBySide.Vmagent, origin).ShouldBe(expected);
        both.Received(SideBySide.Millrace, origin).ShouldBe(expected);
    }

    [Fact]
    public async Task What_deduplication_holds_survives_a_stop_here()
    {
        await using var both = await SideBySide.StartAsync(
            new Dictionary<string, string>(), "", "-streamAggr.dedupInterval=4s", "-remoteWrite.forcePromProto");
        await LiveVmagent.WaitUntilAsync(NextMs(4_000) + 500);
        await both.PushAsync(Sample("d", "l", "a", 1));
        await Task.WhenAll(both.Agent.TerminateAsync(), both.Gateway.TerminateAsync());
        await both.Gateway.RestartAsync();
        await both.WaitForAsync(0, 1);

        both.Received(SideBySide.Millrace).ShouldBe(["d{l=\"a\"} 1"]);
        // vmagent loses it, unless one of its intervals, which begin with its process, happens to end just now.
        both.Received(SideBySide.Vmagent).ShouldBeSubsetOf(both.Received(SideBySide.Millrace));
    }

    private static PlainSample Sample(string name, string label, string value, double number, long? timeMs = null) =>
        new(PlainSeries.Of((PlainSeries.MetricName, name), (label, value)), timeMs ?? LiveVmagent.NowMs, number);

    /// <summary>The next boundary of intervals; vmagent's begin there, too.</summary>
    private static long NextMs(long intervalMs = 2_000) => (LiveVmagent.NowMs / intervalMs + 1) * intervalMs;
}
