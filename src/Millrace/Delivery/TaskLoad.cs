using Millrace.Placement;

namespace Millrace.Delivery;

/// <summary>What the tasks of a sharded destination carry, and how evenly that is dealt. Immutable.</summary>
internal sealed record TaskLoad
{
    /// <summary>How much the newest measurement counts.</summary>
    private const double Smoothing = 0.3;

    /// <summary>Tasks with less than a sample per second have a load, too.</summary>
    private const double LoadsPerSample = 1_000;

    public static readonly TaskLoad None = new();

    /// <summary>Samples per second of each task.</summary>
    public IReadOnlyList<double> Rates { get; init; } = [];

    /// <summary>As <see cref="TaskTable.Imbalance"/> of what is carried.</summary>
    public double Imbalance { get; init; } = 1;

    /// <summary>
    /// Tasks that carry more than the fair share of a node: wherever they are, that node has too much.
    /// </summary>
    public IReadOnlyList<int> HotTasks { get; init; } = [];

    /// <summary>As a table takes them.</summary>
    public long[] Loads() => Array.ConvertAll([.. Rates], static rate => (long)(rate * LoadsPerSample));

    /// <param name="before">As of the measurement before.</param>
    /// <param name="samples">Since then, by task.</param>
    /// <param name="seconds">Since then.</param>
    /// <param name="table">Who has the tasks.</param>
    public static TaskLoad Measure(TaskLoad before, ReadOnlySpan<long> samples, double seconds, TaskTable table)
    {
        var rates = new double[samples.Length];
        var total = 0.0;
        for (var task = 0; task < rates.Length; task++)
        {
            var rate = samples[task] / seconds;
            rates[task] = before.Rates.Count == rates.Length
                ? before.Rates[task] + Smoothing * (rate - before.Rates[task]) : rate;
            total += rates[task];
        }
        var hot = new List<int>();
        for (var task = 0; task < rates.Length && table.Nodes.Count > 1; task++)
        {
            if (rates[task] > total / table.Nodes.Count)
            {
                hot.Add(task);
            }
        }
        var load = new TaskLoad { Rates = rates, HotTasks = hot };
        return load with { Imbalance = table.Imbalance(load.Loads()) };
    }
}
