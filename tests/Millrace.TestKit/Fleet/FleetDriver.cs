namespace Millrace.TestKit.Fleet;

/// <summary>
/// Holds back a share of the requests, each by one of the delays; never those of the first and the last tick, with
/// which the counters' chains begin and end.
/// </summary>
public sealed record LatePlan(int Seed, double Share, IReadOnlyList<TimeSpan> Delays);

/// <summary>
/// Sends a fleet's samples in real time, as so many senders as there are shards: each shard's requests go one after the
/// other, a step's samples at the end of the step. Late requests overtake nothing but are overtaken. Running it twice
/// sends the same bodies twice, so two receivers can be compared.
/// </summary>
public sealed class FleetDriver(SimulatedFleet fleet, int shards = 4, LatePlan? late = null, TimeProvider? time = null)
{
    private readonly TimeProvider _time = time ?? TimeProvider.System;

    /// <summary>Returns when every request was taken.</summary>
    public Task RunAsync(RemoteWriteClient client, CancellationToken cancellation = default) =>
        RunAsync([client], cancellation);

    /// <summary>The shards are dealt to the clients in turn; a series always takes the same one.</summary>
    public Task RunAsync(IReadOnlyList<RemoteWriteClient> clients, CancellationToken cancellation = default)
    {
        var senders = new Task[shards];
        for (var shard = 0; shard < shards; shard++)
        {
            senders[shard] = RunShardAsync(shard, clients[shard % clients.Count], cancellation);
        }
        return Task.WhenAll(senders);
    }

    private async Task RunShardAsync(int shard, RemoteWriteClient client, CancellationToken cancellation)
    {
        List<FleetSample> samples = [];
        foreach (var (dueMs, tick) in Plan(shard))
        {
            var wait = dueMs - _time.GetUtcNow().ToUnixTimeMilliseconds();
            if (wait > 0)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(wait), _time, cancellation);
            }
            samples.Clear();
            for (var target = shard; target < fleet.Options.Targets; target += shards)
            {
                fleet.AppendSamples(target, tick, samples);
            }
            await client.SendAsync(samples, cancellation);
        }
    }

    private List<(long DueMs, int Tick)> Plan(int shard)
    {
        List<(long DueMs, int Tick)> plan = [];
        var random = new Random((late?.Seed ?? 0) * 7919 + shard);
        for (var tick = 0; tick < fleet.Options.Ticks; tick++)
        {
            var dueMs = fleet.Options.StartMs + (long)(tick + 1) * fleet.Options.StepMs;
            var isEdge = tick == 0 || tick == fleet.Options.Ticks - 1;
            if (late is not null && !isEdge && random.NextDouble() < late.Share)
            {
                dueMs += (long)late.Delays[random.Next(late.Delays.Count)].TotalMilliseconds;
            }
            plan.Add((dueMs, tick));
        }
        plan.Sort();
        return plan;
    }
}
