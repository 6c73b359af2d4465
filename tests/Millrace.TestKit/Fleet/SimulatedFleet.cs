namespace Millrace.TestKit.Fleet;

/// <summary>The size and the manners of a fleet.</summary>
public sealed record FleetOptions
{
    public int Seed { get; init; } = 1;

    public int Targets { get; init; } = 20;

    public int CountersPerTarget { get; init; } = 8;

    public int GaugesPerTarget { get; init; } = 2;

    /// <summary>Targets are dealt to jobs in turn.</summary>
    public int Jobs { get; init; } = 3;

    /// <summary>Unix time of the first tick.</summary>
    public long StartMs { get; init; }

    public int StepMs { get; init; } = 500;

    public int Ticks { get; init; } = 60;

    /// <summary>The share of targets that appear after the first tick.</summary>
    public double BirthShare { get; init; } = 0.2;

    /// <summary>The share of targets that disappear before the last tick.</summary>
    public double DeathShare { get; init; } = 0.1;

    /// <summary>The share of targets that restart, once each: their counters begin anew.</summary>
    public double RestartShare { get; init; } = 0.3;
}

/// <summary>One series of a fleet; its labels are sorted by name.</summary>
public sealed record FleetSeries(IReadOnlyList<KeyValuePair<string, string>> Labels, int Target, bool IsCounter);

public readonly record struct FleetSample(FleetSeries Series, long TimestampMs, double Value);

/// <summary>
/// A deterministic fleet: every value is decided by the seed, and any sample can be asked for at any time.
/// Values are multiples of 1/4 below 2^50, so that every sum over them is exact in any order: what Millrace makes of
/// them must equal the truth without tolerance. A target's samples stand at a fixed offset inside the step, target 0's
/// at its very beginning, which puts samples on window boundaries.
/// </summary>
public sealed class SimulatedFleet
{
    public const string CounterName = "fleet_requests_total";
    public const string GaugeName = "fleet_queue_length";
    public const string InstanceLabel = "instance";
    public const string JobLabel = "job";

    private readonly List<FleetSeries> _series = [];
    private readonly List<double[]> _values = [];
    private readonly int[] _offsetMs;

    public SimulatedFleet(FleetOptions options)
    {
        Options = options;
        _offsetMs = new int[options.Targets];
        for (var target = 0; target < options.Targets; target++)
        {
            // A generator per target: the same target behaves the same in a larger fleet.
            var random = new Random(options.Seed * 7919 + target);
            _offsetMs[target] = target == 0 ? 0 : random.Next(options.StepMs);
            AddTarget(target, random);
        }
    }

    public FleetOptions Options { get; }

    public IReadOnlyList<FleetSeries> Series => _series;

    /// <summary>The first moment after the last tick.</summary>
    public long EndMs => Options.StartMs + (long)Options.Ticks * Options.StepMs;

    public int SeriesPerTarget => Options.CountersPerTarget + Options.GaugesPerTarget;

    public static string InstanceOf(int target) => $"target-{target:D4}";

    public string JobOf(int target) => $"job-{target % Options.Jobs}";

    /// <summary>The tick that is current at a time, held inside the fleet's life.</summary>
    public int TickAt(long timeMs) =>
        (int)Math.Clamp((timeMs - Options.StartMs) / Options.StepMs, 0, Options.Ticks - 1);

    /// <summary>Adds what a target says at a tick; a target that is not alive says nothing.</summary>
    public void AppendSamples(int target, int tick, List<FleetSample> samples)
    {
        var timestampMs = Options.StartMs + (long)tick * Options.StepMs + _offsetMs[target];
        for (var i = target * SeriesPerTarget; i < (target + 1) * SeriesPerTarget; i++)
        {
            if (!double.IsNaN(_values[i][tick]))
            {
                samples.Add(new FleetSample(_series[i], timestampMs, _values[i][tick]));
            }
        }
    }

    /// <summary>Everything that the whole fleet says in its life, in order of ticks.</summary>
    public List<FleetSample> AllSamples()
    {
        List<FleetSample> samples = [];
        for (var tick = 0; tick < Options.Ticks; tick++)
        {
            for (var target = 0; target < Options.Targets; target++)
            {
                AppendSamples(target, tick, samples);
            }
        }
        return samples;
    }

    /// <summary>The true increase of the counters per (labels without these, window).</summary>
    public WindowTable TrueIncrease(
        long intervalMs, FirstSampleAdds firstSample, params ReadOnlySpan<string> without)
    {
        var oracle = new IncreaseOracle();
        foreach (var sample in AllSamples())
        {
            if (sample.Series.IsCounter)
            {
                oracle.Add(sample.Series.Labels, sample.TimestampMs, sample.Value);
            }
        }
        return oracle.Compute(intervalMs, firstSample, without);
    }

    private void AddTarget(int target, Random random)
    {
        var ticks = Options.Ticks;
        var birth = random.NextDouble() < Options.BirthShare ? random.Next(ticks / 2) : 0;
        var death = random.NextDouble() < Options.DeathShare ? random.Next(ticks / 2, ticks) : ticks;
        var restart = random.NextDouble() < Options.RestartShare ? random.Next(birth + 1, ticks + 1) : ticks;
        for (var i = 0; i < SeriesPerTarget; i++)
        {
            var isCounter = i < Options.CountersPerTarget;
            _series.Add(new FleetSeries(LabelsOf(target, i, isCounter), target, isCounter));
            var values = new double[ticks];
            // Who is alive from the start has counted before; who is born begins near zero.
            var value = isCounter && birth == 0 ? 1000 + random.Next(1000) : 0;
            double current = value;
            for (var tick = 0; tick < ticks; tick++)
            {
                var step = random.Next(64) / 4.0;
                current = isCounter ? (tick == restart ? step : current + step) : step;
                values[tick] = tick >= birth && tick < death ? current : double.NaN;
            }
            _values.Add(values);
        }
    }

    private KeyValuePair<string, string>[] LabelsOf(int target, int index, bool isCounter) =>
    [
        new("__name__", isCounter ? CounterName : GaugeName),
        new("code", index % 2 == 0 ? "200" : "500"),
        new(InstanceLabel, InstanceOf(target)),
        new(JobLabel, JobOf(target)),
        new("path", $"/p{index}"),
    ];
}
