using System.Linq;
using Millrace.Model;

namespace Millrace.TestKit.Oracle;

/// <param name="TimeMs">Its own time.</param>
/// <param name="Value">Never NaN.</param>
/// <param name="StartMs">When its counter began; 0: unknown.</param>
/// <param name="Number">Its place in the log.</param>
public readonly record struct OracleSample(long TimeMs, double Value, long StartMs, int Number = 0);

/// <summary>The samples of one series in one window.</summary>
public sealed class OracleWindow
{
    private readonly SortedList<long, OracleSample> _samples = [];

    /// <summary>One sample per time, in order of time.</summary>
    public IList<OracleSample> Samples => _samples.Values;

    public IList<long> Times => _samples.Keys;

    /// <summary>All samples, in order of arrival.</summary>
    public List<OracleSample> Everything { get; } = [];

    /// <summary>What is left of the samples for one who keeps only the ends of stretches without a reset.</summary>
    public ResetWitness Remembered { get; } = new();

    /// <summary>What the counter gained by the window's samples, first ones as the rule counts them.</summary>
    public double Increase { get; set; }

    public double IncreasePrometheus { get; set; }

    /// <summary>Late samples that are booked here.</summary>
    public List<OracleSample> Carried { get; } = [];

    /// <summary>What the counter gained here by samples elsewhere: late ones, or those around a gap.</summary>
    public List<double> Gains { get; } = [];

    /// <summary>What keeps the group alive besides samples.</summary>
    public long AliveMs { get; set; } = long.MinValue / 2;

    /// <summary>Per second since the sample before; null where no time has passed.</summary>
    public double? Rate { get; set; }

    /// <summary>The time of the last stale marker.</summary>
    public long StaleMs { get; set; } = long.MinValue / 2;

    /// <summary>Whether the series is there at the window's end.</summary>
    public bool IsThere => Times.Count > 0 && StaleMs <= Times[^1];

    public void Add(OracleSample sample)
    {
        Everything.Add(sample);
        Remembered.Add(sample);
        if (!_samples.TryGetValue(sample.TimeMs, out var known) || sample.Value > known.Value)
        {
            _samples[sample.TimeMs] = sample;
        }
    }
}

/// <summary>One series of a rule: its accepted samples by window.</summary>
/// <param name="labels">Its identity inside the rule.</param>
/// <param name="group">The group it belongs to.</param>
/// <param name="target">Job and instance; null where there is no instance.</param>
public sealed class OracleSeries(LabelSet labels, LabelSet group, string? target)
{
    private static readonly OracleWindow Nothing = new();

    public LabelSet Labels { get; } = labels;

    public LabelSet Group { get; } = group;

    public string? Target { get; } = target;

    public SortedDictionary<long, OracleWindow> Windows { get; } = [];

    /// <summary>Late samples, and up to where windows were closed when they came.</summary>
    public List<(long TimeMs, long ClosedMs)> Carried { get; } = [];

    /// <summary>The chains of samples without a pause longer than a counter is remembered.</summary>
    public List<OracleChain> Chains { get; } = [];

    public OracleWindow Window(long endMs) => Windows.GetValueOrDefault(endMs, Nothing);

    public OracleWindow Open(long endMs)
    {
        if (!Windows.TryGetValue(endMs, out var window))
        {
            Windows.Add(endMs, window = new OracleWindow());
        }
        return window;
    }

    /// <summary>The last time in the windows after one end, through another, at which the series was there.</summary>
    public long LastTimeMs(long afterEndMs, long throughEndMs)
    {
        var lastMs = long.MinValue / 2;
        foreach (var (endMs, window) in Windows)
        {
            if (endMs > afterEndMs && endMs <= throughEndMs)
            {
                lastMs = Math.Max(lastMs, Math.Max(window.AliveMs, window.Times.LastOrDefault(lastMs)));
            }
        }
        return lastMs;
    }
}

/// <summary>Samples of a series without a pause: the window of the first, all with those they count in.</summary>
public sealed class OracleChain(long firstEndMs)
{
    public long FirstEndMs { get; } = firstEndMs;

    public List<(long TimeMs, long EndMs)> Links { get; } = [];
}
