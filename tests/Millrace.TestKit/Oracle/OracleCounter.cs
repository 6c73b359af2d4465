using System.Linq;
using Millrace.Aggregation;

namespace Millrace.TestKit.Oracle;

/// <summary>
/// Walks along the samples of one series in order of time and books what the counter gains. A step from one sample to
/// the next gains the difference, or after a reset the new value; it counts in the window of the later sample.
/// </summary>
/// <param name="rule">The rule.</param>
/// <param name="series">The series.</param>
/// <param name="closedAt">The place in the log at which a window was closed.</param>
/// <param name="isBirth">Whether a first sample in a window is a birth on a known target.</param>
public sealed class OracleCounter(
    OracleRule rule, OracleSeries series, Func<long, int> closedAt, Func<OracleSample, long, bool> isBirth)
{
    private OracleSample? _before;
    private double _ahead; // gap: spread

    /// <summary>The series' chains alone: they do not depend on what first samples add.</summary>
    public static void FindChains(OracleRule rule, OracleSeries series) =>
        new OracleCounter(rule, series, _ => int.MaxValue, (_, _) => false).Follow(0, books: false);

    /// <summary>Through a window's end.</summary>
    public void Follow(long throughEndMs) => Follow(throughEndMs, books: true);

    /// <summary>What the counter gained between two samples, after the later is seen.</summary>
    public static double Step(OracleSample before, OracleSample sample, ResetPolicy resets) =>
        sample.StartMs > before.TimeMs ? sample.Value
        : sample.Value >= before.Value ? sample.Value - before.Value
        : IsRollback(before, sample, resets) ? 0
        : sample.Value;

    public static void AddStep(ExactSum sum, OracleSample last, OracleSample sample, ResetPolicy resets)
    {
        if (sample.StartMs > last.TimeMs || (sample.Value < last.Value && !IsRollback(last, sample, resets)))
        {
            sum.Add(sample.Value);
        }
        else if (sample.Value >= last.Value)
        {
            sum.Add(sample.Value).Add(-last.Value);
        }
    }

    private void Follow(long throughEndMs, bool books)
    {
        if (series.Windows.Count == 0)
        {
            return;
        }
        var isSpread = books && rule.HasCounters && rule.Config.Gap == GapPolicy.Spread;
        var ends = new List<long>(series.Windows.Keys);
        if (isSpread)
        {
            ends.Clear();
            for (var endMs = series.Windows.Keys.First(); endMs <= throughEndMs; endMs += rule.IntervalMs)
            {
                ends.Add(endMs);
            }
        }
        foreach (var endMs in ends)
        {
            if (!series.Windows.TryGetValue(endMs, out var window))
            {
                window = new OracleWindow();
            }
            foreach (var late in window.Carried)
            {
                Carry(window, endMs, late, books);
            }
            if (window.Times.Count > 0)
            {
                Close(window, endMs, books);
            }
            else if (isSpread && _before is { } last && Next(endMs) is { } next
                && next.TimeMs - last.TimeMs <= rule.MemoryMs)
            {
                var gained = Spread(new ExactSum(), endMs).Value;
                window = series.Open(endMs);
                window.Gains.Add(gained);
                window.AliveMs = Math.Max(window.AliveMs, endMs);
            }
        }
    }

    private void Close(OracleWindow window, long endMs, bool books)
    {
        var gained = new ExactSum();
        var rated = new ExactSum();
        var first = 0.0;
        var sinceMs = window.Times[0];
        foreach (var sample in window.Samples)
        {
            if (IsNext(sample))
            {
                var last = _before!.Value;
                AddStep(rated, last, sample, rule.Config.Resets);
                AddCapped(gained, last, sample);
                sinceMs = Math.Min(sinceMs, last.TimeMs);
            }
            else if (CountsFirst(sample) || (books && isBirth(sample, endMs)))
            {
                first = sample.Value;
            }
            Link(sample, endMs, books);
        }
        var spanMs = window.Times[^1] - sinceMs;
        window.Rate = spanMs > 0 ? rated.Value / (spanMs / 1000.0) : null;
        if (rule.Config.Gap == GapPolicy.Spread && books)
        {
            Spread(gained, endMs);
        }
        window.IncreasePrometheus = gained.Value;
        window.Increase = gained.Add(first).Value;
    }

    /// <summary>A late sample after all that is counted already: the counter goes on from it.</summary>
    private void Carry(OracleWindow window, long endMs, OracleSample late, bool books)
    {
        if (_before is not { } last || last.TimeMs + rule.MemoryMs < endMs - rule.IntervalMs
            || late.TimeMs <= last.TimeMs)
        {
            return;
        }
        var gained = new ExactSum();
        AddCapped(gained, last, late);
        if (rule.Config.Gap == GapPolicy.Spread && books)
        {
            TakeAhead(gained, 0);
        }
        if (books)
        {
            window.Gains.Add(gained.Value);
        }
        Link(late, endMs, books);
    }

    private bool IsNext(OracleSample sample) => _before is { } last && sample.TimeMs - last.TimeMs <= rule.MemoryMs;

    private void Link(OracleSample sample, long endMs, bool books)
    {
        if (!books)
        {
            if (!IsNext(sample))
            {
                series.Chains.Add(new OracleChain(rule.EndOf(sample.TimeMs)));
            }
            series.Chains[^1].Links.Add((sample.TimeMs, endMs));
        }
        _before = sample;
    }

    /// <summary>With <c>gap: cap</c> a step longer than an interval counts as if it were one.</summary>
    private void AddCapped(ExactSum sum, OracleSample last, OracleSample sample)
    {
        var sinceMs = Math.Max(last.TimeMs, sample.StartMs);
        if (rule.Config.Gap != GapPolicy.Cap || sample.TimeMs - sinceMs <= rule.IntervalMs)
        {
            AddStep(sum, last, sample, rule.Config.Resets);
            return;
        }
        sum.Add(Part(last, sample, rule.IntervalMs, sample.TimeMs - sinceMs));
    }

    /// <summary>
    /// Adds the share until the window's end of the step to the next sample, as far as that was in the log when the
    /// window closed. What was booked ahead of it before is left out.
    /// </summary>
    private ExactSum Spread(ExactSum gained, long endMs)
    {
        var share = 0.0;
        var last = _before!.Value;
        if (Next(endMs) is { } next && next.TimeMs - last.TimeMs <= rule.MemoryMs)
        {
            var sinceMs = Math.Max(last.TimeMs, next.StartMs);
            share = endMs <= sinceMs ? 0 : Part(last, next, endMs - sinceMs, next.TimeMs - sinceMs);
        }
        return TakeAhead(gained, share);
    }

    private ExactSum TakeAhead(ExactSum gained, double share)
    {
        gained.Add(-_ahead);
        _ahead = Math.Max(share, Math.Min(_ahead, -gained.Value));
        return gained.Add(_ahead);
    }

    /// <summary>The first sample after a window that was there when it closed.</summary>
    private OracleSample? Next(long endMs)
    {
        var number = closedAt(endMs);
        OracleSample? next = null;
        foreach (var (laterMs, window) in series.Windows)
        {
            foreach (var sample in laterMs > endMs ? window.Everything : [])
            {
                if (sample.Number < number
                    && (next is not { } known || sample.TimeMs < known.TimeMs
                        || (sample.TimeMs == known.TimeMs && sample.Value > known.Value)))
                {
                    next = sample;
                }
            }
        }
        return next;
    }

    /// <summary>A share of a step, to the last bit of what the counter showed.</summary>
    private double Part(OracleSample last, OracleSample sample, long ms, long ofMs)
    {
        var gain = Step(last, sample, rule.Config.Resets);
        var isReset = sample.StartMs > last.TimeMs || sample.Value < last.Value;
        var largest = Math.Max(isReset ? 0 : Math.Abs(last.Value), Math.Abs(sample.Value));
        var bit = Math.BitIncrement(largest) - largest;
        var part = gain * ((double)ms / ofMs);
        var rounded = Math.Round(part / bit) * bit;
        return Math.Abs(rounded) <= Math.Abs(gain) ? rounded : part;
    }

    private bool CountsFirst(OracleSample sample) =>
        rule.Config.FirstSample switch
        {
            FirstSample.Zero => false,
            FirstSample.Count => sample.TimeMs - rule.StartMs >= rule.IgnoreFirstSampleMs,
            _ => sample.StartMs >= rule.StartMs && sample.TimeMs - sample.StartMs <= rule.MemoryMs,
        };

    private static bool IsRollback(OracleSample last, OracleSample sample, ResetPolicy resets) =>
        resets == ResetPolicy.VictoriaMetrics && (last.Value - sample.Value) * 8 < last.Value;
}
