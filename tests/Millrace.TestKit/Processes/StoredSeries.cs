using System.Globalization;
using System.Text.Json;

namespace Millrace.TestKit.Processes;

/// <summary>What a backend holds of one series, as it is stored: repeats included, stale markers left out.</summary>
public sealed record StoredSeries(
    IReadOnlyDictionary<string, string> Labels, IReadOnlyList<long> TimestampsMs, IReadOnlyList<double> Values)
{
    /// <summary>One line of VictoriaMetrics' <c>/api/v1/export</c>.</summary>
    internal static StoredSeries FromExportLine(string line)
    {
        using var document = JsonDocument.Parse(line);
        var timestamps = document.RootElement.GetProperty("timestamps");
        var values = document.RootElement.GetProperty("values");
        List<long> times = [];
        List<double> numbers = [];
        for (var i = 0; i < timestamps.GetArrayLength(); i++)
        {
            if (Number(values[i]) is { } value)
            {
                times.Add(timestamps[i].GetInt64());
                numbers.Add(value);
            }
        }
        return new StoredSeries(LabelsOf(document.RootElement.GetProperty("metric")), times, numbers);
    }

    /// <summary>The answer of a Prometheus query for a range selector, such as <c>up[10m]</c>.</summary>
    internal static List<StoredSeries> FromQueryAnswer(string answer)
    {
        using var document = JsonDocument.Parse(answer);
        List<StoredSeries> series = [];
        foreach (var result in document.RootElement.GetProperty("data").GetProperty("result").EnumerateArray())
        {
            List<long> times = [];
            List<double> numbers = [];
            foreach (var point in result.GetProperty("values").EnumerateArray())
            {
                times.Add((long)Math.Round(point[0].GetDouble() * 1000));
                numbers.Add(Number(point[1]) ?? double.NaN);
            }
            series.Add(new StoredSeries(LabelsOf(result.GetProperty("metric")), times, numbers));
        }
        return series;
    }

    internal static double? Number(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Number => value.GetDouble(),
        JsonValueKind.String => value.GetString() switch
        {
            "Infinity" or "+Inf" => double.PositiveInfinity,
            "-Infinity" or "-Inf" => double.NegativeInfinity,
            "NaN" => double.NaN,
            var text => double.Parse(text!, CultureInfo.InvariantCulture),
        },
        _ => null,
    };

    private static Dictionary<string, string> LabelsOf(JsonElement metric)
    {
        Dictionary<string, string> labels = [];
        foreach (var label in metric.EnumerateObject())
        {
            labels[label.Name] = label.Value.GetString()!;
        }
        return labels;
    }
}
