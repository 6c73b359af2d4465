using System.Diagnostics;
using System.Globalization;
using Millrace.Aggregation.Outputs;

namespace Millrace.Tests.Aggregation.Outputs;

/// <summary>What a sample costs each output, in groups of a size as they are common.</summary>
public sealed class OutputSpeedTests(ITestOutputHelper output)
{
    private const int Groups = 2_000;
    private const int SamplesPerGroup = 100;

    public static TheoryData<string> Outputs =>
    [
        "sum_samples", "stddev", "unique_samples", "histogram_bucket", "quantiles(0.5, 0.9, 0.99)",
    ];

    [Theory]
    [MemberData(nameof(Outputs))]
    public void A_sample_costs_less_than_a_quarter_of_a_microsecond(string text)
    {
        Assert.SkipUnless(Environment.GetEnvironmentVariable("MILLRACE_MEASURE") == "1",
            "Measures only with MILLRACE_MEASURE=1.");
        var random = new Random(1);
        var window = OutputKind.Find(text)!.NewWindow(default);
        window.Reserve(Groups);
        var groups = Enumerable.Range(0, Groups * SamplesPerGroup).Select(i => i % Groups).ToArray();
        var values = groups.Select(_ => -Math.Log(1 - random.NextDouble()) * 0.05).ToArray();
        var times = groups.Select(_ => 1L).ToArray();
        var best = double.MaxValue;
        var bytes = 0L;
        for (var round = 0; round < 20; round++)
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            var start = Stopwatch.GetTimestamp();
            for (var i = 0; i < groups.Length; i += 250)
            {
                window.AddSamples(groups.AsSpan(i, 250), values.AsSpan(i, 250), times.AsSpan(i, 250));
            }
            best = Math.Min(best, Stopwatch.GetElapsedTime(start).TotalNanoseconds / groups.Length);
            bytes = GC.GetAllocatedBytesForCurrentThread() - before;
            for (var group = 0; group < Groups; group++)
            {
                window.Clear(group);
            }
        }
        output.WriteLine(string.Create(
            CultureInfo.InvariantCulture, $"{text}: {best:F1} ns per sample, {bytes} bytes in a later window"));
        best.ShouldBeLessThan(250);
        bytes.ShouldBe(0, "a later window takes no new memory");
    }
}
