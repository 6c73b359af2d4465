using System.Globalization;
using System.Net.Http;
using System.Text;
using Millrace.Model;
using Millrace.TestKit.Conformance;
using Millrace.TestKit.Oracle;
using Millrace.TestKit.Processes;
using Millrace.TestKit.Simulation;

namespace Millrace.SystemTests.Conformance;

/// <summary>
/// Plays tests/cases/aggregation against a live vmagent, all cases at once: the same series, timestamps and values as
/// the files say, and as <c>Millrace.Tests</c> finds them in process.
/// </summary>
public sealed class AggregationCaseTests
{
    /// <summary>All intervals of the cases divide this.</summary>
    private const long PeriodMs = 60_000 / 5;

    /// <summary>Cases of minutes are played in process alone.</summary>
    private const long LongestMs = 30_000;

    /// <summary>A point is sent within this time after the end of its window.</summary>
    private const long DeliveryMs = 2_000;

    /// <summary>Unaligned windows begin when the rules are loaded, which is not to the millisecond.</summary>
    private const long LoadMs = 250;

    private const long MaxLatenessMs = 300;
    private const int Attempts = 3;
    private const int MaxUlps = 4;

    [Fact]
    public async Task A_live_vmagent_gives_what_the_cases_say()
    {
        Needs.Peer(Peers.Vmagent);
        var player = await VmagentProcess.IsNewerThan145Async()
            ? AggregationCasePlayer.NewerVmagent : AggregationCasePlayer.Vmagent145;
        var cases = AggregationCase.ReadAll()
            .Where(one => one.Players.Contains(player) && one.EndMs <= LongestMs).ToList();
        await CheckAsync(async () =>
        {
            await using var vmagent = await LiveVmagent.StartAsync(
                [.. cases.Select(one => new LiveVmagent.Tenant(one.KeepInput, one.DropInput))]);
            var leadMs = -cases.Min(one => one.StartMs) + 500;
            var originMs = (LiveVmagent.NowMs + leadMs + PeriodMs - 1) / PeriodMs * PeriodMs;

            var latestMs = await PlayAsync(vmagent, cases, originMs);

            vmagent.Sink.Problems.ShouldBeEmpty();
            return (latestMs, [.. cases.SelectMany((one, tenant) => Differences(
                one, one.ExpectedOf(player), vmagent.Sink.ReceivedBy(tenant), originMs))]);
        });
    }

    /// <summary>
    /// The executable, all at once: a route and a destination for each case. It begins before the cases do, so that
    /// those are left out in which that shows.
    /// </summary>
    [Fact]
    public async Task The_executable_gives_what_the_cases_say()
    {
        await Needs.GatewayAsync();
        var cases = AggregationCase.ReadAll().Where(one => one.StartMs == -3_000 && one.Events.Count == 0
            && one.EndMs <= LongestMs && one.Players.Contains(AggregationCasePlayer.Ours)
            && one.Samples.All(sample => sample.PushedMs > 0 && sample.Series[LabelSet.MetricName].Length > 0)
            && !one.RulesYaml.Contains("ignore_first", StringComparison.Ordinal)
            && !one.RulesYaml.Contains("no_align", StringComparison.Ordinal)
            && !one.RulesYaml.Contains("enable_windows", StringComparison.Ordinal)).ToList();
        cases.Count.ShouldBeGreaterThan(20);
        await CheckAsync(async () =>
        {
            await using var sink = await WriteSink.StartAsync();
            await using var millrace = new MillraceProcess();
            await millrace.StartAsync(ConfigOf(cases, sink));
            var originMs = (LiveVmagent.NowMs + 3_000 + PeriodMs - 1) / PeriodMs * PeriodMs;
            using var http = new HttpClient();

            var latestMs = 0L;
            foreach (var (pushedMs, body) in Pushes(cases, originMs).ToList())
            {
                await LiveVmagent.WaitUntilAsync(originMs + pushedMs);
                await LiveVmagent.PushAsync(http, millrace.WriteUrl, body);
                latestMs = Math.Max(latestMs, LiveVmagent.NowMs - originMs - pushedMs);
            }
            await LiveVmagent.WaitUntilAsync(originMs + cases.Max(one => one.EndMs) + 2 * DeliveryMs);

            sink.Problems.ShouldBeEmpty();
            return (latestMs, [.. cases.SelectMany((one, number) => Differences(
                one, one.ExpectedOf(AggregationCasePlayer.Ours), sink.ReceivedBy(number), originMs))]);
        });
    }

    /// <summary>Plays until all was sent in time, as what comes late may be in another window.</summary>
    private static async Task CheckAsync(Func<Task<(long LatestMs, List<string> Differences)>> play)
    {
        for (var attempt = 1; ; attempt++)
        {
            var (latestMs, differences) = await play();
            if (latestMs <= MaxLatenessMs || differences.Count == 0)
            {
                differences.ShouldBeEmpty();
                return;
            }
            Assert.SkipWhen(attempt == Attempts, $"the machine is busy: something was sent {latestMs} ms late");
        }
    }

    private static string ConfigOf(List<AggregationCase> cases, WriteSink sink)
    {
        var (rules, routes, destinations) = (new StringBuilder(), new StringBuilder(), new StringBuilder());
        foreach (var (number, one) in cases.Index())
        {
            rules.Append(("\n" + one.RulesYaml.TrimEnd()).Replace("\n", "\n  ", StringComparison.Ordinal)
                .Replace("\n  - ", $"\n  - name: case-{number}\n    time: arrival\n    ", StringComparison.Ordinal));
            routes.Append(CultureInfo.InvariantCulture, $$"""

                - name: case-{{number}}
                  match: '{{{LiveVmagent.TenantLabel}}="{{number}}"}'
                  relabel_configs: [{action: labeldrop, regex: {{LiveVmagent.TenantLabel}}}]
                  aggregate: [case-{{number}}]
                  keep_input: {{(one.KeepInput ? "true" : "false")}}
                  drop_input: {{(one.DropInput ? "true" : "false")}}
                  to: [sink-{{number}}]
                """);
            destinations.Append(CultureInfo.InvariantCulture, $$"""

                - name: sink-{{number}}
                  remote_write: {url: "{{sink.UrlOf(number)}}", protocol: prometheus_v1}
                """);
        }
        return $$"""
            time_window: {max_age: off, max_future: off}
            aggregation:
              tasks: {count: 4}
              rules:{{rules}}
            routes:{{routes}}
            destinations:{{destinations}}
            """;
    }

    /// <summary>Requests with the samples of all cases that are pushed at one time.</summary>
    private static IEnumerable<(long PushedMs, byte[] Body)> Pushes(List<AggregationCase> cases, long originMs) =>
        cases.SelectMany((one, tenant) => one.Samples.Select(sample => sample with
        {
            Series = LabelSet.From([.. sample.Series.Labels, new Label(LiveVmagent.TenantLabel, Text(tenant))]),
        })).GroupBy(sample => sample.PushedMs).OrderBy(push => push.Key)
            .Select(push => (push.Key, AggregationCaseRun.BodyOf(push, originMs)));

    /// <summary>Returns how late something was sent at the most.</summary>
    private static async Task<long> PlayAsync(LiveVmagent vmagent, List<AggregationCase> cases, long originMs)
    {
        var latestMs = 0L;
        var moments = new List<(long AtMs, bool IsReload, Action<int> Change, int Tenant, byte[] Body)>();
        foreach (var (tenant, one) in cases.Index())
        {
            moments.Add((one.StartMs, true, n => vmagent.Write(n, one.RulesYaml), tenant, []));
            foreach (var happening in one.Events)
            {
                // To a tenant, the end of its rules is the end of the process, and other rules are a new start.
                var rules = happening.Kind == AggregationCaseEventKind.Stop ? ""
                    : ("\n" + one.RulesYaml).Replace("\n- ", "\n- name: again\n  ", StringComparison.Ordinal);
                moments.Add((happening.AtMs, true, n => vmagent.Write(n, rules), tenant, []));
            }
        }
        foreach (var (pushedMs, body) in Pushes(cases, originMs))
        {
            moments.Add((pushedMs, false, _ => { }, 0, body));
        }
        foreach (var together in moments.GroupBy(moment => moment.AtMs).OrderBy(group => group.Key).ToList())
        {
            await LiveVmagent.WaitUntilAsync(originMs + together.Key);
            foreach (var moment in together.Where(moment => moment.IsReload))
            {
                moment.Change(moment.Tenant);
            }
            if (together.Any(moment => moment.IsReload))
            {
                await vmagent.ReloadAsync();
            }
            foreach (var moment in together.Where(moment => !moment.IsReload))
            {
                await vmagent.PushAsync(moment.Body);
            }
            latestMs = Math.Max(latestMs, LiveVmagent.NowMs - originMs - together.Key);
        }
        await LiveVmagent.WaitUntilAsync(originMs + cases.Max(one => one.EndMs) + DeliveryMs);
        return latestMs;
    }

    private static IEnumerable<string> Differences(
        AggregationCase one, IReadOnlyDictionary<(long EndMs, string Series), double> expected,
        IReadOnlyList<PlainSample> received, long originMs)
    {
        var missing = new Dictionary<(long EndMs, string Series), double>(expected);
        var shiftMs = 0L;
        if (one.RulesYaml.Contains("no_align_flush_to_interval: true", StringComparison.Ordinal)
            && missing.Count > 0 && received.Count > 0)
        {
            shiftMs = received.Min(sample => sample.TimestampMs) - originMs - missing.Keys.Min(key => key.EndMs);
            if (shiftMs is < 0 or > LoadMs)
            {
                yield return $"{one.File}, {one.Name}: windows are {shiftMs} ms off";
            }
        }
        foreach (var sample in received)
        {
            var key = (EndMs: sample.TimestampMs - originMs - shiftMs, PlainSeriesText.TextOf(sample.Series));
            var line = $"{one.File}, {one.Name}: ={key.EndMs / 1000.0} {key.Item2} {Text(sample.Value)}";
            if (missing.Remove(key, out var value))
            {
                if (!AreSame(value, sample.Value))
                {
                    yield return $"{line} instead of {Text(value)}";
                }
            }
            else if (key.EndMs <= one.EndMs)
            {
                yield return $"{line} was not to come";
            }
        }
        foreach (var ((endMs, series), value) in missing)
        {
            yield return $"{one.File}, {one.Name}: ={endMs / 1000.0} {series} {Text(value)} did not come";
        }
    }

    private static bool AreSame(double a, double b) =>
        a.Equals(b) || Math.Abs(a - b) <= MaxUlps * Math.Max(Math.BitIncrement(Math.Abs(a)) - Math.Abs(a), 0);

    private static string Text(double value) => value.ToString("R", CultureInfo.InvariantCulture);

    private static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);
}
