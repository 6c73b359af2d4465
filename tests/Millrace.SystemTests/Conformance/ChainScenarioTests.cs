using Millrace.TestKit.Conformance;
using Millrace.TestKit.Simulation;

namespace Millrace.SystemTests.Conformance;

/// <summary>Rules of URLs behind the global ones: vmagent beside the gateway with the converted flags.</summary>
public sealed class ChainScenarioTests
{
    private const int FirstUrl = 0;
    private const int SecondUrl = 2;

    private const string Global = """
        - match: '{__name__=~"g|h"}'
          interval: 2s
          staleness_interval: 2s
          enable_windows: false
          outputs: [sum_samples]
        """;

    private const string OfUrl = """
        - match: '{__name__=~"g:.*"}'
          interval: 2s
          staleness_interval: 2s
          enable_windows: false
          by: [l]
          outputs: [max]
        """;

    [Fact]
    public async Task What_global_rules_write_passes_the_relabeling_of_each_URL_and_gets_the_label_last()
    {
        await using var both = await SideBySide.StartAsync(
            new Dictionary<string, string>
            {
                ["global.yml"] = Global,
                ["url1.yml"] = "- {target_label: u, replacement: url1}\n- {target_label: dc, replacement: no}\n",
                ["url2.yml"] = "- {action: drop, source_labels: [__name__], regex: 'h:.*'}\n",
            },
            urls: 2, "", "-streamAggr.config={global.yml}", "-remoteWrite.urlRelabelConfig={url1.yml},{url2.yml}",
            "-remoteWrite.label=dc=x", "-remoteWrite.forcePromProto");
        await PushAsync(both, "g", "h", "raw");
        await WaitForNotZeroAsync(both, 3, 2);

        foreach (var backend in new[] { SideBySide.Vmagent, SideBySide.Millrace })
        {
            NotZero(both, backend + FirstUrl).ShouldBe([
                "g:2s_sum_samples{dc=\"x\",l=\"a\",u=\"url1\"} 3", "h:2s_sum_samples{dc=\"x\",l=\"a\",u=\"url1\"} 3",
                "raw{dc=\"x\",l=\"a\",u=\"url1\"} 3",
            ]);
            NotZero(both, backend + SecondUrl).ShouldBe([
                "g:2s_sum_samples{dc=\"x\",l=\"a\"} 3", "raw{dc=\"x\",l=\"a\"} 3",
            ]);
        }
    }

    /// <summary>
    /// In arrival time the URL's rule counts the output in the window after, as vmagent mostly does. Of the raw samples
    /// it sees those that the global level forwards.
    /// </summary>
    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public async Task Rules_of_a_URL_aggregate_what_global_rules_wrote(bool keepsInput, bool dropsOutput)
    {
        string[] flags =
        [
            "-streamAggr.config={global.yml}", "-remoteWrite.streamAggr.config={url.yml},",
            "-remoteWrite.urlRelabelConfig={url1.yml},", "-remoteWrite.forcePromProto",
            $"-remoteWrite.streamAggr.keepInput={(keepsInput ? "true" : "false")},false",
            $"-remoteWrite.streamAggr.dropInput={(dropsOutput ? "true" : "false")},false",
        ];
        await using var both = await SideBySide.StartAsync(
            new Dictionary<string, string>
            {
                ["global.yml"] = Global,
                ["url.yml"] = OfUrl,
                ["url1.yml"] = "- {target_label: l, source_labels: [l], replacement: '${1}1'}\n",
            },
            urls: 2, "", flags);
        await PushAsync(both, "g", "h", "raw");
        var first = (keepsInput ? 1 : 0) + (dropsOutput ? 0 : 2) + 1;
        await WaitForNotZeroAsync(both, first, 3);

        string[] expected =
        [
            .. keepsInput ? ["g:2s_sum_samples{l=\"a1\"} 3"] : Array.Empty<string>(),
            "g:2s_sum_samples:2s_by_l_max{l=\"a1\"} 3",
            .. dropsOutput ? Array.Empty<string>() : ["h:2s_sum_samples{l=\"a1\"} 3", "raw{l=\"a1\"} 3"],
        ];
        foreach (var backend in new[] { SideBySide.Vmagent, SideBySide.Millrace })
        {
            NotZero(both, backend + FirstUrl).ShouldBe(expected, ignoreOrder: true);
            NotZero(both, backend + SecondUrl).ShouldBe(
                ["g:2s_sum_samples{l=\"a\"} 3", "h:2s_sum_samples{l=\"a\"} 3", "raw{l=\"a\"} 3"]);
        }
        TimeOf(both, SideBySide.Millrace, "_max").ShouldBe(TimeOf(both, SideBySide.Millrace + SecondUrl, "g:") + 2_000);
        // Of vmagent's two flushes at one moment now and then the global one is first.
        TimeOf(both, SideBySide.Vmagent, "_max").ShouldBeOneOf(
            TimeOf(both, SideBySide.Vmagent + SecondUrl, "g:"),
            TimeOf(both, SideBySide.Vmagent + SecondUrl, "g:") + 2_000);
    }

    /// <summary>In event time it is the same window; vmagent has a race there.</summary>
    [Fact]
    public async Task In_event_time_the_output_is_in_the_window_that_it_ends()
    {
        var windows = Global.Replace("false", "true", StringComparison.Ordinal);
        await using var both = await SideBySide.StartAsync(
            new Dictionary<string, string>
            {
                ["global.yml"] = windows,
                ["url.yml"] = OfUrl.Replace("false", "true", StringComparison.Ordinal),
            },
            urls: 2, "", "-streamAggr.config={global.yml}", "-remoteWrite.streamAggr.config={url.yml},",
            "-remoteWrite.forcePromProto");
        await PushAsync(both, "g");
        await WaitForNotZeroAsync(both, 1, 1);

        NotZero(both, SideBySide.Millrace).ShouldBe(["g:2s_sum_samples:2s_by_l_max{l=\"a\"} 3"]);
        TimeOf(both, SideBySide.Millrace, "_max").ShouldBe(TimeOf(both, SideBySide.Millrace + SecondUrl, "g:"));
    }

    [Fact]
    public async Task One_file_for_two_URLs_aggregates_for_each_by_itself()
    {
        await using var both = await SideBySide.StartAsync(
            new Dictionary<string, string>
            {
                ["rules.yml"] = Global,
                ["url2.yml"] = "- {action: drop, source_labels: [l], regex: b}\n",
            },
            urls: 2, "", "-remoteWrite.streamAggr.config={rules.yml}", "-remoteWrite.urlRelabelConfig=,{url2.yml}",
            "-remoteWrite.forcePromProto");
        await LiveVmagent.WaitUntilAsync(NextMs() + 500);
        await both.PushAsync(Sample("g", "a"), Sample("g", "b"));
        await WaitForNotZeroAsync(both, 2, 1);

        foreach (var backend in new[] { SideBySide.Vmagent, SideBySide.Millrace })
        {
            NotZero(both, backend + FirstUrl).ShouldBe(["g:2s_sum_samples{l=\"a\"} 3", "g:2s_sum_samples{l=\"b\"} 3"]);
            NotZero(both, backend + SecondUrl).ShouldBe(["g:2s_sum_samples{l=\"a\"} 3"]);
        }
    }

    private static async Task PushAsync(SideBySide both, params string[] names)
    {
        await LiveVmagent.WaitUntilAsync(NextMs() + 500);
        await both.PushAsync([.. names.Select(name => Sample(name, "a"))]);
    }

    /// <summary>Idle windows of sums are 0, more or less of them by vmagent's version.</summary>
    private static List<string> NotZero(SideBySide both, int backend) =>
        [.. both.Received(backend).Where(line => !line.EndsWith(" 0", StringComparison.Ordinal))];

    private static long TimeOf(SideBySide both, int backend, string part) =>
        both.Sink.ReceivedBy(backend)
            .First(sample => sample.Value != 0 && sample.Series.Name.Contains(part, StringComparison.Ordinal))
            .TimestampMs;

    private static async Task WaitForNotZeroAsync(SideBySide both, int atFirst, int atSecond)
    {
        for (var left = 150; left > 0; left--)
        {
            if (NotZero(both, SideBySide.Vmagent).Count >= atFirst
                && NotZero(both, SideBySide.Millrace).Count >= atFirst
                && NotZero(both, SideBySide.Vmagent + SecondUrl).Count >= atSecond
                && NotZero(both, SideBySide.Millrace + SecondUrl).Count >= atSecond)
            {
                return;
            }
            await Task.Delay(TimeSpan.FromMilliseconds(100));
        }
    }

    private static PlainSample Sample(string name, string value) =>
        new(PlainSeries.Of((PlainSeries.MetricName, name), ("l", value)), LiveVmagent.NowMs, 3);

    private static long NextMs() => (LiveVmagent.NowMs / 2_000 + 1) * 2_000;
}
