using System.Globalization;
using System.IO;

namespace Millrace.TestKit.Sharding;

/// <summary>A sample as a <see cref="RecordingNode"/> took it.</summary>
/// <param name="Node">Which one.</param>
/// <param name="AtTicks">Of the monotonic clock, the same for all processes.</param>
/// <param name="AtMs">Wall clock.</param>
/// <param name="Series">Without the label of the task.</param>
/// <param name="Task">Empty where the series has no such label.</param>
/// <param name="TimestampMs">The sample's own time.</param>
/// <param name="Bits">Its value.</param>
public sealed record Arrival(
    string Node, long AtTicks, long AtMs, string Series, string Task, long TimestampMs, long Bits)
{
    public const string TaskLabel = "stream_task_id";

    private const string TaskText = TaskLabel + "=\"";

    /// <summary>What stands in a node's record, in the order in which it came; unfinished lines are left out.</summary>
    public static List<Arrival> Read(string node, string path, long fromMs)
    {
        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        using var lines = new StreamReader(file);
        var arrivals = new List<Arrival>();
        while (lines.ReadLine() is { } line)
        {
            if (line.EndsWith(RecordingNode.LineEnd, StringComparison.Ordinal)
                && Parse(node, line) is var arrival && arrival.TimestampMs >= fromMs)
            {
                arrivals.Add(arrival);
            }
        }
        return arrivals;
    }

    private static Arrival Parse(string node, string line)
    {
        var fields = line.Split('\t');
        var (series, task) = WithoutTask(fields[4]);
        return new Arrival(
            node, Number(fields[0]), Number(fields[1]), series, task, Number(fields[2]), Number(fields[3]));
    }

    private static (string Series, string Task) WithoutTask(string series)
    {
        var start = series.IndexOf(TaskText, StringComparison.Ordinal);
        if (start < 0)
        {
            return (series, "");
        }
        var valueStart = start + TaskText.Length;
        var valueEnd = series.IndexOf('"', valueStart);
        // A comma stands behind each label.
        return (series.Remove(start, valueEnd + 2 - start), series[valueStart..valueEnd]);
    }

    private static long Number(string text) => long.Parse(text, CultureInfo.InvariantCulture);
}
