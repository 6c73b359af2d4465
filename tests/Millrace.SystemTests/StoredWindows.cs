using System.Diagnostics;
using Millrace.TestKit.Fleet;
using Millrace.TestKit.Processes;

namespace Millrace.SystemTests;

/// <summary>The windows that a backend holds, and how often each more than once.</summary>
internal sealed record StoredWindows(WindowTable Values, int Repeats, int MostRepeatsOfOnePoint)
{
    private static readonly TimeSpan PollInterval = TimeSpan.FromMilliseconds(500);

    /// <summary>Longer than a block waits to be sent: what came twice or too much has come by then.</summary>
    private static readonly TimeSpan Settling = TimeSpan.FromSeconds(2);

    /// <summary>Reads until so many windows are there or the time is over; what is there then is the answer.</summary>
    public static async Task<StoredWindows> ReadAsync(
        Func<Task<IReadOnlyList<StoredSeries>>> read, int expectedCount, TimeSpan timeout)
    {
        var clock = Stopwatch.StartNew();
        while (clock.Elapsed < timeout && From(await read()).Values.Count < expectedCount)
        {
            await Task.Delay(PollInterval);
        }
        await Task.Delay(Settling);
        return From(await read());
    }

    /// <summary>Bit by bit, no window missing and none too much.</summary>
    public void ShouldBeExactly(WindowTable expected, string who = "Millrace")
    {
        var difference = Values.DifferenceFrom(expected);
        if (difference.Length > 0)
        {
            Assert.Fail($"What {who} delivered: {difference}");
        }
    }

    /// <summary>Two values for one point of one series fail: a repeat must be the same bytes.</summary>
    private static StoredWindows From(IReadOnlyList<StoredSeries> series)
    {
        var table = new WindowTable();
        var repeats = new Dictionary<(string, long), int>();
        foreach (var stored in series)
        {
            var group = SeriesText.Of(stored.Labels, "__name__");
            for (var i = 0; i < stored.Values.Count; i++)
            {
                var (endMs, value) = (stored.TimestampsMs[i], stored.Values[i]);
                if (!table.TryAdd(group, endMs, value))
                {
                    value.ShouldBe(table.Get(group, endMs)!.Value, $"{group} at {endMs} was written with two values");
                    repeats[(group, endMs)] = repeats.GetValueOrDefault((group, endMs)) + 1;
                }
            }
        }
        return new StoredWindows(table, repeats.Values.Sum(), repeats.Values.DefaultIfEmpty().Max());
    }
}
