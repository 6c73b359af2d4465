using System.Globalization;
using System.IO;
using System.Text.Json;
using Millrace.Aggregation;
using Millrace.Model;
using Millrace.Pipeline;
using Millrace.Protocols;

namespace Millrace.Server.Commands;

/// <summary>Prints what a trial found: as a table to read, or as JSON or CSV for other programs.</summary>
internal sealed class TrialReport(RuleTrial trial, TextWriter output)
{
    private static readonly LabelLimits AnyLabels = new(int.MaxValue, int.MaxValue, int.MaxValue);

    public void Write(string format)
    {
        switch (format)
        {
            case "json":
                WriteJson();
                break;
            case "csv":
                WriteCsv();
                break;
            default:
                WriteTable();
                break;
        }
    }

    private void WriteTable()
    {
        if (trial.Records == 0)
        {
            output.WriteLine("the log holds no samples of that time");
            return;
        }
        output.WriteLine($"{trial.Samples} samples in {trial.Records} requests, "
            + $"{Time(trial.FirstArrivalMs)} to {Time(trial.LastArrivalMs)}");
        if (trial.LostRecords > 0)
        {
            output.WriteLine($"{trial.LostRecords} records of the log could not be read");
        }
        foreach (var rule in trial.Rules)
        {
            output.WriteLine();
            output.WriteLine($"rule {NameOf(rule.Rule)}: {rule.InputSeries} series in, {rule.OutputSeries} out"
                + Reduction(rule));
            output.WriteLine($"  {rule.Samples} samples: {rule.LateSamples} late, {rule.TooFarAhead} too far ahead, "
                + $"{rule.NotANumber} not a number, {rule.Repeats} repeated; {rule.AmbiguousResets} ambiguous resets");
            if (rule.Rule.CorrectedWindows > 0)
            {
                output.WriteLine($"  {rule.Corrections} values written again; windows show the last ones");
            }
            if (rule.Windows.Count == 0)
            {
                output.WriteLine("  no whole window was closed in that time: take more of the log with --last");
            }
            foreach (var window in rule.Windows)
            {
                output.WriteLine($"  window that ends at {Time(window.EndMs)}: {window.SampleCount} series");
                foreach (var sample in window.First)
                {
                    output.WriteLine($"    {SeriesOf(sample)} {Number(sample.Value)}");
                }
                if (window.SampleCount > window.First.Count)
                {
                    output.WriteLine($"    and {window.SampleCount - window.First.Count} more (--limit)");
                }
            }
        }
    }

    private void WriteCsv()
    {
        output.WriteLine("rule,window_end_ms,series,value");
        foreach (var rule in trial.Rules)
        {
            foreach (var window in rule.Windows)
            {
                foreach (var sample in window.First)
                {
                    output.WriteLine(string.Create(CultureInfo.InvariantCulture,
                        $"{Quoted(rule.Rule.Name)},{window.EndMs},{Quoted(SeriesOf(sample))},{Number(sample.Value)}"));
                }
            }
        }
    }

    private void WriteJson()
    {
        using var bytes = new MemoryStream();
        using (var json = new Utf8JsonWriter(bytes, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            json.WriteNumber("samples", trial.Samples);
            json.WriteNumber("firstArrivalMs", trial.FirstArrivalMs);
            json.WriteNumber("lastArrivalMs", trial.LastArrivalMs);
            json.WriteNumber("lostRecords", trial.LostRecords);
            json.WriteStartArray("rules");
            foreach (var rule in trial.Rules)
            {
                Write(json, rule);
            }
            json.WriteEndArray();
            json.WriteEndObject();
        }
        output.WriteLine(System.Text.Encoding.UTF8.GetString(bytes.ToArray()));
    }

    private static void Write(Utf8JsonWriter json, TrialRule rule)
    {
        json.WriteStartObject();
        json.WriteString("rule", rule.Rule.Name);
        json.WriteNumber("inputSeries", rule.InputSeries);
        json.WriteNumber("outputSeries", rule.OutputSeries);
        json.WriteNumber("samples", rule.Samples);
        json.WriteNumber("lateSamples", rule.LateSamples);
        json.WriteNumber("tooFarAhead", rule.TooFarAhead);
        json.WriteNumber("notANumber", rule.NotANumber);
        json.WriteNumber("repeats", rule.Repeats);
        json.WriteNumber("ambiguousResets", rule.AmbiguousResets);
        json.WriteNumber("corrections", rule.Corrections);
        json.WriteStartArray("windows");
        foreach (var window in rule.Windows)
        {
            json.WriteStartObject();
            json.WriteNumber("endMs", window.EndMs);
            json.WriteNumber("series", window.SampleCount);
            json.WriteStartArray("samples");
            foreach (var sample in window.First)
            {
                json.WriteStartObject();
                json.WriteString("series", SeriesOf(sample));
                json.WriteString("value", Number(sample.Value));
                json.WriteEndObject();
            }
            json.WriteEndArray();
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static string Reduction(TrialRule rule) =>
        rule.OutputSeries == 0 || rule.InputSeries == 0 ? ""
        : string.Create(CultureInfo.InvariantCulture,
            $" ({(double)rule.InputSeries / rule.OutputSeries:0.#} to 1)");

    private static string NameOf(AggregationRule rule) =>
        $"\"{rule.Name}\" ({rule.Config.File}:{rule.Config.Line})";

    internal static string Time(long ms) => DateTimeOffset.FromUnixTimeMilliseconds(ms)
        .ToString("yyyy-MM-ddTHH:mm:ss.FFFZ", CultureInfo.InvariantCulture);

    internal static string Number(double value) => value.ToString("R", CultureInfo.InvariantCulture);

    private static string SeriesOf(in OutputSample sample)
    {
        var labels = new List<Label>();
        // Our own encoding: a rule may have removed the metric's name, the labels are there all the same.
        var isWhole = LabelBlock.TryParse(sample.Labels.ToArray(), AnyLabels, labels, out var defect)
            || defect == LabelDefect.MissingMetricName;
        return isWhole ? LabelSet.From(labels).ToString() : "{}";
    }

    private static string Quoted(string text) => $"\"{text.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";
}
