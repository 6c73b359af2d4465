using System.Globalization;

namespace Millrace.Tests.Simulation;

/// <summary>
/// Runs from many seeds. <c>MILLRACE_SIM_SEED=n</c> replays one with a trace, <c>MILLRACE_SIM_SEEDS=n</c> says how
/// many to
/// run, <c>MILLRACE_SIM_FIRST=n</c> from which on.
/// </summary>
public sealed class SimulationTests
{
    private const int DefaultSeeds = 200;

    [Fact]
    public void Keeps_all_guarantees_when_nothing_goes_wrong()
    {
        ForSeeds(DefaultSeeds / 10, (seed, traces) => RunOnce(new Scenario(seed, FaultPlan.None), traces));
    }

    [Fact]
    public void Keeps_all_guarantees_whatever_goes_wrong()
    {
        ForSeeds(Number("MILLRACE_SIM_SEEDS") ?? DefaultSeeds, (seed, traces) => RunOnce(new Scenario(seed), traces));
    }

    /// <summary>Blocks of three samples, one lane, and a backend that takes two seconds for each.</summary>
    [Fact]
    public void Comes_to_rest_however_long_a_slow_backend_takes_for_what_has_piled_up()
    {
        var run = new Simulation(new Scenario(3435, FaultPlan.None));
        run.Run();
        run.DrainMs.ShouldBeGreaterThan(DrainLimit.MaxStillMs, "this seed is here because it takes that long");
        SimulationChecks.Check(run);
    }

    /// <summary>G10.</summary>
    [Fact]
    public void Gives_the_same_windows_in_whatever_order_samples_arrive_within_the_lateness()
    {
        ForSeeds(DefaultSeeds / 10, (seed, traces) =>
        {
            var first = RunOnce(new Scenario(seed, FaultPlan.None), traces);
            var second = RunOnce(new Scenario(seed, FaultPlan.None) { DelaySeed = seed + 1_000_000 }, traces);
            foreach (var destination in first.Outputs.Keys)
            {
                // A rule of arrival time depends on the order; its interval is in whole seconds.
                static bool IsEventTime(string series) => !series.Contains("000ms", StringComparison.Ordinal);
                var expected = first.Outputs[destination].Where(entry => IsEventTime(entry.Key.Series)).ToDictionary();
                var actual = second.Outputs[destination].Where(entry => IsEventTime(entry.Key.Series)).ToDictionary();
                var lastMs = Math.Min(LastEndMs(expected), LastEndMs(actual));
                actual.Where(entry => entry.Key.EndMs <= lastMs).OrderBy(entry => entry.Key)
                    .ShouldBe(expected.Where(entry => entry.Key.EndMs <= lastMs).OrderBy(entry => entry.Key));
            }
        });
    }

    private static long LastEndMs(Dictionary<(string Series, long EndMs), double> outputs) =>
        outputs.Count == 0 ? 0 : outputs.Keys.Max(key => key.EndMs);

    private static TestKit.Simulation.NaiveReplay RunOnce(Scenario scenario, bool traces)
    {
        var run = new Simulation(scenario, traces);
        try
        {
            run.Run();
            return SimulationChecks.Check(run).Expected;
        }
        catch (Exception e) when (traces)
        {
            throw new SimulationFailure($"{string.Join('\n', run.Trace)}\n{scenario.Faults}\n{e}");
        }
    }

    private static void ForSeeds(int count, Action<int, bool> run)
    {
        if (Number("MILLRACE_SIM_SEED") is { } only)
        {
            run(only, true);
            return;
        }
        var first = Number("MILLRACE_SIM_FIRST") ?? 1;
        var failures = new List<string>();
        for (var seed = first; seed < first + count && failures.Count < 10; seed++)
        {
            try
            {
                run(seed, false);
            }
            catch (Exception e)
            {
                failures.Add($"MILLRACE_SIM_SEED={seed} (of {count} from {first}): "
                    + (e is SimulationFailure ? e.Message : e.ToString()));
            }
        }
        failures.ShouldBeEmpty();
    }

    private static int? Number(string variable) =>
        int.TryParse(Environment.GetEnvironmentVariable(variable), NumberStyles.None, CultureInfo.InvariantCulture,
            out var number) ? number : null;
}
