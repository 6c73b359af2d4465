using System.Globalization;
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

    /// <summary>A point is sent within this time after the end of its window.</summary>
    private const long DeliveryMs = 2_000;

    /// <summary>Unaligned windows begin when the rules are loaded, which is not to the millisecond.</summary>
    private const long LoadMs = 250;

    private const int MaxUlps = 4;

    [Fact]
    public async Task A_live_vmagent_gives_what_the_cases_say()
    {
        Needs.Peer(Peers.Vmagent);
        var cases = AggregationCase.ReadAll().ToList();
        await using var vmagent = await LiveVmagent.StartAsync(
            [.. cases.Select(one => new LiveVmagent.Tenant(one.KeepInput, one.DropInput))]);
        var player = await VmagentProcess.IsNewerThan145Async()
            ? AggregationCasePlayer.NewerVmagent : AggregationCasePlayer.Vmagent145;
        var leadMs = -cases.Min(one => one.StartMs) + 500;
        var originMs = (LiveVmagent.NowMs + leadMs + PeriodMs - 1) / PeriodMs * PeriodMs;

        await PlayAsync(vmagent, cases, originMs);

        vmagent.Sink.Problems.ShouldBeEmpty();
        var differences = cases.SelectMany((one, tenant) => Differences(
            one, one.ExpectedOf(player), vmagent.Sink.ReceivedBy(tenant), originMs));
        differences.ShouldBeEmpty($"{player}");
    }

    private static async Task PlayAsync(LiveVmagent vmagent, List<AggregationCase> cases, long originMs)
    {
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
        var pushes = cases.SelectMany((one, tenant) => one.Samples.Select(sample => sample with
        {
            Series = LabelSet.From(
                [.. sample.Series.Labels, new Label(LiveVmagent.TenantLabel, Text(tenant))]),
        }));
        foreach (var push in pushes.GroupBy(sample => sample.PushedMs))
        {
            moments.Add((push.Key, false, _ => { }, 0, AggregationCaseRun.BodyOf(push, originMs)));
        }
        foreach (var together in moments.GroupBy(moment => moment.AtMs).OrderBy(group => group.Key))
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
        }
        await LiveVmagent.WaitUntilAsync(originMs + cases.Max(one => one.EndMs) + DeliveryMs);
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
