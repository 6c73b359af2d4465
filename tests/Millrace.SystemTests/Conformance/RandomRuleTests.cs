using System.Globalization;
using Millrace.TestKit.Conformance;
using Millrace.TestKit.Oracle;
using Millrace.TestKit.Processes;

namespace Millrace.SystemTests.Conformance;

/// <summary>
/// Random rules and streams, hundreds at once on one live vmagent and in process. Both are held against the model of
/// vmagent, which knows the differences between versions and ours, each as a condition: so every difference has its
/// reason. <c>MILLRACE_CONFORMANCE_RUNS</c> plays more runs, <c>MILLRACE_CONFORMANCE_SEED</c> others.
/// </summary>
public sealed class RandomRuleTests(ITestOutputHelper output)
{
    private const int DefaultRuns = 100;
    private const int DefaultSeed = 20_261;
    private const int RunsAtOnce = 300;
    private const int Attempts = 5;

    /// <summary>Later than this after its time a push might be in another window than in process.</summary>
    private const long MaxLatenessMs = 200;

    private const long ReloadMs = 500;

    private long _points;
    private int _same;

    [Fact]
    public async Task A_live_vmagent_and_ours_write_the_same_for_random_rules_and_streams()
    {
        Needs.Peer(Peers.Vmagent);
        var (count, seed) = (Setting("RUNS", DefaultRuns), Setting("SEED", DefaultSeed));
        var player = await VmagentProcess.IsNewerThan145Async()
            ? AggregationCasePlayer.NewerVmagent : AggregationCasePlayer.Vmagent145;
        await using var vmagent = await LiveVmagent.StartAsync([new LiveVmagent.Tenant(DropInput: true)]);
        var problems = new List<string>();
        for (var first = 0; first < count; first += RunsAtOnce)
        {
            var numbers = Enumerable.Range(first, Math.Min(RunsAtOnce, count - first));
            var set = new RandomRunSet([.. numbers.Select(number => RandomRun.Make(seed, number))]);
            problems.AddRange(await CompareAsync(vmagent, set, player));
        }

        output.WriteLine($"{count} runs of seed {seed} against {player}: {_points} points; {_same} runs are the same "
            + $"as ours, {count - _same} differ as the model says");
        problems.Take(10).ShouldBeEmpty($"{problems.Count} runs differ from the model");
        _points.ShouldBeGreaterThan(count * 10, "points that were compared");
    }

    private async Task<IEnumerable<string>> CompareAsync(
        LiveVmagent vmagent, RandomRunSet set, AggregationCasePlayer player)
    {
        var originMs = await PlayAsync(vmagent, set);
        var live = new RandomRunOutput(vmagent.Sink.ReceivedBy(0));
        var ours = set.PlayInProcess(originMs);
        live.Repeats.ShouldBeEmpty();
        ours.Repeats.ShouldBeEmpty();
        var problems = new List<string>();
        foreach (var run in set.Runs)
        {
            var startMs = originMs + RandomRun.StartMs;
            var liveStartMs = LiveStart(run, live, startMs);
            var differences = RandomRunSet.Differences(run, live, originMs, liveStartMs, player)
                .Concat(RandomRunSet.Differences(run, ours, originMs, startMs, AggregationCasePlayer.Ours)).ToList();
            if (differences.Count > 0)
            {
                problems.Add(string.Join('\n', differences.Append(run.Describe())));
            }
            _points += live.Of(run.Number).Count;
            _same += IsSame(
                RandomRunSet.Model(run, originMs, startMs, player),
                RandomRunSet.Model(run, originMs, startMs, AggregationCasePlayer.Ours)) ? 1 : 0;
        }
        return problems;
    }

    /// <summary>Returns T0.</summary>
    private static async Task<long> PlayAsync(LiveVmagent vmagent, RandomRunSet set)
    {
        for (var attempt = 1; ; attempt++)
        {
            vmagent.Write(0, "");
            await vmagent.ReloadAsync();
            // The answer does not wait for the reload, which must not see the rules that are written next.
            await Task.Delay(TimeSpan.FromMilliseconds(ReloadMs));
            vmagent.Sink.Clear();
            vmagent.Write(0, set.RulesYaml);
            const long Period = RandomRun.PeriodMs;
            var originMs = (LiveVmagent.NowMs - RandomRun.StartMs + 1_000 + Period - 1) / Period * Period;
            var requests = set.Requests(originMs).ToList();
            await LiveVmagent.WaitUntilAsync(originMs + RandomRun.StartMs);
            await vmagent.ReloadAsync();
            var latestMs = LiveVmagent.NowMs - originMs - RandomRun.StartMs;
            foreach (var (pushedMs, body) in requests)
            {
                await LiveVmagent.WaitUntilAsync(originMs + pushedMs);
                await vmagent.PushAsync(body);
                latestMs = Math.Max(latestMs, LiveVmagent.NowMs - originMs - pushedMs);
            }
            await LiveVmagent.WaitUntilAsync(originMs + RandomRun.Seconds * 1000L + 1_500);
            if (latestMs <= MaxLatenessMs)
            {
                return originMs;
            }
            Assert.SkipWhen(attempt == Attempts, $"the machine is busy: a push was {latestMs} ms late");
        }
    }

    /// <summary>Windows that begin with the rule tell when it began; elsewhere only the second matters.</summary>
    private static long LiveStart(RandomRun run, RandomRunOutput live, long plannedMs)
    {
        var rule = RandomRunSet.RuleOf(run);
        if (!rule.NoAlignFlushToInterval || live.Of(run.Number).Count == 0)
        {
            return plannedMs;
        }
        var intervalMs = (long)rule.Interval.TotalMilliseconds;
        var lateMs = (live.Of(run.Number).Keys.First().TimestampMs - plannedMs) % intervalMs;
        return plannedMs + (lateMs <= 250 ? lateMs : 0);
    }

    private static bool IsSame(
        Dictionary<(long TimestampMs, string Series), ModelValue> a,
        Dictionary<(long TimestampMs, string Series), ModelValue> b) =>
        a.Count == b.Count && a.All(point => b.TryGetValue(point.Key, out var other) && point.Value == other);

    private static int Setting(string name, int value) =>
        Environment.GetEnvironmentVariable($"MILLRACE_CONFORMANCE_{name}") is { Length: > 0 } text
            ? int.Parse(text, CultureInfo.InvariantCulture) : value;
}
