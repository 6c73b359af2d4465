using System.Globalization;
using System.IO;
using Millrace.Aggregation.Outputs;
using Millrace.Memory;

namespace Millrace.Tests.Aggregation;

/// <summary>Merging the states of any split of the input gives the state of the unsplit input, bit by bit.</summary>
public sealed class OutputMergeTests
{
    private const int Groups = 3;

    private static readonly OutputSetting Setting = new(IsArrivalTime: false, InputLabel: 1);

    public static TheoryData<string> Outputs =>
    [
        .. OutputKind.Plain.Select(kind => kind.Name),
        "quantiles(0, 0.25, 0.5, 0.9, 0.99, 1)", "distinct(pod)", "topk(3, pod)", "topk(2, pod, increase)",
    ];

    [Theory]
    [MemberData(nameof(Outputs))]
    public void Merging_any_split_equals_the_unsplit_whole(string output) => CheckSplits(output, 300, 60);

    [Theory]
    [MemberData(nameof(Outputs))]
    public void Merging_large_parts_equals_the_unsplit_whole(string output) => CheckSplits(output, 3, 8_000);

    [Theory]
    [MemberData(nameof(Outputs))]
    public void A_cleared_group_is_as_new(string output)
    {
        var random = new Random(2);
        var window = New(output);
        for (var i = 0; i < 50; i++)
        {
            Feed(random, window, New(output));
        }
        Values(window, 1).ShouldNotBeEmpty();
        window.Clear(1);
        Values(window, 1).ShouldBeEmpty();
        Values(window, 2).ShouldNotBeEmpty();

        var (again, fresh) = (new Random(3), New(output));
        window.Clear(2);
        window.Clear(3);
        for (var i = 0; i < 50; i++)
        {
            Feed(again, window, fresh);
        }
        for (var group = 1; group <= Groups; group++)
        {
            Values(window, group).ShouldBe(Values(fresh, group), "nothing of what was before is left");
        }
    }

    private static void CheckSplits(string output, int rounds, int maxSamples)
    {
        var random = new Random(1);
        var values = 0;
        for (var round = 0; round < rounds; round++)
        {
            var whole = New(output);
            var parts = Enumerable.Range(0, random.Next(1, 6)).Select(_ => New(output)).ToArray();
            for (var i = random.Next(maxSamples); i > 0; i--)
            {
                Feed(random, whole, parts[random.Next(parts.Length)]);
            }
            // The parts' groups have other numbers, as those of other tasks have.
            var merged = New(output);
            foreach (var part in parts)
            {
                var read = WrittenAndRead(output, part);
                for (var group = 0; group < Groups; group++)
                {
                    merged.Merge(group, read, group + 1);
                }
            }
            for (var group = 0; group < Groups; group++)
            {
                var expected = Values(whole, group + 1);
                Values(merged, group).ShouldBe(expected, $"round {round}");
                values += expected.Count;
            }
        }
        values.ShouldBeGreaterThan(rounds);
    }

    private static OutputWindow New(string output)
    {
        var window = OutputKind.Find(output).ShouldNotBeNull().NewWindow(Setting);
        window.Reserve(Groups + 1);
        return window;
    }

    /// <summary>What a group shows, each value by all of its bits.</summary>
    private static List<string> Values(OutputWindow window, int group)
    {
        var values = new LabeledValues();
        window.CopyValues(group, values);
        if (values.Count == 0 && window.TryGetValue(group, out var single))
        {
            values.Add("", single);
        }
        return
        [
            .. Enumerable.Range(0, values.Count).Select(i => string.Create(
                CultureInfo.InvariantCulture,
                $"{values[i].Label} {values[i].Value:R} {BitConverter.DoubleToInt64Bits(values[i].Value)}")),
        ];
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
            Labels = ["", random.Next(8) == 0 ? "" : $"pod-{random.Next(20)}"],
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

    private static OutputWindow WrittenAndRead(string output, OutputWindow window)
    {
        var bytes = Written(window);
        var read = OutputKind.Find(output)!.NewWindow(Setting);
        using var reader = new SnapshotReader(new MemoryStream(bytes));
        read.Read(reader, Groups + 1);
        Written(read).ShouldBe(bytes);
        return read;
    }

    private static byte[] Written(OutputWindow window)
    {
        var stream = new MemoryStream();
        using (var writer = new SnapshotWriter(stream))
        {
            window.Write(writer, Groups + 1);
        }
        return stream.ToArray();
    }
}
