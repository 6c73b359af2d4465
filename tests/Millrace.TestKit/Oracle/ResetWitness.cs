using Millrace.Aggregation;

namespace Millrace.TestKit.Oracle;

/// <summary>
/// The documented exception to the independence of counters from the order of arrival: a late sample that is the only
/// witness of a reset. The documents say what is kept of a series in an open window: the two ends of each stretch in
/// which no reset was seen ("run"). What lies inside is forgotten, and with it the resets that a later arrival would
/// reveal: if one sample lies above the forgotten ones after it or below those before it. This class keeps the same two
/// samples per stretch and tells when their increase is not the true one any more.
/// </summary>
/// <remarks>
/// It knows no start timestamps, so it forgets more than a shard that has them: what it can tell, a shard can, too.
/// </remarks>
public sealed class ResetWitness
{
    private readonly List<(OracleSample First, OracleSample Last)> _runs = [];

    /// <summary>Whether the increase within a window is still the true one once this sample has come.</summary>
    public static bool IsDecidable(OracleWindow window, OracleSample sample, ResetPolicy resets)
    {
        var witness = new ResetWitness();
        witness._runs.AddRange(window.Remembered._runs);
        witness.Add(sample);

        var truth = new OracleWindow();
        foreach (var known in window.Samples)
        {
            truth.Add(known);
        }
        truth.Add(sample);
        return Increase(truth.Samples, resets) == Increase(witness.Ends(), resets);
    }

    /// <summary>Whether a sample would disappear between the ends of a stretch, so that no reset shows by it.</summary>
    public bool Swallows(OracleSample sample) =>
        _runs.Exists(run => sample.TimeMs > run.First.TimeMs && sample.TimeMs < run.Last.TimeMs
            && sample.Value >= run.First.Value && sample.Value <= run.Last.Value);

    /// <summary>Books a sample as design-reasons.md, 3.1, has it.</summary>
    public void Add(OracleSample sample)
    {
        var at = _runs.FindLastIndex(run => run.First.TimeMs <= sample.TimeMs);
        if (at >= 0)
        {
            var (first, last) = _runs[at];
            if (sample.TimeMs == first.TimeMs || sample.TimeMs == last.TimeMs)
            {
                AddRepeat(at, sample);
                return;
            }
            if (sample.TimeMs < last.TimeMs)
            {
                if (sample.Value > last.Value)
                {
                    _runs[at] = (first, sample);
                    _runs.Insert(at + 1, (last, last));
                }
                else if (sample.Value < first.Value)
                {
                    _runs[at] = (first, first);
                    _runs.Insert(at + 1, (sample, last));
                }
                return;
            }
            if (sample.Value >= last.Value)
            {
                _runs[at] = (first, sample);
                return;
            }
        }
        if (at + 1 < _runs.Count && sample.Value <= _runs[at + 1].First.Value)
        {
            _runs[at + 1] = (sample, _runs[at + 1].Last);
            return;
        }
        _runs.Insert(at + 1, (sample, sample));
    }

    private void AddRepeat(int at, OracleSample sample)
    {
        var (first, last) = _runs[at];
        if (sample.Value <= (sample.TimeMs == last.TimeMs ? last : first).Value)
        {
            return;
        }
        if (sample.TimeMs == last.TimeMs)
        {
            _runs[at] = (first.TimeMs == last.TimeMs ? sample : first, sample);
        }
        else if (sample.Value <= last.Value)
        {
            _runs[at] = (sample, last);
        }
        else
        {
            _runs[at] = (sample, sample);
            _runs.Insert(at + 1, (last, last));
        }
    }

    private List<OracleSample> Ends()
    {
        var ends = new List<OracleSample>();
        foreach (var (first, last) in _runs)
        {
            ends.Add(first);
            ends.Add(last);
        }
        return ends;
    }

    private static double Increase(IEnumerable<OracleSample> samples, ResetPolicy resets)
    {
        var sum = new ExactSum();
        OracleSample? before = null;
        foreach (var sample in samples)
        {
            if (before is { } last)
            {
                OracleCounter.AddStep(sum, last with { StartMs = 0 }, sample with { StartMs = 0 }, resets);
            }
            before = sample;
        }
        return sum.Value;
    }
}
