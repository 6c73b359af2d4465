using Millrace.Aggregation;
using Millrace.Model;

namespace Millrace.TestKit.Oracle;

public readonly record struct OracleSample(long TimeMs, double Value, long StartMs);

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

    /// <summary>What the counter gained, first samples as the rule counts them.</summary>
    public double Increase { get; set; }

    public double IncreasePrometheus { get; set; }

    /// <summary>Per second since the sample before; null where no time has passed.</summary>
    public double? Rate { get; set; }

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
public sealed class OracleSeries(LabelSet labels, LabelSet group)
{
    private static readonly OracleWindow Nothing = new();

    public LabelSet Labels { get; } = labels;

    public LabelSet Group { get; } = group;

    public SortedDictionary<long, OracleWindow> Windows { get; } = [];

    public OracleWindow Window(long endMs) => Windows.GetValueOrDefault(endMs, Nothing);

    public void Add(long endMs, OracleSample sample)
    {
        if (!Windows.TryGetValue(endMs, out var window))
        {
            Windows.Add(endMs, window = new OracleWindow());
        }
        window.Add(sample);
    }

    /// <summary>The time of the last sample in the windows after one end, through another.</summary>
    public long LastTimeMs(long afterEndMs, long throughEndMs)
    {
        var lastMs = long.MinValue / 2;
        foreach (var (endMs, window) in Windows)
        {
            if (endMs > afterEndMs && endMs <= throughEndMs)
            {
                lastMs = Math.Max(lastMs, window.Times[^1]);
            }
        }
        return lastMs;
    }

    /// <summary>Walks along the samples of the series in order of time and books what the counter gains.</summary>
    public void Follow(OracleRule rule)
    {
        OracleSample? before = null;
        foreach (var (endMs, window) in Windows)
        {
            var gained = new ExactSum();
            var first = 0.0;
            var sinceMs = window.Times[0];
            foreach (var sample in window.Samples)
            {
                if (before is { } last && sample.TimeMs - last.TimeMs <= rule.MemoryMs)
                {
                    var begins = sample.StartMs > last.TimeMs || sample.Value < last.Value;
                    gained.Add(sample.Value).Add(begins ? 0 : -last.Value);
                    sinceMs = Math.Min(sinceMs, last.TimeMs);
                }
                else if (CountsFirst(rule, sample, endMs - rule.IntervalMs))
                {
                    first = sample.Value;
                }
                before = sample;
            }
            var spanMs = window.Times[^1] - sinceMs;
            window.IncreasePrometheus = gained.Value;
            window.Increase = gained.Add(first).Value;
            window.Rate = spanMs > 0 ? window.IncreasePrometheus / (spanMs / 1000.0) : null;
        }
    }

    private static bool CountsFirst(OracleRule rule, OracleSample sample, long windowStartMs) =>
        rule.Config.FirstSample switch
        {
            FirstSample.Zero => false,
            FirstSample.Count => sample.TimeMs - rule.StartMs >= rule.IgnoreFirstSampleMs,
            _ => sample.StartMs > windowStartMs,
        };
}
