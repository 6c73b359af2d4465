using System.Collections.Concurrent;
using System.Globalization;
using System.IO;
using Millrace.TestKit.Sharding;

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

    private static readonly Lock LogLock = new();

    [Fact]
    public async Task Whatever_happens_to_nodes_each_sample_arrives_in_order_or_is_counted()
    {
        await Needs.GatewayAsync();
        var seeds = new ConcurrentQueue<int>(Enumerable.Range(FirstSeed, Runs));
        var failures = new ConcurrentBag<string>();
        await Task.WhenAll(Enumerable.Range(0, AtOnce).Select(_ => RunAsync(seeds, failures)));
        failures.ShouldBeEmpty();
    }

    [Fact]
    public async Task Tasks_of_nodes_that_are_killed_or_paused_flow_again_within_ten_seconds()
    {
        await Needs.GatewayAsync();
        var killed = new Fault(FaultKind.Kill, Node: 0, AtMs: 2_000, LastsMs: 14_000);
        var paused = new Fault(FaultKind.Pause, Node: 1, AtMs: 8_000, LastsMs: 9_000);

        await using var rig = await FaultRig.StartAsync();
        var run = await FaultRun.RunAsync(rig, seed: 11, [killed, paused], ticks: 68);

        run.Check();
        foreach (var fault in (Fault[])[killed, paused])
        {
            var time = run.TimeToFlow(fault);
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{fault}: {time.TotalSeconds:0.00} s"));
            time.ShouldBeLessThan(MostTimeToFlow, fault.ToString());
        }
        output.WriteLine(run.ToString());
    }

    [Fact]
    public void A_sample_that_was_overtaken_is_found_and_a_repeated_one_is_none()
    {
        Arrival At(string node, long ticks, long timestampMs) => new(node, ticks, 0, "up{}", "1", timestampMs, 0);

        FaultRun.CheckOrder([At("a", 1, 100), At("b", 2, 100), At("b", 3, 200), At("a", 4, 100), At("b", 5, 300)]);
        Should.Throw<ShouldAssertException>(
            () => FaultRun.CheckOrder([At("a", 1, 100), At("b", 2, 300), At("a", 3, 200)]));
    }

    private async Task RunAsync(ConcurrentQueue<int> seeds, ConcurrentBag<string> failures)
    {
        FaultRig? rig = null;
        while (seeds.TryDequeue(out var seed))
        {
            var faults = FaultScript.Of(seed);
            try
            {
                rig ??= await FaultRig.StartAsync();
                var run = await FaultRun.RunAsync(rig, seed, faults, Ticks);
                run.Check();
                Tell($"seed {seed}: {run}");
            }
            catch (Exception problem)
            {
                var text = $"seed {seed} ({string.Join(", ", faults)}) failed: {problem.Message}";
                failures.Add(text);
                Tell(text);
                // In whatever state its nodes were left.
                await DisposeAsync(rig);
                rig = null;
            }
        }
        await DisposeAsync(rig);
    }

    private static ValueTask DisposeAsync(FaultRig? rig) => rig?.DisposeAsync() ?? ValueTask.CompletedTask;

    /// <summary>To the file as well, if one is named: so that a long campaign can be watched.</summary>
    private void Tell(string line)
    {
        output.WriteLine(line);
        if (Environment.GetEnvironmentVariable("MILLRACE_FAULT_LOG") is { Length: > 0 } path)
        {
            lock (LogLock)
            {
                File.AppendAllText(path, line + "\n");
            }
        }
    }

    private static int Setting(string name, int value) =>
        int.TryParse(Environment.GetEnvironmentVariable(name), CultureInfo.InvariantCulture, out var set) ? set : value;
}
