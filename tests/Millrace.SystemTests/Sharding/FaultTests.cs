using System.Collections.Concurrent;
using System.Globalization;

namespace Millrace.SystemTests.Sharding;

/// <summary>
/// Real nodes behind a sharded destination are killed, paused, slow, silent, flapping or full of refusals, and the
/// file that names them empties, breaks and flaps. Each run is made by its seed.
/// </summary>
public sealed class FaultTests(ITestOutputHelper output)
{
    /// <summary>Nine seconds of load, which is how long the faults take.</summary>
    private const int Ticks = 36;

    private static readonly TimeSpan MostTimeToFlow = TimeSpan.FromSeconds(10);

    private static readonly int Runs = Setting("MILLRACE_FAULT_RUNS", 6);

    private static readonly int FirstSeed = Setting("MILLRACE_FAULT_FIRST", 1);

    /// <summary>Most of a run is waiting.</summary>
    private static readonly int AtOnce = Setting("MILLRACE_FAULT_AT_ONCE", 3);

    [Fact]
    public async Task Whatever_happens_to_nodes_each_sample_arrives_in_order_or_is_counted()
    {
        await Needs.GatewayAsync();
        var failures = new ConcurrentBag<string>();
        await Parallel.ForEachAsync(
            Enumerable.Range(FirstSeed, Runs),
            new ParallelOptions { MaxDegreeOfParallelism = AtOnce }, async (seed, _) =>
            {
                var faults = FaultScript.Of(seed);
                try
                {
                    var run = await FaultRun.RunAsync(seed, faults, Ticks);
                    run.Check();
                    output.WriteLine($"seed {seed}: {run}");
                }
                catch (Exception problem)
                {
                    failures.Add($"seed {seed} ({string.Join(", ", faults)}): {problem.Message}");
                    output.WriteLine($"seed {seed} FAILED");
                }
            });
        failures.ShouldBeEmpty();
    }

    [Fact]
    public async Task Tasks_of_nodes_that_are_killed_or_paused_flow_again_within_ten_seconds()
    {
        await Needs.GatewayAsync();
        var killed = new Fault(FaultKind.Kill, Node: 0, AtMs: 2_000, LastsMs: 14_000);
        var paused = new Fault(FaultKind.Pause, Node: 1, AtMs: 8_000, LastsMs: 9_000);

        var run = await FaultRun.RunAsync(seed: 11, [killed, paused], ticks: 68);

        run.Check();
        foreach (var fault in (Fault[])[killed, paused])
        {
            var time = run.TimeToFlow(fault);
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{fault}: {time.TotalSeconds:0.00} s"));
            time.ShouldBeLessThan(MostTimeToFlow, fault.ToString());
        }
        output.WriteLine(run.ToString());
    }

    private static int Setting(string name, int value) =>
        int.TryParse(Environment.GetEnvironmentVariable(name), CultureInfo.InvariantCulture, out var set) ? set : value;
}
