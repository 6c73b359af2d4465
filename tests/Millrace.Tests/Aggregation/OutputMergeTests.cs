using System.IO;
using Millrace.Aggregation;
using Millrace.Aggregation.Outputs;
using Millrace.Memory;

namespace Millrace.Tests.Aggregation;

/// <summary>Merging the states of any split of the input gives the state of the unsplit input, bit by bit.</summary>
public sealed class OutputMergeTests
{
    private const int Groups = 3;

    public static TheoryData<string> Outputs =>
    [
        "total", "total_prometheus", "increase", "increase_prometheus", "rate_sum", "rate_avg", "sum_samples",
        "count_samples", "count_series", "min", "max", "avg", "last",
    ];

    [Theory]
    [MemberData(nameof(Outputs))]
    public void Merging_any_split_equals_the_unsplit_whole(string output)
    {
        var kind = OutputKind.Find(output)!;
        var random = new Random(1);
        var values = 0;
        for (var round = 0; round < 300; round++)
        {
            var whole = New(kind);
            var parts = Enumerable.Range(0, random.Next(1, 6)).Select(_ => New(kind)).ToArray();
            for (var i = random.Next(0, 60); i > 0; i--)
            {
                var part = parts[random.Next(parts.Length)];
                Feed(random, whole, part);
            }
            // The parts' groups have other numbers, as those of other tasks have.
            var merged = New(kind);
            foreach (var part in parts)
            {
                for (var group = 0; group < Groups; group++)
                {
                    merged.Merge(group, WrittenAndRead(kind, part), group + 1);
                }
            }
            for (var group = 0; group < Groups; group++)
            {
                var isThere = whole.TryGetValue(group + 1, out var expected);
                merged.TryGetValue(group, out var actual).ShouldBe(isThere, $"round {round}");
                if (isThere)
                {
                    BitConverter.DoubleToInt64Bits(actual)
                        .ShouldBe(BitConverter.DoubleToInt64Bits(expected), $"{actual}, {expected}, round {round}");
                    values++;
                }
            }
        }
        values.ShouldBeGreaterThan(500);
    }

    [Theory]
    [MemberData(nameof(Outputs))]
    public void A_cleared_group_is_as_new(string output)
    {
        var kind = OutputKind.Find(output)!;
        var random = new Random(2);
        var window = New(kind);
        for (var i = 0; i < 50; i++)
        {
            Feed(random, window, New(kind));
        }
        window.TryGetValue(1, out _).ShouldBeTrue();
        window.Clear(1);
        window.TryGetValue(1, out _).ShouldBeFalse();
        window.TryGetValue(2, out _).ShouldBeTrue();
    }

    private static OutputWindow New(OutputKind kind)
    {
        var window = kind.NewWindow(RuleTime.Event);
        window.Reserve(Groups + 1);
        return window;
    }

    private static void Feed(Random random, params ReadOnlySpan<OutputWindow> windows)
    {
        var group = random.Next(1, Groups + 1);
        var value = random.Next(3) == 0 ? random.Next(-1000, 1000) / 8.0 : random.NextDouble() * 1e6;
        var timeMs = random.NextInt64(1, 50);
        var series = new SeriesWindow
        {
            Group = group,
            Increase = value,
            IncreasePrometheus = value / 2,
            Rate = random.Next(4) == 0 ? double.NaN : value / 3,
            LastMs = timeMs,
            LastValue = value,
        };
        var replaces = random.Next(5) == 0;
        foreach (var window in windows)
        {
            window.AddSamples([group], [value], [timeMs]);
            window.AddSeries([series]);
            if (replaces)
            {
                window.Replace(group, value, value + 1, timeMs);
                window.Lose(group, value - 5);
            }
        }
    }

    private static OutputWindow WrittenAndRead(OutputKind kind, OutputWindow window)
    {
        var stream = new MemoryStream();
        using (var writer = new SnapshotWriter(stream))
        {
            window.Write(writer, Groups + 1);
        }
        stream.Position = 0;
        var read = kind.NewWindow(RuleTime.Event);
        using var reader = new SnapshotReader(stream);
        read.Read(reader, Groups + 1);
        return read;
    }
}
