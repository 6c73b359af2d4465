using System.Globalization;
using System.IO;
using Millrace.Aggregation;
using Millrace.Configuration;
using Millrace.Log;
using Millrace.Model;
using Millrace.Pipeline;

namespace Millrace.Server.Commands;

/// <summary><c>millrace explain --window</c>: what a point of an output series was made of, from the log.</summary>
internal static class WindowExplainer
{
    /// <summary>Contributing series that are printed.</summary>
    private const int MaxSeries = 100;

    public static int Explain(
        MillraceConfig config, string folder, LabelSet series, string end, TextWriter output, TextWriter error,
        CancellationToken stop)
    {
        if (!TryParseTime(end, out var endMs))
        {
            error.WriteLine(
                $"--window: \"{end}\" is no time: write the point's timestamp as 2026-01-05T10:04:00Z or in "
                + "milliseconds since the epoch");
            return ExitCode.Usage;
        }
        try
        {
            using var log = RecordLog.OpenReadOnly(Path.Combine(folder, "input"), new SystemDisk());
            var inquiry = new WindowInquiry(log, config, series);
            inquiry.Run(endMs, stop);
            return Write(inquiry, series, output);
        }
        catch (LogOpenException e)
        {
            error.WriteLine(e.Message);
            return ExitCode.Failure;
        }
    }

    private static int Write(WindowInquiry inquiry, LabelSet series, TextWriter output)
    {
        if (inquiry.IsCutOff)
        {
            output.WriteLine("the log no longer reaches back to the beginning of the window: what follows is a part");
        }
        if (inquiry.Rule is not { } rule)
        {
            output.WriteLine($"no series in the log feeds {series} under this configuration");
            return ExitCode.Failure;
        }
        output.WriteLine($"point {series} at {TrialReport.Time(inquiry.EndMs)}");
        output.WriteLine($"rule \"{rule.Name}\" ({rule.Config.File}:{rule.Config.Line}), window "
            + $"({TrialReport.Time(inquiry.StartMs)}, {TrialReport.Time(inquiry.EndMs)}]");
        if (rule.IsArrivalTime)
        {
            output.WriteLine("the rule goes by time of arrival: samples below are chosen by their own time");
        }
        if (rule.CorrectedWindows > 0 && inquiry.FirstCutLsn > 0)
        {
            output.WriteLine($"written: record {inquiry.FirstCutLsn}, {TrialReport.Time(inquiry.FirstCutArrivalMs)}, "
                + $"{(inquiry.FirstCutArrivalMs - inquiry.EndMs) / 1e3:0.###} s after its end; corrected to the cut");
        }
        output.WriteLine(inquiry.CutLsn == 0
            ? "not closed: the window is open, or the rule was another one then"
            : $"cut: record {inquiry.CutLsn} closed it, {TrialReport.Time(inquiry.CutArrivalMs)}, "
                + $"{(inquiry.CutArrivalMs - inquiry.EndMs) / 1e3:0.###} s after its end");
        if (!inquiry.WasInForce)
        {
            output.WriteLine("the configuration in force then had no such rule: see millrace check --diff");
        }
        WriteSeries(inquiry, rule, output);
        return ExitCode.Ok;
    }

    private static void WriteSeries(WindowInquiry inquiry, AggregationRule rule, TextWriter output)
    {
        var all = inquiry.Contributions;
        var late = 0;
        output.WriteLine(all.Count == 1 ? "1 series contributes" : $"{all.Count} series contribute");
        for (var i = 0; i < all.Count; i++)
        {
            late += all[i].LateSamples;
            if (i < MaxSeries)
            {
                WriteSeries(all[i], rule, output);
            }
        }
        if (all.Count > MaxSeries)
        {
            output.WriteLine($"  and {all.Count - MaxSeries} more");
        }
        output.WriteLine(late == 1 ? "1 late sample" : $"{late} late samples");
    }

    private static void WriteSeries(Contribution one, AggregationRule rule, TextWriter output)
    {
        output.WriteLine($"  {one.Series}");
        if (one.Before is { } before)
        {
            output.WriteLine($"    before: {TrialReport.Number(before.Value)} at {TrialReport.Time(before.TimeMs)}");
        }
        if (one.Samples.Count > 0)
        {
            var (first, last) = Ends(one.Samples);
            output.WriteLine($"    first:  {TrialReport.Number(first.Value)} at {TrialReport.Time(first.Key)}");
            output.WriteLine($"    last:   {TrialReport.Number(last.Value)} at {TrialReport.Time(last.Key)}, "
                + $"{one.Samples.Count} samples");
        }
        if (rule.HasCounters && one.Samples.Count > 0)
        {
            output.WriteLine($"    increase: {TrialReport.Number(one.Increase(rule.CounterMemoryMs))}, "
                + $"{one.Resets(rule.CounterMemoryMs)} resets"
                + (one.Before is null ? ", no sample before: the first one may count (first_sample)" : ""));
        }
        if (one.LateSamples + one.OutOfOrder + one.NotANumber > 0)
        {
            output.WriteLine($"    {one.LateSamples} late, {one.OutOfOrder} out of order"
                + (one.OutOfOrder > 0 && one.Resets(rule.CounterMemoryMs) > 0 ? " (resets may be ambiguous)" : "")
                + $", {one.NotANumber} not a number");
        }
    }

    private static (KeyValuePair<long, double> First, KeyValuePair<long, double> Last) Ends(
        SortedDictionary<long, double> samples)
    {
        var first = default(KeyValuePair<long, double>?);
        var last = default(KeyValuePair<long, double>);
        foreach (var sample in samples)
        {
            first ??= sample;
            last = sample;
        }
        return (first!.Value, last);
    }

    private static bool TryParseTime(string text, out long ms)
    {
        if (long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out ms))
        {
            // Ten digits are seconds until the year 2286.
            ms = text.Length <= 10 ? ms * 1_000 : ms;
            return true;
        }
        var isTime = DateTimeOffset.TryParse(
            text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal,
            out var time);
        ms = isTime ? time.ToUnixTimeMilliseconds() : 0;
        return isTime;
    }
}
